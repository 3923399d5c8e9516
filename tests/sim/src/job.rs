//! A client that runs a job, as `initiator run` does: the workload's runners over a mount, on a
//! reactor of its own, by the poller that the command line uses.
//!
//! What it is held to: it ends; no block that it reads back is another than was written; its counts
//! add up; it fails only where the run's faults allow it; and it leaves nothing behind.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use jobs::{Assignment, EVENTS_MAX, Event, JobPoller, Outcome};
use reactor::{Clock, Hand, Poller, Progress, Reactor, ReactorConfig, Timestamp, Turn};
use rpcrdma::{Fault, Holdings, State};
use verbs::soft::SoftFabric;
use wire::nfs3::FileHandle;
use workload::generate::Direction;
use workload::{Instance, JobFile, JobResult};

use crate::actor::{Allowed, mount};
use crate::faults::Victim;
use crate::finding::{Checker, Finding};
use crate::shape::{JobShape, MOUNTS_MAX};

/// Longer than a poller that was stopped takes to end.
const GRACE: Duration = Duration::from_secs(600);
/// fio's errno for a block that does not verify.
const EILSEQ: i32 = 84;
/// Every how many turns it is asked how things are.
const ASK_EVERY: u64 = 500;

type Shared = Rc<RefCell<JobPoller<SoftFabric>>>;

/// See the module documentation.
pub struct JobHost {
    reactor: Reactor,
    poller: Shared,
    events: Receiver<Event>,
    hand: Hand,
    asked: Arc<AtomicU64>,
    shape: JobShape,
    allowed: Allowed,
    turns: u64,
    started: bool,
    stopped: bool,
    over: bool,
    outcome: Option<Outcome>,
    /// Turns that it missed.
    pub missed: u64,
    frozen_until_ns: u64,
}

impl JobHost {
    /// A reactor with the poller of a job.
    pub fn new(
        shape: &JobShape,
        allowed: Allowed,
        fabric: &SoftFabric,
        server: (SocketAddr, FileHandle),
        fault: Option<Fault>,
    ) -> Result<Self, Finding> {
        let broken = |error: &dyn std::fmt::Display| Checker::Results.says(error.to_string());
        let file = JobFile::parse(shape.text.as_bytes(), "simulated");
        let file = file.map_err(|error| broken(&error))?;
        let (tell, events) = bounded(EVENTS_MAX);
        let asked = Arc::<AtomicU64>::default();
        let assignment = Assignment {
            site: 0,
            url: "nfs://simulated/".into(),
            mount: mount::mount(MOUNTS_MAX as usize, &shape.mount, server, fault),
            endpoint: mount::endpoint(&shape.mount),
            directory: String::new(),
            instances: Instance::of(&file.jobs),
            number: 0,
            asked: Arc::clone(&asked),
        };
        let now = Timestamp(fabric.now_ns());
        let (clock, hand) = Clock::simulated();
        let pending = Rc::new(Cell::new(1));
        let poller = JobPoller::new(fabric.clone(), assignment, tell, pending, clock, now);
        let poller = Rc::new(RefCell::new(poller.map_err(|error| broken(&error))?));
        let config = ReactorConfig { shutdown_grace: GRACE, ..ReactorConfig::default() };
        let mut reactor = Reactor::new("jobs", config).map_err(|error| broken(&error))?;
        let added = reactor.add_poller(Watched(Rc::clone(&poller)));
        added.map_err(|error| broken(&error))?;
        Ok(Self {
            reactor,
            poller,
            events,
            hand,
            asked,
            shape: shape.clone(),
            allowed,
            turns: 0,
            started: false,
            stopped: false,
            over: false,
            outcome: None,
            missed: 0,
            frozen_until_ns: 0,
        })
    }

    /// Whether its runners are at work, or have been.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.started || self.over
    }

    /// Whether it has ended, and its mount is gone.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// It is not to turn now.
    #[must_use]
    pub fn is_frozen(&self, now_ns: u64) -> bool {
        now_ns < self.frozen_until_ns
    }

    /// One turn of the reactor. Says whether anything happened.
    pub fn turn(&mut self, now: Timestamp) -> Result<bool, Finding> {
        if self.over {
            return Ok(false);
        }
        self.turns += 1;
        self.hand.set(now);
        if self.shape.stop_after == Some(self.turns) {
            self.stopped = true;
            self.reactor.request_stop();
        }
        if self.turns.is_multiple_of(ASK_EVERY) {
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
        let progress = self.reactor.turn(now);
        self.listen()?;
        self.over = progress == Progress::Done;
        if self.over && self.outcome.is_none() {
            return Err(Checker::Results.says("the reactor ended before its job"));
        }
        Ok(progress == Progress::Busy)
    }

    fn listen(&mut self) -> Result<(), Finding> {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Started(..) => self.started = true,
                Event::Status(outcome) => self.check_so_far(&outcome)?,
                Event::Ended(outcome) => {
                    self.check(&outcome).map_err(|Finding { checker, what }| {
                        checker.says(format!("job {:?}: {what}", self.shape.text))
                    })?;
                    self.outcome = Some(*outcome);
                }
            }
        }
        Ok(())
    }

    fn check_so_far(&self, outcome: &Outcome) -> Result<(), Finding> {
        let results = outcome.results.iter().flatten();
        let most = 2 * self.shape.bytes;
        match results.map(|(_, result)| moved(result)).find(|(read, written)| read + written > most)
        {
            None => Ok(()),
            Some(moved) => Err(Checker::Results.says(format!("{moved:?} bytes so far of {most}"))),
        }
    }

    fn check(&self, outcome: &Outcome) -> Result<(), Finding> {
        let held = outcome.held;
        if held.buffers > 0 || held.transport != Holdings::default() || held.windows > 0 {
            return Err(Checker::Leaks.says(format!("at its end it holds {held:?}")));
        }
        let may_fail = self.allowed.errors || self.stopped;
        match &outcome.results {
            Err(_) if may_fail || self.allowed.mount_fails => Ok(()),
            Err(why) => Err(Checker::Results.says(why)),
            Ok(results) => results.iter().try_for_each(|(_, result)| self.check_result(result)),
        }
    }

    fn check_result(&self, result: &JobResult) -> Result<(), Finding> {
        for direction in &result.directions {
            let timed = direction.clat.moments.count();
            if timed != direction.ios {
                let what = format!("{} operations, {timed} of them timed", direction.ios);
                return Err(Checker::Results.says(what));
            }
        }
        match &result.failure {
            Some(failure) if failure.errno == EILSEQ => {
                Err(Checker::Contents.says(&failure.message))
            }
            Some(_) if self.allowed.errors || self.stopped => Ok(()),
            Some(failure) => Err(Checker::Results.says(&failure.message)),
            None if self.stopped => Ok(()),
            None => self.check_sums(moved(result)),
        }
    }

    /// Each block was read or written once; what was written was read back once more.
    fn check_sums(&self, (read, written): (u64, u64)) -> Result<(), Finding> {
        let JobShape { bytes, verify, mixed, reads_only, .. } = self.shape;
        let alone = if reads_only { read } else { written };
        let right = match verify {
            true => read == bytes && (mixed || written == bytes),
            false => read + written == bytes && (mixed || alone == bytes),
        };
        match right {
            true => Ok(()),
            false => {
                let what = format!("{read} bytes read and {written} written, of {bytes}");
                Err(Checker::Results.says(what))
            }
        }
    }

    /// Of all that came of it, folded.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let results = self.outcome.iter().flat_map(|outcome| outcome.results.iter().flatten());
        let sums = results.map(|(_, result)| {
            let (read, written) = moved(result);
            let times = result.elapsed_ns ^ result.directions[1].clat.moments.max().rotate_left(17);
            read ^ written.rotate_left(20) ^ times.rotate_left(40)
        });
        sums.fold(self.turns, |digest, sum| digest.rotate_left(9) ^ sum)
    }

    /// Blocks that it has moved, if it has ended without failing.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        let results = self.outcome.iter().flat_map(|outcome| outcome.results.iter().flatten());
        let fine = results.filter(|(_, result)| result.failure.is_none());
        fine.flat_map(|(_, result)| &result.directions).map(|direction| direction.ios).sum()
    }

    /// The transport's counters.
    #[must_use]
    pub fn counters(&self) -> rpcrdma::Counters {
        self.outcome.as_ref().map(|outcome| outcome.counters).unwrap_or_default()
    }
}

impl Victim for JobHost {
    fn qp_nums(&self) -> Vec<u32> {
        let poller = self.poller.borrow();
        let (client, mount) = poller.client();
        client.qp_nums(mount).into_iter().flatten().collect()
    }

    fn states(&self) -> Vec<State> {
        let poller = self.poller.borrow();
        let (client, mount) = poller.client();
        client.states(mount)
    }

    fn freeze(&mut self, until_ns: u64) {
        self.frozen_until_ns = until_ns;
    }
}

/// Bytes read and written.
fn moved(result: &JobResult) -> (u64, u64) {
    (result.direction(Direction::Read).bytes, result.direction(Direction::Write).bytes)
}

/// The poller, looked at from outside between turns.
struct Watched(Shared);

impl Poller for Watched {
    fn name(&self) -> &str {
        "jobs"
    }

    fn poll(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.0.borrow_mut().poll(turn)
    }

    fn drained(&self) -> bool {
        self.0.borrow().drained()
    }
}
