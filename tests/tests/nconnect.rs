//! Several connections of one mount: calls go round them, and each is lost for itself.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::time::Duration;

use client::{File, MountState, Op};
use rpcrdma::Recovery;
use system_tests::{House, Plan};
use verbs::soft::{FaultPlan, Scope};

const MS: u64 = 1_000_000;

fn house(nconnect: u32, change: impl FnOnce(&mut Plan)) -> (House, File) {
    let mut plan = Plan::default();
    plan.transport.nconnect = nconnect;
    plan.transport.rpc_timeout_ns = 50 * MS;
    plan.transport.reconnect_min_ns = MS;
    plan.transport.reconnect_max_ns = 8 * MS;
    change(&mut plan);
    let mut house = House::build(plan);
    let file = house.create("f");
    (house, file)
}

/// Calls that each connection has made.
fn sends(house: &House) -> Vec<u64> {
    let each = house.client.connection_counters(house.mount);
    each.iter().map(|counters| counters.sends).collect()
}

#[test]
fn calls_of_a_mount_go_round_its_connections() {
    for nconnect in [1, 2, 4, 16] {
        let (mut house, file) = house(nconnect, |_| ());
        // Each has one credit until its first reply.
        house.submit_writes(file, 1);
        house.check_writes(file, 1);
        let before = sends(&house);
        house.submit_writes(file, 2);
        house.check_writes(file, 2);
        let after = sends(&house);
        assert_eq!(after.len(), nconnect as usize);
        assert_eq!(house.counters().sends, after.iter().sum::<u64>());
        let made: Vec<u64> =
            after.iter().zip(before).map(|(after, before)| after - before).collect();
        let (least, most) = (made.iter().min().unwrap(), made.iter().max().unwrap());
        assert!(most - least <= 1, "{made:?}");
        assert_eq!(house.counters().connect_count, u64::from(nconnect));
        assert_eq!(house.target.open_connections(), nconnect as usize);
        house.unmount();
        house.run_for(Duration::from_millis(100));
        assert_eq!(house.target.open_connections(), 0);
        assert_eq!(house.counters().connect_count, u64::from(nconnect), "known to the end");
    }
}

#[test]
fn a_lost_connection_leaves_the_others_working_and_its_calls_wait_for_it() {
    let (mut house, file) = house(4, |_| ());
    house.faults().latency_ns(Scope::All, 10_000);
    house.submit_writes(file, 1);
    house.run_for(Duration::from_micros(3));
    house.faults().reject_connects(3, 8);
    let lost = house.client.qp_nums(house.mount)[1].unwrap();
    house.faults().amend(lost, |plan| plan.disconnect_after(0));
    house.run_until(|house| house.client.reconnecting(house.mount) == 1);
    house.run_for(Duration::from_micros(900));
    let left = 32 - house.done_count();
    let of_lost = house.client.connection_counters(house.mount)[1];
    assert_eq!(left as u64, of_lost.sends - of_lost.recvs, "its own, and no others");
    assert!(left > 0);
    for _ in 0..8 {
        house.submit(99, Op::Getattr { file }, None);
    }
    house.run_for(Duration::from_micros(500));
    let done = house.take_done();
    assert_eq!(done.iter().filter(|done| done.tag == 99).count(), 8, "the others carry on");
    drop(done);
    assert_eq!(house.client.reconnecting(house.mount), 1);
    house.run_until(|house| house.done_count() == left);
    assert!(house.take_done().iter().all(|done| done.result.is_ok()));
    let each = house.client.connection_counters(house.mount);
    assert_eq!(each.iter().map(|c| c.connect_count).collect::<Vec<_>>(), [1, 2, 1, 1]);
    assert!(each[1].retransmissions as usize >= left);
    assert_eq!(each.iter().map(|c| c.retransmissions).sum::<u64>(), each[1].retransmissions);
    assert_eq!(house.client.reconnecting(house.mount), 0);
    assert_eq!(house.fabric.violation_count(), 0);
    assert_eq!(house.buffers_home(), 64);
}

#[test]
fn connections_of_a_mount_never_share_an_xid() {
    let (mut house, file) = house(8, |plan| plan.transport.xid_seed = None);
    let peers: BTreeSet<u32> =
        house.client.qp_nums(house.mount).into_iter().map(Option::unwrap).collect();
    assert_eq!(peers.len(), 8);
    for round in 1..10 {
        house.submit_writes(file, round);
        house.check_writes(file, round);
    }
    let counters = house.counters();
    assert_eq!((counters.bad_xids, counters.retransmissions), (0, 0));
}

#[test]
fn a_removed_device_takes_all_connections_along_and_the_next_has_them_all() {
    let (mut house, file) = house(4, |_| ());
    house.faults().latency_ns(Scope::All, 20_000);
    for round in 1..4 {
        house.submit_writes(file, round);
        house.run_for(Duration::from_micros(50 * round));
        let removed = house.faults().remove_device().unwrap();
        house.run_for(Duration::from_millis(3));
        assert!(!removed.in_use());
        assert_eq!(house.client.reconnecting(house.mount), 4);
        house.faults().add_device();
        house.check_writes(file, round);
        house.run_until(|house| house.client.reconnecting(house.mount) == 0);
    }
    assert_eq!(house.fabric.violation_count(), 0);
    assert_eq!(house.buffers_home(), 64);
}

#[test]
fn connections_that_move_to_another_device_one_after_the_other_do_not_block_each_other() {
    let (mut house, file) = house(2, |_| ());
    house.submit_writes(file, 1);
    house.check_writes(file, 1);
    house.faults().change_address();
    house.run_for(Duration::from_millis(5));
    house.faults().change_address();
    house.submit_writes(file, 2);
    house.check_writes(file, 2);
    house.run_until(|house| house.client.reconnecting(house.mount) == 0);
}

#[test]
fn a_mount_that_may_not_recover_ends_with_its_first_connection() {
    let (mut house, file) = house(4, |plan| plan.transport.recovery = Recovery::Never);
    let lost = house.client.qp_nums(house.mount)[2].unwrap();
    house.faults().set(lost, FaultPlan::new().disconnect_after(1));
    house.submit_writes(file, 1);
    house.run_until(|house| matches!(house.client.state(house.mount), MountState::Gone(_)));
    house.run_until(|house| house.done_count() == 32);
    let MountState::Gone(cause) = house.client.state(house.mount) else { unreachable!() };
    assert!(cause.to_string().contains("lost: "), "the first cause: {cause}");
    assert!(house.take_done().iter().all(|done| done.buffer.is_some()));
    house.run_for(Duration::from_millis(10));
    assert_eq!(house.target.open_connections(), 0);
}

#[test]
fn a_mount_whose_second_connection_is_refused_says_so_and_leaves_nothing_behind() {
    let mut plan = Plan::default();
    plan.transport.nconnect = 2;
    let mut house = House::begin_with(plan, |fabric| fabric.faults().reject_connects(1, 8));
    let MountState::Gone(error) = house.client.state(house.mount) else { panic!() };
    assert!(error.to_string().contains("refused the RDMA connection"), "{error}");
    house.run_for(Duration::from_millis(10));
    assert_eq!(house.target.open_connections(), 0);
}
