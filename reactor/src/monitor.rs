//! What other threads may know of a reactor while it runs.
//!
//! Threading: the reactor stores, relaxed, once a turn and once a poller; the watchdog reads every
//! few milliseconds. The list of names is locked only when a poller comes or goes and when a
//! report is written.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::alarm::Alarm;
use crate::ledger::BUILT_IN;

/// `current` while no poller runs.
pub(crate) const OUTSIDE: u32 = u32::MAX;

/// One reactor's public face. Aligned so that its stores share no cache line with anything else.
#[repr(align(128))]
#[derive(Debug)]
pub(crate) struct Monitor {
    turns: AtomicU64,
    current: AtomicU32,
    stop: AtomicBool,
    suspect: AtomicU32,
    suspect_turn: AtomicU64,
    name: String,
    stall_threshold: Duration,
    names: Mutex<Vec<String>>,
    alarm: Arc<Alarm>,
}

impl Monitor {
    pub(crate) fn new(name: &str, stall_threshold: Duration, alarm: Arc<Alarm>) -> Monitor {
        Monitor {
            turns: AtomicU64::new(0),
            current: AtomicU32::new(OUTSIDE),
            stop: AtomicBool::new(false),
            suspect: AtomicU32::new(OUTSIDE),
            suspect_turn: AtomicU64::new(0),
            name: name.to_owned(),
            stall_threshold,
            names: Mutex::new(BUILT_IN.map(str::to_owned).to_vec()),
            alarm,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn stall_threshold(&self) -> Duration {
        self.stall_threshold
    }

    #[inline]
    pub(crate) fn begin_turn(&self) {
        // Only the reactor writes: no read-modify-write needed.
        let turn = self.turns.load(Ordering::Relaxed) + 1;
        self.turns.store(turn, Ordering::Relaxed);
    }

    /// The reactor is about to call into this account.
    #[inline]
    pub(crate) fn enter(&self, account: u32) {
        self.current.store(account, Ordering::Relaxed);
    }

    /// The reactor is between pollers, or gives its core away.
    #[inline]
    pub(crate) fn leave(&self) {
        self.current.store(OUTSIDE, Ordering::Relaxed);
    }

    /// The turn under way and the account it is in.
    pub(crate) fn position(&self) -> (u64, u32) {
        let turn = self.turns.load(Ordering::Relaxed);
        (turn, self.current.load(Ordering::Relaxed))
    }

    /// The watchdog saw `account` hold up `turn`.
    pub(crate) fn accuse(&self, turn: u64, account: u32) {
        self.suspect.store(account, Ordering::Relaxed);
        self.suspect_turn.store(turn, Ordering::Release);
    }

    /// Whom the watchdog saw hold up the turn just ended.
    pub(crate) fn accused(&self) -> Option<u32> {
        let turn = self.suspect_turn.load(Ordering::Acquire);
        (turn != 0 && turn == self.turns.load(Ordering::Relaxed))
            .then(|| self.suspect.load(Ordering::Relaxed))
    }

    pub(crate) fn request_stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.alarm.ring();
    }

    /// Wakes the reactor.
    pub(crate) fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    #[inline]
    pub(crate) fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(crate) fn set_account_name(&self, account: u32, name: &str) {
        let mut names = self.lock_names();
        let index = account as usize;
        if names.len() <= index {
            names.resize(index + 1, String::new());
        }
        name.clone_into(&mut names[index]);
    }

    pub(crate) fn account_name(&self, account: u32) -> String {
        let names = self.lock_names();
        names.get(account as usize).cloned().unwrap_or_default()
    }

    fn lock_names(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        // Names stay valid whatever a panicking thread was doing.
        self.names.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
