//! READ, WRITE and GETATTR take a short way through the client. What it must not skip: limits, the
//! state of the mount, whose turn it is, and to whom a result belongs.

#![forbid(unsafe_code)]

use client::{MountConfig, MountId, MountState, Op, Piece, Pieces, Submission};
use reactor::Timestamp;
use rpcrdma::config::LONG_CALLS;
use rpcrdma::{Recovery, TransportConfig};
use system_tests::stage::{self, Stage};
use system_tests::{House, Plan, credential};
use wire::nfs3::StableHow;
use wire::rpcrdma::Kind;

const MS: u64 = 1_000_000;

/// Mounted from a server that moves no more than 4 KiB at a time.
fn stage_with_limits() -> Stage {
    let mut stage = Stage::raise(Plan::default(), |_| ());
    while stage.client.state(stage.mount) != MountState::Mounted {
        let call = stage.next_call();
        let (mut rpc, _) = stage::right_reply(&call.rpc);
        for word in rpc.chunks_exact_mut(4) {
            if word == (1_u32 << 20).to_be_bytes() {
                word.copy_from_slice(&4096_u32.to_be_bytes());
            }
        }
        let reply = stage::reply_to(&call, 0, &rpc);
        stage.server.send(&reply);
        stage.settle();
    }
    stage
}

fn transfers(len: u32) -> [Op; 2] {
    let (file, offset, stable) = (stage::file(), 0, StableHow::Unstable);
    [Op::Read { file, offset, len }, Op::Write { file, offset, len, stable }]
}

#[test]
fn a_transfer_beyond_the_servers_limit_is_refused_although_the_buffer_holds_it() {
    let mut stage = stage_with_limits();
    for op in transfers(4100) {
        let buffer = stage.buffer();
        assert!(buffer.len() > 4100);
        stage.submit(op, Some(buffer));
        stage.settle();
        assert!(stage.server.arrived.is_empty(), "nothing was asked of the server");
        let done = stage.take_done().pop().unwrap();
        let error = done.result.unwrap_err().to_string();
        assert!(error.contains("4100") && error.contains("4096"), "{error}");
        assert!(done.buffer.is_some(), "the caller has its buffer again");
    }
    for op in transfers(4096) {
        let buffer = stage.buffer();
        stage.submit(op, Some(buffer));
        assert!(stage.serve_until_done(1)[0].result.is_ok());
    }
}

#[test]
fn a_buffer_and_pieces_at_once_are_refused() {
    let mut stage = Stage::mounted(Plan::default(), |_| ());
    for op in transfers(512) {
        let pieces = Pieces::new([Piece::new(stage.buffer(), 0, 512)]).unwrap();
        let (buffer, now) = (Some(stage.buffer()), Timestamp(stage.fabric.now_ns()));
        let submission = Submission { tag: 0, op, buffer, pieces: Some(pieces) };
        assert!(stage.client.submit(stage.mount, submission, now).is_ok());
        stage.settle();
        assert!(stage.server.arrived.is_empty(), "nothing was asked of the server");
        let done = stage.take_done().pop().unwrap();
        let error = done.result.unwrap_err().to_string();
        assert!(error.contains("give pieces of as many, or a buffer"), "{error}");
        assert!(done.buffer.is_some() && done.pieces.is_some(), "the caller has both again");
    }
}

#[test]
fn nothing_is_asked_of_a_server_whose_limits_are_not_known_yet() {
    let mut stage = Stage::raise(Plan::default(), |_| ());
    let greeting = stage.next_call();
    stage.submit(Op::Getattr { file: stage::file() }, None);
    stage.settle();
    assert!(stage.server.arrived.is_empty());
    let done = stage.take_done().pop().unwrap();
    assert_eq!(done.result.unwrap_err().to_string(), client::Error::NotMounted.to_string());
    stage.answer(&greeting);
    stage.settle();
    assert_eq!(stage.client.state(stage.mount), MountState::Mounted);
}

#[test]
fn an_operation_that_is_not_usual_goes_out_with_the_next_turn_as_well() {
    let mut stage = Stage::mounted(Plan::default(), |_| ());
    let (dir, name) = (stage::file(), "f".to_owned());
    for op in [Op::Getattr { file: stage::file() }, Op::Lookup { dir, name }] {
        let doorbells = |stage: &Stage| stage.client.counters(stage.mount).unwrap().send_doorbells;
        let before = doorbells(&stage);
        stage.submit(op, None);
        stage.step();
        assert_eq!(doorbells(&stage), before + 1);
        assert!(stage.serve_until_done(1)[0].result.is_ok());
    }
}

/// Patience with a server is for one that is not there.
#[test]
fn an_operation_that_waits_for_its_turn_on_a_soft_mount_is_not_given_up() {
    let mut plan = Plan::default();
    plan.transport.recovery = Recovery::Soft;
    (plan.transport.rpc_timeout_ns, plan.transport.retrans) = (10 * MS, 1);
    plan.transport.max_requests = 2;
    let mut stage = Stage::mounted(plan, |_| ());
    for _ in 0..12 {
        stage.submit(Op::Getattr { file: stage::file() }, None);
    }
    // The last is asked for after five times that long, which is longer than anybody's patience.
    for _ in 0..6 {
        let calls = [stage.next_call(), stage.next_call()];
        (0..8_000).for_each(|_| stage.step());
        assert!(stage.server.arrived.is_empty(), "no more than two at a time");
        calls.iter().for_each(|call| stage.answer(call));
    }
    stage.run_until(|stage| stage.done_count() == 12);
    assert!(stage.take_done().iter().all(|done| done.result.is_ok()));
    let counters = stage.client.counters(stage.mount).unwrap();
    assert_eq!((counters.connect_count, counters.retransmissions), (1, 0));
}

/// Otherwise operations that need little room could keep one waiting for ever that needs more.
#[test]
fn what_waits_for_more_room_than_others_need_is_not_overtaken_by_them() {
    let mut plan = Plan::default();
    // Too little for such a LOOKUP, and enough for a GETATTR on the short way.
    plan.transport.planted.inline_send = Some(360);
    let mut stage = Stage::mounted(plan, |_| ());
    let long = || Op::Lookup { dir: stage::file(), name: "n".repeat(255) };
    (0..=LONG_CALLS).for_each(|_| stage.submit(long(), None));
    stage.submit(Op::Getattr { file: stage::file() }, None);
    stage.settle();
    let asked: Vec<_> = (0..LONG_CALLS).map(|_| stage.next_call()).collect();
    assert!(stage.server.arrived.is_empty(), "two wait, the second for its turn only");
    stage.answer(&asked[0]);
    let [first, second] = [stage.next_call(), stage.next_call()];
    assert_eq!((first.kind, second.kind), (Kind::NoMsg, Kind::Msg));
}

/// Another mount of the house's client, of the same export.
fn second_mount(house: &mut House, change: impl FnOnce(&mut TransportConfig)) -> MountId {
    let Plan { mut transport, queue_depth, .. } = Plan::default();
    transport.remote = house.target.nfs_addr();
    transport.xid_seed = None;
    change(&mut transport);
    let root = house.client.root(house.mount).unwrap().handle;
    let config = MountConfig {
        root,
        auth: credential(),
        queue_depth,
        uncommitted_max: 0,
        jukebox_wait_ns: client::JUKEBOX_WAIT_NS,
        transport,
    };
    let mount = house.client.mount(&config, house.now()).unwrap();
    house.run_until(|house| house.client.state(mount) == MountState::Mounted);
    mount
}

/// Tags of all results of a mount that come until there are so many.
fn tags(house: &mut House, mount: MountId, count: usize) -> Vec<u64> {
    let mut tags = Vec::new();
    for _ in 0..100_000 {
        while let Some(done) = house.client.next_done(mount) {
            assert!(done.result.is_ok(), "{:?}", done.result);
            tags.push(done.tag);
        }
        if tags.len() >= count {
            break;
        }
        house.step();
    }
    tags.sort_unstable();
    tags
}

#[test]
fn two_mounts_of_a_client_have_each_its_own_results() {
    let mut house = House::build(Plan::default());
    let file = house.create("f");
    let second = second_mount(&mut house, |_| ());
    for tag in 0..32 {
        let submission =
            |tag| Submission { tag, op: Op::Getattr { file }, buffer: None, pieces: None };
        let now = house.now();
        assert!(house.client.submit(second, submission(100 + tag), now).is_ok());
        assert!(house.client.submit(house.mount, submission(tag), now).is_ok());
    }
    assert_eq!(tags(&mut house, second, 32), (100..132).collect::<Vec<_>>());
    house.run_until(|house| house.done_count() == 32);
    let mut own: Vec<_> = house.take_done().iter().map(|done| done.tag).collect();
    own.sort_unstable();
    assert_eq!(own, (0..32).collect::<Vec<_>>());
}

#[test]
fn a_call_that_goes_by_another_connection_than_its_turns_is_of_the_same_mount() {
    let mut house = House::build(Plan::default());
    let file = house.create("f");
    let second = second_mount(&mut house, |transport| {
        (transport.nconnect, transport.max_requests) = (2, 4);
    });
    let slow = house.client.qp_nums(second)[0].unwrap();
    house.faults().latency_ns(slow, MS);
    for tag in 0..32 {
        let submission = Submission { tag, op: Op::Getattr { file }, buffer: None, pieces: None };
        let now = house.now();
        assert!(house.client.submit(second, submission, now).is_ok());
    }
    assert_eq!(tags(&mut house, second, 32), (0..32).collect::<Vec<_>>());
    let each = house.client.connection_counters(second);
    assert!(each[1].sends > each[0].sends, "one was busy");
}
