//! Real fio with this engine, against a target in its own process: no RDMA is needed.
#![cfg(feature = "fio")]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{engine, finish, fio, run, start};

/// The operations of a direction, summed over the jobs.
fn total(jobs: &[serde_json::Value], direction: &str) -> u64 {
    jobs.iter().filter_map(|job| job[direction]["total_ios"].as_u64()).sum()
}

#[test]
fn a_job_reads_each_block_of_the_file_that_was_laid_out_for_it() {
    let ran = fio("--nfs_url=soft: --rw=randread --bs=4k --size=4m --iodepth=32").succeeds();
    let jobs = ran.jobs();
    assert_eq!(total(&jobs, "read"), 1024);
    assert_eq!(jobs[0]["read"]["short_ios"], 0);
}

#[test]
fn fio_verifies_what_it_has_written() {
    for verify in ["crc32c", "md5", "pattern --verify_pattern=0xdeadbeef"] {
        let job = format!(
            "--nfs_url=soft: --rw=randwrite --verify={verify} --bs=4k --size=4m --iodepth=32"
        );
        let jobs = fio(&job).succeeds().jobs();
        assert_eq!((total(&jobs, "write"), total(&jobs, "read")), (1024, 1024), "{verify}");
    }
}

#[test]
fn blocks_that_are_not_a_multiple_of_pages_are_written_and_verified() {
    let job = "--nfs_url=soft: --rw=write --verify=crc32c --bs=1000 --size=1000000 --iodepth=7";
    let jobs = fio(job).succeeds().jobs();
    assert_eq!((total(&jobs, "write"), total(&jobs, "read")), (1000, 1000));
}

#[test]
fn blocks_larger_than_inline_travel_in_place() {
    let job = "--nfs_url=soft: --rw=randrw --verify=crc32c --bs=128k --size=8m --iodepth=8";
    fio(job).succeeds();
}

#[test]
fn what_the_server_does_in_part_is_done_in_whole() {
    let job = "--nfs_url=soft:?misbehave=short-read=20,short-write=20 --rw=randwrite \
               --verify=crc32c --bs=4k --size=1m --iodepth=16";
    let jobs = fio(job).succeeds().jobs();
    assert_eq!((total(&jobs, "write"), total(&jobs, "read")), (256, 256));
}

#[test]
fn two_threads_share_a_file_and_have_a_mount_each() {
    let job = "--nfs_url=soft: --filename=shared --numjobs=2 --nconnect=2 --rw=randrw --bs=4k \
               --size=4m --iodepth=16";
    let jobs = fio(job).succeeds().jobs();
    assert_eq!(jobs.len(), 2);
    assert_eq!(total(&jobs, "read") + total(&jobs, "write"), 2048);
}

#[test]
fn threads_are_pinned_to_the_cores_that_were_named() {
    let core = reactor::usable_cores()[0];
    let job = format!("--nfs_url=soft: --cores={core} --rw=read --bs=4k --size=1m");
    fio(&job).succeeds();
    fio("--nfs_url=soft: --cores=1000 --rw=read --bs=4k --size=1m")
        .fails(&["cannot pin a thread to core 1000", "may be used"]);
}

#[test]
fn fsync_is_a_commit() {
    let job = "--nfs_url=soft: --rw=write --bs=4k --size=1m --fsync=8";
    let jobs = fio(job).succeeds().jobs();
    assert_eq!(jobs[0]["sync"]["total_ios"], 32 - 1);
    // Each COMMIT is refused: fio hears of the first.
    let job = format!("{job} --nfs_url=soft:?misbehave=status=IO:COMMIT:99");
    fio(&job).fails(&["COMMIT: NFS3ERR_IO"]);
}

#[test]
fn a_server_that_restarts_and_loses_what_is_not_committed_costs_a_job_nothing() {
    for options in ["--rw=randwrite --bs=4k --fsync=16", "--rw=randrw --bs=64k --end_fsync=1"] {
        let job = format!(
            "--nfs_url=soft:?misbehave=restart-every=60 {options} --verify=crc32c --size=2m \
             --iodepth=8"
        );
        fio(&job).succeeds();
    }
    // Laid out with fsync, then read with the checksums that it was laid out with.
    let job = "--nfs_url=soft:?misbehave=restart-every=50 --rw=read --bs=64k --size=16m";
    let jobs = fio(job).succeeds().jobs();
    assert_eq!(total(&jobs, "read"), 256);
}

#[test]
fn a_server_that_restarts_fails_the_fsync_of_a_job_that_keeps_nothing() {
    let job = "--nfs_url=soft:?misbehave=restart-every=60 --uncommitted_max=0 --rw=write --bs=4k \
               --size=2m --fsync=16";
    fio(job).fails(&["the server restarted since the data was written"]);
}

#[test]
fn the_sample_job_file_runs() {
    let directory = tempfile::tempdir().expect("a place");
    let job = support::sample(directory.path(), "soft:");
    let mut command = Command::new("fio");
    command.current_dir(directory.path()).args(["--output-format=json"]).arg(job);
    let jobs = run(&mut command).succeeds().jobs();
    assert_eq!((total(&jobs, "write"), total(&jobs, "read")), (1024, 1024));
}

#[test]
fn files_are_removed_when_fio_is_told_to() {
    let directory = tempfile::tempdir().expect("a place");
    let mut command = Command::new("fio");
    command.current_dir(directory.path()).args([
        &*format!("--ioengine={}", engine()),
        "--thread=1",
        "--nfs_url=soft:",
        "--bs=4k",
        "--size=64k",
        "--name=made",
        "--rw=write",
        "--filename=x",
        "--unlink=1",
        "--name=missed",
        "--stonewall",
        "--startdelay=1",
        "--rw=read",
        "--filename=x",
        "--allow_file_create=0",
        "--create_serialize=0",
    ]);
    run(&mut command).fails(&["missed", "NOENT"]);
}

#[test]
fn what_has_no_meaning_is_refused_by_name() {
    for (option, says) in [
        ("--rw=randtrim", "trim is refused"),
        ("--rw=read --thread=0", "thread=1 is needed"),
        ("--rw=read --pre_read=1", "pre_read is refused"),
        ("--rw=write --fill_device=1", "fill_device is refused"),
        ("--rw=read --iomem_align=4k", "iomem_align is refused"),
        ("--rw=read --iomem=mmap", "iomem is refused"),
        ("--rw=read --io_submit_mode=offload", "can't be used with offloaded submit"),
        ("--rw=read --registration=secret", "registration=secret"),
        ("--rw=read --inline_send=1500", "inline_send"),
        ("--rw=read --max_requests=0", "max_requests"),
        ("--rw=read --nconnect=17", "nconnect"),
        ("--rw=read --nfs_url=soft:?space=lots", "soft:[?space=SIZE]"),
        ("--rw=read --nfs_url=http://server/export", "it does not begin with nfs://"),
        ("--rw=read --cores=1-x", "not a list of cores"),
    ] {
        let job = format!("--nfs_url=soft: --bs=4k --size=1m {option}");
        fio(&job).fails(&[says]);
    }
    fio("--rw=read --bs=4k --size=1m").fails(&["nfs_url= is missing"]);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    fio("--nfs_url=nfs://127.0.0.1/export --mountport=1 --rw=read --bs=4k --size=1m").fails(&[
        "cannot mount nfs://127.0.0.1/export",
        "MOUNT at 127.0.0.1:1",
        "refused",
    ]);
}

#[test]
fn a_server_that_dies_in_the_middle_ends_a_soft_job_with_our_sentence() {
    let job = "--nfs_url=soft:?stop_after=5 --recovery=soft --timeo=5 --retrans=1 --rw=randread \
               --bs=4k --size=1m --iodepth=8 --time_based --runtime=60";
    let began = Instant::now();
    fio(job).fails(&["initiator: gave up after 1s without an answer", "Input/output error"]);
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
}

#[test]
fn errors_of_the_server_are_told_with_its_status() {
    let job = "--nfs_url=soft:?misbehave=status=STALE:READ:9 --rw=randread --bs=4k --size=1m";
    fio(job).fails(&["initiator: READ: NFS3ERR_STALE", "Stale file handle"]);
    let job = "--nfs_url=soft:?space=1m --rw=write --bs=64k --size=8m";
    fio(job).fails(&["NFS3ERR_NOSPC"]);
}

#[test]
fn an_interrupt_ends_a_job_whose_hard_mounted_server_is_silent() {
    let mut command = Command::new("fio");
    let directory = tempfile::tempdir().expect("a place");
    command.current_dir(directory.path()).arg(format!("--ioengine={}", engine()));
    let job = "--name=job --thread=1 --nfs_url=soft:?stop_after=5 --rw=randread --bs=4k --size=1m \
               --iodepth=8 --time_based --runtime=100";
    command.args(job.split_whitespace());
    let child = start(&mut command);
    std::thread::sleep(Duration::from_secs(10));
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it runs");
    let ran = finish(child, "an interrupted fio");
    assert!(ran.text().contains("read:"), "its report is printed: {}", ran.text());
}

#[test]
fn options_are_listed_by_enghelp() {
    let library = engine();
    let library = library.trim_start_matches("external:");
    let text = run(Command::new("fio").arg(format!("--enghelp={library}"))).succeeds().text();
    for option in [
        "nfs_url",
        "cores",
        "nconnect",
        "registration",
        "recovery",
        "inline_send",
        "inline_receive",
    ] {
        assert!(text.contains(option), "{option} is not in {text}");
    }
}

#[test]
fn a_job_is_sent_to_a_server_of_fio() {
    let directory = tempfile::tempdir().expect("a place");
    let socket = directory.path().join("fio.sock");
    let job = directory.path().join("job.fio");
    let text = format!(
        "[job]\nioengine={}\nthread=1\nnfs_url=soft:\nrw=randwrite\nverify=crc32c\nbs=4k\nsize=1m\n\
         iodepth=8\n",
        engine()
    );
    std::fs::write(&job, text).expect("it can be written");
    let mut command = Command::new("fio");
    command.current_dir(directory.path()).arg(format!("--server=sock:{}", socket.display()));
    let server = start(&mut command);
    let began = Instant::now();
    while !socket.exists() && began.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut command = Command::new("fio");
    command.arg(format!("--client=sock:{}", socket.display())).arg(&job);
    let ran = run(&mut command);
    kill(Pid::from_raw(server.id() as i32), Signal::SIGTERM).expect("it runs");
    finish(server, "fio --server");
    let text = ran.succeeds().text();
    assert!(text.contains("err= 0") && text.contains("WRITE: bw="), "{text}");
}
