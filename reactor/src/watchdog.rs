//! Looks at reactors from outside, for pollers that do not come back.
//!
//! One thread a process, alive while a reactor runs. It samples each reactor's turn and poller and
//! warns when both stay the same for longer than the reactor's stall threshold, and again each
//! time that has doubled.
//!
//! Threading: it holds weak references only and never touches a reactor's own memory. It is
//! started by the thread that starts a reactor, so it inherits that thread's cores, not those of
//! the reactor.

use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::monitor::{Monitor, OUTSIDE};

/// Samples taken in the time of the shortest stall threshold.
const SAMPLES_PER_THRESHOLD: u32 = 4;
const PERIOD_MIN: Duration = Duration::from_millis(1);
const PERIOD_MAX: Duration = Duration::from_millis(100);

/// Keeps a reactor under watch until dropped.
pub(crate) struct Watch {
    _subject: Arc<Subject>,
}

struct Subject {
    monitor: Arc<Monitor>,
}

struct Watched {
    subject: Weak<Subject>,
    /// The turn and account last seen, and since when.
    position: (u64, u32),
    since: Instant,
    warn_after: Duration,
}

struct Watchdog {
    watched: Vec<Watched>,
    thread_alive: bool,
}

static WATCHDOG: Mutex<Watchdog> =
    Mutex::new(Watchdog { watched: Vec::new(), thread_alive: false });

/// Watches a reactor until the guard is dropped.
pub(crate) fn watch(monitor: &Arc<Monitor>) -> Watch {
    let subject = Arc::new(Subject { monitor: Arc::clone(monitor) });
    let mut watchdog = lock();
    watchdog.watched.push(Watched {
        subject: Arc::downgrade(&subject),
        position: monitor.position(),
        since: Instant::now(),
        warn_after: monitor.stall_threshold(),
    });
    if !watchdog.thread_alive {
        let started = thread::Builder::new().name("reactor_watch".to_owned()).spawn(patrol);
        match started {
            Ok(_) => watchdog.thread_alive = true,
            Err(error) => tracing::warn!(%error, "no watchdog thread: stuck pollers go unreported"),
        }
    }
    Watch { _subject: subject }
}

/// The watchdog's thread: ends when there is nothing left to watch.
fn patrol() {
    while let Some(pause) = make_round() {
        thread::sleep(pause);
    }
}

/// Looks at every reactor once. Returns how long to wait, or `None` when all are gone.
fn make_round() -> Option<Duration> {
    let mut watchdog = lock();
    let now = Instant::now();
    let mut shortest = PERIOD_MAX;
    watchdog.watched.retain_mut(|watched| {
        let Some(subject) = watched.subject.upgrade() else {
            return false;
        };
        watched.look(&subject.monitor, now);
        shortest = shortest.min(subject.monitor.stall_threshold() / SAMPLES_PER_THRESHOLD);
        true
    });
    watchdog.thread_alive = !watchdog.watched.is_empty();
    watchdog.thread_alive.then(|| shortest.max(PERIOD_MIN))
}

impl Watched {
    fn look(&mut self, monitor: &Monitor, now: Instant) {
        let position = monitor.position();
        if position != self.position || position.1 == OUTSIDE {
            self.position = position;
            self.since = now;
            self.warn_after = monitor.stall_threshold();
            return;
        }
        let stuck_for = now.duration_since(self.since);
        if stuck_for < self.warn_after {
            return;
        }
        let (turn, account) = position;
        monitor.accuse(turn, account);
        tracing::warn!(
            reactor = monitor.name(),
            poller = monitor.account_name(account),
            stuck_ms = stuck_for.as_millis() as u64,
            "reactor is stuck in a poller"
        );
        self.warn_after = stuck_for * 2;
    }
}

fn lock() -> MutexGuard<'static, Watchdog> {
    // The list stays valid whatever a panicking thread was doing.
    WATCHDOG.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
