//! `steadystate`: has the rate been steady for so long?

use crate::job::{Job, SteadyState};
use crate::stats::Steady;
use std::collections::VecDeque;

const SECOND_NS: u64 = 1_000_000_000;
/// Longest window, a day.
const SECONDS_MAX: u64 = 86_400;

/// A sample a second, and what they say.
#[derive(Debug)]
pub(super) struct SteadyWatch {
    rule: SteadyState,
    window: usize,
    ramp_ns: u64,
    samples: VecDeque<[u64; 2]>,
    since_ns: u64,
    total: [u64; 2],
    pub(super) found: Steady,
}

impl SteadyWatch {
    pub(super) fn new(job: &Job) -> Option<Self> {
        let rule = job.steadystate?;
        let window = (job.steadystate_ns / SECOND_NS).clamp(1, SECONDS_MAX) as usize;
        Some(SteadyWatch {
            rule,
            window,
            ramp_ns: job.steadystate_ramp_ns,
            samples: VecDeque::with_capacity(window + 1),
            since_ns: 0,
            total: [0; 2],
            found: Steady::default(),
        })
    }

    pub(super) fn start(&mut self, now_ns: u64) {
        (self.since_ns, self.total) = (now_ns, [0; 2]);
        self.samples.clear();
    }

    /// Once a turn, with the operations and bytes so far: is it steady?
    pub(super) fn look(&mut self, now_ns: u64, started_ns: u64, total: [u64; 2]) -> bool {
        let passed_ns = now_ns.saturating_sub(self.since_ns);
        if passed_ns < SECOND_NS {
            return false;
        }
        let a_second = |amount: u64| {
            (u128::from(amount) * u128::from(SECOND_NS) / u128::from(passed_ns)) as u64
        };
        let sample = [0, 1].map(|at: usize| a_second(total[at].saturating_sub(self.total[at])));
        let ramped = self.since_ns.saturating_sub(started_ns) >= self.ramp_ns;
        (self.since_ns, self.total) = (now_ns, total);
        if !ramped {
            return false;
        }
        if self.samples.len() == self.window {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        if self.samples.len() < self.window {
            return false;
        }
        self.decide();
        self.found.attained
    }

    fn decide(&mut self) {
        let count = self.samples.len() as f64;
        let mean =
            |at: usize| self.samples.iter().map(|sample| sample[at] as f64).sum::<f64>() / count;
        let means = [mean(0), mean(1)];
        let at = usize::from(self.rule.bandwidth);
        let values = self.samples.iter().map(|sample| sample[at] as f64);
        let raw = match self.rule.slope {
            false => values.map(|value| (value - means[at]).abs()).fold(0.0, f64::max),
            true => {
                // Least squares over the seconds.
                let middle = (count - 1.0) / 2.0;
                let spread: f64 =
                    (0..self.samples.len()).map(|x| (x as f64 - middle).powi(2)).sum();
                let rise: f64 =
                    values.enumerate().map(|(x, y)| (x as f64 - middle) * (y - means[at])).sum();
                if spread > 0.0 { (rise / spread).abs() } else { 0.0 }
            }
        };
        let criterion = match self.rule.percent {
            true if means[at] > 0.0 => raw * 100.0 / means[at],
            true => f64::INFINITY,
            false => raw,
        };
        self.found = Steady {
            attained: criterion <= self.rule.limit,
            criterion,
            iops_mean: means[0],
            bytes_mean: means[1],
        };
    }
}
