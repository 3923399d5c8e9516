//! Whole runs against the embedded target.

use serde_json::Value;

use crate::support::{conf, initiator};

/// Runs a load and returns its JSON report.
fn perf(flags: &str) -> Value {
    let line = format!("perf --idle yield --output-format json {flags}");
    initiator(&line).status(0).json()
}

fn count(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {value}"))
}

fn conf_runs(name: &str, expected: &[&str]) {
    let line = format!("run --embedded --idle yield {}", conf(name).display());
    let report = initiator(&line).status(0).stdout();
    for text in expected {
        assert!(report.contains(text), "{text}: {report}");
    }
    assert!(report.contains("err= 0") && report.contains("CQEs per RPC"), "{report}");
}

#[test]
fn conf_randread_4k_runs() {
    conf_runs("randread-4k.fio", &["randread: (groupid=0, jobs=2)", "rw=randread, bs=(R) 4096B"]);
}

#[test]
fn conf_randwrite_verify_runs() {
    conf_runs(
        "randwrite-verify.fio",
        &["verify-4k: ", "verify-128k: ", "issued rwts: total=2048,2048"],
    );
}

#[test]
fn conf_seq_128k_runs() {
    conf_runs("seq-128k.fio", &["seq-write: ", "seq-read: ", "fsync/fdatasync", "group 1"]);
}

#[test]
fn conf_mixed_runs() {
    conf_runs("mixed.fio", &["reader: ", "mix: ", "stable: ", "stable writes"]);
}

#[test]
fn every_job_file_of_conf_has_a_test() {
    let mut names: Vec<String> = std::fs::read_dir(conf(""))
        .expect("conf/ is there")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let tested =
        ["initiator.toml", "mixed.fio", "randread-4k.fio", "randwrite-verify.fio", "seq-128k.fio"];
    assert_eq!(names, tested);
}

#[test]
fn the_sample_configuration_can_be_used() {
    let config = conf("initiator.toml").display().to_string();
    let report = perf(&format!("--config {config} -t 0 --size 1m"));
    assert_eq!(count(&report, "/jobs/0/read/total_ios"), 256);
}

#[test]
fn the_json_report_has_the_shape_of_fios_and_our_counters() {
    let report = perf("-w randread -b 4k -q 16 -t 1 --size 4m");
    assert!(report["jobs"][0]["read"]["iops"].as_f64().expect("a rate") > 0.0, "{report}");
    assert_eq!(report["jobs"][0]["jobname"], "perf");
    assert_eq!(report["jobs"][0]["error"], 0);
    let ours = &report["initiator"];
    assert_eq!(ours["provider"], "soft");
    let counters = &ours["counters"];
    // Everything that was sent was answered, and the server saw the same.
    assert_eq!(counters["sends"], counters["recvs"]);
    assert_eq!(count(counters, "/sends"), count(ours, "/target/replies"));
    assert_eq!(count(ours, "/target/READ"), count(&report, "/jobs/0/read/total_ios"));
    let bytes = count(counters, "/total_rdma_reply") + count(counters, "/fixup_copy_count");
    assert_eq!(bytes, count(&report, "/jobs/0/read/io_bytes"));
    assert_eq!(count(ours, "/target/connections_closed"), 1, "nothing is left open");
    assert_eq!(ours["mounts"][0]["credits_granted"], 64);
    let memory = ours["mounts"][0]["memory"].as_str().expect("a line");
    assert!(memory.starts_with("memory: asked"), "{memory}");
    let reactors = ours["reactors"].as_array().expect("a list");
    assert_eq!(reactors.len(), 2);
    assert!(reactors.iter().all(|reactor| count(reactor, "/busy_ns") > 0), "{reactors:?}");
}

#[test]
fn writes_are_read_back_and_checked_by_every_path() {
    // 512 bytes are copied inline, 1 KiB gathered inline, the others come by Read chunk.
    for bs in ["512", "1k", "4k", "128k"] {
        let report = perf(&format!("-w randwrite -b {bs} --verify crc32c -t 0 --size 2m -q 8"));
        let job = &report["jobs"][0];
        assert_eq!(job["read"]["io_bytes"], 2 << 20, "bs={bs}: all of it was read back");
        assert_eq!(job["write"]["io_bytes"], 2 << 20);
        let counters = &report["initiator"]["counters"];
        let by_path = ["/pullup_copy_count", "/gathered_sends", "/read_chunk_count"];
        let used = by_path.map(|path| count(counters, path) > 0);
        let expected = match bs {
            "512" => [true, false, false],
            "1k" => [false, true, false],
            _ => [false, false, true],
        };
        assert_eq!(used, expected, "bs={bs}: {counters}");
    }
    let report = perf("-w write --verify pattern --verify-pattern 0xdeadbeef -t 0 --size 1m");
    assert_eq!(count(&report, "/jobs/0/read/io_bytes"), 1 << 20);
}

#[test]
fn more_operations_than_credits_wait_in_the_client() {
    let report = perf("-w randrw -q 256 -t 0 --size 8m --verify crc32c");
    let ours = &report["initiator"];
    assert!(count(ours, "/counters/credit_waits") > 0, "{ours}");
    assert_eq!(count(ours, "/target/credit_overruns"), 0, "the grant is respected");
    assert_eq!(count(&report, "/jobs/0/error"), 0);
}

#[test]
fn batching_is_visible_and_saves_completions() {
    let report = perf("-w randread -b 512 -q 32 -t 1 --size 1m");
    let ours = &report["initiator"];
    let cqes = ours["cqes_per_rpc"].as_f64().expect("a number");
    let signal_every = 7.0;
    assert!(cqes > 1.0 && cqes <= 1.0 + 1.0 / signal_every + 0.05, "CQEs per RPC: {cqes}");
    let wrs = ours["wrs_per_doorbell"].as_f64().expect("a number");
    assert!(wrs > 1.0, "WRs per doorbell: {wrs}");
}

#[test]
fn windows_and_static_keys_carry_the_same_data() {
    for (how, windows) in [("window", true), ("static", false)] {
        let flags = "-w randrw -b 4k -q 16 -t 0 --size 2m --verify crc32c";
        let report = perf(&format!("{flags} --registration {how}"));
        let counters = &report["initiator"]["counters"];
        assert_eq!(count(counters, "/mrs_allocated") > 0, windows, "{how}: {counters}");
        let more_than_sends = count(counters, "/send_wrs") > count(counters, "/sends");
        assert_eq!(more_than_sends, windows, "a bind goes before its Send: {counters}");
    }
}

#[test]
fn every_send_is_signaled_when_asked() {
    let report = perf("-w randread -b 512 -q 8 -t 0 --size 256k --send-batch 0");
    let counters = &report["initiator"]["counters"];
    assert_eq!(counters["signaled_sends"], counters["sends"]);
}

#[test]
fn jobs_share_a_reactor_or_have_their_own() {
    let cores = reactor::usable_cores();
    let own: Vec<String> = cores.iter().take(2).map(usize::to_string).collect();
    for (list, mounts) in [(own[0].clone(), 1), (own.join(","), own.len())] {
        let report = perf(&format!("-c {list} -j 2 -t 0 --size 1m -w randwrite --verify crc32c"));
        assert_eq!(report["jobs"][0]["initiator"]["instances"], 2);
        assert_eq!(report["jobs"][0]["write"]["io_bytes"], 2 << 20);
        let connections = report["initiator"]["mounts"].as_array().map(Vec::len);
        assert_eq!(connections, Some(mounts), "one mount a reactor");
    }
}

#[test]
fn the_report_goes_where_it_is_told() {
    let directory = tempfile::tempdir().expect("a place for files");
    let file = directory.path().join("report");
    let line = format!("perf --idle yield -t 0 --size 1m --output {}", file.display());
    assert_eq!(initiator(&line).status(0).stdout(), "");
    let report = std::fs::read_to_string(file).expect("it was written");
    assert!(report.contains("Run status group 0") && report.contains("\nReactors:\n"), "{report}");
}

#[test]
fn flags_of_the_command_line_win_over_the_file() {
    let directory = tempfile::tempdir().expect("a place for files");
    let file = directory.path().join("a.toml");
    std::fs::write(&file, "[transport]\nsend_batch = 1\n").expect("it can be written");
    let line = format!("-b 512 -t 0 --size 64k --config {} --send-batch 4", file.display());
    let counters = perf(&line)["initiator"]["counters"].clone();
    assert!(count(&counters, "/signaled_sends") < count(&counters, "/sends"), "{counters}");
}

#[test]
fn several_connections_of_a_mount_are_reported_each_for_itself_and_together() {
    let flags = "--nconnect 4 -w randrw -b 4k -q 16 --size 1m -t 0";
    let report = perf(flags);
    let connections = report.pointer("/initiator/mounts/0/connections").unwrap().as_array();
    let sends: Vec<u64> =
        connections.unwrap().iter().map(|connection| count(connection, "/sends")).collect();
    assert_eq!(sends.len(), 4);
    assert!(sends.iter().all(|&sends| sends > 20), "{sends:?}");
    assert_eq!(sends.iter().sum::<u64>(), count(&report, "/initiator/mounts/0/counters/sends"));
    let text = initiator(&format!("perf --idle yield {flags}")).status(0).stdout();
    assert!(text.contains("4 connection(s)") && text.contains("0.3: sends="), "{text}");
}

#[test]
fn the_report_is_also_written_as_a_page() {
    let place = tempfile::tempdir().expect("a place for files");
    let page = place.path().join("report.html");
    let report = perf(&format!("-t 0 --size 1m --html {}", page.display()));
    let page = std::fs::read_to_string(page).expect("it was written");
    let data = page.split("id=\"report\">").nth(1).and_then(|rest| rest.split("</script>").next());
    let data: serde_json::Value =
        serde_json::from_str(data.expect("the data is in the page")).expect("JSON");
    assert_eq!(count(&data, "/jobs/0/read/total_ios"), 256);
    assert_eq!(data["jobs"][0]["read"]["io_bytes"], report["jobs"][0]["read"]["io_bytes"]);
    assert!(page.contains("<svg class=\"chart\""), "there are charts");
    initiator("perf -t 0 --html /nowhere/report.html").fails(1, &["--html /nowhere/report.html"]);
}

#[test]
fn any_option_of_a_job_is_a_flag_of_perf() {
    let report = perf("-t 1 --size 1m --rate_iops=200 --rate_process linear --name=paced");
    assert_eq!(report["jobs"][0]["jobname"], "paced");
    let ios = count(&report, "/jobs/0/read/total_ios");
    // Fewer where the machine is busy; as fast as it goes would be thousands.
    assert!((1..=210).contains(&ios), "{ios}");
    let report = perf("-t 0 --size 1m --blocksize=64k --loops=2");
    assert_eq!(count(&report, "/jobs/0/read/total_ios"), 32);
}

#[test]
fn the_embedded_target_keeps_its_files_where_it_is_told() {
    let place = tempfile::tempdir().expect("a place for files");
    let line = "-t 0 --size 1m -w write --buffer_pattern=0xa1b2c3d4 --target-directory";
    perf(&format!("{line} {}", place.path().display()));
    let bytes = std::fs::read(place.path().join("perf.0.0")).expect("it is there");
    assert_eq!(bytes.len(), 1 << 20);
    assert!(bytes.chunks(4).all(|word| word == [0xa1, 0xb2, 0xc3, 0xd4]));
}
