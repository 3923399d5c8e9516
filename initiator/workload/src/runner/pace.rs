//! When the next operation is due: rates, and pauses.
//!
//! Rates are an open loop. Each operation has a time at which it is due, which follows from the rate
//! and from nothing that the server does; an operation that finds the queue full is late, and its
//! latency counts from when it was due. What a stalled server would have been asked in the meantime
//! is asked, and counted, afterwards: nothing is left out because nobody asked.

use crate::generate::Direction;
use crate::job::{Job, RateProcess, ThinkOptions};
use crate::random::{Purpose, Seeds, Tausworthe};

const SECOND_NS: u64 = 1_000_000_000;
/// fio lets a job settle before it looks at its minimum.
const SETTLE_NS: u64 = 2 * SECOND_NS;

/// One direction's rate.
#[derive(Debug)]
struct Rate {
    /// Bytes a second; 0 is none.
    bytes: u64,
    issued_bytes: u64,
    /// When the next operation is due.
    due_ns: u64,
    /// For arrivals as they come: mean distance, and chance.
    arrivals: Option<(f64, Tausworthe)>,
}

/// Both directions' rates.
#[derive(Debug)]
pub(super) struct Pace {
    rates: [Rate; 2],
    on: bool,
    start_ns: u64,
    mix_percent: [u8; 2],
    ignores_think: bool,
}

impl Pace {
    pub(super) fn new(job: &Job, thread: u32) -> Self {
        let seeds = Seeds::new(&job.random, thread, job.rw.random());
        let rate = |direction: usize| {
            let block = u64::from(job.bs[direction].min);
            let bytes = match job.pace.rate[direction] {
                0 => job.pace.rate_iops[direction].saturating_mul(block),
                bytes => bytes,
            };
            let purpose = [Purpose::ReadPace, Purpose::WritePace][direction];
            let arrivals = (job.pace.process == RateProcess::Poisson && bytes > 0).then(|| {
                let mean_ns = SECOND_NS as f64 * block as f64 / bytes as f64;
                (mean_ns, seeds.narrow(purpose))
            });
            Rate { bytes, issued_bytes: 0, due_ns: 0, arrivals }
        };
        Pace {
            rates: [rate(0), rate(1)],
            on: job.pace.is_on(),
            start_ns: 0,
            mix_percent: [job.rwmixread, 100 - job.rwmixread],
            ignores_think: job.pace.ignores_think,
        }
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn start(&mut self, now_ns: u64) {
        self.start_ns = now_ns;
        for rate in &mut self.rates {
            rate.due_ns = now_ns;
            rate.issued_bytes = 0;
        }
    }

    /// When the next operation of a direction is due; `None` where there is no rate.
    #[inline]
    pub(super) fn due_ns(&self, direction: Direction) -> Option<u64> {
        let rate = &self.rates[direction as usize];
        (rate.bytes > 0).then_some(rate.due_ns)
    }

    /// In a mixed job the direction that is behind goes first.
    pub(super) fn steer(&self, wanted: Direction, now_ns: u64) -> Direction {
        let due = |direction| self.due_ns(direction).unwrap_or(0);
        let other = wanted.other();
        if due(wanted) <= now_ns || self.mix_percent[other as usize] == 0 {
            return wanted;
        }
        if due(other) <= now_ns || due(other) < due(wanted) { other } else { wanted }
    }

    /// An operation was issued: when is the next due?
    #[inline]
    pub(super) fn issued(&mut self, direction: Direction, bytes: u32) {
        let rate = &mut self.rates[direction as usize];
        if rate.bytes == 0 {
            return;
        }
        match &mut rate.arrivals {
            Some((mean_ns, rng)) => {
                rate.due_ns += (-rng.unit_above_zero().ln() * *mean_ns) as u64;
            }
            None => {
                rate.issued_bytes += u64::from(bytes);
                let whole = rate.issued_bytes / rate.bytes * SECOND_NS;
                let part = u128::from(rate.issued_bytes % rate.bytes) * u128::from(SECOND_NS);
                rate.due_ns = self.start_ns + whole + (part / u128::from(rate.bytes)) as u64;
            }
        }
    }

    /// The job has paused.
    fn paused(&mut self, time_ns: u64) {
        if self.ignores_think {
            self.start_ns += time_ns;
            self.rates.iter_mut().for_each(|rate| rate.due_ns += time_ns);
        }
    }
}

/// Pauses after so many operations.
#[derive(Debug)]
pub(super) struct Think {
    options: ThinkOptions,
    /// Operations that count, so far and at the last pause.
    counted: u64,
    counted_at_pause: u64,
    worked_since_ns: u64,
    pausing: bool,
    until_ns: Option<u64>,
}

impl Think {
    pub(super) fn new(options: &ThinkOptions) -> Self {
        Think {
            options: options.clone(),
            counted: 0,
            counted_at_pause: 0,
            worked_since_ns: 0,
            pausing: false,
            until_ns: None,
        }
    }

    pub(super) fn start(&mut self, now_ns: u64) {
        self.worked_since_ns = now_ns;
    }

    #[inline]
    pub(super) fn issued(&mut self) {
        self.counted += u64::from(self.options.counts_issued);
    }

    #[inline]
    pub(super) fn completed(&mut self) {
        self.counted += u64::from(!self.options.counts_issued);
    }

    /// May the next operation be made? What is in flight comes back before a pause begins.
    #[inline]
    pub(super) fn allows(&mut self, now_ns: u64, in_flight: u32, pace: &mut Pace) -> bool {
        if self.options.time_ns == 0 {
            return true;
        }
        if !self.pausing && !self.is_time(now_ns) {
            return true;
        }
        self.pausing = true;
        if in_flight > 0 {
            return false;
        }
        let until_ns = *self.until_ns.get_or_insert(now_ns + self.options.time_ns);
        if now_ns < until_ns {
            return false;
        }
        self.pausing = false;
        self.until_ns = None;
        self.counted_at_pause = self.counted;
        self.worked_since_ns = now_ns;
        pace.paused(self.options.time_ns);
        true
    }

    fn is_time(&self, now_ns: u64) -> bool {
        let by_count = self.counted >= self.counted_at_pause + self.options.blocks;
        match self.options.io_time_ns {
            0 => by_count,
            worked => {
                let by_time = now_ns.saturating_sub(self.worked_since_ns) >= worked;
                by_time || (self.options.blocks_given && by_count)
            }
        }
    }
}

/// `rate_min` and `rate_iops_min`.
#[derive(Debug, Default)]
pub(super) struct Minimum {
    since_ns: Option<u64>,
    bytes: [u64; 2],
    ios: [u64; 2],
}

impl Minimum {
    /// What is wrong with the rate of the last cycle, once a cycle is over. `done` is operations and
    /// bytes of each direction.
    pub(super) fn check(
        &mut self,
        job: &Job,
        now_ns: u64,
        started_ns: u64,
        done: [(u64, u64); 2],
    ) -> Option<String> {
        if now_ns.saturating_sub(started_ns) < SETTLE_NS {
            return None;
        }
        let since_ns = *self.since_ns.get_or_insert_with(|| {
            (self.ios, self.bytes) = (done.map(|d| d.0), done.map(|d| d.1));
            now_ns
        });
        let spent_ns = now_ns - since_ns;
        // Looked at when something has completed: between the operations of a slow rate is no rate.
        if spent_ns < job.pace.cycle_ns || self.ios == done.map(|d| d.0) {
            return None;
        }
        let rate = |amount: u64| {
            (u128::from(amount) * u128::from(SECOND_NS) / u128::from(spent_ns)) as u64
        };
        let mut missed = None;
        for (direction, (ios, bytes)) in done.into_iter().enumerate() {
            let (least_bytes, least_ios) =
                (job.pace.rate_min[direction], job.pace.rate_iops_min[direction]);
            let (rate_bytes, rate_ios) =
                (rate(bytes - self.bytes[direction]), rate(ios - self.ios[direction]));
            let active = if direction == 0 { job.rw.reads() } else { job.rw.writes() };
            if active && least_bytes > rate_bytes {
                missed = Some(format!(
                    "rate_min={least_bytes} bytes a second was not met: {rate_bytes}"
                ));
            } else if active && least_ios > rate_ios {
                missed = Some(format!("rate_iops_min={least_ios} was not met: {rate_ios}"));
            }
        }
        *self =
            Minimum { since_ns: Some(now_ns), ios: done.map(|d| d.0), bytes: done.map(|d| d.1) };
        missed
    }
}
