//! A server by its IPv6 address: in the URL, for MOUNT over TCP, and on the fabric.

#![forbid(unsafe_code)]

use std::net::{Ipv6Addr, SocketAddr};

use client::{MountState, Op};
use system_tests::{House, Plan};
use verbs::soft::FaultPlan;

#[test]
fn a_server_is_mounted_and_reconnected_to_by_its_ipv6_address() {
    let mut plan = Plan::default();
    plan.target.listen = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    plan.target.mount = plan.target.listen;
    plan.transport.reconnect_min_ns = 1_000_000;
    plan.transport.nconnect = 2;
    let mut house = House::build(plan);
    assert!(house.target.nfs_addr().is_ipv6() && house.target.mount_addr().is_ipv6());
    let file = house.create("f");
    let qp = house.client_qp();
    house.faults().set(qp, FaultPlan::new().disconnect_after(0));
    for _ in 0..4 {
        house.op(Op::Getattr { file }, None).result.expect("nothing but time");
    }
    assert_eq!(house.counters().connect_count, 3);
    assert_eq!(house.client.state(house.mount), MountState::Mounted);
}
