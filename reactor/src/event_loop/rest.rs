//! Turns in which nothing happened: the core is given away, or the reactor sleeps.
//!
//! No wakeup is lost. Before a sleep the alarm is set and every poller armed; then comes one more
//! whole turn. What happened before that turn is found by it. What happens after it rings: the
//! alarm is set, and the pollers are armed.

use super::{Phase, Reactor};
use crate::idle::IdlePolicy;
use crate::poller::Progress;
use crate::time::{Clock, Timestamp};
use crate::wake_sources::WakeSources;

/// How long not to ask again after a poller could not sleep.
const REFUSED_NS: u64 = 1_000_000;

/// What an adaptive reactor remembers of its idle turns.
pub(super) struct Rest {
    sources: WakeSources,
    /// Since when nothing has happened, as far as `busy_turns` goes.
    quiet_since: Timestamp,
    busy_turns: u64,
    /// Not to be tried before.
    sleep_after: Timestamp,
}

impl Rest {
    pub(super) fn new() -> Rest {
        let sources = WakeSources::new();
        Rest {
            sources,
            quiet_since: Timestamp::ZERO,
            busy_turns: u64::MAX,
            sleep_after: Timestamp::ZERO,
        }
    }
}

impl Reactor {
    /// After an idle turn at `now`, of a policy that does not just spin.
    pub(super) fn rest(&mut self, now: Timestamp, clock: &Clock) -> Progress {
        if let IdlePolicy::Adaptive { spin_us, yield_us } = self.config.idle {
            let quiet_us = self.quiet_ns(now) / 1_000;
            if quiet_us < spin_us.into() {
                return Progress::Idle;
            }
            let long_enough = quiet_us >= u64::from(spin_us) + u64::from(yield_us);
            if long_enough && now >= self.rest.sleep_after && self.may_sleep() {
                return self.sleep(clock);
            }
        }
        std::thread::yield_now();
        Progress::Idle
    }

    fn quiet_ns(&mut self, now: Timestamp) -> u64 {
        let busy_turns = self.ledger.busy_turns();
        if std::mem::replace(&mut self.rest.busy_turns, busy_turns) != busy_turns {
            self.rest.quiet_since = now;
        }
        now.ns_since(self.rest.quiet_since)
    }

    /// Whether nothing waits for the next turn. While it drains a reactor stays awake.
    fn may_sleep(&self) -> bool {
        let shared = &self.local.shared;
        self.phase == Phase::Running
            && !shared.stop_requested()
            && !shared.tasks.root_is_woken()
            && shared.incoming.borrow().is_empty()
    }

    fn sleep(&mut self, clock: &Clock) -> Progress {
        self.monitor.alarm().set();
        let progress = self.look_and_sleep(clock);
        self.monitor.alarm().clear();
        progress
    }

    /// Arms, looks once more, and sleeps if all is quiet.
    fn look_and_sleep(&mut self, clock: &Clock) -> Progress {
        let armed = self.arm();
        let now = clock.now();
        self.check_stall(now);
        let progress = self.turn(now);
        if progress != Progress::Idle || !self.may_sleep() {
            return progress;
        }
        if !armed {
            self.rest.sleep_after = now.add_ns(REFUSED_NS);
            std::thread::yield_now();
            return progress;
        }
        if let Some(deadline) = self.next_deadline() {
            self.rest.sources.no_later_than(deadline);
        }
        let from = clock.now();
        self.check_stall(from);
        self.rest.sources.wait(from);
        self.ledger.sleep(from, clock.now());
        progress
    }

    /// Asks every poller what is to wake it. Those with a period are woken by time. False if one
    /// of them has to be called all the time.
    fn arm(&mut self) -> bool {
        let sources = &mut self.rest.sources;
        sources.reset(self.local.now());
        let Ok(stop) = self.config.stop.wake_fd() else { return false };
        sources.watch(stop);
        self.monitor.alarm().fd().into_iter().for_each(|fd| sources.watch(fd));
        for entry in &mut self.pollers {
            self.monitor.enter(entry.account);
            if !entry.poller.arm(sources) {
                self.monitor.leave();
                return false;
            }
        }
        self.monitor.leave();
        sources.complete()
    }
}
