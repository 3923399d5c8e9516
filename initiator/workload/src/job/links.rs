//! What the instances of a run tell each other: that they have ended, and that others should.
//!
//! Threading: shared by runners on any cores; flags and counters only, read at most once a turn.

use super::{ExitWhat, Job};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Links {
    jobs: Box<[Linked]>,
    /// Told to end: reporting groups, stages, all.
    groups: Box<[AtomicBool]>,
    stages: Box<[AtomicBool]>,
    all: AtomicBool,
    /// Does any job end others?
    ends_others: bool,
}

#[derive(Debug)]
struct Linked {
    /// Instances that have not ended.
    left: AtomicU32,
    waits_for: Option<usize>,
    group: u32,
    stage: u32,
    exits: Option<ExitWhat>,
    on_error: bool,
}

impl Links {
    pub(super) fn new(jobs: &[Job]) -> Self {
        let flags = |count: u32| (0..=count).map(|_| AtomicBool::new(false)).collect();
        let linked = |(at, job): (usize, &Job)| {
            let waits_for = job
                .wait_for
                .as_ref()
                .and_then(|name| jobs[..at].iter().rposition(|other| other.name == *name));
            Linked {
                left: AtomicU32::new(job.numjobs),
                waits_for,
                group: job.group,
                stage: job.stage,
                exits: (job.exitall || job.exitall_on_error).then_some(job.exit_what),
                on_error: job.exitall_on_error && !job.exitall,
            }
        };
        Links {
            jobs: jobs.iter().enumerate().map(linked).collect(),
            groups: flags(jobs.iter().map(|job| job.group).max().unwrap_or(0)),
            stages: flags(jobs.iter().map(|job| job.stage).max().unwrap_or(0)),
            all: AtomicBool::new(false),
            ends_others: jobs.iter().any(|job| job.exitall || job.exitall_on_error),
        }
    }

    /// Has the job that this one waits for ended?
    pub(crate) fn may_begin(&self, job: usize) -> bool {
        self.jobs[job].waits_for.is_none_or(|other| self.jobs[other].left.load(Relaxed) == 0)
    }

    /// Has another's end ended this job?
    pub(crate) fn is_told_to_end(&self, job: usize) -> bool {
        if !self.ends_others {
            return false;
        }
        let Linked { group, stage, .. } = self.jobs[job];
        self.all.load(Relaxed)
            || self.groups[group as usize].load(Relaxed)
            || self.stages[stage as usize].load(Relaxed)
    }

    /// An instance of the job has ended.
    pub(crate) fn ended(&self, job: usize, failed: bool) {
        let linked = &self.jobs[job];
        linked.left.fetch_sub(1, Relaxed);
        match linked.exits {
            Some(_) if linked.on_error && !failed => {}
            Some(ExitWhat::Group) => self.groups[linked.group as usize].store(true, Relaxed),
            Some(ExitWhat::Stonewall) => self.stages[linked.stage as usize].store(true, Relaxed),
            Some(ExitWhat::All) => self.all.store(true, Relaxed),
            None => {}
        }
    }
}
