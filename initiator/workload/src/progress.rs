//! How far a runner has come, for another thread to look at.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// What a runner is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Opening files.
    Opening = 0,
    /// Writing the data that reads will need.
    LayingOut = 1,
    /// Running, not measuring yet.
    Ramping = 2,
    /// Running.
    Running = 3,
    /// COMMIT at the end.
    Syncing = 4,
    /// Reading back what was written.
    Verifying = 5,
    /// Done, well or badly.
    Finished = 6,
}

impl Phase {
    fn from_u8(value: u8) -> Phase {
        match value {
            0 => Phase::Opening,
            1 => Phase::LayingOut,
            2 => Phase::Ramping,
            3 => Phase::Running,
            4 => Phase::Syncing,
            5 => Phase::Verifying,
            _ => Phase::Finished,
        }
    }
}

/// Counters that a runner stores once a turn and any thread may read. Each is right by itself;
/// together they may be a turn apart.
#[derive(Debug, Default)]
pub struct Progress {
    ios: AtomicU64,
    bytes: AtomicU64,
    in_flight: AtomicU64,
    elapsed_ns: AtomicU64,
    phase: AtomicU8,
}

/// A reading of [`Progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Reads and writes done, ramp and verify included, layout not.
    pub ios: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Operations in flight.
    pub in_flight: u64,
    /// Since the first turn.
    pub elapsed_ns: u64,
    /// What it is doing.
    pub phase: Phase,
}

impl Progress {
    pub(crate) fn store(&self, snapshot: Snapshot) {
        self.ios.store(snapshot.ios, Relaxed);
        self.bytes.store(snapshot.bytes, Relaxed);
        self.in_flight.store(snapshot.in_flight, Relaxed);
        self.elapsed_ns.store(snapshot.elapsed_ns, Relaxed);
        self.phase.store(snapshot.phase as u8, Relaxed);
    }

    /// Reads the counters.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            ios: self.ios.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            elapsed_ns: self.elapsed_ns.load(Relaxed),
            phase: Phase::from_u8(self.phase.load(Relaxed)),
        }
    }
}
