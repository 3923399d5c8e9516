//! `--status-interval`: the report of a run that goes on, every so often.
//!
//! Threading: the main thread's. It asks by a number that pollers look at once a turn, and wakes those
//! reactors that sleep; each poller answers with a copy of what it has. It asks again only when all
//! have answered or the time for that is over.
//!
//! Faults survived: a reactor that does not answer (it is reported as it last was), one that ends
//! meanwhile, a place for the reports that takes no more (the run ends, and says why).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};
use reactor::{Mailbox, ReactorStats};
use workload::{Instance, JobResult};

use crate::engine::Ran;
use crate::progress::ProgressLine;
use jobs::Outcome;

/// Who has not answered by then is reported as it was.
const PATIENCE: Duration = Duration::from_secs(1);

/// What makes a report of a run.
type Report<'a> = dyn FnMut(&Ran) -> Result<()> + 'a;

/// See the module documentation.
pub(crate) struct Status<'a> {
    every: Option<Duration>,
    report: Box<Report<'a>>,
    /// When to ask next; while it waits for answers, until when.
    due: Instant,
    waits: bool,
    asked: Arc<AtomicU64>,
    pollers: usize,
    mailboxes: Vec<Mailbox>,
    /// The latest of each poller of this stage.
    answers: BTreeMap<usize, Outcome>,
    /// Those that have answered since they were asked.
    round: BTreeSet<usize>,
    /// What earlier stages have left, and who has not begun.
    before: Ran,
    results: BTreeMap<u32, JobResult>,
    failed: Option<Error>,
}

impl<'a> Status<'a> {
    /// Every so often to `report`; never, if there is no `every`.
    pub(crate) fn new(
        every: Option<Duration>,
        report: impl FnMut(&Ran) -> Result<()> + 'a,
    ) -> Status<'a> {
        Status {
            every,
            report: Box::new(report),
            due: Instant::now(),
            waits: false,
            asked: Arc::default(),
            pollers: 0,
            mailboxes: Vec::new(),
            answers: BTreeMap::new(),
            round: BTreeSet::new(),
            before: Ran::default(),
            results: BTreeMap::new(),
            failed: None,
        }
    }

    /// The run begins, with these.
    pub(crate) fn begin(&mut self, all: &[(Instance, usize)]) {
        if let Some(every) = self.every {
            self.due = Instant::now() + every;
            let none = |(instance, _): &(Instance, usize)| {
                (instance.index, JobResult::not_begun(instance))
            };
            self.results = all.iter().map(none).collect();
        }
    }

    /// What pollers look at.
    pub(crate) fn asked(&self) -> Arc<AtomicU64> {
        self.asked.clone()
    }

    /// A stage begins, with so many pollers on these reactors.
    pub(crate) fn watch(&mut self, pollers: usize, mailboxes: Vec<Mailbox>) {
        (self.pollers, self.mailboxes) = (pollers, mailboxes);
    }

    /// A poller has told how things are.
    pub(crate) fn answered(&mut self, outcome: Outcome) {
        self.round.insert(outcome.number);
        self.answers.insert(outcome.number, outcome);
    }

    /// Asks, or reports, if it is time. `ended`: those of this stage's pollers that have.
    pub(crate) fn look(&mut self, ended: &[Outcome], line: &ProgressLine) {
        let Some(every) = self.every.filter(|_| self.failed.is_none()) else { return };
        let now = Instant::now();
        if !self.waits && now >= self.due {
            self.round.clear();
            (self.waits, self.due) = (true, now + PATIENCE);
            self.asked.fetch_add(1, Ordering::Relaxed);
            for mailbox in &self.mailboxes {
                // It is the wakeup that counts; a full mailbox wakes too.
                let _ = mailbox.send(|_| ());
            }
        }
        let told = |number| {
            self.round.contains(&number) || ended.iter().any(|outcome| outcome.number == number)
        };
        let all = self.waits && (0..self.pollers).all(told);
        if self.waits && (all || now >= self.due) {
            (self.waits, self.due) = (false, now + every);
            let ran = self.so_far(ended);
            let report = &mut self.report;
            let mut told = Ok(());
            line.aside(|| told = report(&ran));
            self.failed = told.err();
        }
    }

    fn so_far(&mut self, ended: &[Outcome]) -> Ran {
        for outcome in ended {
            self.answers.insert(outcome.number, outcome.clone());
        }
        let mut outcomes = self.before.outcomes.clone();
        for outcome in self.answers.values() {
            if let Ok(results) = &outcome.results {
                self.results.extend(results.iter().cloned());
            }
            outcomes.push(outcome.clone());
        }
        let results = self.results.values().cloned().collect();
        Ran { results, outcomes, reactors: self.before.reactors.clone() }
    }

    /// A stage has ended, and this is what came of it.
    pub(crate) fn ended(&mut self, outcomes: &[Outcome], reactors: &[ReactorStats]) {
        if self.every.is_none() {
            return;
        }
        self.answers.clear();
        self.waits = false;
        for outcome in outcomes {
            if let Ok(results) = &outcome.results {
                self.results.extend(results.iter().cloned());
            }
        }
        self.before.outcomes.extend(outcomes.iter().cloned());
        self.before.reactors.extend(reactors.iter().cloned());
    }

    /// # Errors
    /// A report that could not be made.
    pub(crate) fn check(&mut self) -> Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(error) => Err(anyhow!("{error:#}")),
        }
    }
}
