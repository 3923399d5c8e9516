//! SIGINT and SIGTERM, sent to a child process that is this test itself.

use std::env;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reactor::{
    IdlePolicy, Poller, Progress, ReactorConfig, Turn, WakeSources, signals, spawn, usable_cores,
};

const ROLE: &str = "REACTOR_SIGNAL_TEST_CHILD";

/// Says when it sees the stop, and drains at once or never.
struct Witness {
    drains: bool,
    told: bool,
}

impl Poller for Witness {
    fn name(&self) -> &str {
        "witness"
    }

    fn poll(&mut self, turn: &mut Turn<'_>) -> Progress {
        if turn.stopping() && !std::mem::replace(&mut self.told, true) {
            println!("\nstopping");
        }
        Progress::Idle
    }

    fn drained(&self) -> bool {
        self.drains
    }

    fn arm(&mut self, _sources: &mut WakeSources) -> bool {
        true
    }
}

/// The child's part: does nothing unless it was started by one of the tests below.
#[test]
fn child() {
    let Ok(role) = env::var(ROLE) else {
        return;
    };
    let config = ReactorConfig {
        idle: if role == "sleeps" { IdlePolicy::ADAPTIVE } else { IdlePolicy::Yield },
        stop: signals::install().unwrap(),
        shutdown_grace: Duration::from_secs(60),
        ..ReactorConfig::default()
    };
    let drains = role != "never drains";
    let handle = spawn(usable_cores()[0], config, move |r| {
        r.add_poller(Witness { drains, told: false })?;
        Ok(())
    })
    .unwrap();
    println!("\nready");
    let stats = handle.join().unwrap();
    println!("\nreport of {} after {:?}", stats.name, signals::received());
    assert!(stats.sleeps > 0 || role != "sleeps", "it was awake");
}

struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(role: &str) -> Running {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut running = Running { child, output };
        running.wait_for("ready");
        running
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Reads up to a line that begins with `text`; the child's end ends the wait.
    fn wait_for(&mut self, text: &str) -> String {
        let mut line = String::new();
        while !line.starts_with(text) {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "no {text:?}");
        }
        line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn the_first_signal_stops_in_order_and_the_report_is_printed() {
    for (signal, number) in [(Signal::SIGINT, 2), (Signal::SIGTERM, 15)] {
        let mut running = Running::start("drains");
        running.signal(signal);
        running.wait_for("stopping");
        let report = running.wait_for("report of reactor_");
        assert!(report.contains(&format!("after Some({number})")), "{report}");
        assert!(running.child.wait().unwrap().success());
    }
}

#[test]
fn a_signal_wakes_a_sleeping_reactor() {
    let mut running = Running::start("sleeps");
    std::thread::sleep(Duration::from_millis(200));
    running.signal(Signal::SIGTERM);
    running.wait_for("report of reactor_");
    assert!(running.child.wait().unwrap().success());
}

#[test]
fn the_second_signal_kills_at_once() {
    let mut running = Running::start("never drains");
    running.signal(Signal::SIGINT);
    running.wait_for("stopping");
    assert!(running.child.try_wait().unwrap().is_none(), "still draining");
    running.signal(Signal::SIGINT);
    let status = running.child.wait().unwrap();
    assert_eq!(status.signal(), Some(2), "killed by SIGINT: 130 to a shell");
}
