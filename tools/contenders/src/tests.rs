//! Each contender does the work it is measured by, on the in-process fabric.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use client::{Located, MountOptions, locate};
use hugepages::Policy;
use reactor::Timestamp;
use target::Target;
use target::config::{Config, Storage};
use target::stats::Stats;
use verbs::soft::{Clock, SoftFabric};
use wire::nfs3::procedure;

use crate::echo;
use crate::metadata;
use crate::meter::Outcome;
use crate::nfs;
use crate::site::Site;
use crate::stat;
use crate::work::{Kind, Work};

const FILE_LEN: u64 = 1 << 20;

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn work(op: Kind, bytes: u32, depth: u32, inline: u32) -> Work {
    let work =
        Work { op, bytes, depth, inline, span: FILE_LEN, sequential: false, runtime: 1, ramp: 20 };
    work.checked().expect("valid")
}

/// Runs with an embedded target beside, which has a file.
fn with_target(run: impl FnOnce(&SoftFabric, &Site) -> Outcome) -> (Outcome, Arc<Stats>) {
    let fabric = SoftFabric::new(Clock::Real);
    let over = AtomicBool::new(false);
    let (tell, told) = channel();
    thread::scope(|scope| {
        let (over, server_side) = (&over, fabric.clone());
        scope.spawn(move || serve(&server_side, over, &tell));
        let (nfs, mount, stats) = told.recv().expect("it started");
        let url = format!("nfs://{nfs}/").parse().expect("a URL");
        let options = MountOptions { mount_port: Some(mount.port()), ..MountOptions::default() };
        let located = locate(&url, &options).expect("it is exported");
        let site = Site::of(Located { rest: "file".into(), ..located }).expect("a name");
        site.create(&fabric, &work(Kind::Read, 4096, 1, 4096)).expect("the file is made");
        let outcome = run(&fabric, &site);
        over.store(true, Ordering::Release);
        (outcome, stats)
    })
}

fn serve(
    fabric: &SoftFabric,
    over: &AtomicBool,
    tell: &Sender<(SocketAddr, SocketAddr, Arc<Stats>)>,
) {
    let config = Config {
        listen: loopback(),
        hugepages: Policy::Off,
        storage: Storage::Memory { capacity_bytes: 8 << 20 },
        inline_send_bytes: 16384,
        inline_receive_bytes: 16384,
        ..Config::default()
    };
    let mut target = Target::start(fabric, config).expect("it starts");
    tell.send((target.nfs_addr(), target.mount_addr(), target.stats())).expect("it is awaited");
    let began = Instant::now();
    while !over.load(Ordering::Acquire) {
        if !target.poll(Timestamp(began.elapsed().as_nanos() as u64)) {
            thread::yield_now();
        }
    }
}

/// Runs the bare loop, and says how many calls of a procedure the server had, and how many RDMA
/// Reads and Writes.
fn bare(work: &Work, procedure: u32) -> (Outcome, u64, u64, u64) {
    let (outcome, stats) = with_target(|fabric, site| {
        let (dir, file) = site.open(fabric, work).expect("it opens");
        nfs::run_on(fabric, site, dir, file, work).expect("it runs")
    });
    assert_eq!(stats.nfs_errors.get(), 1, "the name is not there before it is made");
    assert_eq!(stats.rpc_errors.get() + stats.malformed.get(), 0);
    assert_eq!(stats.credit_overruns.get(), 0, "more in flight than was granted");
    let calls = stats.calls[procedure as usize].get();
    assert!(outcome.count > 100 && outcome.count <= calls, "{outcome:?}, {calls} calls");
    assert!(outcome.p50_us > 0.0 && outcome.p50_us <= outcome.p99_us, "{outcome:?}");
    (outcome, calls, stats.rdma_reads.get(), stats.rdma_writes.get())
}

#[test]
fn the_bare_loop_reads_by_write_chunk() {
    let (_, calls, _, writes) = bare(&work(Kind::Read, 4096, 8, 4096), procedure::READ);
    assert!(writes >= calls, "{writes} RDMA Writes for {calls} READs");
}

#[test]
fn the_bare_loop_reads_inline() {
    let (_, _, _, writes) = bare(&work(Kind::Read, 4096, 8, 16384), procedure::READ);
    assert_eq!(writes, 0);
}

#[test]
fn the_bare_loop_writes_by_read_chunk() {
    let (_, calls, reads, _) = bare(&work(Kind::Write, 4096, 8, 4096), procedure::WRITE);
    assert!(reads >= calls, "{reads} RDMA Reads for {calls} WRITEs");
}

#[test]
fn the_bare_loop_gathers_small_writes() {
    let (_, _, reads, _) = bare(&work(Kind::Write, 1024, 1, 4096), procedure::WRITE);
    assert_eq!(reads, 0);
}

#[test]
fn the_client_looks_up_and_gets_attributes() {
    for (op, procedure) in [(Kind::Getattr, procedure::GETATTR), (Kind::Lookup, procedure::LOOKUP)]
    {
        let work = work(op, 4096, 16, 4096);
        let (outcome, stats) =
            with_target(|fabric, site| metadata::run_on(fabric, site, &work).expect("it runs"));
        let calls = stats.calls[procedure as usize].get();
        assert!(outcome.count > 100 && outcome.count <= calls, "{outcome:?}, {calls} calls");
    }
}

#[test]
fn messages_alone_are_exchanged_every_way() {
    let fabric = SoftFabric::new(Clock::Real);
    for (op, bytes, inline) in [
        (Kind::Read, 4096, 4096),
        (Kind::Read, 4096, 16384),
        (Kind::Write, 4096, 4096),
        (Kind::Write, 1024, 4096),
        (Kind::Getattr, 4, 4096),
    ] {
        let work = work(op, bytes, 4, inline);
        let outcome = echo::run(&fabric, loopback(), &work).expect("it runs");
        assert!(outcome.count > 100, "{op:?} of {bytes}: {outcome:?}");
    }
}

#[test]
fn stat_asks_as_many_threads_as_it_is_told() {
    let work = work(Kind::Getattr, 4, 3, 4096);
    let outcome = stat::run(Path::new("/"), &work).expect("it runs");
    // Three threads for a second: their latencies add up to three seconds.
    let seconds = outcome.count as f64 * outcome.mean_us / 1e6;
    assert!((1.5..=3.05).contains(&seconds), "{seconds} s in {outcome:?}");
    let missing = stat::run(Path::new("/no/such/file"), &work).expect_err("there is none");
    assert!(missing.to_string().contains("/no/such/file"), "{missing}");
}

#[test]
fn work_that_cannot_be_done_is_refused_with_the_option_that_says_so() {
    let base = work(Kind::Read, 4096, 1, 4096);
    let refused = |work: Work| work.checked().expect_err("it cannot be done").to_string();
    assert!(refused(Work { depth: 65, ..base.clone() }).contains("--depth"));
    assert!(refused(Work { bytes: 3, ..base.clone() }).contains("--bytes"));
    assert!(refused(Work { inline: 1000, ..base.clone() }).contains("--inline"));
    assert!(refused(Work { span: 10, ..base }).contains("--span"));
}
