//! Time: sampling rates while it runs, and the runtime of each step.

use super::{Runner, Step};
use crate::backend::Backend;
use crate::stats::JobResult;

/// Where the current sample began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sampler {
    start_ns: u64,
    ios: [u64; 2],
    bytes: [u64; 2],
}

impl<B: Backend> Runner<B> {
    /// Once a turn: closes the sample when it is long enough.
    pub(super) fn sample(&mut self, now_ns: u64) {
        let elapsed = now_ns.saturating_sub(self.sampler.start_ns);
        if elapsed < self.job.sample_ns || !self.measures() {
            return;
        }
        for direction in 0..2 {
            if !self.active(direction) {
                continue;
            }
            let stats = &mut self.result.directions[direction];
            let rate =
                |amount: u64| (u128::from(amount) * 1_000_000_000 / u128::from(elapsed)) as u64;
            let bytes = rate(stats.bytes - self.sampler.bytes[direction]);
            let ios = rate(stats.ios - self.sampler.ios[direction]);
            stats.bw.add(bytes / 1024);
            stats.iops.add(ios);
        }
        self.extend_series(now_ns);
        self.restart_samples(now_ns);
    }

    /// What was done since the sample began goes where it belongs in time.
    fn extend_series(&mut self, now_ns: u64) {
        let Sampler { start_ns, ios, bytes } = self.sampler;
        for direction in 0..2 {
            if self.active(direction) {
                let stats = &mut self.result.directions[direction];
                let (ios, bytes) = (stats.ios - ios[direction], stats.bytes - bytes[direction]);
                stats.series.add(start_ns, now_ns, ios, bytes);
            }
        }
    }

    pub(super) fn restart_samples(&mut self, now_ns: u64) {
        self.sampler = Sampler {
            start_ns: now_ns,
            ios: [0, 1].map(|d: usize| self.result.directions[d].ios),
            bytes: [0, 1].map(|d: usize| self.result.directions[d].bytes),
        };
    }

    fn active(&self, direction: usize) -> bool {
        match self.step {
            Step::Run if direction == 0 => self.job.rw.reads(),
            Step::Run => self.job.rw.writes(),
            Step::Check => direction == 0,
            _ => false,
        }
    }

    /// The ramp is over: what was counted is forgotten, what is in flight counts.
    pub(super) fn end_ramp(&mut self, now_ns: u64) {
        self.measure_afresh(now_ns);
        self.step = Step::Run;
        self.run_started_ns = now_ns;
        (self.issued_bytes, self.issued_bytes_all, self.issued_ios_all) = (0, 0, 0);
    }

    /// What was counted is forgotten.
    pub(super) fn measure_afresh(&mut self, now_ns: u64) {
        let failure = self.result.failure.take();
        let depth = self.result.latency_depth;
        self.result = JobResult::new(self.job.clone(), self.result.index);
        (self.result.failure, self.result.latency_depth) = (failure, depth);
        self.step_started_ns = now_ns;
        self.restart_samples(now_ns);
        self.start_records(now_ns);
    }

    /// What is kept of the run over time begins now.
    pub(super) fn start_records(&mut self, now_ns: u64) {
        if let Some(logger) = &mut self.logger {
            logger.start(self.started_ns.unwrap_or(now_ns), now_ns);
        }
        if let Some(steady) = &mut self.steady {
            steady.start(now_ns);
        }
    }

    pub(super) fn start_run(&mut self, now_ns: u64) {
        if self.passes_done == 0 {
            self.run_started_ns = now_ns;
            self.start_records(now_ns);
        } else if let Some(generator) = &mut self.generator {
            generator.restart();
        }
        self.issued_bytes = 0;
        self.writes_since_commit = 0;
        self.commit_due = None;
        self.pending = None;
        self.restart_samples(now_ns);
    }

    /// A step has ended: its time goes to the directions that were active in it.
    pub(super) fn account_step(&mut self, now_ns: u64) {
        if !self.measures() {
            return;
        }
        self.extend_series(now_ns);
        self.restart_samples(now_ns);
        let [reads, writes] = [0, 1].map(|direction| self.active(direction));
        let time_ns = now_ns.saturating_sub(self.step_started_ns);
        add_time(&mut self.result, [reads, writes], time_ns);
    }

    /// What has come of it so far, as if it ended now.
    pub fn result_so_far(&self, now_ns: u64) -> JobResult {
        let mut result = self.result.clone();
        if self.measures() {
            let [reads, writes] = [0, 1].map(|direction| self.active(direction));
            add_time(&mut result, [reads, writes], now_ns.saturating_sub(self.step_started_ns));
        }
        if self.step != Step::Done {
            result.elapsed_ns = now_ns.saturating_sub(self.started_ns.unwrap_or(now_ns));
        }
        result
    }
}

fn add_time(result: &mut JobResult, active: [bool; 2], time_ns: u64) {
    result.runtime_ns += time_ns;
    for (stats, active) in result.directions.iter_mut().zip(active) {
        if active && stats.ios > 0 {
            stats.runtime_ns += time_ns;
        }
    }
}
