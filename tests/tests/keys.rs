//! Keys per I/O: bound for one call, invalidated before its caller sees the result.

#![forbid(unsafe_code)]

use client::{File, MountState, Op, Output};
use rpcrdma::Registration;
use system_tests::{House, Plan, pattern};
use verbs::soft::FaultPlan;
use wire::nfs3::StableHow;

fn house(registration: Registration) -> (House, File) {
    let mut plan = Plan::default();
    plan.transport.registration = Some(registration);
    plan.transport.reconnect_min_ns = 1_000_000;
    let mut house = House::build(plan);
    let file = house.create("f");
    (house, file)
}

/// 32 writes and reads by chunk, in flight together.
fn exchange(house: &mut House, file: File, round: u64) {
    for tag in 0..32 {
        let buffer = house.filled(65_536, round << 8 | tag);
        let (offset, len, stable) = (tag * 65_536, 65_536, StableHow::Unstable);
        house.submit(tag, Op::Write { file, offset, len, stable }, Some(buffer));
    }
    house.run_until(|house| house.done_count() == 32);
    for done in house.take_done() {
        assert!(matches!(done.result, Ok(Output::Written { .. })), "{:?}", done.result);
    }
    for tag in 0..32 {
        let buffer = house.buffer();
        house.submit(tag, Op::Read { file, offset: tag * 65_536, len: 65_536 }, Some(buffer));
    }
    house.run_until(|house| house.done_count() == 32);
    for done in house.take_done() {
        assert!(matches!(done.result, Ok(Output::Read { count: 65_536, .. })), "{:?}", done.result);
        assert!(done.buffer.unwrap()[..65_536] == pattern(65_536, round << 8 | done.tag));
    }
}

#[test]
fn windows_are_the_default_where_the_device_has_them() {
    let house = House::build(Plan::default());
    assert!(house.counters().mrs_allocated > 0);
    let (house, _) = self::house(Registration::Static);
    assert_eq!(house.counters().mrs_allocated, 0);
}

/// A house whose client's device has no windows.
fn house_without_windows(registration: Option<Registration>) -> House {
    let mut plan = Plan::default();
    plan.transport.registration = registration;
    House::begin_with(plan, |fabric| {
        fabric.faults().remove_device();
        fabric.faults().add_device_without_windows();
    })
}

#[test]
fn a_device_without_windows_is_used_without_them_and_named_where_they_are_a_must() {
    let mut house = house_without_windows(None);
    let file = house.create("f");
    exchange(&mut house, file, 0);
    assert_eq!(house.counters().mrs_allocated, 0);
    let house = house_without_windows(Some(Registration::Window));
    let MountState::Gone(error) = house.client.state(house.mount) else { panic!() };
    let error = error.to_string();
    assert!(error.contains("soft2") && error.contains("registration = \"static\""), "{error}");
}

#[test]
fn data_is_right_under_both_kinds_of_keys() {
    for registration in [Registration::Static, Registration::Window] {
        let (mut house, file) = house(registration);
        for round in 0..20 {
            // A window's key comes again after 256 binds: more than that.
            exchange(&mut house, file, round);
        }
        let counters = house.counters();
        assert_eq!(counters.bad_reply_count, 0);
        assert_eq!(counters.local_inv_needed, 0, "the server invalidates with its reply");
        let binds = counters.send_wrs - counters.sends;
        let chunks = counters.read_chunk_count + counters.write_chunk_count;
        assert_eq!(binds, if registration == Registration::Window { chunks } else { 0 });
        assert_eq!(house.fabric.violation_count(), 0);
    }
}

#[test]
fn a_key_that_the_server_leaves_valid_is_invalidated_before_the_caller_sees_the_result() {
    let (mut house, file) = house(Registration::Window);
    exchange(&mut house, file, 0);
    house.target.switch().set("err-chunk=1".parse().unwrap());
    let before = house.counters();
    let buffer = house.buffer();
    let done = house.op(Op::Read { file, offset: 0, len: 65_536 }, Some(buffer));
    assert!(done.result.unwrap_err().to_string().contains("ERR_CHUNK"));
    let after = house.counters();
    assert_eq!(after.local_inv_needed - before.local_inv_needed, 1);
    assert_eq!(after.send_wrs - before.send_wrs, 3, "bind, call, invalidation");
    exchange(&mut house, file, 1);
}

#[test]
fn windows_are_made_anew_for_each_connection() {
    let (mut house, file) = house(Registration::Window);
    let allocated = house.counters().mrs_allocated;
    for round in 1..10 {
        let qp = house.client_qp();
        house.faults().set(qp, FaultPlan::new().disconnect_after(round * 7));
        exchange(&mut house, file, round);
    }
    let counters = house.counters();
    assert!(counters.connect_count > 5, "{counters:?}");
    assert_eq!(counters.mrs_allocated, allocated * counters.connect_count);
    assert_eq!(counters.mrs_recycled, allocated * (counters.connect_count - 1));
    assert_eq!(house.fabric.violation_count(), 0);
}

#[test]
fn a_reply_that_invalidates_what_is_not_its_own_ends_the_connection_and_nothing_else() {
    for orders in ["wrong-xid=1", "duplicate-replies=1"] {
        let (mut house, file) = house(Registration::Window);
        exchange(&mut house, file, 0);
        let before = house.counters();
        house.target.switch().set(orders.parse().unwrap());
        exchange(&mut house, file, 1);
        assert_eq!(house.counters().connect_count - before.connect_count, 1, "{orders}");
    }
}
