//! Pollers that hold up their reactor are reported by name: afterwards, and while they do.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, Once, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use reactor::{IdlePolicy, Poller, Progress, ReactorConfig, Turn, spawn, usable_cores};
use tracing_subscriber::fmt::MakeWriter;

/// The warnings written so far, by any test of this file.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

static LOG: Mutex<Option<Log>> = Mutex::new(None);
static INSTALL: Once = Once::new();

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Log {
    fn get() -> Log {
        INSTALL.call_once(|| {
            let log = Log::default();
            *lock(&LOG) = Some(log.clone());
            tracing_subscriber::fmt().with_ansi(false).with_writer(log).init();
        });
        lock(&LOG).clone().unwrap()
    }

    fn lines_with(&self, text: &str) -> Vec<String> {
        let all = String::from_utf8(lock(&self.0).clone()).unwrap();
        all.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

struct Named<F>(&'static str, F);

impl<F: FnMut(&mut Turn<'_>) -> Progress> Poller for Named<F> {
    fn name(&self) -> &str {
        self.0
    }

    fn poll(&mut self, turn: &mut Turn<'_>) -> Progress {
        (self.1)(turn)
    }
}

fn config(stall_threshold: Duration) -> ReactorConfig {
    ReactorConfig { idle: IdlePolicy::Yield, stall_threshold, ..ReactorConfig::default() }
}

#[test]
fn a_stall_is_reported_and_counted_with_the_poller_to_blame() {
    let log = Log::get();
    let handle = spawn(usable_cores()[0], config(Duration::from_millis(60)), |r| {
        r.add_poller(Named("innocent", |_: &mut Turn<'_>| Progress::Busy))?;
        r.add_poller(Named("sleepy", |turn: &mut Turn<'_>| {
            thread::sleep(Duration::from_millis(240));
            turn.request_stop();
            Progress::Done
        }))?;
        Ok(())
    })
    .unwrap();
    let stats = handle.join().unwrap();
    assert!(stats.stalls >= 1);
    assert!(stats.turn_ns_max >= 240_000_000);
    let worst = stats.worst_stall.unwrap();
    // The watchdog looked in meanwhile, so the innocent one is not named.
    assert_eq!(worst.poller, "sleepy");
    assert!(worst.turn_ns >= 240_000_000);
    let lines = log.lines_with("reactor stalled");
    assert!(lines.iter().any(|line| line.contains("poller=sleepy")), "{lines:?}");
}

#[test]
fn a_poller_that_does_not_come_back_is_reported_while_it_is_stuck() {
    let log = Log::get();
    let (release, released) = mpsc::channel::<()>();
    let handle = spawn(usable_cores()[0], config(Duration::from_millis(20)), move |r| {
        r.add_poller(Named("stuck_poller", move |turn: &mut Turn<'_>| {
            released.recv().ok();
            turn.request_stop();
            Progress::Done
        }))?;
        Ok(())
    })
    .unwrap();
    let began = Instant::now();
    let reported = || log.lines_with("poller=\"stuck_poller\"");
    while reported().is_empty() && began.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(5));
    }
    let lines = reported();
    assert!(!handle.is_finished());
    release.send(()).unwrap();
    handle.join().unwrap();
    assert!(lines.iter().any(|line| line.contains("is stuck in a poller")), "{lines:?}");
}

#[test]
fn a_reactor_that_turns_freely_is_not_reported() {
    let log = Log::get();
    let handle = spawn(usable_cores()[0], config(Duration::from_secs(5)), |r| {
        r.add_timed_poller(
            100_000_000,
            Named("quick", |turn: &mut Turn<'_>| {
                turn.request_stop();
                Progress::Busy
            }),
        )?;
        Ok(())
    })
    .unwrap();
    let stats = handle.join().unwrap();
    assert_eq!((stats.stalls, stats.worst_stall), (0, None));
    assert!(log.lines_with("quick").is_empty());
}
