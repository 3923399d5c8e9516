//! What the negotiated inline threshold decides, with whichever setting the server runs.

use client::{Located, Op};
use rpcrdma::Registration;
use system_tests::pattern;

use crate::pieces::{read_pieces, write_pieces};
use crate::server::{Server, say};
use crate::session::{BOTH, Session, transport};

/// The server's own limit on what it receives inline.
const SETTING: &str = "/proc/sys/sunrpc/svc_rdma/max_req_size";

/// What the server receives inline, or `None` with a line that says why nobody knows.
fn server_inline() -> Option<u32> {
    let Ok(setting) = std::fs::read_to_string(SETTING) else {
        say(&format!("SKIPPED: {SETTING} cannot be read: the server is another machine"));
        return None;
    };
    let bytes = setting.trim().parse().expect("a number of bytes");
    say(&format!("with a server that receives {bytes} bytes inline"));
    Some(bytes)
}

/// A mount that takes 16 KiB inline, where the server does.
fn wide_session(located: &Located, registration: Option<Registration>) -> Session {
    let mut config = transport(located);
    config.registration = registration;
    config.inline_send = 16 * 1024;
    config.inline_receive = 16 * 1024;
    Session::mount_with(located, config).unwrap()
}

#[test]
fn knfsd_small_blocks_need_no_chunk_where_the_server_takes_them_inline() {
    let Some(server) = Server::find() else { return };
    let Some(server_inline) = server_inline() else { return };
    let (dir, path) = server.fresh_dir("inline");
    let mut session = wide_session(&server.locate(&path).unwrap(), None);
    let file = session.create("f");
    let before = session.counters();
    for block in 0..8 {
        session.write(file, block * 4096, &pattern(4096, block)).unwrap();
    }
    for block in 0..8 {
        assert!(session.read(file, block * 4096, 4096).0 == pattern(4096, block));
    }
    let after = session.counters();
    let chunks = after.read_chunk_count - before.read_chunk_count;
    let gathered = after.gathered_sends - before.gathered_sends;
    if server_inline >= 8192 {
        assert_eq!((chunks, gathered), (0, 8), "4 KiB fits into {server_inline}");
    } else {
        assert_eq!((chunks, gathered), (8, 0), "4 KiB does not fit into {server_inline}");
    }
    let model: Vec<u8> = (0..8).flat_map(|block| pattern(4096, block)).collect();
    assert!(std::fs::read(dir.join("f")).unwrap() == model);
    session.assert_balanced();
    session.unmount();
}

#[test]
fn knfsd_pieces_are_gathered_into_the_send_as_far_as_the_server_takes_them() {
    let Some(server) = Server::find() else { return };
    let Some(server_inline) = server_inline() else { return };
    let wide = server_inline >= 16_384;
    for registration in BOTH {
        let (dir, path) = server.fresh_dir("inline-pieces");
        let mut session = wide_session(&server.locate(&path).unwrap(), Some(registration));
        let file = session.create("f");
        let data = pattern(8011, 1);
        let before = session.counters();
        write_pieces(&mut session, file, 0, &[3001, 0, 2003, 3007], &data);
        assert!(std::fs::read(dir.join("f")).unwrap() == data);
        read_pieces(&mut session, file, 0, &[7, 5001, 3003], &data);
        let after = session.counters();
        let gathered = after.gathered_sends - before.gathered_sends;
        assert_eq!(gathered, u64::from(wide), "8011 bytes, {server_inline} inline");
        let chunks = [
            after.read_chunk_count - before.read_chunk_count,
            after.write_chunk_count - before.write_chunk_count,
        ];
        assert_eq!(chunks, [u64::from(!wide); 2]);
        session.assert_balanced();
        session.unmount();
    }
}

#[test]
fn knfsd_inline_data_is_handed_over_in_the_receive_that_it_came_in() {
    let Some(server) = Server::find() else { return };
    let Some(server_inline) = server_inline() else { return };
    let wide = server_inline >= 16_384;
    let (_, path) = server.fresh_dir("inline-received");
    let mut session = wide_session(&server.locate(&path).unwrap(), None);
    let file = session.create("f");
    let data = pattern(12_001, 1);
    session.write(file, 0, &data).unwrap();
    let before = session.counters();
    let (mut kept, mut kept_expected) = (Vec::new(), 0);
    // Some are kept, the others dropped at once: those Receives are used again.
    for round in 0..40 {
        let len = [12_001, 3_001, 513, 512][round % 4];
        let in_place = len > 512 && (wide || len < 4_000);
        let mut buffer = session.buffer();
        buffer.fill(0xee);
        let op = Op::Read { file, offset: 0, len: len as u32 };
        let mut done = session.op(op, Some(buffer));
        assert!(done.data() == &data[..len], "{len} bytes: {:?}", done.result);
        let received = done.take_received();
        assert_eq!(received.is_some(), in_place, "{len} bytes, {server_inline} inline");
        kept_expected += u64::from(in_place);
        if in_place {
            let untouched = done.buffer.as_ref().expect("it comes back");
            assert!(untouched[..len].iter().all(|&byte| byte == 0xee), "nothing was copied");
        }
        kept.extend(received.filter(|_| round < 8));
    }
    let after = session.counters();
    assert_eq!(after.kept_receives - before.kept_receives, kept_expected);
    assert_eq!(after.fixup_copy_count - before.fixup_copy_count, 10 * 512, "the smallest only");
    session.assert_balanced();
    session.unmount();
    assert!(kept.len() >= 4 && kept.iter().all(|kept| kept[..] == data[..kept.len()]));
}
