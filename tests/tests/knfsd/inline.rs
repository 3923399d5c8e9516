//! What the negotiated inline threshold decides, with whichever setting the server runs.

use system_tests::pattern;

use crate::server::{Server, say};
use crate::session::{Session, transport};

/// The server's own limit on what it receives inline.
const SETTING: &str = "/proc/sys/sunrpc/svc_rdma/max_req_size";

#[test]
fn knfsd_small_blocks_need_no_chunk_where_the_server_takes_them_inline() {
    let Some(server) = Server::find() else { return };
    let Ok(setting) = std::fs::read_to_string(SETTING) else {
        say(&format!("SKIPPED: {SETTING} cannot be read: the server is another machine"));
        return;
    };
    let server_inline: u32 = setting.trim().parse().expect("a number of bytes");
    say(&format!("with a server that receives {server_inline} bytes inline"));
    let (dir, path) = server.fresh_dir("inline");
    let located = server.locate(&path).unwrap();
    let mut config = transport(&located);
    config.inline_send = 16 * 1024;
    config.inline_receive = 16 * 1024;
    let mut session = Session::mount_with(&located, config).unwrap();
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
