//! `resvport`: what the server sees of the ports that a client comes from.

#![forbid(unsafe_code)]

use std::net::{Ipv6Addr, SocketAddr};

use client::Op;
use system_tests::{House, Plan};
use verbs::soft::FaultPlan;

/// Whether this process may take ports below 1024; a test says so when it may not.
fn may_bind() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    // CAP_NET_BIND_SERVICE.
    u64::from_str_radix(line.trim(), 16).unwrap() & 1 << 10 != 0
}

#[test]
fn mount_and_every_connection_come_from_reserved_ports_when_asked_to() {
    for listen in [SocketAddr::from(([127, 0, 0, 1], 0)), (Ipv6Addr::LOCALHOST, 0).into()] {
        for resvport in [false, true] {
            if resvport && !may_bind() {
                println!("SKIPPED: needs CAP_NET_BIND_SERVICE");
                continue;
            }
            let mut plan = Plan::default();
            (plan.target.listen, plan.target.mount) = (listen, listen);
            plan.transport.resvport = resvport;
            plan.transport.nconnect = 2;
            plan.transport.reconnect_min_ns = 1_000_000;
            let mut house = House::build(plan);
            let file = house.create("f");
            let qp = house.client_qp();
            house.faults().set(qp, FaultPlan::new().disconnect_after(0));
            for _ in 0..4 {
                house.op(Op::Getattr { file }, None).result.expect("nothing but time");
            }
            let stats = house.target.stats();
            let reserved = (stats.mount_reserved.get(), stats.connections_reserved.get());
            assert_eq!(stats.connections_accepted.get(), 3, "two, and one of them again");
            assert_eq!(reserved, if resvport { (1, 3) } else { (0, 0) }, "{listen}");
        }
    }
}
