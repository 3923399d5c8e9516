//! From step to step, and what is looked at once a turn.

use super::depth::Decision;
use super::{EILSEQ, EIO, ETIMEDOUT, Runner, Step};
use crate::backend::{Backend, Durability};
use crate::stats::DirectionStats;
use std::sync::Arc;

impl<B: Backend> Runner<B> {
    /// What a turn begins with: the clock, and what others say.
    pub(super) fn look_around(&mut self, now_ns: u64) {
        if self.links.is_told_to_end(self.job_index) {
            self.stop = true;
        }
        let ramped = now_ns.saturating_sub(self.step_started_ns) >= self.job.ramp_ns;
        if self.step == Step::Ramp && ramped {
            self.end_ramp(now_ns);
        }
        self.sample(now_ns);
        if self.step != Step::Run {
            return;
        }
        if self.has_minimum {
            let done = self.result.directions.each_ref().map(|d| (d.ios, d.bytes));
            let started_ns = self.run_started_ns;
            if let Some(missed) = self.minimum.check(&self.job, now_ns, started_ns, done) {
                self.fail(EIO, missed);
            }
        }
        if self.search.is_some() {
            self.look_at_latency(now_ns);
        }
        if let Some(steady) = &mut self.steady {
            let sum = |amount: fn(&DirectionStats) -> u64| {
                self.result.directions.iter().map(amount).sum()
            };
            let total = [sum(|d| d.ios), sum(|d| d.bytes)];
            if steady.look(now_ns, self.run_started_ns, total) {
                self.stop = true;
            }
        }
    }

    fn look_at_latency(&mut self, now_ns: u64) {
        let Some(search) = &mut self.search else { return };
        if search.draining && self.in_flight == 0 {
            search.begin(now_ns);
        }
        match search.look(now_ns) {
            Decision::Watch => {}
            Decision::Change { afresh } => {
                self.result.latency_depth = search.depth;
                if afresh {
                    self.measure_afresh(now_ns);
                }
            }
            Decision::Done => self.stop = true,
            Decision::Impossible => {
                let target_ns = self.job.latency_target.target_ns;
                self.fail(
                    ETIMEDOUT,
                    format!(
                        "latency_target={} us is not met one operation at a time",
                        target_ns / 1000
                    ),
                );
            }
        }
    }

    /// Until the job may begin.
    pub(super) fn make_nothing(&mut self, now_ns: u64) -> Option<u32> {
        if !self.links.may_begin(self.job_index) {
            // A delay counts from there.
            self.step_started_ns = now_ns;
        } else if now_ns.saturating_sub(self.step_started_ns) >= self.start_delay_ns {
            self.exhausted = true;
        }
        None
    }

    /// As fio, before it verifies, and as close(2), where there is something to commit.
    fn commits_at_end(&self) -> bool {
        let kept = self.job.durability() == Durability::Kept;
        self.job.rw.writes() && !self.job.only_checks() && (self.job.end_fsync || kept)
    }

    /// Everything of a step has come back: on to the next that has something to do.
    pub(super) fn advance(&mut self, now_ns: u64) {
        self.account_step(now_ns);
        loop {
            if self.is_ending() {
                return self.enter(Step::Done, now_ns);
            }
            let lays_out = self.missing_bytes > 0
                && self.job.rw.reads()
                && !self.job.create_on_open
                && !self.job.only_checks();
            let (next, needed) = match self.step {
                Step::Wait => (Step::Open, true),
                Step::Open => {
                    self.plan();
                    (Step::Space, self.missing_bytes > 0 && !self.job.only_checks())
                }
                Step::Space => (Step::Layout, lays_out || self.job.create_only),
                Step::Layout => (Step::CommitLayout, lays_out || self.job.create_only),
                Step::CommitLayout if self.job.create_only => (Step::Done, true),
                Step::CommitLayout => (Step::Ramp, self.job.ramp_ns > 0),
                Step::Ramp => (Step::Run, true),
                Step::Run => (Step::CommitEnd, self.commits_at_end()),
                Step::CommitEnd => (Step::Check, self.job.checks_at_end()),
                Step::Check => {
                    self.verify.is_complete = self.job.checks_at_end();
                    match self.goes_on(now_ns) {
                        true => (Step::Run, true),
                        false => (Step::Done, true),
                    }
                }
                Step::Done => return,
            };
            self.step = next;
            if needed && !self.is_ending() {
                return self.enter(next, now_ns);
            }
        }
    }

    fn enter(&mut self, step: Step, now_ns: u64) {
        self.step = step;
        self.exhausted = false;
        self.cursor = 0;
        self.step_started_ns = now_ns;
        match step {
            Step::Ramp => self.start_pace(now_ns),
            Step::Run => {
                self.verify.is_complete = false;
                if self.job.ramp_ns == 0 && self.passes_done == 0 {
                    self.start_pace(now_ns);
                }
                self.start_run(now_ns);
            }
            // Its chunks may be of another size than the job's blocks.
            Step::CommitLayout => self.slots.drop_buffers(),
            Step::Check => {
                self.verify.look_at_all();
                self.restart_samples(now_ns);
            }
            Step::Done => self.end_job(now_ns),
            _ => {}
        }
    }

    fn start_pace(&mut self, now_ns: u64) {
        self.pace.start(now_ns);
        self.think.start(now_ns);
        if let Some(search) = &mut self.search {
            search.begin(now_ns);
        }
    }

    fn end_job(&mut self, now_ns: u64) {
        self.slots.drop_buffers();
        if let (bad @ 1.., Some(first)) = (self.verify.bad, self.verify.first_bad.take()) {
            let more = if bad > 1 { format!(" ({bad} bad blocks in all)") } else { String::new() };
            self.fail(EILSEQ, first + &more);
        }
        self.result.verify_state = self.verify.end(self.result.failure.is_none());
        self.result.steady = self.steady.as_ref().map(|steady| steady.found);
        self.result.logged = self.logger.take().map(|logger| Arc::new(logger.finish(now_ns)));
        self.result.elapsed_ns = now_ns.saturating_sub(self.started_ns.unwrap_or(now_ns));
        self.links.ended(self.job_index, self.result.failure.is_some());
    }

    /// A pass is over: is there another? As in fio, loops first, then what is left of io_size.
    fn goes_on(&mut self, now_ns: u64) -> bool {
        self.passes_done += 1;
        if self.is_time_up(now_ns) {
            return false;
        }
        if self.job.time_based {
            return true;
        }
        if self.passes_done < self.job.loops {
            return true;
        }
        let limit = self.loop_bytes();
        let left = limit.saturating_sub(self.issued_bytes_all);
        let more_ios = self.job.number_ios.is_none_or(|most| self.issued_ios_all < most);
        let had_room = self.issued_bytes > 0;
        let by_io_size = self.job.io_size.is_some() || self.job.io_size_percent.is_some();
        had_room && more_ios && by_io_size && left >= u64::from(self.job.block_bytes_max())
    }
}
