//! Every way that data takes, compared with what the kernel's server and client see.

use client::{File, Op, Output};
use rpcrdma::Counters;
use system_tests::pattern;
use wire::nfs3::{Sattr, StableHow};

use crate::kernel::{KernelMount, assert_no_rdma_left};
use crate::server::Server;
use crate::session::{Session, transport};

/// Copied, copied to the limit, gathered, gathered with pad, one byte less and more than a page,
/// by chunk.
const LENGTHS: [usize; 10] = [1, 511, 512, 513, 3000, 3001, 4096, 4097, 128 * 1024, 1024 * 1024];

#[test]
fn knfsd_takes_and_gives_data_by_every_path() {
    let Some(server) = Server::find() else { return };
    let (dir, path) = server.fresh_dir("paths");
    let mut session = Session::mount(&server.locate(&path).unwrap());
    let before = session.counters();
    for len in LENGTHS {
        let (name, data) = (format!("f{len}"), pattern(len, len as u64));
        let file = session.create(&name);
        session.write(file, 0, &data).unwrap();
        assert_eq!(std::fs::read(dir.join(&name)).unwrap(), data, "the server's kernel: {len}");
        let (read, eof) = session.read(file, 0, len as u32);
        assert!(read == data, "read back: {len}");
        assert!(eof, "the whole file is its end");
    }
    let kernel = KernelMount::new(&server);
    for len in LENGTHS {
        let seen = std::fs::read(kernel.path(format!("paths/f{len}"))).unwrap();
        assert!(seen == pattern(len, len as u64), "the kernel's client: {len}");
    }
    // And the other way round: what the kernel's client writes, we read.
    let data = pattern(300_001, 77);
    std::fs::write(kernel.path("paths/theirs"), &data).unwrap();
    drop(kernel);
    let file = session.open("theirs", None).unwrap();
    assert!(session.read(file, 0, 1 << 20) == (data, true));
    assert_paths_counted(&before, &session.counters());
    session.assert_balanced();
    session.unmount();
    assert_no_rdma_left();
}

/// Both inline thresholds are 4096.
fn assert_paths_counted(before: &Counters, after: &Counters) {
    let gained = |of: fn(&Counters) -> u64| of(after) - of(before);
    let total = |lengths: &[usize]| lengths.iter().sum::<usize>() as u64;
    let (copied, gathered, chunked) = (&LENGTHS[..3], &LENGTHS[3..6], &LENGTHS[6..]);
    assert_eq!(gained(|c| c.pullup_copy_count), total(copied));
    assert_eq!(gained(|c| c.gathered_sends), gathered.len() as u64);
    assert_eq!(gained(|c| c.read_chunk_count), chunked.len() as u64);
    assert_eq!(gained(|c| c.read_chunk_bytes), total(chunked));
    assert_eq!(gained(|c| c.fixup_copy_count), total(copied));
    assert_eq!(gained(|c| c.kept_receives), gathered.len() as u64, "left where they came");
    assert_eq!(gained(|c| c.write_chunk_count), chunked.len() as u64 + 1, "and theirs");
    assert_eq!(gained(|c| c.total_rdma_reply), total(chunked) + 300_001);
    assert_eq!(gained(|c| c.reply_chunk_count), 0);
}

#[test]
fn knfsd_keeps_the_neighbours_of_unaligned_writes() {
    let Some(server) = Server::find() else { return };
    let (dir, path) = server.fresh_dir("unaligned");
    let mut session = Session::mount(&server.locate(&path).unwrap());
    let file = session.create("f");
    let mut model = pattern(200_000, 1);
    session.write(file, 0, &model).unwrap();
    for (offset, len) in
        [(1, 1), (3, 2), (5, 3), (4095, 2), (4097, 509), (8191, 2047), (10_001, 65_537)]
    {
        let data = pattern(len, offset as u64);
        session.write(file, offset as u64, &data).unwrap();
        model[offset..offset + len].copy_from_slice(&data);
        assert!(std::fs::read(dir.join("f")).unwrap() == model, "{len} bytes at {offset}");
        assert!(session.read(file, offset as u64, len as u32).0 == data, "{len} at {offset}");
    }
    for (offset, len) in [(199_999u64, 100u32), (150_001, 100_000), (200_000, 10), (300_000, 8192)]
    {
        let (data, eof) = session.read(file, offset, len);
        assert!(data == model[model.len().min(offset as usize)..], "{len} at {offset}");
        assert!(eof, "{len} at {offset} reaches the end");
    }
    session.assert_balanced();
    session.unmount();
}

#[test]
fn knfsd_leads_a_file_through_its_life() {
    let Some(server) = Server::find() else { return };
    let (dir, path) = server.fresh_dir("life");
    let mut session = Session::mount(&server.locate(&path).unwrap());
    let file = session.create("f");
    let data = pattern(100_000, 3);
    let verifier = unstable_write(&mut session, file, &data);
    let commit = session.op(Op::Commit { file, offset: 0, count: 0 }, None).result;
    assert_eq!(commit, Ok(Output::Committed { verifier }), "the server has not restarted");

    for size in [10u64, 5000, 0] {
        let attributes = Sattr { size: Some(size), ..Default::default() }.into();
        session.op(Op::Setattr { file, attributes }, None).result.unwrap();
        let mut model = data.clone();
        model.truncate(10.min(size as usize));
        model.resize(size as usize, 0);
        assert_eq!(std::fs::read(dir.join("f")).unwrap(), model, "size {size}");
        let Ok(Output::Attributes(Some(found))) = session.op(Op::Getattr { file }, None).result
        else {
            panic!("GETATTR")
        };
        assert_eq!((found.size, found.mode & 0o777), (size, 0o644));
    }
    let access = session.op(Op::Access { file, access: 0x3f }, None).result;
    assert!(matches!(access, Ok(Output::Access(bits)) if bits & 0x0d == 0x0d), "{access:?}");
    let parent = session.op(Op::Open { path: "life".into(), create: None }, None).result.unwrap();
    let Output::Opened { file: parent, .. } = parent else { panic!("{parent:?}") };
    session.op(Op::Remove { dir: parent, name: "f".into() }, None).result.unwrap();
    assert!(!dir.join("f").exists());
    session.assert_balanced();
    session.unmount();
}

fn unstable_write(session: &mut Session, file: File, data: &[u8]) -> [u8; 8] {
    let mut buffer = session.buffer();
    buffer[..data.len()].copy_from_slice(data);
    let len = data.len() as u32;
    let op = Op::Write { file, offset: 0, len, stable: StableHow::Unstable };
    match session.op(op, Some(buffer)).result {
        Ok(Output::Written { count, verifier, .. }) if count == len => verifier,
        other => panic!("WRITE gave {other:?}"),
    }
}

#[test]
fn knfsd_queue_depth_256_keeps_to_64_credits() {
    let Some(server) = Server::find() else { return };
    let (dir, path) = server.fresh_dir("credits");
    let located = server.locate(&path).unwrap();
    let mut config = transport(&located);
    config.max_requests = 256;
    config.buffers.buffer_len = 16 * 1024;
    config.buffers.count = 256;
    let mut session = Session::mount_with(&located, config).unwrap();
    let file = session.create("f");
    let mut model = vec![0; 512 * 8192];
    // Twice the queue, each write to a place of its own, alternately gathered and by chunk.
    for round in 0..2u64 {
        for tag in (0..256).map(|n| round * 256 + n) {
            let len = if tag % 2 == 0 { 2000 } else { 8192 };
            let mut buffer = session.buffer();
            let data = pattern(len, tag);
            buffer[..len].copy_from_slice(&data);
            model[tag as usize * 8192..][..len].copy_from_slice(&data);
            let (offset, len, stable) = (tag * 8192, len as u32, StableHow::Unstable);
            session.submit(tag, Op::Write { file, offset, len, stable }, Some(buffer));
        }
        let mut done = Vec::new();
        session.run_until("256 writes", |session| {
            done.extend(session.take_done());
            done.len() == 256
        });
        assert!(done.iter().all(|done| done.result.is_ok() && done.buffer.is_some()));
    }
    assert_eq!(session.client.credits_granted(session.mount), Some(64));
    assert!(session.counters().credit_waits > 0, "callers beyond the grant have waited here");
    let seen = std::fs::read(dir.join("f")).unwrap();
    assert!(seen == model[..seen.len()] && seen.len() >= 511 * 8192);
    session.assert_balanced();
    session.unmount();
    assert_no_rdma_left();
}
