//! The fabric's time: real, or moved by a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// "Never", as a point in time. Also a message or an acknowledgement that was lost.
pub(super) const NEVER: u64 = u64::MAX;

/// Where a fabric takes its time from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The monotonic clock. It is read only while something waits for time to pass.
    Real,
    /// Nanoseconds in a cell that somebody else, or [`SoftFabric::advance`], moves forward.
    ///
    /// [`SoftFabric::advance`]: super::SoftFabric::advance
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    /// Virtual time that starts at zero.
    #[must_use]
    pub fn virtual_time() -> Self {
        Self::Virtual(Arc::default())
    }
}

/// A clock that has been started. Time only moves forward.
pub(super) struct Ticker {
    clock: Clock,
    start: Instant,
    /// Real time only: how much was skipped.
    skipped_ns: AtomicU64,
}

impl Ticker {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, start: Instant::now(), skipped_ns: AtomicU64::new(0) }
    }

    pub(super) fn now_ns(&self) -> u64 {
        match &self.clock {
            Clock::Real => {
                let elapsed_ns = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(NEVER);
                elapsed_ns.saturating_add(self.skipped_ns.load(Ordering::Acquire))
            }
            Clock::Virtual(cell) => cell.load(Ordering::Acquire),
        }
    }

    pub(super) fn advance(&self, ns: u64) -> u64 {
        match &self.clock {
            Clock::Real => self.skipped_ns.fetch_add(ns, Ordering::AcqRel),
            Clock::Virtual(cell) => cell.fetch_add(ns, Ordering::AcqRel),
        };
        self.now_ns()
    }

    pub(super) fn set_now(&self, now_ns: u64) {
        match &self.clock {
            Clock::Real => {
                self.advance(now_ns.saturating_sub(self.now_ns()));
            }
            Clock::Virtual(cell) => {
                cell.fetch_max(now_ns, Ordering::AcqRel);
            }
        }
    }
}
