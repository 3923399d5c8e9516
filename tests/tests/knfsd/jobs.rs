//! The program itself, as an engineer runs it: verified jobs, and failures that end in one line.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::server::{Server, initiator, variable};

/// Runs the program; reactors leave room to the kernel's workers on two emulated CPUs.
fn run(args: &[&str]) -> Output {
    let mut command = Command::new(initiator());
    command.args(args).args(["--idle", "nice:19", "--hugepages", "required"]);
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes a job file whose `nfs_url=` is `path` at the server.
fn job_file(server: &Server, path: &str, jobs: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("knfsd-{}.fio", std::process::id()));
    let global = format!("[global]\nnfs_url={}\n", server.url(path));
    std::fs::write(&file, global + jobs).expect("a temporary file");
    file
}

/// Runs a job file on these cores; its JSON report.
fn report(server: &Server, path: &str, cores: &str, jobs: &str) -> Value {
    let file = job_file(server, path, jobs);
    let output = run(&["run", "-c", cores, "--output-format", "json", file.to_str().unwrap()]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}: {stderr}\n{stdout}", output.status);
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

/// Every call was answered, over connections that were made once.
fn assert_clean(report: &Value, connections: u64) {
    let counters = &report["initiator"]["counters"];
    assert_eq!(counters["sends"], counters["recvs"], "{counters}");
    assert_eq!(counters["connect_count"], connections, "{counters}");
    for name in ["bad_reply_count", "bad_xids", "rdma_errors", "stale_completions"] {
        assert_eq!(counters[name], 0, "{name}: {counters}");
    }
    for mount in report["initiator"]["mounts"].as_array().unwrap() {
        let memory = mount["memory"].as_str().unwrap();
        assert!(memory.contains("on 2 MiB huge pages"), "{memory}");
    }
}

const VERIFY: &str = "
rw=randwrite
verify=crc32c
[small]
bs=4k
size=4m
iodepth=16
[large]
stonewall
bs=128k
size=16m
iodepth=16
";

#[test]
fn knfsd_verifies_random_writes_on_one_reactor() {
    verify_on("0", 1);
}

#[test]
fn knfsd_verifies_random_writes_on_two_reactors() {
    verify_on("0,1", 2);
}

fn verify_on(cores: &str, reactors: u64) {
    let Some(server) = Server::find() else { return };
    let (dir, path) = server.fresh_dir("verify");
    let jobs = format!("numjobs={reactors}\ngroup_reporting\n{VERIFY}");
    let report = report(&server, &path, cores, &jobs);
    for (job, name, size) in [(0, "small", 4u64 << 20), (1, "large", 16 << 20)] {
        let job = &report["jobs"][job];
        assert_eq!((&job["jobname"], &job["error"]), (&name.into(), &0.into()), "{job}");
        assert_eq!(job["write"]["io_bytes"], size * reactors, "all of it is written");
        assert_eq!(job["read"]["io_bytes"], size * reactors, "and all of it is checked");
        for instance in 0..reactors {
            let file = dir.join(format!("{name}.{instance}.0"));
            assert_eq!(std::fs::metadata(&file).unwrap().len(), size, "{}", file.display());
        }
    }
    // Each block by one Read chunk, and checked by one Write chunk; two stages, each mounts anew.
    assert_clean(&report, 2 * reactors);
    let (counters, blocks) = (&report["initiator"]["counters"], (1024 + 128) * reactors);
    assert_eq!(counters["read_chunk_count"], blocks, "{counters}");
    assert_eq!(counters["write_chunk_count"], blocks, "{counters}");
    assert_eq!(counters["read_chunk_bytes"], (20 << 20) * reactors, "{counters}");
    assert_eq!(counters["total_rdma_reply"], (20 << 20) * reactors, "{counters}");
}

#[test]
fn knfsd_verifies_queue_depth_256_over_64_credits() {
    let Some(server) = Server::find() else { return };
    let (_, path) = server.fresh_dir("deep");
    let job = "[deep]\nrw=randwrite\nverify=crc32c\nbs=4k\nsize=8m\niodepth=256\n";
    let report = report(&server, &path, "0", job);
    assert_eq!(report["jobs"][0]["error"], 0);
    assert_eq!(report["jobs"][0]["write"]["total_ios"], 2048);
    assert_clean(&report, 1);
    assert_eq!(report["initiator"]["mounts"][0]["credits_granted"], 64);
    let waits = report["initiator"]["counters"]["credit_waits"].as_u64().unwrap();
    assert!(waits > 0, "callers beyond the grant have waited");
}

#[test]
fn knfsd_latencies_agree_with_rate_and_depth() {
    let Some(server) = Server::find() else { return };
    let (_, path) = server.fresh_dir("latencies");
    let job = "rw=randread\nbs=4k\nsize=1m\niodepth=16\nruntime=2\ntime_based\n[j]\n";
    let report = report(&server, &path, "0", job);
    let read = &report["jobs"][0]["read"];
    let number = |value: &Value| value.as_f64().unwrap();
    // Little's law: what is in flight is rate times latency.
    let in_flight = number(&read["iops"]) * number(&read["lat_ns"]["mean"]) / 1e9;
    println!("{in_flight:.1} reads in flight, by rate and latency");
    assert!((12.0..18.0).contains(&in_flight), "{in_flight} instead of 16: {read}");
}

/// Runs a job that must fail: status 1, one line that says `words`, no panic.
fn assert_fails(server: &Server, path: &str, job: &str, words: &[&str]) {
    let file = job_file(server, path, job);
    assert_refused(&run(&["run", file.to_str().unwrap()]), words);
}

fn assert_refused(output: &Output, words: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let lines: Vec<_> = stderr.lines().filter(|line| line.starts_with("initiator: ")).collect();
    assert_eq!(lines.len(), 1, "one line says what is wrong: {stderr}");
    println!("{}", lines[0]);
    for word in words {
        assert!(lines[0].contains(word), "{word:?} is not in: {stderr}");
    }
}

#[test]
fn knfsd_failures_of_a_job_are_one_line_and_status_1() {
    let Some(server) = Server::find() else { return };
    let Some(denied) = variable("INITIATOR_EXPORT_DENIED") else { return };
    let Some(read_only) = variable("INITIATOR_EXPORT_RO") else { return };
    let Some(small) = variable("INITIATOR_EXPORT_SMALL") else { return };
    let job = |rw, size| format!("[j]\nrw={rw}\nbs=64k\nsize={size}\nfilename=f\n");
    let write = job("write", "1m");
    assert_fails(&server, "/nowhere", &write, &["does not export", "/nowhere"]);
    assert_fails(&server, &denied, &write, &["refused to mount", &denied]);
    assert_fails(&server, &read_only, &write, &["read-only"]);
    assert_fails(&server, &format!("{}/no/dir", server.export), &write, &["no such file"]);
    for rw in ["write", "randread"] {
        let words = ["67108864 more bytes", "16777216 free"];
        assert_fails(&server, &small, &job(rw, "64m"), &words);
    }
}

#[test]
fn knfsd_missing_resources_are_named() {
    let Some(server) = Server::find() else { return };
    const RESERVED: &str = "/proc/sys/vm/nr_hugepages";
    let pages = std::fs::read_to_string(RESERVED).unwrap();
    let url = server.url(&server.export);
    let perf = ["perf", &*url, "-w", "randread", "-t", "1", "--size", "1m"];
    std::fs::write(RESERVED, "0").expect("root can give huge pages back");
    let without_pages = run(&perf);
    std::fs::write(RESERVED, &pages).unwrap();
    assert_refused(&without_pages, &["huge pages", "initiator hugepages reserve"]);
    assert_refused(&run(&[&perf[..], &["-c", "4000"]].concat()), &["core 4000"]);
}

#[test]
fn knfsd_too_little_memlock_is_named() {
    let Some(server) = Server::find() else { return };
    let (dir, path) = server.fresh_dir("memlock");
    let program = dir.join("initiator");
    std::fs::copy(initiator(), &program).expect("a program that everybody may run");
    let url = server.url(&path);
    for policy in ["required", "preferred", "off"] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]);
        command.args(["prlimit", "--memlock=65536"]).arg(&program);
        command.args(["perf", &url, "-t", "1", "--size", "64k", "--hugepages", policy]);
        let output = command.output().expect("setpriv starts");
        assert_refused(&output, &["the memlock limit is 64 KiB", "ulimit -l"]);
    }
}
