//! A server that stops under load.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use client::{Error, MountState, Op, Output};
use system_tests::pattern;
use wire::nfs3::StableHow;

use crate::kernel::{Stopped, assert_no_rdma_left};
use crate::server::{Server, initiator, say};
use crate::session::{Session, transport};

/// Where the server's kernel is ours there is this file.
const THREADS: &str = "/proc/fs/nfsd/threads";
/// Calls in flight when the server stops.
const DEPTH: usize = 32;

#[test]
fn knfsd_stopped_under_load_fails_every_call_and_returns_every_buffer() {
    let Some(server) = Server::find().filter(is_here) else { return };
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
fn knfsd_restarted_under_a_job_costs_it_a_connection_and_no_data() {
    let Some(server) = Server::find().filter(is_here) else { return };
    let (dir, path) = server.fresh_dir("restarted");
    let args = ["-w", "randwrite", "--verify", "crc32c", "-t", "0", "--size", "8m"];
    let mut job = Job::begin(&server, &path, &[&args[..], &["--output-format", "json"]].concat());
    job.wait_for("its first writes", || {
        std::fs::metadata(dir.join("perf.0.0")).is_ok_and(|file| file.blocks() > 2048)
    });
    let stopped = Stopped::now();
    std::thread::sleep(Duration::from_secs(1));
    assert!(job.child.try_wait().unwrap().is_none(), "it waits for its server");
    drop(stopped);
    let ended = job.end();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("a report");
    assert_eq!(report["jobs"][0]["error"], 0);
    assert_eq!(report["jobs"][0]["write"]["total_ios"], 2048);
    assert_eq!(report["jobs"][0]["read"]["total_ios"], 2048, "all of it is checked");
    let counters = &report["initiator"]["counters"];
    assert!(counters["connect_count"].as_u64().unwrap() > 1, "{counters}");
}

#[test]
fn knfsd_stopped_for_good_does_not_keep_the_program_from_ending() {
    let Some(server) = Server::find().filter(is_here) else { return };
    let (dir, path) = server.fresh_dir("gone");
    let mut job = Job::begin(&server, &path, &["-w", "randrw", "-t", "60", "--size", "1m"]);
    job.wait_for("its file", || {
        std::fs::metadata(dir.join("perf.0.0")).is_ok_and(|file| file.len() == 1 << 20)
    });
    let stopped = Stopped::now();
    std::thread::sleep(Duration::from_secs(2));
    assert!(job.child.try_wait().unwrap().is_none(), "it waits for its server");
    let start = Instant::now();
    crate::kernel::run("kill", &["-TERM", &job.child.id().to_string()]);
    let ended = job.end();
    println!("ended {:?} after SIGTERM: {}", start.elapsed(), ended.stderr);
    drop(stopped);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(matches!(ended.status.code(), Some(1 | 143)), "{}: {}", ended.status, ended.stderr);
    assert!(ended.stdout.contains("Run status group"), "its report comes: {}", ended.stdout);
}

/// Whether the server's kernel is ours; says so if not.
pub(crate) fn is_here(_: &Server) -> bool {
    let here = std::fs::metadata(THREADS).is_ok();
    if !here {
        say("SKIPPED: the server is another machine: it cannot be stopped from here");
    }
    here
}

/// The program at work.
struct Job {
    child: Child,
    since: Instant,
}

struct Ended {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl Job {
    fn begin(server: &Server, path: &str, args: &[&str]) -> Self {
        let mut command = Command::new(initiator());
        command.args(["perf", &server.url(path), "--idle", "nice:19"]).args(args);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { child: command.spawn().expect("the program starts"), since: Instant::now() }
    }

    fn wait_for(&mut self, what: &str, condition: impl Fn() -> bool) {
        while !condition() {
            assert!(self.since.elapsed() < Duration::from_secs(60), "{what}: not within 60 s");
            assert!(self.child.try_wait().unwrap().is_none(), "{what}: it has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its end, within a minute. Its reports fit into the pipes.
    fn end(mut self) -> Ended {
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "it does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
        let output = |pipe: Option<&mut dyn Read>| {
            let mut text = String::new();
            pipe.expect("piped").read_to_string(&mut text).expect("text");
            text
        };
        let stdout = output(self.child.stdout.as_mut().map(|pipe| pipe as _));
        let stderr = output(self.child.stderr.as_mut().map(|pipe| pipe as _));
        Ended { status: self.child.wait().expect("it has ended"), stdout, stderr }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
