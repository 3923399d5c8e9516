//! Listings, which come by Reply chunk.

use std::collections::BTreeSet;

use client::{File, Op, Output};

use crate::server::Server;
use crate::session::{Session, transport};

const FILES: usize = 300;

#[test]
fn knfsd_lists_a_large_directory_by_reply_chunk() {
    let Some(server) = Server::find() else { return };
    let (dir, path) = server.fresh_dir("listing");
    for n in 0..FILES {
        std::fs::write(dir.join(name(n)), vec![0; n]).unwrap();
    }
    let expected: BTreeSet<_> = (0..FILES).map(|n| (name(n), n as u64)).collect();
    let located = server.locate(&path).unwrap();
    // One reply has room for all of it, or for a part.
    for (buffer_len, chunks) in [(128 * 1024, 1..=1), (8 * 1024, 4..=40)] {
        let mut config = transport(&located);
        config.buffers.buffer_len = buffer_len;
        let mut session = Session::mount_with(&located, config).unwrap();
        let opened = session.op(Op::Open { path: "listing".into(), create: None }, None);
        let Ok(Output::Opened { file, .. }) = opened.result else { panic!("{opened:?}") };
        let before = session.counters();
        let found = list(&mut session, file);
        let after = session.counters();
        assert_eq!(found, expected, "buffers of {buffer_len}");
        let used = after.reply_chunk_count - before.reply_chunk_count;
        assert!(chunks.contains(&used), "{used} Reply chunks with buffers of {buffer_len}");
        assert!(after.total_rdma_reply - before.total_rdma_reply > 300 * 100);
        session.assert_balanced();
        session.unmount();
    }
}

fn name(n: usize) -> String {
    format!("entry-{n:03}")
}

/// Names and sizes, part by part.
fn list(session: &mut Session, dir: File) -> BTreeSet<(String, u64)> {
    let mut found = BTreeSet::new();
    let (mut cookie, mut verifier) = (0, [0; 8]);
    for _ in 0..=FILES {
        let buffer = session.buffer();
        let done = session.op(Op::Readdirplus { dir, cookie, verifier }, Some(buffer));
        assert!(matches!(done.result, Ok(Output::Listing { .. })), "{:?}", done.result);
        let listing = client::listing(done.data()).unwrap();
        verifier = listing.verifier;
        for entry in listing.entries.iter() {
            cookie = entry.cookie;
            let name = String::from_utf8(entry.name.to_vec()).unwrap();
            if name != "." && name != ".." {
                let size = entry.attributes.expect("knfsd tells attributes").size;
                assert!(found.insert((name, size)), "an entry comes once");
            }
        }
        if listing.eof {
            return found;
        }
        assert!(!listing.entries.is_empty(), "a part has entries, or is the last");
    }
    panic!("the listing does not end")
}
