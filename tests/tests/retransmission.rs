//! What is sent again after a connection was lost, byte for byte, and what the server makes of it.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use client::{Done, Op, Output};
use rpcrdma::{Payload, Registration, TransportConfig};
use system_tests::bare::{Bare, largest_header};
use system_tests::{House, Plan, pattern};
use target::stats::PROCEDURES;
use wire::nfs3::{self, CreateHow, Sattr, StableHow, Status, procedure};

const MS: u64 = 1_000_000;
/// More calls than any of these tests makes.
const CALLS_MAX: usize = 1000;

fn plan() -> Plan {
    let mut plan = Plan::default();
    plan.transport.rpc_timeout_ns = 50 * MS;
    plan.transport.reconnect_min_ns = MS;
    plan
}

fn calls(house: &House, procedure: u32) -> u64 {
    house.target.stats().calls[procedure as usize].get()
}

/// The reply to the operation is lost, and with it the connection.
fn op_with_a_lost_reply(house: &mut House, op: Op) -> Done {
    house.target.switch().set("drop-replies=1".parse().unwrap());
    let before = house.counters();
    let done = house.op(op, None);
    let after = house.counters();
    assert_eq!(after.connect_count, before.connect_count + 1);
    assert_eq!(after.retransmissions, before.retransmissions + 1);
    done
}

fn guarded(house: &House, name: &str) -> Op {
    let how = CreateHow::Guarded(Sattr { mode: Some(0o600), ..Sattr::default() }).into();
    Op::Create { dir: house.client.root(house.mount).unwrap(), name: name.into(), how }
}

fn remove(house: &House, name: &str) -> Op {
    Op::Remove { dir: house.client.root(house.mount).unwrap(), name: name.into() }
}

fn status(done: Done) -> Status {
    match done.result {
        Err(client::Error::Nfs { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_whose_reply_was_lost_is_answered_from_the_servers_cache() {
    let mut house = House::build(plan());
    let create = guarded(&house, "n");
    let made = op_with_a_lost_reply(&mut house, create);
    assert!(matches!(made.result, Ok(Output::Opened { .. })), "{:?}", made.result);
    assert_eq!(house.target.stats().calls_repeated.get(), 1);
    assert_eq!(calls(&house, procedure::CREATE), 2, "it came twice");

    let removal = remove(&house, "n");
    op_with_a_lost_reply(&mut house, removal).result.expect("the first time counts");
    assert_eq!(house.target.stats().calls_repeated.get(), 2);
    assert_eq!(house.target.stats().nfs_errors.get(), 0, "neither was carried out twice");

    let again = remove(&house, "n");
    assert_eq!(status(house.op(again, None)), Status::NoEnt, "a new call is a new call");
}

#[test]
fn without_the_cache_the_caller_is_told_what_the_second_time_found() {
    let mut plan = plan();
    plan.target.reply_cache = false;
    let mut house = House::build(plan);
    let create = guarded(&house, "n");
    assert_eq!(status(op_with_a_lost_reply(&mut house, create)), Status::Exist);
    let removal = remove(&house, "n");
    assert_eq!(status(op_with_a_lost_reply(&mut house, removal)), Status::NoEnt);
    assert_eq!(house.target.stats().calls_repeated.get(), 0);
}

#[test]
fn a_server_that_crashed_no_longer_knows_what_it_answered() {
    let mut house = House::build(plan());
    house.target.switch().set("drop-replies=1".parse().unwrap());
    let create = guarded(&house, "n");
    house.submit(0, create, None);
    house.run_until(|house| calls(house, procedure::CREATE) == 1);
    let now = house.now();
    house.target.restart(now);
    house.run_until(|house| house.done_count() == 1);
    assert_eq!(status(house.take_done().remove(0)), Status::Exist);
}

#[test]
fn what_was_carried_out_is_not_refused_by_order_when_it_comes_again() {
    let mut house = House::build(plan());
    house.target.switch().set("drop-replies=1".parse().unwrap());
    let create = guarded(&house, "n");
    house.submit(0, create, None);
    house.run_until(|house| calls(house, procedure::CREATE) == 1);
    house.target.switch().set("status=JUKEBOX:CREATE".parse().unwrap());
    house.run_until(|house| house.done_count() == 1);
    let done = house.take_done().remove(0);
    assert!(matches!(done.result, Ok(Output::Opened { .. })), "{:?}", done.result);
}

/// Everything that came under each XID.
fn by_xid(calls: Vec<Vec<u8>>) -> BTreeMap<u32, Vec<Vec<u8>>> {
    let mut found: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for call in calls {
        let xid = u32::from_be_bytes(call[..4].try_into().unwrap());
        found.entry(xid).or_default().push(call);
    }
    found
}

/// Each message that came more than once came as the same bytes; how many did.
fn assert_identical(calls: Vec<Vec<u8>>) -> usize {
    let mut repeated = 0;
    for (xid, messages) in by_xid(calls) {
        let number = u32::from_be_bytes(messages[0][20..24].try_into().unwrap());
        let name = PROCEDURES[number as usize];
        for other in &messages[1..] {
            assert!(*other == messages[0], "{name} {xid:#x} came again as something else");
        }
        repeated += usize::from(messages.len() > 1);
    }
    repeated
}

/// One operation of each kind that takes another way, each with the reply to it lost.
fn lose_replies(house: &mut House, before_each: impl Fn(&mut House, usize)) -> usize {
    let file = house.create("f");
    let short = 300;
    let long = 3000;
    let by_chunk = 65_536;
    house.target.record_calls(CALLS_MAX);
    let mut lost = 0;
    for (round, len) in [short, long, by_chunk].into_iter().enumerate() {
        before_each(house, round);
        house.target.switch().set("drop-replies=1".parse().unwrap());
        let buffer = house.filled(len, round as u64);
        let (len, stable) = (len as u32, StableHow::Unstable);
        let op = Op::Write { file, offset: 0, len, stable };
        house.op(op, Some(buffer)).result.expect("nothing but time");
        let buffer = house.buffer();
        house.target.switch().set("drop-replies=1".parse().unwrap());
        let done = house.op(Op::Read { file, offset: 0, len }, Some(buffer));
        assert_eq!(done.data(), pattern(len as usize, round as u64), "{len} bytes");
        let name = format!("n{round}");
        let create = guarded(house, &name);
        op_with_a_lost_reply(house, create).result.expect("carried out once");
        let removal = remove(house, &name);
        op_with_a_lost_reply(house, removal).result.expect("carried out once");
        lost += 4;
    }
    lost
}

#[test]
fn a_retransmission_is_the_same_message_byte_for_byte() {
    for registration in [Registration::Static, Registration::Window] {
        // Hardly anything fits inline in the second: all calls are long.
        for inline_send in [None, Some(0)] {
            let mut plan = plan();
            plan.transport.registration = Some(registration);
            plan.transport.planted.inline_send = inline_send;
            let mut house = House::build(plan);
            let lost = lose_replies(&mut house, |_, _| ());
            let recorded = house.target.take_recorded();
            assert_eq!(assert_identical(recorded), lost);
            assert_eq!(house.counters().nomsg_call_count > 0, inline_send.is_some());
        }
    }
}

#[test]
fn a_retransmission_over_another_inline_threshold_is_still_the_same_message() {
    let mut house = House::build(plan());
    let thresholds = [1024, 4096, 16 * 1024];
    let lost = lose_replies(&mut house, |house, round| {
        // What is lost next comes again over a connection of this sort.
        house.target.set_inline_bytes(thresholds[round]).unwrap();
    });
    let recorded = house.target.take_recorded();
    assert_eq!(assert_identical(recorded), lost);
}

/// A call that fits inline at 4096 bytes and has to be fetched at 1024, and the other way round.
#[test]
fn a_call_that_becomes_long_or_short_when_it_is_sent_again_is_the_same_message() {
    for (before, after) in [(4096, 1024), (1024, 4096)] {
        let mut house = House::build(plan());
        let root = house.client.root(house.mount).unwrap().handle;
        house.target.set_inline_bytes(before).unwrap();
        let mut config = TransportConfig::new(house.target.nfs_addr());
        config.buffers = Plan::default().transport.buffers;
        config.rpc_timeout_ns = 50 * MS;
        config.reconnect_min_ns = MS;
        let mut bare = Bare::connect(house, config);
        bare.house.target.set_inline_bytes(after).unwrap();
        bare.house.target.record_calls(CALLS_MAX);
        bare.house.target.switch().set("drop-replies=1".parse().unwrap());
        let name = "n".repeat(255);
        let (_, reply, _) = bare.call(Payload::None, |xid, w| {
            largest_header(xid, procedure::LOOKUP, &[0; 400], w)?;
            w.value(&nfs3::LookupArgs { dir: root, name: name.as_bytes() })
        });
        reply.expect("an answer");
        let recorded = bare.house.target.take_recorded();
        assert_eq!(assert_identical(recorded), 1);
        let counters = bare.counters();
        assert_eq!((counters.nomsg_call_count, counters.retransmissions), (1, 1), "long once");
    }
}
