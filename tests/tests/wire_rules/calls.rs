//! Calls as they leave the client.

use client::Op;
use system_tests::stage::{Seen, Stage};
use system_tests::{pattern, scripted};
use wire::nfs3::{CreateArgs, StableHow, WriteArgs};
use wire::rpc::CallHeader;
use wire::rpcrdma::{Header, Kind, Segment};
use wire::xdr::{Decode, Reader};

use crate::{BOTH, each_call, plan, read, write};

fn total(chunk: &[Segment]) -> u32 {
    chunk.iter().map(|segment| segment.length).sum()
}

/// The Read list but for the chunk of the message itself.
fn data_chunk(call: &Seen) -> Vec<(u32, Segment)> {
    let data = call.reads.iter().filter(|read| read.position > 0);
    data.map(|read| (read.position, read.segment)).collect()
}

// req: 8166-4-1, 8166-4.2.1-1, 8166-4.2.2-1, 8166-4.6.1-1, 8166-4.6.2-1
#[test]
fn every_call_is_a_version_1_message_under_the_xid_of_its_rpc_message() {
    for registration in BOTH {
        for inline in [1024, 4096, 16_384] {
            let mut stage = Stage::mounted(plan(inline, registration), |_| ());
            each_call(&mut stage, |op, call| {
                let word = |at: usize| call.bytes[at..at + 4].to_vec();
                assert_eq!(word(4), 1_u32.to_be_bytes(), "{op:?}: version");
                let kinds = [0_u32.to_be_bytes().to_vec(), 1_u32.to_be_bytes().to_vec()];
                assert!(kinds.contains(&word(12)), "{op:?}: neither RDMA_MSG nor RDMA_NOMSG");
                assert_eq!(call.rpc[..4], call.xid.to_be_bytes(), "{op:?}: XID");
                assert_eq!(call.bytes.len() % 4, 0, "{op:?}: XDR comes in words");
                assert_eq!(call.rpc.len() % 4, 0, "{op:?}: XDR comes in words");
                assert!(CallHeader::decode(&mut Reader::new(&call.rpc)).is_ok(), "{op:?}");
                assert!(call.bytes.len() <= inline as usize, "{op:?}: beyond the threshold");
            });
        }
    }
}

// req: 8166-3.4.2-1, 8166-3.4.4.4-1, 8166-6.1-1
#[test]
fn nothing_but_the_data_of_write_and_read_is_ever_reduced() {
    for registration in BOTH {
        for long in [None, Some(0)] {
            let mut plan = plan(1024, registration);
            plan.transport.planted.inline_send = long;
            let mut stage = Stage::mounted(plan, |_| ());
            let mut reduced = (0, 0);
            each_call(&mut stage, |op, call| {
                let (reads, writes) = (data_chunk(call).len(), call.writes.len());
                assert!(reads == 0 || matches!(op, Op::Write { .. }), "{op:?}: {call:?}");
                assert!(writes == 0 || matches!(op, Op::Read { .. }), "{op:?}: {call:?}");
                assert!(reads <= 1 && writes <= 1, "one item, in one piece: {call:?}");
                reduced = (reduced.0 + reads, reduced.1 + writes);
            });
            assert!(reduced.0 >= 4 && reduced.1 >= 4, "{reduced:?}");
        }
    }
}

// req: 8166-3.4.4.1-1, 8166-3.4.4.4-2, 8166-3.4.5-1, 8166-3.4.5-2, 8166-3.4.5.2-2
#[test]
fn a_read_chunk_takes_the_bytes_and_their_pad_out_of_the_message_and_leaves_their_count() {
    for registration in BOTH {
        for long in [None, Some(0)] {
            let mut plan = plan(1024, registration);
            plan.transport.planted.inline_send = long;
            let mut stage = Stage::mounted(plan, |_| ());
            for len in [1024, 1025, 4097, 5001, 5002, 5003] {
                let mut buffer = stage.buffer();
                let data = pattern(len as usize, u64::from(len));
                buffer[..len as usize].copy_from_slice(&data);
                let call = stage.call_of(write(len), Some(buffer));
                let [(position, segment)] = data_chunk(&call)[..] else { panic!("{call:?}") };
                let mut r = Reader::new(&call.rpc);
                CallHeader::decode(&mut r).unwrap();
                let args = WriteArgs::decode(&mut r).unwrap();
                assert_eq!((args.count, args.data_len), (len, len), "the count stays");
                assert_eq!(args.stable, StableHow::FileSync);
                assert_eq!(r.remaining(), 0, "the bytes are gone, and so is their pad");
                assert_eq!(position as usize, call.rpc.len(), "where the first of them would be");
                assert_eq!(position % 4, 0);
                assert_eq!(segment.length, len, "without the pad");
                assert!(stage.server.read(segment) == Some(data));
                stage.answer(&call);
                assert!(stage.serve_until_done(1)[0].result.is_ok());
            }
        }
    }
}

// req: 8166-3.4.6-1, 8166-4.3.2.2-2
#[test]
fn a_write_chunk_has_room_for_all_that_may_come_and_no_pad() {
    for registration in BOTH {
        let mut stage = Stage::mounted(plan(1024, registration), |_| ());
        for len in [1000, 4096, 5001, 65_535] {
            let buffer = stage.buffer();
            let call = stage.call_of(read(len), Some(buffer));
            assert_eq!(call.writes.len(), 1);
            assert_eq!(total(&call.writes[0]), len);
            stage.answer(&call);
            let done = stage.serve_until_done(1).remove(0);
            assert!(done.data() == vec![0x5a; len as usize], "{len}");
        }
    }
}

// req: 8166-3.5.3-1, 8166-3.5.3-2, 8166-3.5.3-4, 8166-4.2.4-1
#[test]
fn a_message_too_long_to_go_inline_is_all_in_a_chunk_at_position_zero() {
    for registration in BOTH {
        let mut plan = plan(1024, registration);
        plan.transport.planted.inline_send = Some(200);
        let mut stage = Stage::mounted(plan, |_| ());
        // 253 bytes and a pad of 3, in the middle of the message.
        let (dir, name) = (system_tests::stage::file(), "n".repeat(253));
        let how = wire::nfs3::CreateHow::Guarded(wire::nfs3::Sattr::default());
        let call = stage.call_of(Op::Create { dir, name: name.clone(), how: how.into() }, None);
        assert_eq!(call.kind, Kind::NoMsg);
        let header = Header::parse(&call.bytes).unwrap();
        assert_eq!(header.len, call.bytes.len(), "nothing is behind the header");
        assert!(!call.reads.is_empty());
        assert!(call.reads.iter().all(|read| read.position == 0), "{call:?}");
        let mut r = Reader::new(&call.rpc);
        CallHeader::decode(&mut r).unwrap();
        let args = CreateArgs::decode(&mut r).unwrap();
        assert_eq!(args.name, name.as_bytes());
        assert_eq!(r.remaining(), 0, "the whole message, pad and all, and no more");
        stage.answer(&call);
        assert!(stage.serve_until_done(1)[0].result.is_ok());
    }
}

// req: 8166-4.3.3-1
#[test]
fn a_reply_chunk_is_there_whenever_the_reply_may_be_too_long() {
    for inline in [1024, 4096, 262_144] {
        let mut plan = plan(inline, rpcrdma::Registration::Window);
        plan.transport.buffers.buffer_len = 65_536;
        let mut stage =
            Stage::mounted(plan, |server| server.private_data = scripted::inline(inline));
        let op = Op::Readdirplus { dir: system_tests::stage::file(), cookie: 0, verifier: [0; 8] };
        let buffer = stage.buffer();
        let call = stage.call_of(op, Some(buffer));
        match &call.reply {
            Some(chunk) => assert_eq!(total(chunk), 65_536, "as much as it may be"),
            None => assert!(inline > 65_536, "{inline}"),
        }
        // The short listing that comes needs no chunk, which then comes back empty.
        stage.answer(&call);
        assert!(stage.serve_until_done(1)[0].result.is_ok());
    }
}
