use super::scale::{binary, decimal, long, time_unit};
use super::{Report, RunInfo, banner, date};
use crate::jobfile::JobFile;
use crate::stats::{CpuUse, JobFailure, JobResult};
use crate::testing::{Memory, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

fn info() -> RunInfo {
    let mut counters = serde_json::Map::new();
    counters.insert("mount".into(), serde_json::json!({"rpcs": 12, "doorbells": 3}));
    RunInfo {
        version: "initiator-0.1.0".into(),
        unix_time_ms: 1_795_334_256_972,
        pid: 8730,
        global_options: vec![("size".into(), "4m".into())],
        counters,
    }
}

/// A result made by hand, with numbers that can be checked in the head.
fn result(name: &str, extra: &str) -> JobResult {
    let text = format!("[{name}]\nrw=randrw\nsize=4m\niodepth=4\n{extra}");
    let job = JobFile::parse(text.as_bytes(), "t").expect("right").jobs.remove(0);
    let mut result = JobResult::new(Arc::new(job), 0);
    for direction in 0..2 {
        let stats = &mut result.directions[direction];
        for i in 1..=1000 {
            stats.record(4096, 0, 0, i * 1000 * (direction as u64 + 1));
        }
        stats.runtime_ns = 2_000_000_000;
        [1500, 2500].into_iter().for_each(|kib| stats.bw.add(kib));
        [375, 625].into_iter().for_each(|iops| stats.iops.add(iops));
    }
    [400_000, 600_000].into_iter().for_each(|ns| result.sync.add(ns));
    result.issued = [1000, 1000, 2];
    (0..2002).for_each(|i| result.depth.add_depth(i.min(4)));
    (0..500).for_each(|_| result.submitted.add_batch(4));
    (0..250).for_each(|_| result.completed.add_batch(8));
    result.runtime_ns = 2_000_000_000;
    result.elapsed_ns = 2_100_000_000;
    result.cpu = CpuUse {
        user_ns: 500_000_000,
        system_ns: 20_000_000,
        context_switches: 3,
        major_faults: 0,
        minor_faults: 9,
    };
    result
}

#[test]
fn the_text_reads_like_fios() {
    let text = Report::new(info(), vec![result("job1", "description=hello\n")]).text();
    let expected = include_str!("expected.txt");
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn the_banner_reads_like_fios() {
    let text = "[a]\nrw=randread\nbs=4k,64k\nsize=1m\niodepth=8\nnumjobs=2\n[b]\nrw=write\nsize=1g\nbs=1m\nstonewall\n";
    let jobs = JobFile::parse(text.as_bytes(), "t").expect("right").jobs;
    assert_eq!(
        banner(&jobs, "initiator-0.1.0"),
        "a: (g=0): rw=randread, bs=(R) 4096B-4096B, (W) 64.0KiB-64.0KiB, ioengine=initiator, iodepth=8\n\
         ...\n\
         b: (g=1): rw=write, bs=(R) 1024KiB-1024KiB, (W) 1024KiB-1024KiB, ioengine=initiator, iodepth=1\n\
         initiator-0.1.0\n\
         Starting 3 threads\n"
    );
}

/// As fio 3.33 printed them.
#[test]
fn numbers_take_four_characters() {
    for (bytes, text) in [
        (56.0, "56B"),
        (4096.0, "4096B"),
        (12_288.0, "12.0KiB"),
        (65_536.0, "64.0KiB"),
        (4_022_272.0, "3928KiB"),
        (69_836_800.0, "66.6MiB"),
        (461_373_440.0, "440MiB"),
        (146_028_888_064.0, "136GiB"),
        (10_239.0, "10.0KiB"),
        (10_000.0, "9.77KiB"),
    ] {
        assert_eq!(binary(bytes, "B"), text);
    }
    for (value, text) in
        [(6.0, "6"), (8515.0, "8515"), (60_200.0, "60.2k"), (139_040.0, "139k"), (99_960.0, "100k")]
    {
        assert_eq!(decimal(value, ""), text);
    }
    for (value, text) in [(726_526.0, "726526"), (9_362_400.0, "9362.4k"), (2_989_900.0, "2989.9k")]
    {
        assert_eq!(long(value), text);
    }
    assert_eq!(time_unit(1913, 9_362_400).name, "nsec");
    assert_eq!(time_unit(2575, 3_020_000).name, "usec");
    assert_eq!(time_unit(2_000_001, 100_000_000).name, "msec");
    assert_eq!(time_unit(0, 0).name, "nsec");
}

#[test]
fn dates_are_ctimes() {
    assert_eq!(date(0), "Thu Jan  1 00:00:00 1970");
    assert_eq!(date(951_782_400_000), "Tue Feb 29 00:00:00 2000");
    assert_eq!(date(1_795_334_256_972), "Sun Nov 22 07:57:36 2026");
}

#[test]
fn a_group_is_one_entry_when_asked() {
    let grouped = || result("j", "group_reporting\nnumjobs=2\n");
    let report = Report::new(info(), vec![grouped(), grouped(), result("k", "")]);
    assert_eq!(report.entries().len(), 2);
    assert_eq!(report.entries()[0].instances, 2);
    assert_eq!(report.entries()[0].directions[0].ios, 2000);
    assert!(report.text().contains("j: (groupid=0, jobs=2): err= 0"));
    let apart = Report::new(info(), vec![result("j", ""), result("j", "")]);
    assert_eq!(apart.entries().len(), 2);
}

#[test]
fn failures_are_shown_and_found() {
    let mut bad = result("j", "");
    bad.failure = Some(JobFailure { errno: 84, message: "job 'j': it broke".into() });
    let report = Report::new(info(), vec![result("i", ""), bad]);
    assert_eq!(report.failure().map(|f| f.errno), Some(84));
    assert!(report.text().contains("j: (groupid=0, jobs=1): err=84 (job 'j': it broke): pid=8730"));
    let json: Value = serde_json::from_str(&report.json()).expect("JSON");
    assert_eq!(json["jobs"][1]["error"], 84);
    assert_eq!(json["jobs"][1]["initiator"]["error_message"], "job 'j': it broke");
}

#[test]
fn a_job_that_did_nothing_has_a_report() {
    let mut idle = result("j", "");
    idle = JobResult::new(idle.job, 0);
    let report = Report::new(RunInfo::default(), vec![idle]);
    assert!(report.text().contains("issued rwts: total=0,0,0,0"));
    let json: Value = serde_json::from_str(&report.json()).expect("JSON");
    assert_eq!(json["jobs"][0]["read"]["iops"], 0.0);
    assert!(!report.json().contains("null"), "no number is NaN");
}

/// Every key path of a JSON value, with its type.
fn shape(value: &Value, path: &str, out: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    out.insert(path.to_owned(), kind);
    if let Value::Object(map) = value {
        for (key, value) in map {
            shape(value, &format!("{path}/{key}"), out);
        }
    }
}

/// Tools that read fio's JSON read ours: the same job under fio and here, path by path.
#[test]
fn the_json_has_every_key_that_fios_has() {
    const JOB: &str = "[global]\nsize=1m\nbs=4k\niodepth=4\n\
        [j]\nrw=randrw\nfsync=16\nverify=crc32c\ndescription=both\ngroup_reporting\nnumjobs=2\n";
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("j.fio"), JOB).expect("written");
    let fio = Command::new("fio")
        .args(["--output-format=json", "j.fio"])
        .current_dir(directory.path())
        .output();
    let Ok(fio) = fio else {
        eprintln!(
            "SKIPPED: fio is not installed (apt-get install fio); JSON shapes were not compared"
        );
        return;
    };
    let printed = String::from_utf8_lossy(&fio.stdout);
    // fio may say something first.
    let start = printed.find('{').expect("fio prints JSON");
    let theirs: Value = serde_json::from_str(&printed[start..]).expect("fio prints JSON");
    let result = run(JOB, &mut Memory::default());
    assert_eq!(result.failure, None);
    let ours: Value =
        serde_json::from_str(&Report::new(info(), vec![result]).json()).expect("JSON");

    let (mut wanted, mut found) = (BTreeMap::new(), BTreeMap::new());
    for key in ["fio version", "timestamp", "timestamp_ms", "time", "global options"] {
        shape(&theirs[key], key, &mut wanted);
        shape(&ours[key], key, &mut found);
    }
    shape(&theirs["jobs"][0], "", &mut wanted);
    shape(&ours["jobs"][0], "", &mut found);
    // What was written in the job is as it was written; fio leaves flags out, we do not. Our own
    // global options are those of the test's RunInfo.
    wanted.retain(|path, _| !path.starts_with("global options/"));
    assert!(wanted.len() > 200, "fio printed a whole job: {}", wanted.len());
    let missing: Vec<_> =
        wanted.iter().filter(|(path, kind)| found.get(*path) != Some(kind)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
