//! Signals end a run early, with its results.

use std::io::{BufRead, BufReader, Read};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{command, finish};

/// Starts a long run, sends the signal once it runs, and returns status, report and complaints.
fn interrupted(signal: Signal, flags: &[&str]) -> (i32, String, String) {
    let args = [&["perf", "--idle", "yield", "-t", "100", "--size", "1m"], flags].concat();
    let mut child = command(&args).spawn().expect("the binary is there");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut banner = String::new();
    while !banner.contains("Starting 1 thread") {
        assert_ne!(stdout.read_line(&mut banner).expect("text"), 0, "it ended: {banner}");
    }
    // Long enough for the layout of 1 MiB and some reads.
    thread::sleep(Duration::from_millis(1000));
    kill(Pid::from_raw(child.id() as i32), signal).expect("it runs");
    let reader = thread::spawn(move || {
        let mut report = String::new();
        stdout.read_to_string(&mut report).map(|_| report)
    });
    let ran = finish(child, format!("{args:?}"));
    let report = reader.join().expect("no panic").expect("text");
    let status = ran.code();
    (status, report, ran.stderr())
}

#[test]
fn an_interrupted_run_prints_its_report() {
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let (code, report, stderr) = interrupted(signal, &[]);
        assert!(stderr.contains("initiator: ended by signal"), "{stderr}");
        assert_eq!(code, status, "{report}");
        assert!(report.contains("read: IOPS="), "{report}");
        assert!(report.contains("Run status group 0"), "{report}");
    }
}

#[test]
fn a_run_whose_server_is_never_ready_ends_when_it_is_told_to() {
    let orders = ["--target-misbehave", "status=JUKEBOX:READ:1000000", "--jukebox-wait", "3600"];
    let began = Instant::now();
    let (code, report, stderr) = interrupted(Signal::SIGTERM, &orders);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(matches!(code, 1 | 143), "{code}: {stderr}");
    assert!(report.contains("Run status group 0"), "{report}");
}
