//! Signals end a run early, with its results.

use std::io::{BufRead, BufReader, Read};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{command, finish};

/// Starts a long run, sends the signal once it runs, and returns status and report.
fn interrupted(signal: Signal) -> (i32, String) {
    let args = ["perf", "--idle", "yield", "-t", "100", "--size", "1m"];
    let mut child = command(args).spawn().expect("the binary is there");
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
    assert!(ran.stderr().contains("initiator: ended by signal"), "{}", ran.stderr());
    (status, report)
}

#[test]
fn an_interrupted_run_prints_its_report() {
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let (code, report) = interrupted(signal);
        assert_eq!(code, status, "{report}");
        assert!(report.contains("read: IOPS="), "{report}");
        assert!(report.contains("Run status group 0"), "{report}");
    }
}
