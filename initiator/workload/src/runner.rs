//! Drives one job instance over a [`Backend`].
//!
//! A state machine on one thread: its owner calls [`Runner::turn`] with the time until it says
//! [`RunnerProgress::Finished`]. A turn submits what there is room for and polls once. The steps:
//! open the files, ask for space, lay out what reads will need, ramp, run, COMMIT, read back what
//! was written, and again for every loop.
//!
//! Nothing is allocated for an operation: each has a slot, made with the runner, which keeps its
//! buffer. The clock is the one number a turn is given, so a latency is right to about the length
//! of a turn, and `slat` is the time an operation waited for a full queue (0 when it did not).
//!
//! Survives: full queues and dry buffer pools (retried each turn; given up with a message when
//! nothing moves for `STARVED_NS_MAX`), short reads and writes (continued), any
//! error of the backend's (the first one ends the job, after what is in flight has come back) and
//! completions nobody asked for.

mod check;
mod commit;
mod complete;
mod drive;
mod prepare;
mod samples;
mod set;
mod slots;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, IoDone};
use crate::error::JobError;
use crate::generate::{Generator, Pick};
use crate::job::{Instance, Job};
use crate::progress::{Phase, Progress, Snapshot};
use crate::random::DataPool;
use crate::stats::{JobFailure, JobResult};
use crate::verify::{Verifier, WrittenMap};
use samples::Sampler;
use slots::Slots;
use std::sync::Arc;

pub use set::RunnerSet;

/// A runner with nothing in flight that is given no buffer or no place in the queue for so long
/// gives up.
const STARVED_NS_MAX: u64 = 10_000_000_000;

const EIO: i32 = 5;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const ENOBUFS: i32 = 105;
/// What fio reports for a block that does not verify.
const EILSEQ: i32 = 84;

/// What a turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunnerProgress {
    /// Submitted or completed something.
    Busy,
    /// Nothing to do until the backend completes something.
    Idle,
    /// The job is over; take [`Runner::into_result`].
    Finished,
}

/// What the mount allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes one read or write carries.
    pub payload_bytes_max: u32,
}

/// Where a runner is. Internal: [`Phase`] is what others see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Open,
    Space,
    Layout,
    CommitLayout,
    Ramp,
    Run,
    CommitEnd,
    Check,
    Done,
}

/// A file of the job.
#[derive(Debug)]
struct JobFile<F> {
    path: String,
    handle: Option<F>,
    size_bytes: u64,
}

/// One job instance at work.
pub struct Runner<B: Backend> {
    id: u32,
    job: Arc<Job>,
    seed: u64,
    step: Step,
    /// The step has nothing more to submit.
    exhausted: bool,
    stop: bool,
    /// How far the step is: a file's index, or a block's number.
    cursor: u64,
    loops_done: u32,
    slots: Slots<B::Buf>,
    in_flight: u32,
    files: Vec<JobFile<B::File>>,
    missing_bytes: u64,
    layout_chunk: u32,
    generator: Option<Generator>,
    /// Picked, but its block or a buffer was not free yet.
    pending: Option<Pick>,
    verifier: Verifier,
    written: Option<WrittenMap>,
    data: DataPool,
    writes_made: u64,
    writes_since_commit: u32,
    commit_due: Option<u32>,
    issued_bytes: u64,
    started_ns: Option<u64>,
    run_started_ns: u64,
    step_started_ns: u64,
    starved_since_ns: Option<u64>,
    submitted_in_turn: u64,
    completed_in_turn: u64,
    ios: u64,
    bytes: u64,
    sampler: Sampler,
    result: JobResult,
    progress: Arc<Progress>,
}

impl<B: Backend> Runner<B> {
    /// A runner for `instance`. `id` is in the upper half of every tag it uses, so that several
    /// runners may share a backend.
    pub fn new(instance: &Instance, limits: Limits, id: u32) -> Result<Self, JobError> {
        let job = instance.job.clone();
        job.check_payload(limits.payload_bytes_max)?;
        let seed = instance.seed();
        let files =
            instance.paths().into_iter().map(|path| JobFile { path, handle: None, size_bytes: 0 });
        Ok(Runner {
            id,
            seed,
            step: Step::Open,
            exhausted: false,
            stop: false,
            cursor: 0,
            loops_done: 0,
            slots: Slots::new(job.iodepth.max(prepare::LAYOUT_DEPTH)),
            in_flight: 0,
            files: files.collect(),
            missing_bytes: 0,
            layout_chunk: prepare::layout_chunk(&limits),
            generator: None,
            pending: None,
            verifier: Verifier::new(&job, seed),
            written: None,
            data: DataPool::new(seed),
            writes_made: 0,
            writes_since_commit: 0,
            commit_due: None,
            issued_bytes: 0,
            started_ns: None,
            run_started_ns: 0,
            step_started_ns: 0,
            starved_since_ns: None,
            submitted_in_turn: 0,
            completed_in_turn: 0,
            ios: 0,
            bytes: 0,
            sampler: Sampler::default(),
            result: JobResult::new(job.clone(), instance.index),
            progress: Arc::default(),
            job,
        })
    }

    /// Submits what there is room for, polls once. Never blocks.
    pub fn turn(&mut self, now_ns: u64, backend: &mut B) -> RunnerProgress {
        self.begin(now_ns, backend);
        if self.in_flight > 0 {
            backend.poll(now_ns, &mut |done| self.complete(done));
        }
        self.end(now_ns)
    }

    /// Ends the job early: what is in flight comes back, nothing more is submitted, and there is
    /// a result. Nothing is verified.
    pub fn stop(&mut self) {
        self.stop = true;
    }

    /// Counters that any thread may read while this runs.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// What came of it, once finished (or so far).
    pub fn into_result(self) -> JobResult {
        self.result
    }

    /// The half of a turn before the poll.
    fn begin(&mut self, now_ns: u64, backend: &mut B) {
        if self.started_ns.is_none() {
            self.started_ns = Some(now_ns);
            self.step_started_ns = now_ns;
        }
        self.submitted_in_turn = 0;
        self.completed_in_turn = 0;
        if self.step == Step::Ramp
            && now_ns.saturating_sub(self.step_started_ns) >= self.job.ramp_ns
        {
            self.end_ramp(now_ns);
        }
        self.sample(now_ns);
        if self.is_ending() {
            self.slots.release_ready();
        }
        self.issue(now_ns, backend);
        self.check_starved(now_ns);
    }

    /// The half of a turn after the poll.
    fn end(&mut self, now_ns: u64) -> RunnerProgress {
        if self.step == Step::Done {
            return RunnerProgress::Finished;
        }
        let worked = self.submitted_in_turn + self.completed_in_turn > 0;
        if self.measures() {
            if self.submitted_in_turn > 0 {
                self.result.submitted.add_batch(self.submitted_in_turn);
            }
            if self.completed_in_turn > 0 {
                self.result.completed.add_batch(self.completed_in_turn);
            }
        }
        if self.is_ending() {
            self.slots.release_ready();
        }
        let idle = self.in_flight == 0 && self.slots.none_ready();
        if idle && (self.exhausted || self.is_ending()) {
            self.advance(now_ns);
        }
        self.store_progress(now_ns);
        match (self.step, worked) {
            (Step::Done, _) => RunnerProgress::Finished,
            (_, true) => RunnerProgress::Busy,
            (_, false) => RunnerProgress::Idle,
        }
    }

    /// Fills the queue.
    fn issue(&mut self, now_ns: u64, backend: &mut B) {
        while self.in_flight < self.depth() {
            let Some(slot) = self.next_slot(now_ns, backend) else {
                break;
            };
            if !self.submit(slot, now_ns, backend) {
                self.slots.ready_first(slot);
                break;
            }
        }
    }

    fn next_slot(&mut self, now_ns: u64, backend: &mut B) -> Option<u32> {
        if let Some(slot) = self.slots.take_ready() {
            return Some(slot);
        }
        if self.exhausted || self.is_ending() {
            return None;
        }
        match self.step {
            Step::Open => self.make_open(now_ns),
            Step::Space => self.make_space(now_ns),
            Step::Layout => self.make_layout(now_ns, backend),
            Step::CommitLayout | Step::CommitEnd => self.make_commit_all(now_ns),
            Step::Ramp | Step::Run => self.make_run(now_ns, backend),
            Step::Check => self.make_check(now_ns, backend),
            Step::Done => None,
        }
    }

    fn depth(&self) -> u32 {
        match self.step {
            Step::Layout => prepare::LAYOUT_DEPTH,
            _ => self.job.iodepth,
        }
    }

    /// Everything of a step has come back: on to the next that has something to do.
    fn advance(&mut self, now_ns: u64) {
        self.account_step(now_ns);
        loop {
            if self.is_ending() {
                return self.enter(Step::Done, now_ns);
            }
            let (next, needed) = match self.step {
                Step::Open => {
                    self.plan();
                    (Step::Space, self.missing_bytes > 0)
                }
                Step::Space => (Step::Layout, self.missing_bytes > 0 && self.job.rw.reads()),
                Step::Layout => (Step::CommitLayout, self.missing_bytes > 0 && self.job.rw.reads()),
                Step::CommitLayout => (Step::Ramp, self.job.ramp_ns > 0),
                Step::Ramp => (Step::Run, true),
                Step::Run => (Step::CommitEnd, self.job.end_fsync && self.job.rw.writes()),
                Step::CommitEnd => (Step::Check, self.job.verifies_writes()),
                Step::Check => match self.loop_again(now_ns) {
                    true => (Step::Run, true),
                    false => (Step::Done, true),
                },
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
            Step::Run => self.start_run(now_ns),
            // Its chunks may be of another size than the job's blocks.
            Step::CommitLayout => self.slots.drop_buffers(),
            Step::Check => self.restart_samples(now_ns),
            Step::Done => {
                self.slots.drop_buffers();
                self.result.elapsed_ns = now_ns.saturating_sub(self.started_ns.unwrap_or(now_ns));
            }
            _ => {}
        }
    }

    fn loop_again(&mut self, now_ns: u64) -> bool {
        self.loops_done += 1;
        self.loops_done < self.job.loops && !self.is_time_up(now_ns)
    }

    /// Do operations of this step count in the result?
    fn measures(&self) -> bool {
        matches!(self.step, Step::Run | Step::CommitEnd | Step::Check)
    }

    fn is_ending(&self) -> bool {
        self.stop || self.result.failure.is_some()
    }

    fn fail(&mut self, errno: i32, message: impl Into<String>) {
        if self.result.failure.is_none() {
            let message = format!("job '{}': {}", self.job.name, message.into());
            self.result.failure = Some(JobFailure { errno, message });
        }
    }

    fn check_starved(&mut self, now_ns: u64) {
        let Some(since) = self.starved_since_ns else { return };
        if now_ns.saturating_sub(since) >= STARVED_NS_MAX && !self.is_ending() {
            let seconds = STARVED_NS_MAX / 1_000_000_000;
            self.fail(
                ENOBUFS,
                format!("no I/O buffer or no place in the queue came free for {seconds} s; lower iodepth or numjobs, or give more buffer memory"),
            );
        }
    }

    fn store_progress(&self, now_ns: u64) {
        self.progress.store(Snapshot {
            ios: self.ios,
            bytes: self.bytes,
            in_flight: self.in_flight.into(),
            elapsed_ns: now_ns.saturating_sub(self.started_ns.unwrap_or(now_ns)),
            phase: match self.step {
                Step::Open | Step::Space => Phase::Opening,
                Step::Layout | Step::CommitLayout => Phase::LayingOut,
                Step::Ramp => Phase::Ramping,
                Step::Run => Phase::Running,
                Step::CommitEnd => Phase::Syncing,
                Step::Check => Phase::Verifying,
                Step::Done => Phase::Finished,
            },
        });
    }
}

/// A completion's owner, for who polls on behalf of several runners.
fn owner<F, B>(done: &IoDone<F, B>) -> u32 {
    (done.tag >> 32) as u32
}
