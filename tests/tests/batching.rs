//! The batching that the counters make visible.

#![forbid(unsafe_code)]

use client::Op;
use system_tests::{House, Plan};

#[test]
fn completion_entries_per_inline_rpc_stay_near_one_at_depth_32() {
    let mut house = House::build(Plan::default());
    let file = house.create("f");
    let before = house.counters();
    house.drive(32, 10_000, || Op::Getattr { file });
    let after = house.counters();
    let rpcs = (after.recvs - before.recvs) as f64;
    let per_rpc = (after.cqes - before.cqes) as f64 / rpcs;
    let batch = 7.0;
    assert!(per_rpc <= 1.0 + 1.0 / batch + 0.05, "{per_rpc} completion entries an RPC");
    let doorbells = (after.send_doorbells - before.send_doorbells) as f64;
    assert!(doorbells <= rpcs / 8.0, "{doorbells} doorbells for {rpcs} calls");
}

#[test]
fn callers_beyond_the_grant_wait_and_the_server_is_never_overrun() {
    let mut plan = Plan { queue_depth: 256, ..Plan::default() };
    plan.transport.max_requests = 256;
    plan.target.credits = 8;
    let mut house = House::build(plan);
    let file = house.create("f");
    for tag in 0..256 {
        house.submit(tag, Op::Getattr { file }, None);
    }
    house.run_until(|house| house.done_count() == 256);
    assert!(house.take_done().iter().all(|done| done.result.is_ok()));
    assert!(house.counters().credit_waits > 0);
    assert_eq!(house.client.credits_granted(house.mount), Some(8));
    assert_eq!(house.target.stats().credit_overruns.get(), 0);
}
