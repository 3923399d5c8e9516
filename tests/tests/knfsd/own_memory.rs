//! Memory of the caller's own: registered on first use, and again after a pause without a server.

use std::time::{Duration, Instant};

use client::{File, Op, Output};
use hugepages::Buffer;
use rpcrdma::TransportConfig;
use system_tests::pattern;
use wire::nfs3::StableHow;

use crate::kernel::{Stopped, assert_no_rdma_left};
use crate::server::Server;
use crate::session::{BOTH, Session, transport};
use crate::stopping::is_here;

const LEN: usize = 300_001;

fn config(located: &client::Located, registration: rpcrdma::Registration) -> TransportConfig {
    let mut config = transport(located);
    config.registration = Some(registration);
    config.reconnect_min_ns = 200_000_000;
    config.reconnect_max_ns = 1_000_000_000;
    config
}

fn memory(len: usize, seed: u64) -> Buffer {
    Buffer::from_vec(pattern(len, seed)).unwrap()
}

fn write(session: &mut Session, file: File, buffer: Buffer) -> Buffer {
    let len = buffer.len() as u32;
    let op = Op::Write { file, offset: 0, len, stable: StableHow::Unstable };
    let done = session.op(op, Some(buffer));
    assert!(
        matches!(done.result, Ok(Output::Written { count, .. }) if count == len),
        "{:?}",
        done.result
    );
    done.buffer.expect("it comes back")
}

fn read(session: &mut Session, file: File, mut buffer: Buffer) -> Buffer {
    buffer.fill(0);
    let len = buffer.len() as u32;
    let done = session.op(Op::Read { file, offset: 0, len }, Some(buffer)).in_buffer();
    assert!(
        matches!(done.result, Ok(Output::Read { count, .. }) if count == len),
        "{:?}",
        done.result
    );
    done.buffer.expect("it comes back")
}

#[test]
fn knfsd_moves_the_callers_own_memory_and_it_is_registered_once() {
    let Some(server) = Server::find() else { return };
    for registration in BOTH {
        let (dir, path) = server.fresh_dir("own");
        let located = server.locate(&path).unwrap();
        let mut session = Session::mount_with(&located, config(&located, registration)).unwrap();
        let file = session.create("f");
        // By chunk, a whole MiB by chunk, gathered.
        for (count, len) in [LEN, 1 << 20, 3001].into_iter().enumerate() {
            let mut buffer = memory(len, 1);
            for seed in 2..5 {
                buffer.copy_from_slice(&pattern(len, seed));
                buffer = write(&mut session, file, buffer);
                assert!(std::fs::read(dir.join("f")).unwrap()[..len] == pattern(len, seed));
                buffer = read(&mut session, file, buffer);
                assert!(buffer[..] == pattern(len, seed), "{len} bytes");
            }
            assert_eq!(session.counters().own_regions_registered, count as u64 + 1);
            assert!(session.client.deregister(session.mount, &buffer), "it was registered");
            assert!(buffer.into_vec().unwrap() == pattern(len, 4), "it is the caller's again");
        }
        session.assert_balanced();
        session.unmount();
    }
    assert_no_rdma_left();
}

#[test]
fn knfsd_restarted_moves_the_callers_own_memory_again() {
    let Some(server) = Server::find().filter(is_here) else { return };
    for registration in BOTH {
        let (dir, path) = server.fresh_dir("own-restart");
        let located = server.locate(&path).unwrap();
        let mut session = Session::mount_with(&located, config(&located, registration)).unwrap();
        let file = session.create("f");
        let buffer = write(&mut session, file, memory(LEN, 1));

        let stopped = Stopped::now();
        session.submit(1, Op::Read { file, offset: 0, len: LEN as u32 }, Some(buffer));
        let since = Instant::now();
        session.run_until("half a second without a server", |_| {
            since.elapsed() > Duration::from_millis(500)
        });
        assert!(session.take_done().is_empty(), "the call waits for its server");
        drop(stopped);

        let mut done = Vec::new();
        session.run_until("the call after the server is back", |session| {
            done = session.take_done();
            !done.is_empty()
        });
        let done = done.remove(0);
        assert!(matches!(done.result, Ok(Output::Read { .. })), "{:?}", done.result);
        let mut buffer = done.buffer.expect("it comes back");
        assert!(buffer[..] == pattern(LEN, 1));
        buffer.copy_from_slice(&pattern(LEN, 2));
        let buffer = write(&mut session, file, buffer);
        assert!(std::fs::read(dir.join("f")).unwrap() == pattern(LEN, 2));
        let buffer = read(&mut session, file, buffer);
        assert!(buffer[..] == pattern(LEN, 2));
        let counters = session.counters();
        assert!(counters.connect_count > 1, "{counters:?}");
        // Nothing of a device is held while its client waits for a server.
        assert_eq!(counters.own_regions_registered, 2, "once before the pause, once after it");
        session.unmount();
        assert!(buffer.into_vec().is_ok(), "nothing is registered any more");
    }
    assert_no_rdma_left();
}
