//! Calls from the server on the client's connection (RFC 8167).

#![forbid(unsafe_code)]

use client::Op;
use rpcrdma::TransportConfig;
use system_tests::bare::Bare;
use system_tests::{House, Plan};
use wire::nfs3;
use wire::rpc::{Auth, CallTemplate};

#[test]
fn a_call_that_nobody_serves_is_refused_as_such_and_costs_no_forward_credit() {
    let mut house = House::build(Plan::default());
    let file = house.create("f");
    for round in 1..=100 {
        house.target.switch().set("backward-calls=2".parse().unwrap());
        let before = house.counters().sends;
        house.drive(32, 200, || Op::Getattr { file });
        let (stats, counters) = (house.target.stats(), house.counters());
        assert_eq!(counters.backward_calls, 2 * round);
        assert_eq!(counters.sends, before + 200 + 2);
        assert_eq!(counters.backward_dropped, 0, "no more than were granted");
        assert_eq!(stats.backward_refused.get(), 2 * round, "PROG_UNAVAIL");
        assert_eq!(stats.backward_replies.get(), 2 * round);
        assert_eq!((counters.bad_xids, counters.bad_reply_count), (0, 0));
        assert_eq!(stats.credit_overruns.get(), 0);
        assert_eq!(counters.connect_count, 1);
    }
}

#[test]
fn a_chunk_in_this_direction_is_answered_with_an_error() {
    let mut house = House::build(Plan::default());
    let file = house.create("f");
    house.target.switch().set("backward-chunks=2".parse().unwrap());
    house.drive(32, 200, || Op::Getattr { file });
    assert_eq!(house.target.stats().backward_errors.get(), 2);
    assert_eq!(house.counters().backward_calls, 2);
    assert_eq!(house.counters().connect_count, 1);
}

#[test]
fn calls_beyond_the_grant_are_dropped_and_their_receives_used_again() {
    let mut plan = Plan::default();
    plan.transport.max_requests = 32;
    let mut house = House::build(plan);
    let file = house.create("f");
    let mut dropped = 0;
    for _ in 0..40 {
        // More in all than there are Receives.
        house.target.switch().set("backward-calls=12".parse().unwrap());
        house.drive(32, 200, || Op::Getattr { file });
        let counters = house.counters();
        assert!(counters.backward_dropped > dropped, "{counters:?}");
        dropped = counters.backward_dropped;
        let answered = house.target.stats().backward_replies.get();
        assert_eq!(answered + dropped, counters.backward_calls);
    }
    assert_eq!(house.counters().backward_calls, 40 * 12);
    assert_eq!(house.counters().connect_count, 1);
}

#[test]
fn a_backward_call_waits_for_room_in_the_ring_and_is_answered_then() {
    let mut house = House::build(Plan::default().inline(16 * 1024));
    let file = house.create("f");
    let qp = house.client_qp();
    house.faults().hold_acks(qp);
    house.target.switch().set("backward-calls=2".parse().unwrap());
    for tag in 0..64 {
        house.submit(tag, Op::Getattr { file }, None);
    }
    house.run_for(std::time::Duration::from_millis(20));
    house.faults().release_acks(qp);
    house.run_until(|house| house.done_count() == 64);
    drop(house.take_done());
    house.run_until(|house| house.target.stats().backward_replies.get() == 2);
    assert_eq!(house.fabric.violation_count(), 0);
}

#[test]
fn a_handler_answers_what_it_knows() {
    let house = House::build(Plan::default());
    let mut config = TransportConfig::new(house.target.nfs_addr());
    config.buffers = Plan::default().transport.buffers;
    let mut bare = Bare::connect(house, config);
    bare.results.serves_backward = true;
    bare.house.target.switch().set("backward-calls=2".parse().unwrap());
    let template = CallTemplate::new(nfs3::PROGRAM, nfs3::VERSION, &Auth::None);
    let call = |xid, w: &mut wire::xdr::Writer<'_>| template.write(xid, nfs3::procedure::NULL, w);
    assert!(bare.call(rpcrdma::Payload::None, call).1.is_ok());
    bare.run_until(|bare| bare.house.target.stats().backward_replies.get() == 2);
    assert_eq!(bare.house.target.stats().backward_refused.get(), 0);
    assert_eq!(bare.results.backward_calls, 2);
}
