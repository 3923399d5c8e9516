//! Connections that are lost and made again: callers see nothing but time.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use client::{File, MountState, Op};
use reactor::Timestamp;
use rpcrdma::Recovery;
use system_tests::{House, Plan};
use verbs::reject_reason::STALE_CONNECTION;
use verbs::soft::{FaultPlan, Scope};
use wire::nfs3::StableHow;

const MS: u64 = 1_000_000;

fn plan() -> Plan {
    let mut plan = Plan::default();
    plan.transport.rpc_timeout_ns = 50 * MS;
    plan.transport.reconnect_min_ns = MS;
    plan.transport.reconnect_max_ns = 8 * MS;
    plan
}

fn house(plan: Plan) -> (House, File) {
    let mut house = House::build(plan);
    let file = house.create("f");
    (house, file)
}

#[test]
fn a_connection_lost_at_any_message_costs_nothing_but_time() {
    let (mut house, file) = house(plan());
    for round in 1..40 {
        let qp = house.client_qp();
        house.faults().set(qp, FaultPlan::new().disconnect_after(round));
        house.submit_writes(file, round);
        house.check_writes(file, round);
    }
    let counters = house.counters();
    assert!(counters.connect_count >= 35, "{counters:?}");
    assert!(counters.retransmissions > 0, "{counters:?}");
    assert_eq!(counters.bad_xids, 0);
    assert_eq!(
        house.fabric.violation_count(),
        0,
        "nothing was released to the next connection early"
    );
    assert_eq!(house.target.stats().credit_overruns.get(), 0, "credits begin at one again");
    house.run_for(Duration::from_millis(100));
    assert_eq!(house.target.open_connections(), 1, "old connections are gone at both ends");
    assert_eq!(house.buffers_home(), 64, "every buffer is home");
}

#[test]
fn a_connection_that_ends_every_few_calls_costs_nothing_but_time() {
    let mut plan = plan();
    plan.transport.planted.disconnect_every = Some(30);
    let (mut house, file) = house(plan);
    for round in 1..40 {
        house.submit_writes(file, round);
        house.check_writes(file, round);
    }
    let counters = house.counters();
    assert!(counters.connect_count > counters.sends / 40, "{counters:?}");
    assert!(counters.retransmissions > 0, "{counters:?}");
    assert_eq!(counters.bad_xids, 0);
    assert_eq!(house.fabric.violation_count(), 0);
    assert_eq!(house.buffers_home(), 64, "every buffer is home");
}

#[test]
fn a_failed_work_request_or_post_is_recovered_from_as_well() {
    for fault in [
        FaultPlan::new().fail_wr(9, verbs::WcStatus::RetryExceeded),
        FaultPlan::new().fail_post(9, 12),
        FaultPlan::new().drop_acks(u32::MAX).retry_count(1).retransmit_timeout_ns(MS),
    ] {
        let (mut house, file) = house(plan().inline(16 * 1024));
        let qp = house.client_qp();
        house.faults().set(qp, fault);
        house.submit_writes(file, 1);
        house.run_until(|house| house.counters().connect_count == 2);
        house.check_writes(file, 1);
        assert_eq!(house.fabric.violation_count(), 0);
    }
}

#[test]
fn an_unanswered_call_goes_out_again_on_the_next_connection_and_never_on_the_same() {
    let (mut house, file) = house(plan());
    house.target.switch().set("drop-replies=1".parse().unwrap());
    let before = house.counters();
    house.op(Op::Getattr { file }, None).result.unwrap();
    let after = house.counters();
    assert_eq!(after.connect_count - before.connect_count, 1);
    assert_eq!(after.retransmissions - before.retransmissions, 1);
    assert_eq!(after.sends - before.sends, 2);
}

#[test]
fn a_call_that_we_had_not_sent_yet_was_found_unanswered() {
    let (mut house, file) = house(plan());
    house.submit(0, Op::Getattr { file }, None);
    // We are away for longer than the server may take: the call goes out when we are back.
    house.fabric.advance(60 * MS);
    house.run_until(|house| house.done_count() == 1);
    assert!(house.take_done()[0].result.is_ok());
    assert_eq!(house.counters().connect_count, 1, "the connection was given no time to answer");
}

#[test]
fn a_reply_behind_the_flushed_work_of_another_connection_came_too_late() {
    let mut plan = plan();
    (plan.transport.nconnect, plan.transport.max_requests) = (2, 256);
    // Until all is as it was the other connection stays away.
    plan.transport.reconnect_min_ns = 1_000 * MS;
    plan.transport.reconnect_max_ns = 1_000 * MS;
    let (mut house, file) = house(plan);
    let [Some(lost), Some(_)] = house.client.qp_nums(house.mount)[..] else { panic!("two") };
    house.faults().reject_connects(u32::MAX, 8);
    house.faults().amend(lost, |plan| plan.disconnect_after(0));
    // One of these two meets its end with the queue pair, and fills the completion queue.
    (0..2).for_each(|tag| house.submit(tag, Op::Getattr { file }, None));
    house.run_until(|house| house.client.reconnecting(house.mount) == 1);
    house.submit(2, Op::Getattr { file }, None);
    house.client.turn(house.now());
    // We are away for longer than the server may take; it answers meanwhile.
    for _ in 0..60 {
        let now = house.fabric.advance(MS);
        house.target.poll(Timestamp(now));
    }
    for _ in 0..20 {
        let now = Timestamp(house.fabric.advance(MS));
        house.client.turn(now);
        house.target.poll(now);
    }
    assert_eq!(house.client.reconnecting(house.mount), 1, "a reply was there in time");
}

#[test]
fn a_server_that_refuses_for_a_while_is_waited_for() {
    let mut plan = plan();
    (plan.transport.reconnect_min_ns, plan.transport.reconnect_max_ns) = (20 * MS, 160 * MS);
    let (mut house, file) = house(plan);
    let qp = house.client_qp();
    house.faults().set(qp, FaultPlan::new().disconnect_after(1));
    house.faults().reject_connects(5, 8);
    let start = house.now();
    house.op(Op::Getattr { file }, None).result.unwrap();
    let waited = house.now().0 - start.0;
    assert!(waited > (20 + 40 + 80 + 160) * MS * 3 / 4, "pauses double: {waited} ns");
    assert_eq!(house.client.state(house.mount), MountState::Mounted);
}

#[test]
fn a_soft_mount_gives_up_in_the_words_of_its_kind() {
    for (recovery, errno, words) in
        [(Recovery::Soft, 5, "gave up"), (Recovery::SoftErr, 110, "did not answer")]
    {
        let mut plan = plan();
        plan.transport.recovery = recovery;
        plan.transport.retrans = 2;
        let (mut house, file) = house(plan);
        house.target.switch().set("drop-replies=1000000".parse().unwrap());
        let start = house.now();
        let buffer = house.filled(4096, 1);
        let op = Op::Write { file, offset: 0, len: 4096, stable: StableHow::Unstable };
        let done = house.op(op, Some(buffer));
        let error = done.result.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.errno(), errno);
        assert!(done.buffer.is_some());
        let waited = house.now().0 - start.0;
        assert!((150 * MS..220 * MS).contains(&waited), "three times timeo: {waited} ns");
        house.target.switch().set(Default::default());
        house.op(Op::Getattr { file }, None).result.expect("the mount goes on");
    }
}

#[test]
fn operations_of_a_soft_mount_that_found_no_connection_give_up_as_well() {
    let mut plan = plan();
    plan.transport.recovery = Recovery::Soft;
    plan.transport.retrans = 2;
    let (mut house, file) = house(plan);
    house.faults().reject_connects(u32::MAX, 8);
    house.faults().set(house.client_qp(), FaultPlan::new().disconnect_after(1));
    house.op(Op::Getattr { file }, None).result.expect_err("its connection is lost for good");
    let start = house.now();
    let error = house.op(Op::Getattr { file }, None).result.expect_err("there is none");
    assert!(error.to_string().contains("gave up"), "{error}");
    let waited = house.now().0 - start.0;
    assert!((150 * MS..220 * MS).contains(&waited), "three times timeo: {waited} ns");
}

#[test]
fn an_idle_connection_is_closed_and_made_again_when_needed() {
    let mut plan = plan();
    plan.transport.idle_timeout_ns = 20 * MS;
    let (mut house, file) = house(plan);
    house.run_for(Duration::from_millis(100));
    assert_eq!(house.target.open_connections(), 0, "nobody holds an idle connection");
    for round in 1..4 {
        house.submit_writes(file, round);
        house.check_writes(file, round);
        house.run_for(Duration::from_millis(100));
        assert_eq!(house.counters().connect_count, 1 + round);
    }
    assert_eq!(house.counters().retransmissions, 0);
}

#[test]
fn without_a_time_limit_for_it_an_idle_connection_stays() {
    let mut plan = plan();
    plan.transport.idle_timeout_ns = 0;
    let (mut house, file) = house(plan);
    house.run_for(Duration::from_millis(100));
    house.op(Op::Getattr { file }, None).result.unwrap();
    assert_eq!(house.counters().connect_count, 1);
}

#[test]
fn unmounting_while_the_server_is_away_returns_everything_at_once() {
    const PAUSE_NS: u64 = 1_000 * MS;
    let mut plan = plan();
    (plan.transport.reconnect_min_ns, plan.transport.reconnect_max_ns) = (PAUSE_NS, PAUSE_NS);
    let (mut house, file) = house(plan);
    let pool = house.client.pool(house.mount).unwrap().clone();
    house.faults().reject_connects(u32::MAX, 8);
    house.target.switch().set("disconnect-after=5".parse().unwrap());
    house.submit_writes(file, 1);
    house.run_for(Duration::from_millis(30));
    let answered = house.done_count();
    assert!(answered < 32);
    let start = house.now();
    house.unmount();
    assert!(house.now().0 - start.0 < PAUSE_NS, "not after the next attempt to connect");
    let MountState::Gone(cause) = house.client.state(house.mount) else { unreachable!() };
    assert!(cause.to_string().contains("closed"), "and not for what the server did: {cause}");
    assert_eq!(house.done_count(), 32);
    let done = house.take_done();
    assert!(done.iter().all(|done| done.buffer.is_some()));
    drop(done);
    assert_eq!((pool.available(), pool.abandoned()), (64, 0));
}

#[test]
fn acknowledgements_that_never_came_do_not_hold_up_the_next_connection() {
    let (mut house, file) = house(plan().inline(16 * 1024));
    let qp = house.client_qp();
    house.faults().hold_acks(qp);
    house.submit_writes(file, 1);
    house.run_for(Duration::from_millis(5));
    let qp_of_the_server_ends = FaultPlan::new().disconnect_after(1);
    house.faults().set(qp, qp_of_the_server_ends.hold_acks());
    house.check_writes(file, 1);
    assert_eq!(house.counters().connect_count, 2);
    assert_eq!(house.fabric.violation_count(), 0);
}

#[test]
fn a_device_that_is_removed_under_load_is_let_go_and_the_next_one_used() {
    let (mut house, file) = house(plan());
    house.faults().latency_ns(Scope::All, 20_000);
    for round in 1..6 {
        house.submit_writes(file, round);
        house.run_for(Duration::from_micros(round * 25));
        let removed = house.faults().remove_device().unwrap();
        house.run_for(Duration::from_millis(3));
        assert!(!removed.in_use(), "the kernel could not finish the removal");
        let answered = house.done_count();
        house.run_for(Duration::from_millis(20));
        assert_eq!(house.done_count(), answered, "calls wait for a device");
        assert_eq!(house.client.state(house.mount), MountState::Mounted);
        house.faults().add_device();
        house.check_writes(file, round);
        assert_eq!(house.counters().connect_count, 1 + round);
    }
    assert!(house.counters().retransmissions > 0);
    assert_eq!(house.fabric.violation_count(), 0);
    assert_eq!(house.buffers_home(), 64);
}

#[test]
fn a_device_can_be_removed_while_its_mount_is_idle_or_waits_for_its_server() {
    let mut plan = plan();
    plan.transport.idle_timeout_ns = 20 * MS;
    let (mut house, file) = house(plan);
    house.run_for(Duration::from_millis(100));
    let idle = house.faults().remove_device().unwrap();
    assert!(!idle.in_use(), "nobody would have been told");
    house.faults().add_device();

    house.op(Op::Getattr { file }, None).result.unwrap();
    let qp = house.client_qp();
    house.faults().reject_connects(10, 8);
    house.faults().set(qp, FaultPlan::new().disconnect_after(0));
    house.submit_writes(file, 1);
    house.run_for(Duration::from_millis(10));
    let waiting = house.faults().remove_device().unwrap();
    house.run_for(Duration::from_millis(10));
    assert!(!waiting.in_use());
    house.faults().add_device();
    house.check_writes(file, 1);
}

#[test]
fn a_soft_mount_without_a_device_gives_up_after_its_time() {
    let mut plan = plan();
    plan.transport.recovery = Recovery::SoftErr;
    let (mut house, file) = house(plan);
    house.faults().latency_ns(Scope::All, 1_000_000);
    house.submit_writes(file, 1);
    let start = house.now();
    let removed = house.faults().remove_device().unwrap();
    house.run_until(|house| house.done_count() == 32);
    let waited = house.now().0 - start.0;
    assert!((140 * MS..220 * MS).contains(&waited), "three times timeo: {waited} ns");
    for done in house.take_done() {
        assert!(done.buffer.is_some());
        assert!(done.result.is_ok() || done.result.unwrap_err().errno() == 110);
    }
    assert!(!removed.in_use());
}

#[test]
fn an_address_that_moves_costs_nothing_but_time() {
    let (mut house, file) = house(plan());
    for round in 1..6 {
        house.submit_writes(file, round);
        house.run_for(Duration::from_micros(round * 25));
        house.faults().change_address();
        house.run_until(|house| house.counters().connect_count == 1 + round);
        house.check_writes(file, round);
    }
    assert_eq!(house.fabric.violation_count(), 0);
    assert_eq!(house.buffers_home(), 64);
}

/// A server that has started again rejects connections that the client still speaks of as stale.
#[test]
fn a_connection_rejected_as_stale_is_tried_again_until_it_is_taken() {
    let (mut house, file) = house(plan());
    for round in 1..6 {
        let qp = house.client_qp();
        house.faults().set(qp, FaultPlan::new().disconnect_after(round * 5));
        house.faults().reject_connects(3, STALE_CONNECTION);
        house.submit_writes(file, round);
        house.check_writes(file, round);
        assert_eq!(house.counters().connect_count, 1 + round);
    }
    assert!(house.counters().retransmissions > 0);
    assert_eq!(house.client.state(house.mount), MountState::Mounted);
    assert_eq!((house.fabric.violation_count(), house.buffers_home()), (0, 64));
}

#[test]
fn a_server_that_is_started_again_under_load_costs_nothing_but_time() {
    let (mut house, file) = house(plan());
    house.faults().latency_ns(Scope::All, 20_000);
    for round in 1..6 {
        house.target.record_calls(1000);
        house.submit_writes(file, round);
        house.run_for(Duration::from_micros(round * 8));
        assert!(house.done_count() < 32, "calls are under way");
        let now = house.now();
        house.target.restart(now);
        house.run_until(|house| house.done_count() == 32);
        assert_came_again_as_they_were(house.target.take_recorded());
        house.check_writes(file, round);
        assert_eq!(house.counters().connect_count, 1 + round);
    }
    assert!(house.counters().retransmissions > 0);
    assert_eq!(house.client.state(house.mount), MountState::Mounted);
    assert_eq!((house.fabric.violation_count(), house.buffers_home()), (0, 64));
}

/// Messages of one XID are the same bytes.
fn assert_came_again_as_they_were(calls: Vec<Vec<u8>>) {
    let mut known = BTreeMap::new();
    for call in calls {
        let first = known.entry(call[..4].to_vec()).or_insert_with(|| call.clone());
        assert!(*first == call, "XID {:02x?} came again as something else", &call[..4]);
    }
    assert!(known.len() >= 32, "every call has come: {}", known.len());
}

/// The drain's marker could not be posted, so the queue pair was destroyed with flushed Receives
/// on the completion queue; they were taken for Receives of the next one.
#[test]
fn completions_of_a_queue_pair_destroyed_without_a_drain_are_not_for_the_next_one() {
    let (mut house, file) = house(plan());
    for round in 1..8 {
        let qp = house.client_qp();
        house.faults().set(qp, FaultPlan::new().fail_post(1, 12));
        let now = house.now();
        house.target.disconnect_all(now);
        house.run_until(|house| house.counters().connect_count == round + 1);
        house.submit_writes(file, round);
        house.check_writes(file, round);
    }
    let counters = house.counters();
    assert_eq!((counters.stale_completions, house.fabric.violation_count()), (0, 0));
    assert_eq!(house.buffers_home(), 64, "every buffer is home");
}

/// The entries on the completion queue that are set aside for a connection are enough for one queue
/// pair: what the last one leaves there takes the place of what the next one needs.
#[test]
fn a_drained_queue_pair_leaves_nothing_on_the_completion_queue() {
    let mut plan = plan();
    // What is flushed is more than is taken at a time.
    plan.transport.max_requests = 256;
    let (mut house, file) = house(plan);
    house.faults().shuffle_completions(1);
    for round in 1..8 {
        let qp = house.client_qp();
        house.faults().set(qp, FaultPlan::new().disconnect_after(round * 3));
        // Queue pairs that never carried a Send are drained as well.
        house.faults().reject_connects(2, 8);
        house.submit_writes(file, round);
        house.check_writes(file, round);
        assert_eq!(house.counters().connect_count, 1 + round);
    }
    assert_eq!(house.client.strays(), 0);
}

/// Whoever called while an idle connection was being drained waited for ever: the connection went
/// to sleep behind it.
#[test]
fn a_call_made_while_an_idle_connection_is_drained_is_not_forgotten() {
    let mut plan = plan();
    plan.transport.idle_timeout_ns = MS;
    let (mut house, file) = house(plan);
    for delay_us in 0..1_100 {
        house.run_for(Duration::from_micros(1_000 + delay_us));
        house.op(Op::Getattr { file }, None).result.unwrap();
    }
    assert!(house.counters().connect_count > 100);
}
