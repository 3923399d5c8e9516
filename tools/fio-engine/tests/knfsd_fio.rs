//! Real fio with this engine against Linux's NFS server over rxe, in the virtual machine.
//!
//! Where there is no such server each test says that it was skipped. docs/harness.md says what the
//! machine offers.
#![cfg(all(feature = "fio", feature = "rdma"))]

mod support;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use support::{Ran, engine, finish, fio, run, start};

/// Pollers share the machine's two CPUs with the device and the server.
const SHARED: &str = "--idle=yield --mountport=20048";

/// Where the server is, as `tools/rxe-vm` says.
struct Server {
    url: String,
    dir: PathBuf,
}

impl Server {
    /// The server, or `None` with a line that says that nothing was tested.
    fn find() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let addr = variable("INITIATOR_KNFSD_ADDR");
        let (Some(addr), Some(export), Some(dir)) =
            (addr, variable("INITIATOR_EXPORT"), variable("INITIATOR_EXPORT_DIR"))
        else {
            let line = "SKIPPED: INITIATOR_KNFSD_ADDR is not set (tools/rxe-vm run sets it)";
            let _ = writeln!(std::io::stderr(), "{line}: nothing was tested");
            return None;
        };
        Some(Self { url: format!("nfs://{addr}{export}"), dir: dir.into() })
    }

    fn fio(&self, job: &str) -> Ran {
        fio(&format!("--nfs_url={} {SHARED} {job}", self.url))
    }
}

#[test]
fn fio_verifies_over_both_ways_to_register() {
    let Some(server) = Server::find() else { return };
    for registration in ["static", "window"] {
        for (bs, depth) in [("4k", 16), ("64k", 4)] {
            let job = format!(
                "--registration={registration} --filename=verify-{registration} --rw=randwrite \
                 --verify=crc32c --bs={bs} --size=1m --iodepth={depth} --fsync=16"
            );
            server.fio(&job).succeeds();
        }
    }
}

#[test]
fn the_sample_job_file_runs() {
    let Some(server) = Server::find() else { return };
    let directory = tempfile::tempdir().expect("a place");
    let job = support::sample(directory.path(), &server.url);
    run(Command::new("fio").current_dir(directory.path()).arg(job)).succeeds();
}

#[test]
fn what_fio_writes_is_what_the_server_has() {
    let Some(server) = Server::find() else { return };
    let job = "--filename=pattern --rw=write --bs=8k --size=256k --iodepth=4 \
               --buffer_pattern=0xa1b2c3d4 --end_fsync=1";
    server.fio(job).succeeds();
    let content = std::fs::read(server.dir.join("pattern")).expect("the file is there");
    assert_eq!(content.len(), 256 << 10);
    assert!(
        content.chunks(4).all(|word| word == [0xa1, 0xb2, 0xc3, 0xd4]),
        "{:x?}",
        &content[..16]
    );
}

#[test]
fn one_thread_and_two_on_cores_of_their_own() {
    let Some(server) = Server::find() else { return };
    for (numjobs, cores) in [(1, "0"), (2, "0,1")] {
        let job = format!(
            "--filename_format=threads.$jobnum --numjobs={numjobs} --cores={cores} --nconnect={numjobs} --rw=randread \
             --bs=4k --size=1m --iodepth=8 --time_based --runtime=3"
        );
        let jobs = server.fio(&job).succeeds().jobs();
        assert_eq!(jobs.len(), numjobs);
        for job in &jobs {
            let iops = job["read"]["iops"].as_f64().expect("a number");
            assert!(iops > 0.0, "{job}");
            println!("{numjobs} thread(s): {iops:.0} IOPS");
        }
    }
}

#[test]
fn a_wrong_option_and_a_missing_server_end_fio_with_our_sentence() {
    let Some(server) = Server::find() else { return };
    for (option, says) in [
        ("--registration=secret", "registration=secret"),
        ("--cores=1000", "cannot pin a thread to core 1000"),
        ("--inline_send=1500", "inline_send"),
        ("--thread=0", "thread=1 is needed"),
    ] {
        server.fio(&format!("--rw=read --bs=4k --size=64k {option}")).fails(&[says]);
    }
    // Nobody listens there.
    server.fio("--mountport=9 --rw=read --bs=4k --size=64k").fails(&[
        "cannot mount",
        "MOUNT at",
        "refused",
    ]);
}

#[test]
fn a_server_that_stops_in_the_middle_ends_a_soft_job_with_our_sentence() {
    let Some(server) = Server::find() else { return };
    let mut command = Command::new("fio");
    let directory = tempfile::tempdir().expect("a place");
    command.current_dir(directory.path()).arg(format!("--ioengine={}", engine()));
    let job = format!(
        "--name=job --thread=1 --nfs_url={} {SHARED} --filename=stopped --rw=randread --bs=4k \
         --size=1m --iodepth=4 --time_based --runtime=100 --recovery=soft --timeo=10 --retrans=1",
        server.url
    );
    command.args(job.split_whitespace());
    let child = start(&mut command);
    // Laid out, and then some time to mount and to run.
    let began = Instant::now();
    let laid_out =
        || std::fs::metadata(server.dir.join("stopped")).is_ok_and(|m| m.len() == 1 << 20);
    while !laid_out() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(15));
    let stopped = Stopped::now();
    let ran = finish(child, "fio");
    drop(stopped);
    ran.fails(&["initiator: gave up after 2s without an answer", "Input/output error"]);
}

/// The server's threads, away until dropped.
struct Stopped;

impl Stopped {
    fn now() -> Self {
        let ran = Command::new("rpc.nfsd").arg("0").status();
        assert!(ran.is_ok_and(|status| status.success()), "rpc.nfsd 0");
        Self
    }
}

impl Drop for Stopped {
    /// As `tools/rxe-vm.d/guest/knfsd.sh` started it.
    fn drop(&mut self) {
        let started = Command::new("rpc.nfsd").args(["--no-nfs-version", "4", "8"]).status();
        let listens = std::fs::write("/proc/fs/nfsd/portlist", "rdma 20049");
        assert!(started.is_ok_and(|status| status.success()) && listens.is_ok(), "{listens:?}");
    }
}
