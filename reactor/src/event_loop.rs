//! The reactor itself: what happens in a turn, and in what order.
//!
//! Threading: a reactor never leaves the thread it was made on.
//!
//! Faults survived: pollers that do not drain (the grace time cuts them off) and turns that take
//! too long (reported).

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use self::rest::Rest;
use crate::config::ReactorConfig;
use crate::error::ReactorError;
use crate::ledger::{BUILT_IN, Ledger, MAILBOX, ReactorStats, Stall, TASKS, TIMERS};
use crate::local::{LocalHandle, NewPoller};
use crate::mailbox::{Inbox, Mailbox};
use crate::monitor::Monitor;
use crate::poller::{Poller, Progress, Turn};
use crate::task::JoinHandle;
use crate::time::{Clock, Timestamp, duration_ns};
use crate::watchdog;

/// Stall warnings of one reactor are at least this far apart; those between are counted.
const STALL_WARNING_INTERVAL_NS: u64 = 1_000_000_000;

/// An event loop: pollers, timers, a mailbox and futures, on one thread.
///
/// [`spawn`](crate::spawn) gives one a pinned thread. Without it, [`run`](Self::run) and
/// [`run_until`](Self::run_until) turn it on the calling thread, and [`turn`](Self::turn) lets the
/// caller choose the time.
pub struct Reactor {
    name: String,
    pub(crate) core: Option<usize>,
    config: ReactorConfig,
    local: LocalHandle,
    pollers: Vec<Entry>,
    timed: Vec<TimedEntry>,
    /// The earliest of the timed pollers.
    timed_next: Timestamp,
    ledger: Ledger,
    mailbox: Mailbox,
    inbox: Inbox,
    monitor: Arc<Monitor>,
    phase: Phase,
    stalls: Stalls,
    undrained: Vec<String>,
    rest: Rest,
}

struct Entry {
    poller: Box<dyn Poller>,
    account: u32,
    retired: bool,
}

struct TimedEntry {
    entry: Entry,
    period_ns: u64,
    next: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Draining { until: Timestamp },
    Stopped,
}

#[derive(Default)]
struct Stalls {
    count: u64,
    worst: Option<Stall>,
    last_warning: Option<Timestamp>,
    unreported: u64,
}

impl Reactor {
    /// A reactor on the calling thread, wherever that runs.
    pub fn new(name: &str, config: ReactorConfig) -> Result<Reactor, ReactorError> {
        config.validate()?;
        let alarm = Arc::new(config.idle.alarm(&config.stop, name)?);
        let monitor = Arc::new(Monitor::new(name, config.stall_threshold, Arc::clone(&alarm)));
        let (mailbox, inbox) = Mailbox::new(config.mailbox_capacity, name, Arc::clone(&alarm));
        Ok(Reactor {
            name: name.to_owned(),
            core: None,
            local: LocalHandle::new(name, &config, alarm),
            pollers: Vec::with_capacity(config.max_pollers),
            timed: Vec::with_capacity(config.max_pollers),
            timed_next: Timestamp::MAX,
            ledger: Ledger::new(config.max_pollers),
            mailbox,
            inbox,
            monitor,
            phase: Phase::Running,
            stalls: Stalls::default(),
            undrained: Vec::new(),
            rest: Rest::new(),
            config,
        })
    }

    /// One turn at the time `now`, which should not go back. [`Progress::Done`] once the reactor
    /// was asked to stop and has drained; it then does nothing more.
    pub fn turn(&mut self, now: Timestamp) -> Progress {
        if self.phase == Phase::Stopped {
            return Progress::Done;
        }
        let entered = self.local.shared.tasks.enter();
        self.ledger.begin_turn(now);
        self.monitor.begin_turn();
        self.local.shared.now.set(now);
        self.observe_stop(now);
        self.admit_pollers(now);
        self.take_messages();
        self.poll_every_turn(now);
        self.poll_timed(now);
        self.fire_timers(now);
        self.run_tasks();
        self.monitor.leave();
        self.observe_drain(now);
        drop(entered);
        match self.phase {
            Phase::Stopped => Progress::Done,
            _ if self.ledger.is_busy() => Progress::Busy,
            _ => Progress::Idle,
        }
    }

    /// Turns until the reactor is asked to stop and has drained.
    pub fn run(&mut self) -> ReactorStats {
        let _watch = watchdog::watch(&self.monitor);
        self.run_unwatched()
    }

    pub(crate) fn run_unwatched(&mut self) -> ReactorStats {
        let clock = Clock::new();
        while self.live_turn(&clock) != Progress::Done {}
        self.end_live_turns(&clock);
        self.stats()
    }

    /// Turns until the future has finished. An error if the reactor is stopped first.
    pub fn run_until<F: Future>(&mut self, future: F) -> Result<F::Output, ReactorError> {
        let _watch = watchdog::watch(&self.monitor);
        let clock = Clock::new();
        let local = self.local.clone();
        let mut future = pin!(future);
        let mut cx = Context::from_waker(local.shared.tasks.begin_root());
        let result = loop {
            let progress = self.live_turn(&clock);
            if let Poll::Ready(output) = self.poll_root(future.as_mut(), &mut cx) {
                break Ok(output);
            }
            if progress == Progress::Done {
                break Err(ReactorError::Stopped { reactor: self.name.clone() });
            }
        };
        local.shared.tasks.end_root();
        self.end_live_turns(&clock);
        result
    }

    /// Runs a future on this reactor: see [`LocalHandle::spawn_local`].
    pub fn spawn_local<F>(&mut self, future: F) -> Result<JoinHandle<F::Output>, ReactorError>
    where
        F: Future + 'static,
    {
        self.local.spawn_local(future)
    }

    /// Adds a poller to be called every turn: see [`LocalHandle::add_poller`].
    pub fn add_poller(&mut self, poller: impl Poller + 'static) -> Result<(), ReactorError> {
        self.local.add_poller(poller)
    }

    /// Adds a poller to be called every `period_ns`: see [`LocalHandle::add_timed_poller`].
    pub fn add_timed_poller(
        &mut self,
        period_ns: u64,
        poller: impl Poller + 'static,
    ) -> Result<(), ReactorError> {
        self.local.add_timed_poller(period_ns, poller)
    }

    /// The handle that futures and pollers may keep.
    #[must_use]
    pub fn local(&self) -> &LocalHandle {
        &self.local
    }

    /// Where other threads send messages to.
    #[must_use]
    pub fn mailbox(&self) -> Mailbox {
        self.mailbox.clone()
    }

    /// The name given to [`new`](Self::new), or `reactor_<core>`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The core this reactor is pinned to, if [`spawn`](crate::spawn) made it.
    #[must_use]
    pub fn core(&self) -> Option<usize> {
        self.core
    }

    /// The time at which the present turn began.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.local.now()
    }

    /// Asks this reactor (and no other) to stop.
    pub fn request_stop(&mut self) {
        self.local.request_stop();
    }

    /// When something is next due of itself: a sleep, or a timed poller. A simulation may jump
    /// there after an idle turn.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let timed = Some(self.timed_next).filter(|&next| next < Timestamp::MAX);
        let drain = self.local.drain_deadline();
        [timed, self.local.shared.next_deadline(), drain].into_iter().flatten().min()
    }

    /// What the reactor did until the last turn that has ended.
    #[must_use]
    pub fn stats(&self) -> ReactorStats {
        ReactorStats {
            name: self.name.clone(),
            core: self.core,
            stalls: self.stalls.count,
            worst_stall: self.stalls.worst.clone(),
            undrained: self.undrained.clone(),
            ..self.ledger.stats()
        }
    }

    pub(crate) fn monitor(&self) -> &Arc<Monitor> {
        &self.monitor
    }

    /// A turn by the real clock.
    #[inline]
    fn live_turn(&mut self, clock: &Clock) -> Progress {
        let now = clock.now();
        self.check_stall(now);
        let progress = self.turn(now);
        if progress == Progress::Idle && self.config.idle.yields() {
            return self.rest(now, clock);
        }
        progress
    }

    /// Settles the last turn. Time until the next one is nobody's.
    fn end_live_turns(&mut self, clock: &Clock) {
        let now = clock.now();
        self.check_stall(now);
        self.ledger.pause(now);
    }

    /// Polls the future of [`run_until`](Self::run_until), if it was woken, as part of the turn.
    fn poll_root<F: Future>(
        &mut self,
        future: std::pin::Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let tasks = &self.local.shared.tasks;
        if !tasks.take_root_wake() {
            return Poll::Pending;
        }
        let _entered = tasks.enter();
        self.monitor.enter(TASKS);
        let polled = future.poll(cx);
        self.monitor.leave();
        self.ledger.record_more(TASKS, 1);
        polled
    }

    fn observe_stop(&mut self, now: Timestamp) {
        let asked = self.config.stop.is_stopped()
            || self.monitor.stop_requested()
            || self.local.shared.stop_requested();
        if asked && self.phase == Phase::Running {
            let until = now + self.config.shutdown_grace;
            self.phase = Phase::Draining { until };
            self.local.shared.drain_deadline.set(Some(until));
        }
    }

    /// At the end of a turn that pollers knew to be one of the last.
    fn observe_drain(&mut self, now: Timestamp) {
        let Phase::Draining { until } = self.phase else {
            return;
        };
        if self.has_drained() {
            self.phase = Phase::Stopped;
        } else if now >= until {
            self.phase = Phase::Stopped;
            self.undrained = self.list_undrained();
            tracing::warn!(
                reactor = %self.name,
                undrained = %self.undrained.join(", "),
                grace_ms = self.config.shutdown_grace.as_millis() as u64,
                "reactor stopped before all had drained"
            );
        }
    }

    fn has_drained(&self) -> bool {
        self.local.shared.tasks.holding() == 0
            && self.inbox.is_empty()
            && self.local.shared.incoming.borrow().is_empty()
            && self.entries().all(|entry| entry.poller.drained())
    }

    fn list_undrained(&self) -> Vec<String> {
        let pollers = self.entries().filter(|entry| !entry.poller.drained());
        let mut names: Vec<String> =
            pollers.map(|entry| self.ledger.name(entry.account).to_owned()).collect();
        if self.local.shared.tasks.holding() > 0 {
            names.push(BUILT_IN[TASKS as usize].to_owned());
        }
        if !self.inbox.is_empty() {
            names.push(BUILT_IN[MAILBOX as usize].to_owned());
        }
        names
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let timed = self.timed.iter().map(|timed| &timed.entry);
        self.pollers.iter().chain(timed)
    }

    fn admit_pollers(&mut self, now: Timestamp) {
        if self.local.shared.incoming.borrow().is_empty() {
            return;
        }
        let mut incoming = self.local.shared.incoming.take();
        for NewPoller { poller, period_ns } in incoming.drain(..) {
            let account = match period_ns {
                None => self.ledger.open_every_turn(poller.name()),
                Some(_) => self.ledger.open(poller.name()),
            };
            self.monitor.set_account_name(account, poller.name());
            let entry = Entry { poller, account, retired: false };
            match period_ns {
                None => self.pollers.push(entry),
                Some(period_ns) => {
                    let next = now.add_ns(period_ns);
                    self.timed_next = self.timed_next.min(next);
                    self.timed.push(TimedEntry { entry, period_ns, next });
                }
            }
        }
        self.local.shared.incoming.replace(incoming);
    }

    fn take_messages(&mut self) {
        if self.inbox.is_empty() {
            return;
        }
        self.monitor.enter(MAILBOX);
        let mut taken = 0;
        while taken < self.config.mailbox_batch {
            let Some(message) = self.inbox.take() else {
                break;
            };
            message.call(self);
            taken += 1;
        }
        self.ledger.record(MAILBOX, taken as u64, taken > 0);
    }

    #[inline]
    fn poll_every_turn(&mut self, now: Timestamp) {
        let mut turn = Turn { now, local: &self.local };
        let mut retired = false;
        for entry in &mut self.pollers {
            retired |= entry.poll(&mut turn, &self.monitor, &mut self.ledger);
        }
        if retired {
            self.pollers.retain(|entry| entry.stays(&mut self.ledger, &self.local));
        }
    }

    #[inline]
    fn poll_timed(&mut self, now: Timestamp) {
        if now < self.timed_next {
            return;
        }
        let mut turn = Turn { now, local: &self.local };
        self.timed_next = Timestamp::MAX;
        let mut retired = false;
        for timed in &mut self.timed {
            if now >= timed.next {
                let missed = now.ns_since(timed.next) / timed.period_ns;
                let ahead = (missed + 1).saturating_mul(timed.period_ns);
                timed.next = timed.next.add_ns(ahead);
                self.ledger.record(timed.entry.account, 1, false);
                retired |= timed.entry.poll(&mut turn, &self.monitor, &mut self.ledger);
            }
            if !timed.entry.retired {
                self.timed_next = self.timed_next.min(timed.next);
            }
        }
        if retired {
            self.timed.retain(|timed| timed.entry.stays(&mut self.ledger, &self.local));
        }
    }

    #[inline]
    fn fire_timers(&mut self, now: Timestamp) {
        self.monitor.enter(TIMERS);
        let fired = self.local.shared.fire_timers(now);
        if fired > 0 {
            self.ledger.record(TIMERS, fired, true);
        }
    }

    #[inline]
    fn run_tasks(&mut self) {
        self.monitor.enter(TASKS);
        let polls = self.local.shared.tasks.run_woken();
        if polls > 0 {
            self.ledger.record(TASKS, polls, true);
        }
    }

    /// Whether the turn that is about to end was a stall.
    #[inline]
    fn check_stall(&mut self, now: Timestamp) {
        let turn_ns = self.ledger.turn_ns(now);
        if turn_ns > duration_ns(self.config.stall_threshold) {
            self.note_stall(now, turn_ns);
        }
    }

    #[cold]
    fn note_stall(&mut self, now: Timestamp, turn_ns: u64) {
        let Some(poller) = self.blame() else {
            return;
        };
        self.stalls.count += 1;
        let warned = self.stalls.last_warning;
        if warned.is_none_or(|last| now.ns_since(last) >= STALL_WARNING_INTERVAL_NS) {
            tracing::warn!(
                reactor = %self.name,
                poller = %poller,
                turn_ms = turn_ns / 1_000_000,
                unreported = self.stalls.unreported,
                "reactor stalled"
            );
            self.stalls.last_warning = Some(now);
            self.stalls.unreported = 0;
        } else {
            self.stalls.unreported += 1;
        }
        if self.stalls.worst.as_ref().is_none_or(|worst| turn_ns > worst.turn_ns) {
            self.stalls.worst = Some(Stall { poller, turn_ns });
        }
    }

    /// Who held up the turn: whom the watchdog saw, else whoever did work in it. `None` for a turn
    /// that did no work and gave its core away: others used the time.
    fn blame(&self) -> Option<String> {
        if let Some(accused) = self.monitor.accused() {
            return Some(self.ledger.name(accused).to_owned());
        }
        let busy = self.ledger.busy().iter().map(|&id| self.ledger.name(id));
        let names = busy.collect::<Vec<_>>().join(", ");
        if !names.is_empty() {
            return Some(names);
        }
        (!self.config.idle.yields()).then(|| "(no poller did work)".to_owned())
    }
}

impl Drop for Reactor {
    /// Futures first, then pollers, the latest first: later ones use what earlier ones own.
    fn drop(&mut self) {
        self.local.shared.tasks.close();
        drop(self.local.shared.incoming.take());
        while self.timed.pop().is_some() {}
        while self.pollers.pop().is_some() {}
    }
}

impl Entry {
    /// Calls the poller. Whether it has retired.
    #[inline]
    fn poll(&mut self, turn: &mut Turn<'_>, monitor: &Monitor, ledger: &mut Ledger) -> bool {
        monitor.enter(self.account);
        let progress = self.poller.poll(turn);
        if progress != Progress::Idle {
            ledger.record_busy(self.account);
            self.retired = progress == Progress::Done;
        }
        self.retired
    }

    /// Whether to keep the poller. Closes its account if not.
    fn stays(&self, ledger: &mut Ledger, local: &LocalHandle) -> bool {
        if self.retired {
            ledger.close(self.account);
            let pollers = &local.shared.pollers;
            pollers.set(pollers.get() - 1);
        }
        !self.retired
    }
}

mod rest;
#[cfg(test)]
mod tests;
