//! Deterministic simulation: the whole client and a server in one thread, on the soft fabric and
//! virtual time. One 64-bit seed decides everything; a seed that fails replays exactly.
//!
//! Each run draws its own shape ([`shape`]): sizes, mix of operations, which faults there are and
//! how often they strike ([`faults`]). What the client answers is held against a model of the
//! server's files ([`model`]) by [`actor`]; [`world`] watches the rest: memory lent to the card is
//! left alone, no queue is asked for more than it holds, no credit is overdrawn, no call makes no
//! sense, everything ends once faults stop, and everything is home in the end.
//!
//! Threading: a run is one thread; many runs go side by side.

#![forbid(unsafe_code)]

pub mod actor;
pub mod faults;
pub mod model;
pub mod shape;
pub mod world;

use fastrand::Rng;
use rpcrdma::Counters;
use rpcrdma::PlantedFaults;

use crate::shape::Shape;
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
    /// Faults that struck.
    pub struck: u64,
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
        self.struck += other.struck;
        self.counters.add(&other.counters);
        self.digest ^= other.digest;
    }
}

/// A run that found something.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What.
    pub what: String,
    /// How far it had come.
    pub report: Report,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at_ms = self.report.virtual_ns as f64 / 1e6;
        write!(f, "after {} steps, at {at_ms:.3} ms: {}", self.report.steps, self.what)
    }
}

/// The shape that a seed decides.
#[must_use]
pub fn shape(seed: u64) -> Shape {
    Shape::draw(&mut Rng::with_seed(seed))
}

/// Lives one seed through.
///
/// # Errors
/// What was found.
pub fn run(seed: u64, planted: PlantedFaults) -> Result<Report, Failure> {
    let failed = |what| Failure { what, report: Report::default() };
    let lived = std::panic::catch_unwind(|| {
        World::build(seed, shape(seed), planted).map_err(failed)?.run()
    });
    lived.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|&word| word.into()));
        Err(failed(format!("panicked: {}", words.unwrap_or_default())))
    })
}
