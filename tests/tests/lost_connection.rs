//! A connection that ends for good: every RPC fails with one clear error, after the drain, with its
//! buffer.

#![forbid(unsafe_code)]

use std::time::Duration;

use client::{Done, File, MountState, Op};
use rpcrdma::Recovery;
use system_tests::{House, Plan};
use verbs::reject_reason::STALE_CONNECTION;
use verbs::soft::FaultPlan;
use wire::nfs3::StableHow;

/// A mounted house with an open file.
fn house(mut plan: Plan) -> (House, File) {
    plan.transport.recovery = Recovery::Never;
    let mut house = House::build(plan);
    let file = house.create("f");
    (house, file)
}

/// 32 operations of every kind: gathered, fetched, placed by the server, and without payload.
fn submit_mixed(house: &mut House, file: File) {
    for tag in 0..32 {
        let (offset, stable) = (tag * 65_536, StableHow::Unstable);
        let (op, buffer) = match tag % 4 {
            0 => (Op::Write { file, offset, len: 3000, stable }, Some(house.filled(3000, tag))),
            1 => (Op::Write { file, offset, len: 65_536, stable }, Some(house.filled(65_536, tag))),
            2 => (Op::Read { file, offset, len: 65_536 }, Some(house.buffer())),
            _ => (Op::Getattr { file }, None),
        };
        house.submit(tag, op, buffer);
    }
}

/// Every operation has come back exactly once, with its buffer; returns the error's words.
fn all_came_back(done: &[Done]) -> Vec<String> {
    let mut tags: Vec<u64> = done.iter().map(|done| done.tag).collect();
    tags.sort_unstable();
    assert_eq!(tags, (0..32).collect::<Vec<_>>());
    for done in done {
        assert_eq!(done.buffer.is_some(), done.tag % 4 != 3, "operation {}", done.tag);
    }
    done.iter().filter_map(|done| done.result.as_ref().err()).map(ToString::to_string).collect()
}

fn ends_well(mut house: House, words: &str) {
    let pool = house.client.pool(house.mount).expect("still mounted").clone();
    house.run_until(|house| matches!(house.client.state(house.mount), MountState::Gone(_)));
    house.run_until(|house| house.done_count() == 32);
    let done = house.take_done();
    let MountState::Gone(cause) = house.client.state(house.mount) else { unreachable!() };
    assert!(cause.to_string().contains(words), "{words}: {cause}");
    // A call whose Reply had come completes even now: the drain has ended its Send.
    let errors = all_came_back(&done);
    assert!(errors.iter().all(|error| error.contains(words)), "{words}: {errors:?}");
    drop(done);
    assert_eq!((pool.available(), pool.abandoned()), (pool.capacity(), 0), "every buffer is home");
    house.run_for(Duration::from_secs(1));
    assert_eq!(house.target.open_connections(), 0, "the server let go, too");
    assert_eq!(house.fabric.violation_count(), 0, "nothing was released early");
}

#[test]
fn the_server_disconnects_under_load() {
    let (mut house, file) = house(Plan::default());
    house.target.switch().set("disconnect-after=5".parse().unwrap());
    submit_mixed(&mut house, file);
    ends_well(house, "lost: ");
}

#[test]
fn a_work_request_fails_in_the_middle_of_a_chain() {
    for nth in [1, 4, 20] {
        let (mut house, file) = house(Plan::default());
        let qp = house.client_qp();
        let plan = FaultPlan::new().fail_wr(nth, verbs::WcStatus::RetryExceeded);
        house.faults().set(qp, plan);
        submit_mixed(&mut house, file);
        ends_well(house, "no acknowledgement after all retries");
    }
}

#[test]
fn sends_that_are_never_acknowledged_end_the_connection_not_the_buffers() {
    let (mut house, file) = house(Plan::default().inline(16 * 1024));
    let qp = house.client_qp();
    house.faults().set(qp, FaultPlan::new().drop_acks(u32::MAX).retry_count(2));
    submit_mixed(&mut house, file);
    ends_well(house, "no acknowledgement after all retries");
}

#[test]
fn closing_under_load_returns_every_buffer() {
    let (mut house, file) = house(Plan::default());
    submit_mixed(&mut house, file);
    house.step();
    let now = house.now();
    house.client.unmount(house.mount, now);
    ends_well(house, "closed");
}

#[test]
fn dropping_a_client_under_load_frees_its_memory_after_the_queue_pair() {
    let (mut house, file) = house(Plan::default());
    submit_mixed(&mut house, file);
    house.step();
    let pool = house.client.pool(house.mount).expect("mounted").clone();
    let House { fabric, mut target, client, .. } = house;
    drop(client);
    assert_eq!((pool.available(), pool.abandoned()), (pool.capacity(), 0));
    for _ in 0..1000 {
        let now = fabric.advance(1_000_000);
        target.poll(reactor::Timestamp(now));
    }
    assert_eq!(target.open_connections(), 0);
    assert_eq!(fabric.violation_count(), 0);
}

#[test]
fn a_mount_that_cannot_be_made_says_why() {
    for (fault, words) in [("reject", "refused the RDMA connection"), ("ignore", "did not answer")]
    {
        let mut plan = Plan::default();
        plan.transport.connect_timeout_ns = 3_000_000_000;
        let house = House::begin_with(plan, |fabric| match fault {
            "reject" => fabric.faults().reject_connects(1, 8),
            _ => fabric.faults().ignore_connects(1),
        });
        let MountState::Gone(error) = house.client.state(house.mount) else { panic!("{fault}") };
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// After a client's device was made anew its queue pairs have numbers that the server knows.
#[test]
fn a_first_mount_rejected_as_stale_failed_instead_of_asking_again() {
    let mut plan = Plan::default();
    plan.transport.recovery = Recovery::Never;
    plan.transport.reconnect_min_ns = 1_000_000;
    let mut house =
        House::begin_with(plan, |fabric| fabric.faults().reject_connects(5, STALE_CONNECTION));
    assert_eq!(house.client.state(house.mount), MountState::Mounted);
    assert_eq!(house.counters().connect_count, 1);
    let file = house.create("f");
    house.submit_writes(file, 1);
    house.check_writes(file, 1);
    assert_eq!((house.fabric.violation_count(), house.buffers_home()), (0, 64));
}

#[test]
fn a_server_that_rejects_every_connection_as_stale_is_given_up() {
    let mut plan = Plan::default();
    plan.transport.reconnect_min_ns = 1_000_000;
    let house =
        House::begin_with(plan, |fabric| fabric.faults().reject_connects(6, STALE_CONNECTION));
    let MountState::Gone(error) = house.client.state(house.mount) else { panic!() };
    let error = error.to_string();
    assert!(error.contains("still holds an earlier connection of this host"), "{error}");
}

#[test]
fn an_address_that_does_not_resolve_is_named() {
    let house = House::begin_with(Plan::default(), |fabric| {
        fabric.faults().fail_resolves(1, 101);
    });
    let MountState::Gone(error) = house.client.state(house.mount) else { panic!() };
    let error = error.to_string();
    assert!(error.contains("cannot reach 127.0.0.1") && error.contains("unreachable"), "{error}");
}

#[test]
fn a_mount_that_failed_passed_for_unmounted_while_its_connection_stood() {
    let mut plan = Plan::default();
    plan.target.misbehave = "status=STALE:FSINFO:1".parse().unwrap();
    let mut house = House::begin_with(plan, |_| {});
    assert!(matches!(house.client.state(house.mount), MountState::Gone(_)));
    assert!(!house.client.is_unmounted(house.mount), "its connection is not closed by that");
    house.client.unmount(house.mount, house.now());
    house.run_until(|house| house.client.is_unmounted(house.mount));
    let counters = house.counters();
    assert!(counters.mrs_allocated > 0);
    assert_eq!(counters.mrs_recycled, counters.mrs_allocated);
}
