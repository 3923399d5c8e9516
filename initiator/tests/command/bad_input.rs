//! What is wrong outside the command line: one clear line and status 1, before anything runs.

use crate::support::{TempFile, command, initiator, run};

#[test]
fn a_job_option_that_is_not_supported_is_named_with_its_line() {
    let file = TempFile::new("job.fio", "[a]\nrw=read\nsize=1m\niodepht=4\n");
    let line = format!("run --embedded {}", file.path().display());
    initiator(&line).fails(1, &["job.fio:4:", "'iodepht'", "did you mean 'iodepth'"]);
}

#[test]
fn job_files_that_say_too_little_or_nonsense() {
    for (text, says) in [
        ("[a]\nrw=read\nsize=1m\n", "nfs_url= is missing"),
        ("[a]\nrw=read\nsize=1m\nnfs_url=http://server/x\n", "does not begin with nfs://"),
        ("[a]\nrw=read\nsize=1m\nnfs_url=nfs://\n", "the host is missing"),
        ("[a]\nrw=write\nnfs_url=nfs://127.0.0.1/\n", "needs size="),
        ("[a]\nbs=0\n", "a block of 0 bytes"),
        ("rw=read\n", "job.fio:1:"),
        ("[global]\nrw=read\n", "job"),
        ("", "job"),
    ] {
        let file = TempFile::new("job.fio", text);
        initiator(&format!("run {}", file.path().display())).fails(1, &[says, "job.fio"]);
    }
    initiator("run /nonexistent/job.fio").fails(1, &["/nonexistent/job.fio", "cannot read"]);
}

#[test]
fn an_unknown_key_of_the_configuration_is_named_with_its_line() {
    let file = TempFile::new("bad.toml", "[transport]\n# fine\nmax_reqests = 3\n");
    let line = format!("perf --config {}", file.path().display());
    initiator(&line).fails(1, &["bad.toml:3:", "max_reqests", "max_requests"]);
    initiator("perf --config /nonexistent.toml").fails(1, &["/nonexistent.toml"]);
}

#[test]
fn settings_out_of_range_say_what_is_allowed() {
    for (flags, says) in [
        ("--max-requests 0", "max_requests = 0: allowed is 1 to 4096"),
        ("--nconnect 17", "nconnect = 17: allowed is 1 to 16"),
        ("--inline 1000", "inline_send = 1000: allowed is 1024"),
        ("--send-batch 999 --max-requests 4", "send_batch = 999: allowed is 0 to max_requests"),
        ("--timeo 0", "timeo = 0"),
        ("--poll-batch 0", "poll_batch = 0"),
        ("--cq-depth 0", "cq_depth = 0"),
        ("--target-credits 0", "credits is 0"),
        ("--target-space 1", "capacity_bytes is 1"),
    ] {
        initiator(&format!("perf -t 1 {flags}")).fails(1, &[says]);
    }
}

#[test]
fn a_core_that_does_not_exist_is_named_with_those_that_do() {
    initiator("perf -c 4000").fails(1, &["core 4000 cannot be used", "may run on cores"]);
    initiator("perf --target-core 4000").fails(1, &["core 4000 cannot be used"]);
}

/// MOUNT over TCP needs no RDMA, so this is the error wherever the test runs.
#[cfg(feature = "rdma")]
#[test]
fn a_server_that_is_not_there() {
    use std::net::TcpListener;

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let line = format!("perf nfs://127.0.0.1/export --mountport {port}");
    initiator(&line).fails(1, &[&format!("127.0.0.1:{port}"), "refused"]);
    let line = format!("perf nfs://host.invalid/export --mountport {port}");
    initiator(&line).fails(1, &["host.invalid", "cannot resolve"]);
}

#[cfg(feature = "rdma")]
#[test]
fn a_port_where_nobody_speaks_mount() {
    use std::io::Write;
    use std::net::TcpListener;

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept()?;
        peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    });
    let line = format!("perf nfs://127.0.0.1/export --mountport {port}");
    initiator(&line).fails(1, &[&format!("MOUNT at 127.0.0.1:{port}")]);
    server.join().expect("no panic").expect("somebody called");
}

#[cfg(not(feature = "rdma"))]
#[test]
fn a_build_without_rdma_says_so() {
    for line in ["perf nfs://127.0.0.1/export", "target --listen 127.0.0.1"] {
        initiator(line).fails(1, &["built without RDMA"]);
    }
}

#[test]
fn a_job_that_is_larger_than_the_server() {
    let line = "perf --idle yield --target-space 16m --size 64m -t 1";
    initiator(line).fails(1, &["need 67108864 more bytes", "16777216 free", "smaller size="]);
}

#[test]
fn blocks_larger_than_the_server_takes() {
    let line = "perf --idle yield -b 2m --size 4m -t 1";
    initiator(line).fails(1, &["bs=2097152", "1048576 bytes"]);
}

#[test]
fn huge_pages_that_are_required_and_not_there() {
    let line = "perf --idle yield --hugepages required --page-size 1G -b 1m -q 60000";
    initiator(line).fails(1, &["1 GiB huge pages"]);
}

#[test]
fn too_many_operations_in_flight() {
    let line = "perf --idle yield -q 65536 -j 3 -c 0";
    initiator(line).fails(1, &["core 0 would have 196608 operations in flight"]);
}

#[test]
fn a_report_that_cannot_be_written() {
    let line = "perf -t 1 --output /nonexistent/report";
    initiator(line).fails(1, &["--output /nonexistent/report"]);
}

#[test]
fn a_reader_of_the_report_that_has_gone() {
    let mut command = command(["perf", "--idle", "yield", "-t", "0", "--size", "1m"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    command.stdout(writer);
    run(command).fails(1, &["standard output"]);
}

#[test]
fn reserving_pages_on_a_node_that_is_not_there() {
    initiator("hugepages reserve 1 --node 999").fails(1, &["NUMA node 999"]);
    initiator("hugepages").status(0);
}

#[test]
fn nothing_of_a_file_runs_that_is_wrong_further_down_nor_of_one_before_it() {
    let served = tempfile::tempdir().expect("a place");
    let good = TempFile::new("good.fio", "[a]\nrw=write\nsize=64k\n");
    let half = TempFile::new("half.fio", "[b]\nrw=write\nsize=64k\n[c]\nrw=write\nsiz");
    let (good, half) = (good.path(), half.path());
    for files in [format!("{}", half.display()), format!("{} {}", good.display(), half.display())] {
        let line = format!("run --embedded --target-directory {} {files}", served.path().display());
        initiator(&line).fails(1, &["half.fio:6:1: option 'siz' is unknown"]);
        let made = std::fs::read_dir(served.path()).expect("it is there").count();
        assert_eq!(made, 0, "no job wrote anything");
    }
}

#[test]
fn a_job_file_that_is_huge_or_no_text_is_refused_at_once() {
    use std::time::{Duration, Instant};

    let binary = std::env::current_exe().expect("a test is a program");
    let began = Instant::now();
    initiator(&format!("run --embedded {}", binary.display())).fails(1, &[":1:1: ", "job file"]);
    let huge = TempFile::new("huge.fio", "");
    let file = std::fs::File::options().write(true).open(huge.path()).expect("it is there");
    file.set_len(100 << 20).expect("a hole");
    let says = "huge.fio:1:1: the job file has more than 1048576 bytes";
    initiator(&format!("run --embedded {}", huge.path().display())).fails(1, &[says]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
