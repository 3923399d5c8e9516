//! What came of an instance, or of several merged.

use super::{DirectionStats, Latencies, Logged};
use crate::generate::Direction;
use crate::job::Job;
use std::sync::Arc;

/// CPU use of the thread that ran the job. The owner of the thread fills it in.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuUse {
    /// In user mode.
    pub user_ns: u64,
    /// In the kernel.
    pub system_ns: u64,
    /// Context switches.
    pub context_switches: u64,
    /// Page faults that read.
    pub major_faults: u64,
    /// Page faults that did not.
    pub minor_faults: u64,
}

impl CpuUse {
    fn merge(&mut self, other: &CpuUse) {
        self.user_ns += other.user_ns;
        self.system_ns += other.system_ns;
        self.context_switches += other.context_switches;
        self.major_faults += other.major_faults;
        self.minor_faults += other.minor_faults;
    }
}

/// Why a job ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFailure {
    /// errno.
    pub errno: i32,
    /// One line: which file, where, what, and the server's sentence.
    pub message: String,
}

/// fio's seven classes of "how many at once".
#[derive(Clone, Copy, Debug, Default)]
pub struct DepthCounts(pub [u64; 7]);

impl DepthCounts {
    /// Counts a depth: 1, 2-3, 4-7, ... 32-63, 64 and more.
    pub(crate) fn add_depth(&mut self, depth: u64) {
        let class = 63 - depth.max(1).leading_zeros();
        self.0[class.min(6) as usize] += 1;
    }

    /// Counts a batch: 0, 1-4, 5-8, 9-16, 17-32, 33-64, more.
    pub(crate) fn add_batch(&mut self, size: u64) {
        let class = match size {
            0 => 0,
            1..=4 => 1,
            _ => (64 - (size - 1).leading_zeros() - 1).min(6),
        };
        self.0[class as usize] += 1;
    }

    fn merge(&mut self, other: &DepthCounts) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

/// What `steadystate` found when the job ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Steady {
    /// The rate was steady.
    pub attained: bool,
    /// Deviation or slope, in percent of the mean if the limit is.
    pub criterion: f64,
    /// Operations a second.
    pub iops_mean: f64,
    /// Bytes a second.
    pub bytes_mean: f64,
}

/// What came of an instance, or of several.
#[derive(Clone, Debug)]
pub struct JobResult {
    /// The job.
    pub job: Arc<Job>,
    /// [`crate::Instance::index`], of the first instance in here.
    pub index: u32,
    /// How many instances are in here.
    pub instances: u32,
    /// Reads and writes, indexed by [`Direction`].
    pub directions: [DirectionStats; 2],
    /// COMMITs.
    pub sync: Latencies,
    /// Operations issued: reads, writes, COMMITs.
    pub issued: [u64; 3],
    /// In flight when each operation was issued.
    pub depth: DepthCounts,
    /// Operations submitted in a turn.
    pub submitted: DepthCounts,
    /// Operations completed in a poll; empty polls are not counted.
    pub completed: DepthCounts,
    /// Thread time measured, all instances together (fio's job_runtime).
    pub runtime_ns: u64,
    /// The depth that `latency_target` settled on; else `iodepth`.
    pub latency_depth: u32,
    /// From the first turn to the last.
    pub elapsed_ns: u64,
    /// The thread's CPU use; zero until the owner of the thread fills it in.
    pub cpu: CpuUse,
    /// The first thing that went wrong.
    pub failure: Option<JobFailure>,
    /// What `steadystate` found, of the first instance in here.
    pub steady: Option<Steady>,
    /// Logs, of the first instance in here.
    pub logged: Option<Arc<Logged>>,
    /// The file that says what the first instance in here wrote and did not verify.
    pub verify_state: Option<String>,
}

impl JobResult {
    pub(crate) fn new(job: Arc<Job>, index: u32) -> Self {
        JobResult {
            latency_depth: job.iodepth,
            job,
            index,
            instances: 1,
            directions: Default::default(),
            sync: Latencies::default(),
            issued: [0; 3],
            depth: DepthCounts::default(),
            submitted: DepthCounts::default(),
            completed: DepthCounts::default(),
            runtime_ns: 0,
            elapsed_ns: 0,
            cpu: CpuUse::default(),
            failure: None,
            steady: None,
            logged: None,
            verify_state: None,
        }
    }

    /// Of an instance that has not begun.
    pub fn not_begun(instance: &crate::Instance) -> Self {
        JobResult::new(instance.job.clone(), instance.index)
    }

    /// A direction's numbers.
    pub fn direction(&self, direction: Direction) -> &DirectionStats {
        &self.directions[direction as usize]
    }

    /// Takes in the result of another instance, from whatever core.
    pub fn merge(&mut self, other: &JobResult) {
        self.instances += other.instances;
        for (mine, theirs) in self.directions.iter_mut().zip(&other.directions) {
            mine.merge(theirs);
        }
        self.sync.merge(&other.sync);
        for (mine, theirs) in self.issued.iter_mut().zip(other.issued) {
            *mine += theirs;
        }
        self.depth.merge(&other.depth);
        self.submitted.merge(&other.submitted);
        self.completed.merge(&other.completed);
        // fio's job_runtime: thread time, which CPU use is a share of.
        self.runtime_ns += other.runtime_ns;
        self.elapsed_ns = self.elapsed_ns.max(other.elapsed_ns);
        self.cpu.merge(&other.cpu);
        if self.failure.is_none() {
            self.failure.clone_from(&other.failure);
        }
    }
}
