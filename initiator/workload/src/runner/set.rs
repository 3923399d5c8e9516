//! Several runners over one backend: all submit, one poll serves them all.

use super::{Runner, RunnerProgress, owner};
use crate::backend::Backend;
use crate::stats::JobResult;

/// Runners of one core that share a backend (one queue, one doorbell a turn). Runner `i` must have
/// been made with id `i`.
pub struct RunnerSet<B: Backend> {
    runners: Vec<Runner<B>>,
    unknown_tags: u64,
}

impl<B: Backend> RunnerSet<B> {
    /// Of these runners; the ids must be 0, 1, 2, ...
    pub fn new(runners: Vec<Runner<B>>) -> Self {
        let in_order = runners.iter().enumerate().all(|(i, r)| r.id as usize == i);
        assert!(in_order, "runner ids must count from 0, in order");
        RunnerSet { runners, unknown_tags: 0 }
    }

    /// The runners.
    pub fn runners(&self) -> &[Runner<B>] {
        &self.runners
    }

    /// A turn of all of them: finished when all are.
    pub fn turn(&mut self, now_ns: u64, backend: &mut B) -> RunnerProgress {
        for runner in &mut self.runners {
            runner.begin(now_ns, backend);
        }
        backend.poll(now_ns, |done| match self.runners.get_mut(owner(&done) as usize) {
            Some(runner) => runner.arrive(done),
            None => self.unknown_tags += 1,
        });
        let mut all = RunnerProgress::Finished;
        for runner in &mut self.runners {
            let one = runner.end(now_ns);
            all = match (all, one) {
                (RunnerProgress::Busy, _) | (_, RunnerProgress::Busy) => RunnerProgress::Busy,
                (RunnerProgress::Finished, RunnerProgress::Finished) => RunnerProgress::Finished,
                _ => RunnerProgress::Idle,
            };
        }
        all
    }

    /// Stops all of them.
    pub fn stop(&mut self) {
        for runner in &mut self.runners {
            runner.stop();
        }
    }

    /// What has come of them so far, in order.
    pub fn results_so_far(&self, now_ns: u64) -> Vec<JobResult> {
        self.runners.iter().map(|runner| runner.result_so_far(now_ns)).collect()
    }

    /// Their results, in order.
    pub fn into_results(self) -> Vec<JobResult> {
        self.runners.into_iter().map(Runner::into_result).collect()
    }
}
