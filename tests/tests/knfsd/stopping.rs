//! A server that stops under load.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use client::{Error, MountState, Op, Output};
use system_tests::pattern;
use wire::nfs3::StableHow;

use crate::kernel::{Stopped, assert_no_rdma_left};
use crate::server::{Server, initiator};
use crate::session::{Session, transport};

/// Where the server's kernel is ours there is this file.
const THREADS: &str = "/proc/fs/nfsd/threads";
/// Calls in flight when the server stops.
const DEPTH: usize = 32;

#[test]
fn knfsd_stopped_under_load_fails_every_call_and_returns_every_buffer() {
    let Some(server) = Server::find() else { return };
    if std::fs::metadata(THREADS).is_err() {
        println!("SKIPPED: the server is another machine: it cannot be stopped from here");
        return;
    }
    let (_, path) = server.fresh_dir("stopping");
    let located = server.locate(&path).unwrap();
    let mut config = transport(&located);
    config.max_requests = DEPTH as u32;
    config.buffers.buffer_len = 128 * 1024;
    config.buffers.count = DEPTH as u32;
    // What a connection that is not made again means; recovery has its own tests.
    config.recovery = rpcrdma::Recovery::Never;
    let mut session = Session::mount_with(&located, config.clone()).unwrap();
    let file = session.create("f");
    let mut load = Load { file, next: 0, finished: 0, failed: Vec::new() };
    session.run_until("a second of load", |session| {
        load.refill(session);
        load.collect(session);
        load.finished >= 200
    });

    let stopper = std::thread::spawn(Stopped::now);
    session.run_until("the loss", |session| {
        load.collect(session);
        let gone = matches!(session.client.state(session.mount), MountState::Gone(_));
        if !gone {
            load.refill(session);
        }
        gone && session.client.in_flight(session.mount) == 0
    });
    load.collect(&mut session);
    let stopped = stopper.join().expect("the server stops while its client goes on");

    assert!(!load.failed.is_empty(), "calls were under way");
    for error in &load.failed {
        assert!(matches!(error, Error::Transport(rpcrdma::Error::Lost { .. })), "{error}");
    }
    println!("{} calls failed, for example: {}", load.failed.len(), load.failed[0]);
    assert_eq!(session.pool.available(), DEPTH, "every buffer is home");
    let late = session.op(Op::Getattr { file }, None).result.unwrap_err();
    assert!(late.to_string().contains("lost"), "{late}");
    let pool = session.pool.clone();
    drop(session);
    assert_eq!(pool.available(), DEPTH);
    drop(pool);
    assert_no_rdma_left();

    let refused = Session::mount_with(&located, config).err().expect("nobody listens");
    println!("while it is stopped: {refused}");
    assert_eq!(refused.errno(), libc::ECONNREFUSED, "{refused}");
    drop(stopped);
    let mut session = Session::mount(&server.locate(&path).unwrap());
    let file = session.open("f", None).unwrap();
    let Ok(Output::Attributes(_)) = session.op(Op::Getattr { file }, None).result else {
        panic!("the server is back")
    };
    session.unmount();
}

#[test]
fn knfsd_stopped_under_a_job_ends_the_program_with_one_line() {
    let Some(server) = Server::find() else { return };
    if std::fs::metadata(THREADS).is_err() {
        println!("SKIPPED: the server is another machine: it cannot be stopped from here");
        return;
    }
    let (dir, path) = server.fresh_dir("stopping-job");
    let mut job = Command::new(initiator())
        .args(["perf", &server.url(&path), "-w", "randrw", "-t", "60", "--size", "4m"])
        .args(["-q", "32", "--idle", "nice:19"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let laid_out = || std::fs::metadata(dir.join("perf.0.0")).is_ok_and(|f| f.len() == 4 << 20);
    let start = Instant::now();
    while !laid_out() {
        assert!(start.elapsed() < Duration::from_secs(30), "the job does not begin");
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(1));
    let stopped = Stopped::now();
    let start = Instant::now();
    let status = loop {
        match job.try_wait().expect("it is our child") {
            Some(status) => break status,
            None if start.elapsed() > Duration::from_secs(20) => {
                job.kill().expect("it is our child");
                panic!("the job goes on without its server");
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    drop(stopped);
    let mut stderr = String::new();
    job.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
    assert_eq!(status.code(), Some(1), "{stderr}");
    let lines: Vec<_> = stderr.lines().filter(|line| line.starts_with("initiator: ")).collect();
    assert!(matches!(lines[..], [line] if line.contains("lost: ")), "{stderr}");
    println!("{}", lines[0]);
}

/// Reads and writes of every path, as many as the queue takes.
struct Load {
    file: client::File,
    next: u64,
    finished: usize,
    failed: Vec<Error>,
}

impl Load {
    fn refill(&mut self, session: &mut Session) {
        while let Some(mut buffer) = session.pool.alloc() {
            let len = [300, 3000, 128 * 1024][self.next as usize % 3];
            let (file, offset) = (self.file, self.next % 64 * 4096);
            let op = if self.next.is_multiple_of(2) {
                buffer[..300].copy_from_slice(&pattern(300, self.next));
                Op::Write { file, offset, len, stable: StableHow::Unstable }
            } else {
                Op::Read { file, offset, len }
            };
            session.submit(self.next, op, Some(buffer));
            self.next += 1;
        }
    }

    fn collect(&mut self, session: &mut Session) {
        for done in session.take_done() {
            assert!(done.buffer.is_some(), "the buffer comes with the result");
            self.finished += 1;
            self.failed.extend(done.result.err());
        }
    }
}
