//! Where a reactor's time goes, from one clock read a turn.
//!
//! The rule: a turn lasts from its clock read to the next turn's. If anything did work in it the
//! whole turn is busy, and its time is shared equally among those that did; otherwise the whole
//! turn is idle, yielding included; so is sleep between turns. So the accounts' busy times add up to the reactor's busy time
//! exactly, and busy plus idle is all the time between the first clock read and the last. A
//! poller's idle time is the rest of the time it has been in the reactor.
//!
//! Threading: plain counters on the reactor's thread, read by nobody else while it runs.

use crate::time::Timestamp;

/// The account of mailbox messages.
pub(crate) const MAILBOX: u32 = 0;
/// The account of expired sleeps.
pub(crate) const TIMERS: u32 = 1;
/// The account of futures.
pub(crate) const TASKS: u32 = 2;
/// The reactor's own accounts, in the order of their numbers.
pub(crate) const BUILT_IN: [&str; 3] = ["mailbox", "timers", "tasks"];

/// What one poller did. The reactor's own work is listed as `mailbox`, `timers` and `tasks`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PollerStats {
    /// The poller's name.
    pub name: String,
    /// Calls (of the built-in ones: messages, expiries, polls of a future).
    pub calls: u64,
    /// Turns in which it did work.
    pub busy_turns: u64,
    /// Its share of the busy turns' time.
    pub busy_ns: u64,
    /// The rest of the time it was in the reactor.
    pub idle_ns: u64,
}

/// The longest stall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Whose it was; several names where they could not be told apart.
    pub poller: String,
    /// How long the turn took.
    pub turn_ns: u64,
}

/// What one reactor did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReactorStats {
    /// The reactor's name.
    pub name: String,
    /// The core it was pinned to, if it was.
    pub core: Option<usize>,
    /// Turns begun.
    pub turns: u64,
    /// Turns in which something did work.
    pub busy_turns: u64,
    /// Time of the busy turns.
    pub busy_ns: u64,
    /// Time of the others, asleep included.
    pub idle_ns: u64,
    /// Time asleep.
    pub slept_ns: u64,
    /// How often it slept.
    pub sleeps: u64,
    /// The longest turn.
    pub turn_ns_max: u64,
    /// Turns longer than the stall threshold.
    pub stalls: u64,
    /// The longest of them.
    pub worst_stall: Option<Stall>,
    /// Each poller, the built-in ones first, those that have retired last (one entry a name).
    pub pollers: Vec<PollerStats>,
    /// What had not drained when the grace time was over. Empty after an orderly end.
    pub undrained: Vec<String>,
}

#[derive(Debug)]
struct Account {
    name: String,
    /// Those that were noted.
    calls: u64,
    /// Of a poller that is called in every turn: turns that had ended before its first. Its calls
    /// are the turns since, so that an idle call costs nothing to account for.
    turns_before: Option<u64>,
    busy_turns: u64,
    busy_ns: u64,
    /// The reactor's accounted time when this account was opened.
    opened_at_ns: u64,
}

/// The accounts of one reactor.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// By number. `None`: free.
    accounts: Vec<Option<Account>>,
    retired: Vec<PollerStats>,
    retired_max: usize,
    /// Who did work in the turn under way.
    busy: Vec<u32>,
    /// Accounts to close when the turn's time is known.
    closing: Vec<u32>,
    turn_began: Option<Timestamp>,
    turns: u64,
    busy_turns: u64,
    busy_ns: u64,
    idle_ns: u64,
    slept_ns: u64,
    sleeps: u64,
    turn_ns_max: u64,
}

impl Ledger {
    pub(crate) fn new(max_pollers: usize) -> Ledger {
        let limit = max_pollers + BUILT_IN.len();
        let mut ledger = Ledger {
            accounts: Vec::with_capacity(limit),
            retired: Vec::new(),
            retired_max: max_pollers,
            busy: Vec::with_capacity(limit),
            closing: Vec::with_capacity(limit),
            turn_began: None,
            turns: 0,
            busy_turns: 0,
            busy_ns: 0,
            idle_ns: 0,
            slept_ns: 0,
            sleeps: 0,
            turn_ns_max: 0,
        };
        for name in BUILT_IN {
            ledger.open(name);
        }
        ledger
    }

    /// Opens an account whose calls are noted.
    pub(crate) fn open(&mut self, name: &str) -> u32 {
        self.open_from(name, None)
    }

    /// Opens the account of a poller that is called in every turn from the one under way on.
    pub(crate) fn open_every_turn(&mut self, name: &str) -> u32 {
        self.open_from(name, Some(self.turns - 1))
    }

    fn open_from(&mut self, name: &str, turns_before: Option<u64>) -> u32 {
        let account = Some(Account {
            name: name.to_owned(),
            calls: 0,
            turns_before,
            busy_turns: 0,
            busy_ns: 0,
            opened_at_ns: self.accounted_ns(),
        });
        let index = match self.accounts.iter().position(Option::is_none) {
            Some(free) => {
                self.accounts[free] = account;
                free
            }
            None => {
                self.accounts.push(account);
                self.accounts.len() - 1
            }
        };
        index as u32
    }

    /// Closes an account at the end of the turn.
    pub(crate) fn close(&mut self, id: u32) {
        self.closing.push(id);
    }

    /// Notes `calls` calls, and whether they did work. At most once an account and turn.
    #[inline]
    pub(crate) fn record(&mut self, id: u32, calls: u64, busy: bool) {
        if let Some(account) = &mut self.accounts[id as usize] {
            account.calls += calls;
            account.busy_turns += u64::from(busy);
        }
        if busy {
            self.busy.push(id);
        }
    }

    /// Notes that a poller that is called in every turn did work in this one.
    #[inline]
    pub(crate) fn record_busy(&mut self, id: u32) {
        self.record(id, 0, true);
    }

    /// Notes calls that did work, of an account that may have been recorded in this turn already.
    pub(crate) fn record_more(&mut self, id: u32, calls: u64) {
        if self.busy.contains(&id) {
            if let Some(account) = &mut self.accounts[id as usize] {
                account.calls += calls;
            }
        } else {
            self.record(id, calls, true);
        }
    }

    /// Whether anything did work in the turn under way.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Who did.
    pub(crate) fn busy(&self) -> &[u32] {
        &self.busy
    }

    /// How long the turn under way has lasted.
    #[inline]
    pub(crate) fn turn_ns(&self, now: Timestamp) -> u64 {
        self.turn_began.map_or(0, |began| now.ns_since(began))
    }

    /// Ends the turn under way, if there is one, and begins the next.
    #[inline]
    pub(crate) fn begin_turn(&mut self, now: Timestamp) {
        self.end_turn(now);
        self.turn_began = Some(self.turn_began.map_or(now, |began| began.max(now)));
        self.turns += 1;
    }

    /// Ends the turn under way; what follows is not accounted until the next one begins.
    pub(crate) fn pause(&mut self, now: Timestamp) {
        self.end_turn(now);
        self.turn_began = None;
    }

    /// Ends the turn under way: from `from` to `to` the reactor slept.
    pub(crate) fn sleep(&mut self, from: Timestamp, to: Timestamp) {
        self.end_turn(from);
        let slept_ns = to.ns_since(from);
        self.idle_ns += slept_ns;
        self.slept_ns += slept_ns;
        self.sleeps += 1;
        self.turn_began = Some(to.max(from));
    }

    /// Turns with work that have ended.
    pub(crate) fn busy_turns(&self) -> u64 {
        self.busy_turns
    }

    #[inline]
    fn end_turn(&mut self, now: Timestamp) {
        let Some(began) = self.turn_began else {
            return;
        };
        let turn_ns = now.ns_since(began);
        self.turn_ns_max = self.turn_ns_max.max(turn_ns);
        if self.busy.is_empty() {
            self.idle_ns += turn_ns;
        } else {
            self.share(turn_ns);
        }
        if !self.closing.is_empty() {
            self.settle_closing();
        }
    }

    #[inline(never)]
    fn share(&mut self, turn_ns: u64) {
        self.busy_turns += 1;
        self.busy_ns += turn_ns;
        let sharers = self.busy.len() as u64;
        // The first takes what does not divide.
        let mut share = turn_ns / sharers + turn_ns % sharers;
        for &id in &self.busy {
            if let Some(account) = &mut self.accounts[id as usize] {
                account.busy_ns += share;
            }
            share = turn_ns / sharers;
        }
        self.busy.clear();
    }

    fn settle_closing(&mut self) {
        while let Some(id) = self.closing.pop() {
            let Some(account) = self.accounts[id as usize].take() else {
                continue;
            };
            let closed = self.statement(&account);
            let same_name = self.retired.iter().position(|old| old.name == closed.name);
            match same_name {
                Some(index) => add(&mut self.retired[index], &closed),
                None if self.retired.len() < self.retired_max => self.retired.push(closed),
                // Bounded: later names share the last entry.
                None => {
                    if let Some(last) = self.retired.last_mut() {
                        "(other retired pollers)".clone_into(&mut last.name);
                        add(last, &closed);
                    }
                }
            }
        }
    }

    fn statement(&self, account: &Account) -> PollerStats {
        let lifetime_ns = self.accounted_ns() - account.opened_at_ns;
        PollerStats {
            name: account.name.clone(),
            calls: account.calls + account.turns_before.map_or(0, |before| self.turns - before),
            busy_turns: account.busy_turns,
            busy_ns: account.busy_ns,
            idle_ns: lifetime_ns.saturating_sub(account.busy_ns),
        }
    }

    fn accounted_ns(&self) -> u64 {
        self.busy_ns + self.idle_ns
    }

    /// The name on an account.
    pub(crate) fn name(&self, id: u32) -> &str {
        match self.accounts.get(id as usize) {
            Some(Some(account)) => &account.name,
            _ => "(retired)",
        }
    }

    /// The state of the accounts after the last turn that has ended.
    pub(crate) fn stats(&self) -> ReactorStats {
        let live = self.accounts.iter().flatten();
        ReactorStats {
            turns: self.turns,
            busy_turns: self.busy_turns,
            busy_ns: self.busy_ns,
            idle_ns: self.idle_ns,
            slept_ns: self.slept_ns,
            sleeps: self.sleeps,
            turn_ns_max: self.turn_ns_max,
            pollers: live
                .map(|account| self.statement(account))
                .chain(self.retired.iter().cloned())
                .collect(),
            ..ReactorStats::default()
        }
    }
}

fn add(sum: &mut PollerStats, more: &PollerStats) {
    sum.calls += more.calls;
    sum.busy_turns += more.busy_turns;
    sum.busy_ns += more.busy_ns;
    sum.idle_ns += more.idle_ns;
}
