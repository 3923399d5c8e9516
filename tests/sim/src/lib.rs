//! Deterministic simulation: the whole client and a server in one thread, on the soft fabric and
//! virtual time. One 64-bit seed decides everything; a seed that fails replays exactly.
//!
//! Some clients do what an actor thinks of, some run a [`job`] as the command line does.
//!
//! Each run draws its own shape ([`shape`]): sizes, mix of operations, which faults there are and
//! how often they strike ([`faults`]). Each client lives on a reactor ([`host`]) whose mailbox
//! brings its orders. What it answers is held against a model of the server's files ([`model`]) by
//! [`actor`]; [`world`] watches the rest. Who finds what is listed in [`finding`], and how often each
//! thing went wrong is kept in [`tally`].
//!
//! That the checkers are not blind is shown by mistakes that are planted in the client one at a
//! time ([`planted`]): each has to be found.
//!
//! Threading: a run is one thread; many runs go side by side.

#![forbid(unsafe_code)]

pub mod actor;
pub mod faults;
pub mod finding;
pub mod host;
pub mod job;
pub mod model;
pub mod planted;
pub mod shape;
pub mod tally;
pub mod world;

use fastrand::Rng;
use rpcrdma::{Counters, Fault};

use crate::actor::Seen;
use crate::finding::{Checker, Finding};
use crate::shape::Shape;
use crate::tally::Tally;
use crate::world::World;

/// What a run was.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Steps it took.
    pub steps: u64,
    /// Virtual time it took.
    pub virtual_ns: u64,
    /// Messages that the fabric transmitted again.
    pub retransmissions: u64,
    /// Faults that were ordered.
    pub faults: u64,
    /// What went wrong, and how often.
    pub tally: Tally,
    /// Jobs that ran to their end, and blocks that those without failure moved.
    pub jobs: (u64, u64),
    /// Of all actors together.
    pub seen: Seen,
    /// Of all mounts together.
    pub counters: Counters,
    /// Of everything that was seen: equal for equal runs.
    pub digest: u64,
}

impl Report {
    /// Adds another run's figures to these.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.virtual_ns += other.virtual_ns;
        self.retransmissions += other.retransmissions;
        self.faults += other.faults;
        self.jobs = (self.jobs.0 + other.jobs.0, self.jobs.1 + other.jobs.1);
        self.tally.add(&other.tally);
        self.seen.add(&other.seen);
        self.counters.add(&other.counters);
        self.digest ^= other.digest;
    }
}

/// A run that found something.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What.
    pub finding: Finding,
    /// How far it had come.
    pub report: Box<Report>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at_ms = self.report.virtual_ns as f64 / 1e6;
        write!(f, "after {} steps, at {at_ms:.3} ms: {}", self.report.steps, self.finding)
    }
}

/// The shape that a seed decides.
#[must_use]
pub fn shape(seed: u64) -> Shape {
    Shape::draw(&mut Rng::with_seed(seed))
}

/// Lives one seed through, with a mistake planted in the client if that is wanted.
///
/// # Errors
/// What was found.
pub fn run(seed: u64, fault: Option<Fault>) -> Result<Report, Failure> {
    let failed = |finding| Failure { finding, report: Box::default() };
    let lived =
        std::panic::catch_unwind(|| World::build(seed, shape(seed), fault).map_err(failed)?.run());
    lived.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|&word| word.into()));
        Err(failed(Checker::Assertion.says(words.unwrap_or_default())))
    })
}
