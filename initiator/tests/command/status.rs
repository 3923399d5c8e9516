//! `--status-interval`: whole reports of a run that goes on.

use crate::support::{TempFile, initiator};

/// Reports, one after another.
fn reports(text: &str) -> Vec<serde_json::Value> {
    let stream = serde_json::Deserializer::from_str(text).into_iter();
    stream.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn reads(report: &serde_json::Value, job: usize) -> u64 {
    report["jobs"][job]["read"]["total_ios"].as_u64().expect("a number")
}

#[test]
fn a_run_that_goes_on_is_reported_in_the_format_that_was_asked_for() {
    let line = "perf --idle yield -t 2 --size 1m --rate_iops=200 --status-interval 500ms";
    let all = reports(&initiator(&format!("{line} --output-format json")).status(0).stdout());
    assert!(all.len() >= 3, "{} reports", all.len());
    let ios: Vec<u64> = all.iter().map(|report| reads(report, 0)).collect();
    let begun = ios.iter().position(|&ios| ios > 0).expect("it reads");
    assert!(ios.is_sorted() && ios[begun] < ios[all.len() - 1], "{ios:?}");
    let first = &all[begun]["jobs"][0]["read"];
    let iops = first["iops"].as_f64().expect("a number");
    assert!((20.0..300.0).contains(&iops), "the rate is of the time so far: {first}");
    assert!(first["clat_ns"]["percentile"]["99.000000"].is_u64(), "{first}");
    let sends = &all[begun]["initiator"]["counters"]["sends"];
    assert!(sends.as_u64() >= Some(ios[begun]), "{sends}");
    let held = |report: &serde_json::Value| report["initiator"]["mounts"][0]["held"].clone();
    assert!(held(&all[begun])["buffers"].is_u64(), "{}", all[begun]["initiator"]["mounts"]);
    let at_home = held(&all[all.len() - 1]);
    let counts = at_home.as_object().expect("counts");
    assert!(counts.len() == 7 && counts.values().all(|count| count == 0), "{at_home}");

    let text = initiator(line).status(0).stdout();
    assert!(text.matches("Run status group 0").count() >= 3, "{text}");
    assert_eq!(text.matches("\nReactors:\n").count(), 1, "those that run are not told of");
    let terse = initiator(&format!("{line} --minimal")).status(0).stdout();
    assert!(terse.lines().filter(|line| line.starts_with("3;")).count() >= 3, "{terse}");
}

#[test]
fn jobs_that_ended_and_jobs_that_did_not_begin_are_in_every_report() {
    let job = "[global]\nsize=64k\nrw=read\nrate_iops=32\n[a]\n[b]\nstonewall\n[c]\nstonewall\n";
    let file = TempFile::new("job.fio", job);
    let shown = file.path().display().to_string();
    let line =
        format!("run --embedded --idle yield --status-interval 300ms --output-format json {shown}");
    let all = reports(&initiator(&line).status(0).stdout());
    assert!(all.iter().all(|report| report["jobs"].as_array().map(Vec::len) == Some(3)));
    let last = all.len() - 1;
    assert_eq!([0, 1, 2].map(|job| reads(&all[last], job)), [16; 3]);
    assert!(all.iter().any(|report| reads(report, 0) == 16 && reads(report, 2) == 0));
}

#[test]
fn an_interval_that_is_too_short_is_refused() {
    let error = initiator("perf --status-interval 1ms").status(2).stderr();
    assert!(error.contains("at least 100ms"), "{error}");
    let error = initiator("perf --status-interval soon").status(2).stderr();
    assert!(error.contains("'soon' is not a time"), "{error}");
}
