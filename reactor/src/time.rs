//! Time as the whole program sees it: [`Timestamp`] is passed down, [`Clock`] is read once a turn.
//!
//! Threading: all clocks of a process share one origin and one calibration, so timestamps taken
//! on different cores compare (as far as the machine's time-stamp counters agree; where they do
//! not, quanta falls back to `clock_gettime`).

use std::ops::Add;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Nanoseconds on the process's monotonic clock. State machines take it; only the reactor and the
/// binary make it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The clock's origin.
    pub const ZERO: Timestamp = Timestamp(0);
    /// Later than anything that will happen.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    /// This moment plus `ns`, or [`Timestamp::MAX`].
    #[must_use]
    pub const fn add_ns(self, ns: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(ns))
    }

    /// Nanoseconds from `earlier` to this moment; 0 if `earlier` is in fact later.
    #[must_use]
    pub const fn ns_since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    /// Saturates at [`Timestamp::MAX`].
    fn add(self, after: Duration) -> Timestamp {
        self.add_ns(duration_ns(after))
    }
}

/// A duration in nanoseconds; what does not fit (584 years) saturates.
pub(crate) fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The monotonic clock: the time-stamp counter where it is invariant. Cheap to clone and to read.
#[derive(Clone, Debug)]
pub struct Clock {
    counter: quanta::Clock,
    origin: u64,
}

impl Clock {
    /// The process's clock. The first call calibrates it and may take a few hundred milliseconds.
    #[must_use]
    pub fn new() -> Clock {
        static PROCESS: OnceLock<Clock> = OnceLock::new();
        PROCESS
            .get_or_init(|| {
                let counter = quanta::Clock::new();
                let origin = counter.raw();
                Clock { counter, origin }
            })
            .clone()
    }

    /// A clock that stands still until somebody moves it, and who does that: for simulations.
    #[must_use]
    pub fn simulated() -> (Clock, Hand) {
        let (counter, mock) = quanta::Clock::mock();
        (Clock { counter, origin: 0 }, Hand(mock))
    }

    /// Reads the clock.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(self.counter.delta_as_nanos(self.origin, self.counter.raw()))
    }
}

/// The hand of a clock of a simulation.
#[derive(Clone, Debug)]
pub struct Hand(Arc<quanta::Mock>);

impl Hand {
    /// Moves the clock on to a later moment.
    pub fn set(&self, now: Timestamp) {
        self.0.increment(now.0.saturating_sub(self.0.value()));
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Timestamp};

    #[test]
    fn a_simulated_clock_shows_what_its_hand_was_set_to_and_never_less() {
        let (clock, hand) = Clock::simulated();
        assert_eq!(clock.now(), Timestamp::ZERO);
        hand.set(Timestamp(7_000));
        assert_eq!(clock.clone().now(), Timestamp(7_000));
        hand.set(Timestamp(3));
        assert_eq!(clock.now(), Timestamp(7_000));
    }
}
