//! The batching that the counters make visible.

#![forbid(unsafe_code)]

use client::{File, Op};
use system_tests::{House, Plan};
use wire::nfs3::StableHow;

/// One Send in so many asks for a completion.
const BATCH: u64 = 7;
/// Receives are posted so many at a time.
const RECEIVES: u64 = 8;
const RPCS: u64 = 10_000;

/// Completion entries and doorbells for each RPC, with so many in flight all the time.
fn batching_of(inline: u32, depth: u64, op: impl Fn(File) -> Op) -> (f64, f64) {
    let mut house = House::build(Plan::default().inline(inline));
    let file = house.create("f");
    let buffer = house.filled(4096, 1);
    let fill = Op::Write { file, offset: 0, len: 4096, stable: StableHow::FileSync };
    assert!(house.op(fill, Some(buffer)).result.is_ok());
    let mut buffers: Vec<_> = (0..depth).map(|_| house.buffer()).collect();
    let before = house.counters();
    let (mut submitted, mut completed) = (0, 0);
    while completed < RPCS {
        while submitted < RPCS
            && let Some(buffer) = buffers.pop()
        {
            house.submit(submitted, op(file), Some(buffer));
            submitted += 1;
        }
        house.step();
        for done in house.take_done() {
            assert!(done.result.is_ok(), "{:?}", done.result);
            buffers.extend(done.buffer);
            completed += 1;
        }
    }
    let after = house.counters();
    let of = |now: u64, then: u64| (now - then) as f64 / RPCS as f64;
    let doorbells = of(after.send_doorbells, before.send_doorbells);
    (of(after.cqes, before.cqes), doorbells)
}

fn read(file: File) -> Op {
    Op::Read { file, offset: 0, len: 4096 }
}

fn write(file: File) -> Op {
    Op::Write { file, offset: 0, len: 4096, stable: StableHow::Unstable }
}

#[test]
fn without_gathered_payload_an_rpc_costs_its_reply_and_its_share_of_one_send_in_seven() {
    for depth in [2 * BATCH, 32, 64] {
        for (name, inline, op) in [
            ("GETATTR", 4096, (|file| Op::Getattr { file }) as fn(File) -> Op),
            ("READ by Write chunk", 4096, read),
            ("READ inline", 16_384, read),
            ("WRITE by Read chunk", 4096, write),
        ] {
            let (entries, _) = batching_of(inline, depth, op);
            let most = 1.0 + 1.0 / BATCH as f64 + 0.02;
            assert!(entries <= most, "{name}, {depth} in flight: {entries} completion entries");
        }
    }
}

#[test]
fn with_gathered_payload_an_rpc_costs_a_quarter_of_a_completion_entry_more_at_most() {
    let (entries, doorbells) = batching_of(16_384, 32, write);
    assert!(entries <= 1.25, "{entries} completion entries an RPC");
    assert!(doorbells <= 1.0 / 8.0, "{doorbells} doorbells an RPC");
}

#[test]
fn eight_calls_or_more_share_a_doorbell_at_depth_32() {
    for (inline, op) in
        [(4096, (|file| Op::Getattr { file }) as fn(File) -> Op), (4096, read), (4096, write)]
    {
        let (_, doorbells) = batching_of(inline, 32, op);
        assert!(doorbells <= 1.0 / 8.0, "{doorbells} doorbells an RPC");
    }
}

#[test]
fn calls_that_go_alone_have_a_doorbell_each_and_receives_posted_eight_at_a_time() {
    let mut house = House::build(Plan::default().inline(16_384));
    let file = house.create("f");
    house.drive(1, 100, || Op::Getattr { file });
    let before = house.counters();
    // As many as are whole batches of both kinds.
    let calls = 12 * BATCH * RECEIVES;
    house.drive(1, calls, || Op::Getattr { file });
    let after = house.counters();
    let gained = |name: fn(&rpcrdma::Counters) -> u64| name(&after) - name(&before);
    assert_eq!((gained(|c| c.sends), gained(|c| c.recvs)), (calls, calls));
    assert_eq!((gained(|c| c.send_wrs), gained(|c| c.send_doorbells)), (calls, calls));
    assert_eq!(gained(|c| c.signaled_sends), calls / BATCH);
    assert_eq!(gained(|c| c.cqes), calls + calls / BATCH);
    assert_eq!(gained(|c| c.recv_doorbells), calls / RECEIVES);
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
