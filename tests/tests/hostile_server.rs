//! A server that answers wrongly: one clear error for the call it happened to, nothing lost, and
//! the connection goes on.

#![forbid(unsafe_code)]

use client::{File, MountState, Op, Output};
use system_tests::{House, Plan, pattern};
use wire::nfs3::StableHow;

/// A mounted house with a file of 64 KiB.
fn house() -> (House, File) {
    let mut plan = Plan::default();
    plan.transport.rpc_timeout_ns = 20_000_000;
    plan.transport.recovery = rpcrdma::Recovery::Never;
    // A wrong reply that invalidates a key ends the connection: see keys.rs.
    plan.transport.registration = Some(rpcrdma::Registration::Static);
    let mut house = House::build(plan);
    let file = house.create("f");
    let buffer = house.filled(65_536, 1);
    let op = Op::Write { file, offset: 0, len: 65_536, stable: StableHow::FileSync };
    house.op(op, Some(buffer)).result.unwrap();
    (house, file)
}

fn order(house: &House, orders: &str) {
    house.target.switch().set(orders.parse().expect("an order"));
}

/// One READ by Write chunk.
fn read(house: &mut House, file: File) -> Result<Vec<u8>, String> {
    let mut buffer = house.buffer();
    buffer.fill(0);
    let done = house.op(Op::Read { file, offset: 0, len: 8192 }, Some(buffer));
    assert!(done.buffer.is_some(), "the buffer comes back whatever happens");
    match &done.result {
        Ok(Output::Read { .. }) => Ok(done.data().to_vec()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn each_kind_of_nonsense_fails_its_own_call_with_its_own_words() {
    let (mut house, file) = house();
    let home = house.buffers_home();
    for (orders, words) in [
        ("truncate-replies=1", "bad re"),
        ("foreign-rkey=1", "not the one that was offered"),
        ("foreign-offset=1", "not the one that was offered"),
        ("long-chunk=1", "in a chunk of 8192"),
        ("read-count=1", "Write chunk returned"),
        ("err-chunk=1", "ERR_CHUNK"),
        ("err-vers=1", "versions"),
        ("status=STALE:READ:1", "NFS3ERR_STALE"),
        ("status=NOSPC:READ:1", "NFS3ERR_NOSPC"),
    ] {
        order(&house, orders);
        let error = read(&mut house, file).expect_err(orders);
        assert!(error.contains(words), "{orders}: {error}");
        assert_eq!(house.buffers_home(), home, "{orders}");
        assert_eq!(read(&mut house, file), Ok(pattern(65_536, 1)[..8192].to_vec()), "{orders}");
    }
    assert_eq!(house.client.state(house.mount), MountState::Mounted);
}

#[test]
fn a_duplicate_reply_is_dropped_and_counted() {
    let (mut house, file) = house();
    order(&house, "duplicate-replies=5");
    for _ in 0..10 {
        assert!(read(&mut house, file).is_ok());
    }
    house.run_for(std::time::Duration::from_millis(1));
    assert_eq!(house.counters().bad_xids, 5);
    assert_eq!(house.counters().recvs, house.counters().sends);
}

// req: 8166-3.3.1-4
#[test]
fn replies_that_match_no_call_use_up_no_receives() {
    let mut plan = Plan::default();
    plan.transport.max_requests = 4;
    plan.transport.registration = Some(rpcrdma::Registration::Static);
    let mut house = House::build(plan);
    let file = house.create("f");
    order(&house, "duplicate-replies=1000");
    for _ in 0..1_000 {
        house.op(Op::Getattr { file }, None).result.unwrap();
    }
    house.run_for(std::time::Duration::from_millis(1));
    assert_eq!((house.counters().bad_xids, house.counters().connect_count), (1_000, 1));
}

#[test]
fn an_unanswered_call_times_out_and_takes_its_connection_along() {
    // What makes no sense answers no call, whatever XID it has.
    let senseless = ["garbage-replies=1", "wrong-version=1", "foreign-message=1"];
    for orders in ["drop-replies=1", "wrong-xid=1"].into_iter().chain(senseless) {
        let (mut house, file) = house();
        order(&house, orders);
        let error = read(&mut house, file).expect_err(orders);
        assert!(error.contains("did not answer an RPC"), "{orders}: {error}");
        let MountState::Gone(error) = house.client.state(house.mount) else { panic!("{orders}") };
        assert!(error.to_string().contains("did not answer"), "{error}");
        let late = house.op(Op::Getattr { file }, None).result.unwrap_err();
        assert!(late.to_string().contains("did not answer"), "{late}");
    }
}

// req: 8166-3.3.1-1
#[test]
fn credits_cut_to_one_or_to_none_slow_us_down_and_stop_nothing() {
    for orders in ["credits=1", "credits=0"] {
        let (mut house, file) = house();
        order(&house, orders);
        for tag in 0..64 {
            house.submit(tag, Op::Getattr { file }, None);
        }
        house.run_until(|house| house.done_count() == 64);
        assert!(house.take_done().iter().all(|done| done.result.is_ok()));
        assert_eq!(house.client.credits_granted(house.mount), Some(1), "{orders}");
        assert_eq!(house.target.stats().credit_overruns.get(), 0);
    }
}

#[test]
fn short_reads_and_writes_are_told_as_they_are() {
    let (mut house, file) = house();
    order(&house, "short-read=1");
    assert_eq!(read(&mut house, file), Ok(pattern(65_536, 1)[..4096].to_vec()));
    order(&house, "short-write=1");
    let buffer = house.filled(8192, 2);
    let op = Op::Write { file, offset: 0, len: 8192, stable: StableHow::Unstable };
    let done = house.op(op, Some(buffer));
    assert!(matches!(done.result, Ok(Output::Written { count: 4096, .. })), "{:?}", done.result);
}
