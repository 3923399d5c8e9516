//! How many operations may be in flight: batches, low-water marks, and the search for the depth
//! that a latency allows.

use crate::job::{Job, LatencyTarget};

/// Lets a queue fill, and fill again when enough has completed.
#[derive(Debug)]
pub(super) struct Gate {
    /// Once full: closed until no more than this are in flight.
    refill_at: u32,
    closed: bool,
    /// Most submitted in a turn.
    pub(super) batch: u32,
    /// Most completions taken in a turn.
    pub(super) complete_max: u64,
}

impl Gate {
    pub(super) fn new(job: &Job) -> Self {
        let depth = job.iodepth;
        let low = job.depth.low.unwrap_or(depth).min(depth);
        Gate {
            refill_at: low.min(depth - job.depth.complete_min.min(depth)),
            closed: false,
            batch: job.depth.batch.unwrap_or(depth).clamp(1, depth),
            complete_max: match job.depth.complete_max {
                Some(max) => max.max(job.depth.complete_min).into(),
                None => u64::MAX,
            },
        }
    }

    /// May another be submitted?
    #[inline]
    pub(super) fn is_open(&mut self, in_flight: u32, depth: u32) -> bool {
        if in_flight >= depth {
            self.closed = true;
            return false;
        }
        self.closed &= in_flight > self.refill_at;
        !self.closed
    }
}

/// What a look at the latencies of a window decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing yet.
    Watch,
    /// Another depth, or the same for the final look; what was counted is forgotten if `afresh`.
    Change {
        /// The measurement begins now.
        afresh: bool,
    },
    /// The depth is found and measured.
    Done,
    /// Even one at a time is too slow.
    Impossible,
}

/// The search (fio's): double until it fails, then halve what is between.
#[derive(Debug)]
pub(super) struct Search {
    target: LatencyTarget,
    depth_max: u32,
    pub(super) depth: u32,
    low: u32,
    high: u32,
    stable: u32,
    is_final: bool,
    since_ns: u64,
    ios: u64,
    slow: u64,
    /// What is in flight comes back before the next depth is watched.
    pub(super) draining: bool,
}

impl Search {
    /// `None` where there is no target.
    pub(super) fn new(job: &Job) -> Option<Self> {
        (job.latency_target.target_ns > 0).then(|| Search {
            target: job.latency_target.clone(),
            depth_max: job.iodepth,
            depth: 1,
            low: 1,
            high: job.iodepth,
            stable: 0,
            is_final: false,
            since_ns: 0,
            ios: 0,
            slow: 0,
            draining: false,
        })
    }

    /// A window begins.
    pub(super) fn begin(&mut self, now_ns: u64) {
        (self.since_ns, self.ios, self.slow, self.draining) = (now_ns, 0, 0, false);
    }

    /// An operation took so long.
    #[inline]
    pub(super) fn note(&mut self, latency_ns: u64) {
        self.ios += 1;
        self.slow += u64::from(latency_ns > self.target.target_ns);
    }

    /// Looked at once a turn.
    pub(super) fn look(&mut self, now_ns: u64) -> Decision {
        if self.draining {
            return Decision::Watch;
        }
        let strict = self.target.percentile >= 100.0;
        if strict && self.slow > 0 {
            return self.too_slow();
        }
        if now_ns.saturating_sub(self.since_ns) < self.target.window_ns || self.ios == 0 {
            return Decision::Watch;
        }
        let good = (self.ios - self.slow) as f64 * 100.0 / self.ios as f64;
        match good >= self.target.percentile {
            true => self.fast_enough(now_ns),
            false => self.too_slow(),
        }
    }

    fn too_slow(&mut self) -> Decision {
        if self.depth == 1 {
            return Decision::Impossible;
        }
        self.high = self.depth;
        if self.depth == self.low {
            self.low -= 1;
        }
        self.depth = ((self.depth + self.low) / 2).max(1);
        self.stable = 0;
        self.draining = true;
        Decision::Change { afresh: false }
    }

    fn fast_enough(&mut self, now_ns: u64) -> Decision {
        let before = self.depth;
        self.low = self.depth;
        if self.depth + 1 == self.high {
            self.stable += 1;
            if self.stable >= 3 {
                (self.high, self.stable) = (self.high + 1, 0);
            }
        }
        self.depth = match self.high == self.depth_max {
            true => self.depth * 2,
            false => (self.depth + self.high) / 2,
        };
        self.depth = self.depth.min(self.depth_max);
        self.begin(now_ns);
        if self.depth != before || self.target.keeps_running {
            return Decision::Change { afresh: false };
        }
        if self.is_final {
            return Decision::Done;
        }
        (self.is_final, self.draining) = (true, true);
        Decision::Change { afresh: true }
    }
}
