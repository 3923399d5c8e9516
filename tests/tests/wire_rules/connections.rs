//! What a connection may take for granted, and what it may not.

use client::Op;
use rpcrdma::Registration;
use system_tests::scripted;
use system_tests::stage::{Seen, Stage, file, reply_to, right_reply};
use wire::rpcrdma::private_data::PrivateData;

use crate::{BOTH, each_call, plan, read, write};

fn getattrs(stage: &mut Stage, count: usize) {
    (0..count).for_each(|_| stage.submit(Op::Getattr { file: file() }, None));
}

fn arrived(stage: &mut Stage) -> Vec<Seen> {
    let messages: Vec<_> = stage.server.arrived.drain(..).collect();
    messages.iter().map(|bytes| stage.look_at(bytes).unwrap()).collect()
}

/// A right answer that grants so many credits.
fn answer_granting(stage: &mut Stage, call: &Seen, credits: u32) {
    let mut message = reply_to(call, 0, &right_reply(&call.rpc).0);
    message[8..12].copy_from_slice(&credits.to_be_bytes());
    stage.server.send(&message);
}

// req: 8166-3.3.3-1
#[test]
fn the_first_call_of_a_connection_goes_alone_until_it_is_answered() {
    let mut stage = Stage::raise(plan(4096, Registration::Window), |_| ());
    stage.settle();
    assert_eq!(stage.server.arrived.len(), 1, "the mount's first call");
    let fsinfo = arrived(&mut stage).remove(0);
    stage.answer(&fsinfo);
    stage.settle();
    for round in 2..5 {
        stage.server.disconnect();
        getattrs(&mut stage, 16);
        stage.run_until(|stage| !stage.server.arrived.is_empty());
        stage.settle();
        assert_eq!(stage.server.accepted, round, "the next connection");
        let first = arrived(&mut stage);
        assert_eq!(first.len(), 1, "one, however many wait");
        answer_granting(&mut stage, &first[0], 64);
        stage.settle();
        assert_eq!(stage.server.arrived.len(), 15, "then as many as the answer grants");
        assert_eq!(stage.serve_until_done(16).len(), 16);
    }
}

// req: 8166-3.3.1-1, 8166-3.3.1-2
#[test]
fn no_more_calls_are_unanswered_than_were_granted() {
    let mut stage = Stage::mounted(plan(4096, Registration::Window), |_| ());
    getattrs(&mut stage, 48);
    let mut waiting = Vec::new();
    let mut grants = [5, 1, 7, 0, 3, 64, 2].into_iter().cycle();
    let mut granted = 32;
    for _ in 0..48 {
        stage.settle();
        let before = waiting.len();
        waiting.extend(arrived(&mut stage));
        // None is sent while more are out than allowed; a cut does not call any back.
        assert!(waiting.len() == before || waiting.len() <= granted, "{}", waiting.len());
        let call = waiting.remove(0);
        let grant = grants.next().unwrap_or(1);
        answer_granting(&mut stage, &call, grant);
        // A grant of none would stop everything for good, so it counts as one.
        granted = grant.max(1) as usize;
    }
    stage.settle();
    assert_eq!(stage.take_done().len(), 48);
}

// req: 8166-3.3.3-3, 8797-5.1-1
#[test]
fn a_server_that_says_nothing_of_its_limits_gets_and_sends_a_kibibyte() {
    let newer = {
        let mut data = scripted::inline(16_384).unwrap();
        data[4] = 2;
        data
    };
    for private_data in [vec![], vec![0x55; 40], newer] {
        for registration in BOTH {
            let data = private_data.clone();
            let mut stage = Stage::mounted(plan(16_384, registration), |server| {
                server.private_data = Some(data);
            });
            each_call(&mut stage, |op, call| {
                assert!(call.bytes.len() <= 1024, "{op:?} is {} bytes", call.bytes.len());
                let chunks = (!call.reads.is_empty(), !call.writes.is_empty());
                match op {
                    Op::Write { len: 1000.., .. } => assert_eq!(chunks, (true, false)),
                    Op::Read { len: 1000.., .. } => assert_eq!(chunks, (false, true)),
                    Op::Write { len: ..512, .. } | Op::Read { len: ..512, .. } => {
                        assert_eq!(chunks, (false, false), "{op:?}");
                    }
                    _ => {}
                }
            });
        }
    }
}

// req: 8166-3.3.3-2
#[test]
fn a_message_of_exactly_a_kibibyte_is_taken_inline() {
    let mut stage = Stage::mounted(plan(1024, Registration::Window), |server| {
        server.private_data = scripted::inline(1024);
    });
    let len = 1024 - 28 - wire::nfs3::reply_max(wire::nfs3::procedure::READ) as u32;
    let buffer = stage.buffer();
    let call = stage.call_of(read(len), Some(buffer));
    let (rpc, data_len) = right_reply(&call.rpc);
    assert_eq!((call.writes.len(), reply_to(&call, data_len, &rpc).len()), (0, 1024));
    stage.answer(&call);
    assert!(stage.serve_until_done(1)[0].data() == vec![0x5a; len as usize]);
}

// req: 8797-4-1
#[test]
fn each_connection_goes_by_what_its_own_private_data_says() {
    let mut stage = Stage::mounted(plan(16_384, Registration::Window), |server| {
        server.private_data = scripted::inline(16_384);
    });
    for (round, kib) in [16, 1, 8, 1, 16].into_iter().enumerate() {
        if round > 0 {
            stage.server.private_data = scripted::inline(kib * 1024);
            stage.server.disconnect();
            stage.settle();
        }
        let buffer = stage.buffer();
        let call = stage.call_of(write(7_000), Some(buffer));
        assert_eq!(call.reads.is_empty(), kib >= 8, "{kib} KiB");
        stage.answer(&call);
        assert!(stage.serve_until_done(1)[0].result.is_ok());
    }
    assert_eq!(stage.server.accepted, 5);
}

// req: 8797-4-2
#[test]
fn a_server_is_told_that_it_may_invalidate_only_where_each_call_has_its_own_key() {
    for registration in BOTH {
        let stage = Stage::mounted(plan(16_384, registration), |_| ());
        let asked = &stage.server.asked_with;
        let data = PrivateData::parse(asked).expect("our private data");
        assert_eq!(data.remote_invalidation, registration == Registration::Window);
        assert_eq!((data.send_size, data.receive_size), (16_384, 16_384));
        assert_eq!(asked[5] & 0xfe, 0, "flags that nobody has defined");
    }
}
