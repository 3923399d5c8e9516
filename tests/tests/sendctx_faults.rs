//! The ten faults that the kernel's version of the sendctx ring met over nine years, each by a test
//! that is named after what went wrong. They are told where the ring is used; the ring's own tests,
//! and the model that it is held to, are beside it.

#![forbid(unsafe_code)]

use std::time::Duration;

use client::{File, MountState, Op, Output};
use rpcrdma::{
    Call, Endpoint, EndpointConfig, Error, Event, Payload, Recovery, Refusal, Registration, State,
    TransportConfig, Upcalls, sendctx,
};
use system_tests::bare::Bare;
use system_tests::{House, Plan, pattern};
use verbs::soft::{FaultPlan, SoftFabric};
use wire::nfs3::{self, StableHow};
use wire::rpc::{Auth, CallTemplate};

const BLOCK: u32 = 4096;

fn house(plan: Plan) -> (House, File) {
    let mut house = House::build(plan);
    let file = house.create("f");
    (house, file)
}

/// A transport as the plan's, without its client.
fn transport() -> TransportConfig {
    TransportConfig { inline_send: 1024, ..Plan::default().transport }
}

fn write(house: &mut House, file: File, tag: u64) {
    let buffer = house.filled(BLOCK as usize, tag);
    let (offset, stable) = (tag * u64::from(BLOCK), StableHow::Unstable);
    house.submit(tag, Op::Write { file, offset, len: BLOCK, stable }, Some(buffer));
}

#[test]
fn a_prepare_that_failed_after_get_filled_the_ring_with_dead_slots() {
    let mut bare = Bare::connect(House::build(Plan::default()), transport());
    let template = CallTemplate::new(nfs3::PROGRAM, nfs3::VERSION, &Auth::None);
    for _ in 0..2_000 {
        // It fits the header buffer, but neither inline nor a chunk: known when it has its slot.
        let mut call = Call { token: 0, payload: Payload::None, reply_max: 512 };
        let (now, id) = (bare.house.now(), bare.connection);
        let refused = bare.endpoint.call(id, &mut call, now, |_, w| w.put(&[0; 2_052]));
        let why = refused.expect_err("it is too long");
        let Refusal::Invalid(error) = &why else { panic!("{why:?}") };
        assert!(matches!(**error, Error::CallTooLong { bytes: 2_052, .. }), "{why:?}");
    }
    for _ in 0..100 {
        let null = bare.call(Payload::None, |xid, w| template.write(xid, 0, w));
        assert!(null.1.is_ok());
    }
    let counters = bare.counters();
    assert_eq!((counters.empty_sendctx_q, counters.slot_waits), (0, 0));
    assert_eq!(counters.failed_marshal_count, 2_000);
}

#[test]
fn a_stale_or_duplicate_completion_swept_live_slots() {
    let (mut getter, mut putter) = sendctx::ring(5, 5);
    let mut released = Vec::new();
    for send in 0..10_000_u32 {
        getter.get(1).expect("there is room").request = send;
        let number = getter.head();
        if send % 3 == 2 {
            putter.put(number, |ctx| released.push(ctx.request)).expect("it is in flight");
            for stale in [number, number.wrapping_sub(1), number.wrapping_sub(5), number + 1] {
                assert!(putter.put(stale, |ctx| released.push(ctx.request)).is_err());
            }
        }
    }
    assert_eq!(released, (0..9_999).collect::<Vec<_>>(), "each once, in order");
}

#[test]
fn a_reply_before_its_send_completion_gave_back_what_the_nic_still_read() {
    let (mut house, file) = house(Plan::default().inline(16 * 1024));
    let home = house.buffers_home();
    let qp = house.client_qp();
    house.faults().hold_acks(qp);
    (0..8).for_each(|tag| write(&mut house, file, tag));
    // Longer than the retransmission timeout: the NIC reads everything again.
    house.run_for(Duration::from_millis(200));
    assert_eq!(house.counters().replies_before_send, 8);
    assert_eq!((house.done_count(), house.buffers_home()), (0, home - 8));
    let held = house.client.holdings(house.mount);
    assert_eq!((held.calls, held.receives, held.credits), (8, 8, 0), "their Receives wait as well");
    house.faults().release_acks(qp);
    house.run_until(|house| house.done_count() == 8);
    drop(house.take_done());
    let held = house.client.holdings(house.mount);
    assert_eq!((held.calls, held.receives, held.credits), (0, 0, 0));
    assert_eq!(house.buffers_home(), home);
    assert!(house.fabric.retransmissions() > 0);
    assert_eq!(house.fabric.violation_count(), 0);
}

#[test]
fn an_unsignaled_tail_pinned_requests_for_ever() {
    // Low depth, large batch: most Sends are never signaled, none gets in the way.
    let mut plan = Plan::default();
    plan.transport.max_requests = 8;
    plan.transport.send_batch = Some(8);
    let (mut house, file) = house(plan);
    house.drive(1, 200, || Op::Getattr { file });
    assert_eq!(house.counters().empty_sendctx_q, 0);
    // What was gathered does not wait for a later Send either.
    let (mut house, file) = self::house(Plan::default().inline(16 * 1024));
    write(&mut house, file, 0);
    house.run_until(|house| house.done_count() == 1);
}

#[test]
fn sends_were_counted_and_not_their_work_requests() {
    let mut plan = Plan { queue_depth: 256, ..Plan::default() };
    plan.transport.registration = Some(Registration::Window);
    plan.transport.max_requests = 16;
    plan.transport.buffers.count = 256;
    let (mut house, file) = house(plan);
    let qp = house.client_qp();
    house.faults().hold_acks(qp);
    // Each is a bind and a Send. A post beyond the queue's size would fail, and end the connection.
    (0..256).for_each(|tag| write(&mut house, file, tag));
    house.run_for(Duration::from_millis(20));
    house.faults().release_acks(qp);
    house.run_until(|house| house.done_count() == 256);
    assert!(house.take_done().iter().all(|done| done.result.is_ok()));
    assert_eq!(house.counters().connect_count, 1);
    let counters = house.counters();
    assert_eq!(counters.send_wrs - counters.sends, counters.read_chunk_count, "binds");
}

#[test]
fn a_flush_brought_more_completions_than_the_queue_could_hold() {
    struct Closed(Option<Error>);
    impl Upcalls for Closed {
        fn complete(&mut self, _: rpcrdma::ConnectionId, _: rpcrdma::Completed<'_>) -> usize {
            0
        }
        fn wake(&mut self, _: rpcrdma::ConnectionId) {}
        fn event(&mut self, _: rpcrdma::ConnectionId, event: Event) {
            if let Event::Closed { cause, .. } = event {
                self.0 = Some(cause);
            }
        }
    }
    let mut house = House::build(Plan::default());
    let mut config = transport();
    config.remote = house.target.nfs_addr();
    config.recovery = Recovery::Never;
    let connect = |house: &mut House, cq_depth| {
        let limits = EndpointConfig { cq_depth, ..EndpointConfig::default() };
        let mut endpoint = Endpoint::<SoftFabric>::new(house.fabric.clone(), limits);
        let id = endpoint.connect(config.clone(), house.now()).expect("valid settings");
        let mut closed = Closed(None);
        for _ in 0..10_000 {
            house.step();
            endpoint.poll(house.now(), &mut closed);
            endpoint.poll_events(house.now(), &mut closed);
            if !matches!(endpoint.state(id), State::Resolving | State::Connecting) {
                break;
            }
        }
        (endpoint, id, closed)
    };
    // A queue without a place for every work request is not accepted at all,
    let (_, _, closed) = connect(&mut house, 8);
    let Some(Error::Verbs(verbs::Error::Limit { asked, what, .. })) = closed.0 else {
        panic!("{:?}", closed.0)
    };
    assert!(what.contains("cq_depth"), "{what}");
    // and one with exactly that many takes everything that an error flushes.
    let (mut endpoint, id, mut closed) = connect(&mut house, asked as u32);
    assert_eq!(endpoint.state(id), State::Established);
    let qp = endpoint.qp_num(id).expect("established");
    house.faults().set(qp, FaultPlan::new().fail_wr(1, verbs::WcStatus::RetryExceeded));
    let template = CallTemplate::new(nfs3::PROGRAM, nfs3::VERSION, &Auth::None);
    let mut call = Call { token: 0, payload: Payload::None, reply_max: 512 };
    let now = house.now();
    endpoint.call(id, &mut call, now, |xid, w| template.write(xid, 0, w)).expect("one credit");
    endpoint.flush(now);
    // Nobody polls while everything is flushed.
    house.run_for(Duration::from_millis(5));
    while closed.0.is_none() {
        house.step();
        endpoint.poll(house.now(), &mut closed);
        endpoint.poll_events(house.now(), &mut closed);
    }
    let cause = closed.0.map(|cause| cause.to_string()).unwrap_or_default();
    assert!(cause.contains("no acknowledgement"), "and not the queue's overflow: {cause}");
}

#[test]
fn successful_unsignaled_tails_were_left_behind_by_a_drain() {
    let mut plan = Plan::default();
    plan.transport.max_requests = 8;
    plan.transport.send_batch = Some(8);
    plan.transport.reconnect_min_ns = 1_000_000;
    let (mut house, file) = house(plan);
    for round in 1..=100 {
        // Three Sends succeed unsignaled; then the link is lost.
        house.drive(1, 3, || Op::Getattr { file });
        let qp = house.client_qp();
        house.faults().set(qp, FaultPlan::new().disconnect_after(1));
        house.drive(8, 8, || Op::Getattr { file });
        assert!(house.counters().connect_count > round, "the link was lost");
    }
    let counters = house.counters();
    assert_eq!((counters.empty_sendctx_q, counters.stale_completions), (0, 0));
}

#[test]
fn a_lost_wakeup_stopped_everything_for_good() {
    let mut plan = Plan::default().inline(16 * 1024);
    plan.transport.max_requests = 3;
    let (mut house, file) = house(plan);
    let qp = house.client_qp();
    for round in 0..200_u64 {
        // The ring is full and everybody is parked, at another moment in each round.
        house.faults().hold_acks(qp);
        (0..16).for_each(|tag| write(&mut house, file, tag));
        house.run_for(Duration::from_micros(round * 10));
        house.faults().release_acks(qp);
        house.run_until(|house| house.done_count() == 16);
        assert!(house.take_done().iter().all(|done| done.result.is_ok()));
    }
    assert!(house.counters().empty_sendctx_q > 0, "{:?}", house.counters());
}

#[test]
fn a_batch_of_zero_signaled_nothing() {
    for send_batch in [0, 1] {
        let mut plan = Plan::default();
        plan.transport.send_batch = Some(send_batch);
        let (mut house, file) = house(plan);
        house.drive(32, 200, || Op::Getattr { file });
        let counters = house.counters();
        assert_eq!(counters.signaled_sends, counters.sends, "batch {send_batch}");
    }
}

#[test]
fn a_post_that_failed_part_way_gave_its_slots_back_too_early() {
    for nth in [1, 3, 10] {
        let mut plan = Plan::default().inline(16 * 1024);
        plan.transport.recovery = Recovery::Never;
        let (mut house, file) = house(plan);
        let pool = house.client.pool(house.mount).expect("mounted").clone();
        let qp = house.client_qp();
        house.faults().set(qp, FaultPlan::new().fail_post(nth, 12));
        (0..16).for_each(|tag| write(&mut house, file, tag));
        house.run_until(|house| matches!(house.client.state(house.mount), MountState::Gone(_)));
        house.run_until(|house| house.done_count() == 16);
        for done in house.take_done() {
            let error = done.result.err().map(|error| error.to_string());
            assert!(error.is_none_or(|error| error.contains("posting failed")));
        }
        assert_eq!((pool.available(), pool.abandoned()), (pool.capacity(), 0));
        assert_eq!(house.fabric.violation_count(), 0, "not before the queue pair was drained");
    }
    // And where calls survive their connection, these do.
    let mut plan = Plan::default();
    plan.transport.reconnect_min_ns = 1_000_000;
    let (mut house, file) = house(plan);
    for nth in 1..20 {
        let qp = house.client_qp();
        house.faults().set(qp, FaultPlan::new().fail_post(nth, 12));
        (0..16).for_each(|tag| write(&mut house, file, tag));
        house.run_until(|house| house.done_count() == 16);
        assert!(house.take_done().iter().all(|done| done.result.is_ok()));
    }
    for tag in 0..16 {
        let buffer = house.buffer();
        let op = Op::Read { file, offset: tag * u64::from(BLOCK), len: BLOCK };
        let done = house.op(op, Some(buffer));
        assert!(matches!(done.result, Ok(Output::Read { .. })));
        assert!(done.data() == pattern(BLOCK as usize, tag));
    }
}
