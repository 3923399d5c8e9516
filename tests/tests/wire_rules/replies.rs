//! Replies that break the rules, and what the client makes of them.

use client::{Op, Output};
use rpcrdma::Registration;
use rpcrdma::config::BACKCHANNEL_SLOTS;
use system_tests::scripted;
use system_tests::stage::{Seen, Stage, file, handle, reply_to, right_reply};
use verbs::WcStatus;
use verbs::soft::FaultPlan;
use wire::nfs3::{GetattrArgs, ReadOk};
use wire::rpc::{Auth, CallTemplate, Reply};
use wire::rpcrdma::{Emit, EmitKind, ErrorBody, Header, Kind, ReadSegment, Segment};
use wire::xdr::Writer;

use crate::{BOTH, plan, read};

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// The result of a READ, without attributes and without the data.
fn read_result(call: &Seen, count: u32) -> Vec<u8> {
    let mut rpc = vec![0; 256];
    let mut w = Writer::new(&mut rpc);
    w.value(&Reply::success(call.xid)).unwrap();
    w.u32(0).unwrap();
    w.value(&ReadOk { attributes: None, count, eof: true, data_len: count }).unwrap();
    let len = w.position();
    rpc.truncate(len);
    rpc
}

/// Messages under the XID of a call that nobody can make sense of.
fn senseless(call: &Seen) -> Vec<(&'static str, Vec<u8>)> {
    let xid = call.xid;
    let right = reply_to(call, 0, &right_reply(&call.rpc).0);
    let with = |at: usize, word: u32| {
        let mut message = right.clone();
        message[at..at + 4].copy_from_slice(&word.to_be_bytes());
        message
    };
    let header_len = Header::parse(&right).unwrap().len;
    vec![
        ("nothing at all", Vec::new()),
        ("one byte", right[..1].to_vec()),
        ("an XID", right[..4].to_vec()),
        ("the fixed header", right[..16].to_vec()),
        ("27 bytes", right[..27].to_vec()),
        ("version 2", with(4, 2)),
        ("version 0", with(4, 0)),
        ("RDMA_MSGP", with(12, 2)),
        ("RDMA_DONE", with(12, 3)),
        ("RDMA_DONE as it was", words(&[xid, 1, 32, 3])),
        ("an unknown procedure", with(12, 5)),
        ("RDMA_ERROR without a code", words(&[xid, 1, 32, 4])),
        ("RDMA_ERROR with an unknown code", words(&[xid, 1, 32, 4, 3, 0, 0])),
        ("ERR_VERS without versions", words(&[xid, 1, 32, 4, 1, 1])),
        ("a list that is neither there nor not", with(16, 7)),
        ("a Read list that never ends", words(&[xid, 1, 32, 0, 1, 0, 1, 1, 0, 0, 1])),
        ("a chunk of 2^32 - 1 segments", words(&[xid, 1, 32, 0, 0, 1, u32::MAX, 0, 0])),
        ("RDMA_NOMSG with the message nowhere", words(&[xid, 1, 32, 1, 0, 0, 0])),
        ("another call's message", with(header_len, xid ^ 1)),
        ("a header and no message", right[..header_len].to_vec()),
    ]
}

// req: 8166-4.2.4-2, 8166-4.5-1, 8166-4.5-3, 8166-4.5-7, 8166-4.6.1-2, 8166-4.6.2-2
#[test]
fn a_message_that_makes_no_sense_is_dropped_and_its_call_waits_for_its_reply() {
    for registration in BOTH {
        let mut stage = Stage::mounted(plan(1024, registration), |_| ());
        for op in [Op::Getattr { file: file() }, read(4096)] {
            let buffer = matches!(op, Op::Read { .. }).then(|| stage.buffer());
            let call = stage.call_of(op, buffer);
            let before = stage.client.counters(stage.mount).unwrap();
            let messages = senseless(&call);
            for (what, message) in &messages {
                stage.server.send(message);
                stage.settle();
                assert_eq!(stage.done_count(), 0, "{what}");
                assert!(stage.server.arrived.is_empty(), "{what} is not worth an answer");
            }
            let after = stage.client.counters(stage.mount).unwrap();
            let bad = after.bad_reply_count - before.bad_reply_count;
            assert_eq!(bad, messages.len() as u64, "each is counted");
            stage.answer(&call);
            let done = stage.serve_until_done(1).remove(0);
            assert!(done.result.is_ok(), "{:?}", done.result);
            assert!(done.data().iter().all(|&byte| byte == 0x5a));
        }
        assert_eq!(stage.server.accepted, 1, "and the connection goes on");
    }
}

// req: 8166-4.5-1
#[test]
fn an_error_report_of_20_bytes_is_not_too_short() {
    let mut stage = Stage::mounted(plan(1024, Registration::Window), |_| ());
    let call = stage.call_of(Op::Getattr { file: file() }, None);
    stage.server.send(&words(&[call.xid, 1, 32, 4, 2]));
    stage.run_until(|stage| stage.done_count() == 1);
    let error = stage.take_done().remove(0).result.unwrap_err();
    assert!(error.to_string().contains("ERR_CHUNK"), "{error}");
}

// req: 8166-6.1-4
#[test]
fn data_that_comes_inline_although_a_write_chunk_was_offered_is_an_error() {
    for returned in [true, false] {
        let mut stage = Stage::mounted(plan(1024, Registration::Static), |_| ());
        let buffer = stage.buffer();
        let mut call = stage.call_of(read(900), Some(buffer));
        assert_eq!(call.writes.len(), 1);
        let rpc = read_result(&call, 900);
        if returned {
            call.writes[0].iter_mut().for_each(|segment| segment.length = 0);
        } else {
            call.writes.clear();
        }
        let message = reply_to(&call, 900, &rpc);
        assert!((900..=1024).contains(&message.len()), "the data is in it");
        stage.server.send(&message);
        stage.run_until(|stage| stage.done_count() == 1);
        let done = stage.take_done().remove(0);
        let error = done.result.unwrap_err().to_string();
        assert!(error.contains("READ: bad result"), "{error}");
        assert!(done.buffer.is_some());
    }
}

// req: 8166-6.1-3
#[test]
fn a_result_in_a_chunk_that_was_not_offered_is_an_error() {
    let mut stage = Stage::mounted(plan(1024, Registration::Window), |_| ());
    let mut call = stage.call_of(Op::Getattr { file: file() }, None);
    call.writes = vec![vec![Segment { handle: 1, length: 84, offset: 0 }]];
    let mut rpc = right_reply(&call.rpc).0;
    rpc.truncate(28);
    stage.server.send(&reply_to(&call, 84, &rpc));
    stage.run_until(|stage| stage.done_count() == 1);
    let error = stage.take_done().remove(0).result.unwrap_err().to_string();
    assert!(error.contains("bad reply") && error.contains("Write chunk"), "{error}");
    // The connection, and who comes next, have no part in it.
    stage.submit(Op::Getattr { file: file() }, None);
    assert!(stage.serve_until_done(1)[0].result.is_ok());
    assert_eq!(stage.server.accepted, 1);
}

// req: 8166-4.3.2.2-4
#[test]
fn what_a_server_left_in_a_chunk_that_it_did_not_use_is_no_data() {
    for registration in BOTH {
        let mut stage = Stage::mounted(plan(1024, registration), |_| ());
        let buffer = stage.buffer();
        let call = stage.call_of(read(4096), Some(buffer));
        assert!(stage.server.write(call.writes[0][0], &[0x77; 4096]));
        stage.server.send(&reply_to(&call, 0, &read_result(&call, 0)));
        stage.run_until(|stage| stage.done_count() == 1);
        let done = stage.take_done().remove(0);
        assert!(matches!(done.result, Ok(Output::Read { count: 0, eof: true })));
        assert!(done.data().is_empty());
    }
}

#[test]
fn a_reply_chunk_with_a_message_for_another_call_is_an_error() {
    let mut stage = Stage::mounted(plan(1024, Registration::Window), |_| ());
    let dir = file();
    for round in 1..3 {
        let buffer = stage.buffer();
        let op = Op::Readdirplus { dir, cookie: 0, verifier: [0; 8] };
        let call = stage.call_of(op, Some(buffer));
        let chunk = call.reply.clone().expect("it may be long");
        assert!(stage.server.write(chunk[0], &words(&[call.xid ^ 1, 1, 0, 0, 0, 0])));
        let returned = [Segment { length: 24, ..chunk[0] }];
        let (kind, reply_chunk) = (EmitKind::NoMsg, Some(&returned[..]));
        let (xid, reads, write_chunks) = (call.xid, &[][..], &[][..]);
        let emit = Emit { xid, credits: 32, kind, reads, write_chunks, reply_chunk };
        let mut message = vec![0; emit.len()];
        emit.emit(&mut message).unwrap();
        stage.server.send(&message);
        stage.run_until(|stage| stage.done_count() == 1);
        let done = stage.take_done().remove(0);
        let error = done.result.unwrap_err().to_string();
        assert!(error.contains("bad reply"), "{error}");
        assert!(done.buffer.is_some());
        assert_eq!(stage.client.counters(stage.mount).unwrap().bad_reply_count, round);
    }
}

// req: 8166-4.5.4-1
#[test]
fn a_key_that_cannot_be_invalidated_ends_the_connection_before_its_call() {
    let mut stage = Stage::mounted(plan(1024, Registration::Window), |_| ());
    let buffer = stage.buffer();
    let call = stage.call_of(read(4096), Some(buffer));
    // The answer leaves the invalidation to the client, whose next work request fails.
    let qp = stage.client.qp_num(stage.mount).unwrap();
    stage.fabric.faults().set(qp, FaultPlan::new().fail_wr(1, WcStatus::LocalProtection));
    stage.answer(&call);
    stage.run_until(|stage| !stage.server.connected());
    assert_eq!(stage.done_count(), 0, "the caller has nothing while the key is valid");
    stage.run_until(|stage| stage.done_count() == 1);
    assert!(!stage.server.connected(), "the queue pair is gone, and the key with it");
    let done = stage.take_done().remove(0);
    assert!(matches!(done.result, Ok(Output::Read { count: 4096, .. })), "{:?}", done.result);
    assert!(done.data() == vec![0x5a; 4096]);
    stage.submit(Op::Getattr { file: file() }, None);
    assert!(stage.serve_until_done(1)[0].result.is_ok());
    assert_eq!(stage.server.accepted, 2);
}

/// It had no credit, and waited to be sent, when its answer ended it; then it was sent.
#[test]
fn a_call_was_answered_before_it_was_sent_again() {
    let mut stage = Stage::mounted(plan(1024, Registration::Window), |_| ());
    (0..3).for_each(|_| stage.submit(Op::Getattr { file: file() }, None));
    let calls: Vec<Seen> = (0..3).map(|_| stage.next_call()).collect();
    stage.server.disconnect();
    let first = stage.next_call();
    assert_eq!((first.xid, stage.server.accepted), (calls[0].xid, 2));
    // The others wait for credits, on a connection that has not seen them yet.
    let before = stage.client.counters(stage.mount).unwrap().bad_xids;
    for call in &calls[1..] {
        stage.answer(call);
        stage.settle();
    }
    assert_eq!(stage.done_count(), 0);
    assert_eq!(stage.client.counters(stage.mount).unwrap().bad_xids - before, 2);
    stage.answer(&first);
    let done = stage.serve_until_done(3);
    assert!(done.iter().all(|done| done.result.is_ok()));
}

/// Chunks of a call: Read list, Write list, Reply chunk.
type Chunks<'a> = (&'a [ReadSegment], &'a [&'a [Segment]], Option<&'a [Segment]>);

/// A call of the server's own, with these chunks.
fn backward_call(xid: u32, (reads, write_chunks, reply_chunk): Chunks<'_>) -> Vec<u8> {
    let kind = EmitKind::Msg;
    let emit = Emit { xid, credits: 1, kind, reads, write_chunks, reply_chunk };
    let mut message = vec![0; emit.len() + 200];
    let header_len = emit.emit(&mut message).unwrap();
    let mut w = Writer::new(&mut message[header_len..]);
    CallTemplate::new(0x4000_0000, 1, &Auth::None).write(xid, 1, &mut w).unwrap();
    w.value(&GetattrArgs { file: handle() }).unwrap();
    let len = header_len + w.position();
    message.truncate(len);
    message
}

// req: 8166-3.3.1-2, 8166-4.3.1-1, 8166-4.5-4, 8166-4.5-5, 8166-4.5-6, 8166-4.5.2-1
#[test]
fn answers_to_the_servers_own_calls_keep_the_rules_for_servers() {
    let mut stage = Stage::mounted(plan(1024, Registration::Window), |server| {
        server.private_data = scripted::inline(1024);
    });
    let segment = Segment { handle: 1, length: 4, offset: 0 };
    for xid in [1, 0x8000_0000, u32::MAX] {
        stage.server.send(&backward_call(xid, (&[], &[], None)));
        stage.run_until(|stage| !stage.server.arrived.is_empty());
        let bytes = stage.server.arrived.pop_front().unwrap();
        let header = Header::parse(&bytes).unwrap();
        assert_eq!((header.xid, header.kind), (xid, Kind::Msg));
        assert_eq!(header.credits, BACKCHANNEL_SLOTS, "never none");
        assert!(header.reads.is_empty() && header.writes.is_empty() && header.reply.is_none());

        let (read, chunk) = ([ReadSegment { position: 40, segment }], &[segment][..]);
        for chunks in [(&read[..], &[][..], None), (&[], &[chunk], None), (&[], &[], Some(chunk))] {
            stage.server.send(&backward_call(xid, chunks));
            stage.run_until(|stage| !stage.server.arrived.is_empty());
            let bytes = stage.server.arrived.pop_front().unwrap();
            assert_eq!(bytes[4..8], 1_u32.to_be_bytes(), "the version of the call");
            let header = Header::parse(&bytes).unwrap();
            assert_eq!((header.xid, header.kind), (xid, Kind::Error(ErrorBody::Chunk)));
            assert_eq!(header.credits, BACKCHANNEL_SLOTS);
        }
    }
}

#[test]
fn replies_given_twice_found_no_receive_until_the_client_sent_again() {
    let mut plan = plan(4096, Registration::Static);
    (plan.transport.max_requests, plan.transport.send_batch) = (2, Some(1));
    // As config.rs counts them, less those that may wait to be posted.
    let receives = 2 + (2 + BACKCHANNEL_SLOTS + 2);
    let mut stage = Stage::mounted(plan, |_| ());
    let call = stage.call_of(Op::Getattr { file: file() }, None);
    let reply = reply_to(&call, 0, &right_reply(&call.rpc).0);
    for _ in 0..100 {
        (0..receives).for_each(|_| stage.server.send(&reply));
        stage.step();
    }
    assert_eq!(stage.take_done().len(), 1);
    assert_eq!(stage.fabric.overruns(), 0);
}
