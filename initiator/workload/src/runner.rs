//! Drives one job instance over a [`Backend`].
//!
//! A state machine on one thread: its owner calls [`Runner::turn`] with the time until it says
//! [`RunnerProgress::Finished`]. A turn submits what there is room for and polls once. The steps:
//! wait for whom the job waits for, open the files, ask for space, lay out what reads will need,
//! ramp, run, COMMIT, read back what was written, and again for every loop.
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
mod depth;
mod drive;
mod log;
#[cfg(test)]
mod option_tests;
mod pace;
mod prepare;
mod regions;
mod samples;
mod set;
mod slots;
#[cfg(test)]
mod state_tests;
mod steady;
mod steps;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, IoDone};
use crate::error::JobError;
use crate::generate::{Generator, Pick};
use crate::job::{Instance, Job, Links};
use crate::progress::{Phase, Progress, Snapshot};
use crate::random::{DataPool, Purpose, Seeds};
use crate::stats::{JobFailure, JobResult};
use check::Verify;
use depth::{Gate, Search};
use log::Logger;
use pace::{Minimum, Pace, Think};
use samples::Sampler;
use slots::Slots;
use std::collections::VecDeque;
use std::sync::Arc;
use steady::SteadyWatch;

pub use set::RunnerSet;

/// A runner with nothing in flight that is given no buffer or no place in the queue for so long
/// gives up.
const STARVED_NS_MAX: u64 = 10_000_000_000;

const EIO: i32 = 5;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
/// What fio reports for an operation that took too long.
const ETIMEDOUT: i32 = 110;
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
    Wait,
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
    /// Where the job's part of it ends.
    end: u64,
}

/// One job instance at work.
pub struct Runner<B: Backend> {
    id: u32,
    job: Arc<Job>,
    /// Its place among the job's instances, and in the whole run from 1.
    number: u32,
    thread: u32,
    job_index: usize,
    links: Arc<Links>,
    step: Step,
    /// The step has nothing more to submit.
    exhausted: bool,
    stop: bool,
    /// How far the step is: a file's index, or a block's number.
    cursor: u64,
    passes_done: u32,
    start_delay_ns: u64,
    has_minimum: bool,
    slots: Slots<B::Buf>,
    in_flight: u32,
    files: Vec<JobFile<B::File>>,
    missing_bytes: u64,
    layout_chunk: u32,
    generator: Option<Generator>,
    /// Picked, but its block or a buffer was not free yet.
    pending: Option<Pick>,
    pace: Pace,
    think: Think,
    minimum: Minimum,
    gate: Gate,
    /// Completions that `iodepth_batch_complete_max` leaves for the next turn.
    arrived: VecDeque<IoDone<B::File, B::Buf>>,
    search: Option<Search>,
    steady: Option<SteadyWatch>,
    logger: Option<Logger>,
    verify: Verify,
    /// Bytes that end a pass, and all passes.
    pass_limit: u64,
    loop_bytes_all: u64,
    data: DataPool,
    writes_made: u64,
    writes_since_commit: u32,
    commit_due: Option<u32>,
    /// Bytes of this pass, and of all passes; operations of all.
    issued_bytes: u64,
    issued_bytes_all: u64,
    issued_ios_all: u64,
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
        let (seed, thread) = (instance.seed(), instance.thread());
        let files = instance.paths().into_iter().map(|path| JobFile {
            path,
            handle: None,
            size_bytes: 0,
            end: 0,
        });
        Ok(Runner {
            id,
            number: instance.number,
            thread,
            job_index: instance.job_index,
            links: instance.links.clone(),
            step: Step::Wait,
            exhausted: false,
            stop: false,
            cursor: 0,
            passes_done: 0,
            start_delay_ns: start_delay(&job, thread),
            has_minimum: job.pace.rate_min.iter().chain(&job.pace.rate_iops_min).any(|&r| r > 0),
            slots: Slots::new(job.iodepth.max(prepare::LAYOUT_DEPTH)),
            in_flight: 0,
            files: files.collect(),
            missing_bytes: 0,
            layout_chunk: prepare::layout_chunk(&limits),
            generator: None,
            pending: None,
            pace: Pace::new(&job, thread),
            think: Think::new(&job.think),
            minimum: Minimum::default(),
            gate: Gate::new(&job),
            arrived: VecDeque::with_capacity(match job.depth.complete_max {
                Some(_) => job.iodepth as usize,
                None => 0,
            }),
            search: Search::new(&job),
            steady: SteadyWatch::new(&job),
            logger: None,
            verify: Verify::new(&job, seed, instance.index, thread),
            pass_limit: 0,
            loop_bytes_all: 0,
            data: DataPool::new(seed),
            writes_made: 0,
            writes_since_commit: 0,
            commit_due: None,
            issued_bytes: 0,
            issued_bytes_all: 0,
            issued_ios_all: 0,
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
            backend.poll(now_ns, |done| self.arrive(done));
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
        self.take_arrived(now_ns);
        self.look_around(now_ns);
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
        let most = match self.step {
            Step::Ramp | Step::Run => self.submitted_in_turn + u64::from(self.gate.batch),
            _ => u64::MAX,
        };
        while self.has_room() && self.submitted_in_turn < most {
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
            Step::Wait => self.make_nothing(now_ns),
            Step::Open => self.make_open(now_ns),
            Step::Space => self.make_space(now_ns),
            Step::Layout => self.make_layout(now_ns, backend),
            Step::CommitLayout | Step::CommitEnd => self.make_commit_all(now_ns),
            Step::Ramp | Step::Run => self.make_run(now_ns, backend),
            Step::Check => self.make_check(now_ns, backend),
            Step::Done => None,
        }
    }

    #[inline]
    fn has_room(&mut self) -> bool {
        let depth = match (self.step, &self.search) {
            (Step::Ramp | Step::Run, Some(search)) if search.draining => 0,
            (Step::Ramp | Step::Run, Some(search)) => search.depth,
            (Step::Ramp | Step::Run, None) => {
                return self.gate.is_open(self.in_flight, self.job.iodepth);
            }
            (Step::Layout, _) => prepare::LAYOUT_DEPTH,
            _ => self.job.iodepth,
        };
        self.in_flight < depth
    }

    /// Do operations of this step count in the result?
    fn measures(&self) -> bool {
        match self.step {
            Step::Run | Step::Check => true,
            Step::CommitEnd => self.job.end_fsync,
            _ => false,
        }
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
                Step::Wait | Step::Open | Step::Space => Phase::Opening,
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

/// `startdelay=`, drawn where it is a range.
fn start_delay(job: &Job, thread: u32) -> u64 {
    let (low, high) = job.start_delay_ns;
    let seeds = Seeds::new(&job.random, thread, job.rw.random());
    low + ((high - low) as f64 * seeds.stream(Purpose::StartDelay).unit()) as u64
}

/// A completion's owner, for who polls on behalf of several runners.
fn owner<F, B>(done: &IoDone<F, B>) -> u32 {
    (done.tag >> 32) as u32
}
