//! A server that misbehaves, and data that is not what was written: the job fails with one line,
//! its report is printed, and nothing hangs.

use crate::support::{TempFile, initiator};

/// Runs a load against a target with these orders; it fails with a line that says all this.
fn misbehaving(orders: &str, flags: &str, says: &[&str]) {
    let line = format!("perf --idle yield -t 1 --size 4m --target-misbehave {orders} {flags}");
    let ran = initiator(&line).fails(1, says);
    let report = ran.stdout();
    assert!(report.contains("Transport (soft)"), "the report is printed: {report}");
}

#[test]
fn nfs_errors_are_told_with_operation_file_and_status() {
    misbehaving(
        "status=STALE:READ:9",
        "-w randread",
        &["read of 4096 bytes", "'perf.0.0'", "STALE"],
    );
    misbehaving("status=NOSPC:WRITE:9", "-w randwrite", &["write of 4096 bytes", "NOSPC"]);
    misbehaving(
        "status=IO:COMMIT:9",
        "-w write --fsync 8",
        &["commit of 'perf.0.0'", "NFS3ERR_IO"],
    );
    misbehaving("status=ACCES:LOOKUP:9", "-w read", &["open of 'perf.0.0'", "ACCES"]);
}

#[test]
fn a_connection_that_is_lost_fails_the_job_if_the_mount_does_not_recover() {
    let flags = "-w randread --recovery never";
    misbehaving("disconnect-after=500", flags, &["job 'perf'", "lost"]);
}

#[test]
fn a_connection_that_is_lost_is_made_again() {
    let line = "perf --idle yield -w randwrite --verify crc32c -t 0 --size 4m --output-format json \
                --target-misbehave disconnect-after=500";
    let report = initiator(line).status(0).json();
    let counters = &report["initiator"]["counters"];
    assert_eq!(counters["connect_count"], 2, "{counters}");
}

#[test]
fn a_server_that_restarts_and_loses_uncommitted_data_costs_a_verifying_job_nothing() {
    for (flags, uncommitted_max) in [("", "4m"), ("--fsync 16", "64k"), ("-b 64k --size 16m", "0")]
    {
        let line = format!(
            "perf --idle yield -w randwrite --verify crc32c -t 0 --size 4m --reconnect-min 1 \
             --uncommitted-max {uncommitted_max} --output-format json \
             --target-misbehave restart-every=150 {flags}"
        );
        let report = initiator(&line).status(0).json();
        let counters = &report["initiator"]["counters"];
        let connections = counters["connect_count"].as_u64().unwrap_or_default();
        assert!(connections >= 2, "it has restarted: {counters}");
    }
}

#[test]
fn a_server_that_is_not_ready_is_asked_again_and_the_report_says_so() {
    let line = "perf --idle yield -w randwrite --verify crc32c -t 0 --size 1m --jukebox-wait 1 \
                --output-format json --target-misbehave \
                status=JUKEBOX:WRITE:3,status=JUKEBOX:COMMIT:1,status=JUKEBOX:READ:2";
    let report = initiator(line).status(0).json();
    assert_eq!(report["initiator"]["mounts"][0]["jukebox_waits"], 6);
    assert_eq!(report["initiator"]["counters"]["connect_count"], 1);
}

#[test]
fn a_soft_mount_fails_on_a_server_that_is_never_ready_and_says_so() {
    let flags = "-w randread --recovery soft --timeo 10 --retrans 1 --jukebox-wait 1";
    let says = ["read of 4096 bytes", "NFS3ERR_JUKEBOX", "limit of 2s"];
    misbehaving("status=JUKEBOX:READ:100000", flags, &says);
}

#[test]
fn replies_that_break_the_protocol_fail_the_job() {
    misbehaving("read-count=1", "-w randread", &["read of 4096 bytes", "byte count"]);
    misbehaving("foreign-rkey=1", "-w randread", &["bad reply", "not the one that was offered"]);
    misbehaving("foreign-offset=1", "-w randread", &["bad reply", "not the one that was offered"]);
    misbehaving("long-chunk=1", "-w randread", &["bad reply", "in a chunk of 4096"]);
}

/// The first reply is that of the mount.
#[test]
fn a_mount_that_fails_says_which_and_why() {
    for (orders, says) in [
        ("drop-replies=1", "did not answer an RPC within 1s"),
        ("garbage-replies=1", "did not answer an RPC within 1s"),
        ("truncate-replies=1", "FSINFO: bad result"),
        ("wrong-version=1", "did not answer an RPC within 1s"),
        ("err-chunk=1", "ERR_CHUNK"),
        ("disconnect-after=0", "lost"),
        ("status=STALE:FSINFO:1", "STALE"),
    ] {
        let line = format!(
            "perf --idle yield -t 1 --timeo 10 --recovery never --target-misbehave {orders}"
        );
        initiator(&line).fails(1, &["cannot mount nfs://127.0.0.1:", says]);
    }
}

#[test]
fn short_answers_and_few_credits_are_no_fault() {
    for orders in
        ["short-read=5,short-write=5", "credits=1", "duplicate-replies=50", "delay-replies=1ms"]
    {
        let line = format!(
            "perf --idle yield -w randrw --verify crc32c -t 0 --size 1m --target-misbehave {orders}"
        );
        initiator(&line).status(0);
    }
}

#[test]
fn data_that_was_not_written_by_a_verifying_job_does_not_verify() {
    let text = "[global]\nfilename=data\nsize=1m\nbs=4k\n[plain]\nrw=write\n\
                [check]\nstonewall\nrw=randread\nverify=crc32c\n";
    let file = TempFile::new("job.fio", text);
    let line = format!("run --embedded --idle yield {}", file.path().display());
    let ran = initiator(&line).fails(1, &["job 'check'", "'data'"]);
    assert!(ran.stdout().contains("err=84"), "EILSEQ, as fio has it: {}", ran.stdout());
}
