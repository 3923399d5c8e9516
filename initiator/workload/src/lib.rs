//! fio-style jobs: parse, generate, verify, report.
//!
//! A [`JobFile`] (or the flags of `initiator perf`, through [`Job::from_flags`]) becomes [`Job`]s; a job
//! becomes `numjobs` [`Instance`]s; a [`Runner`] drives one instance over a [`backend::Backend`],
//! and its [`JobResult`] joins others, from any core, in a [`report::Report`].
//!
//! Nothing here knows a transport, reads a clock or starts a thread: a runner is a state machine
//! that its owner turns, with the time, from a reactor's poller. Job files are hostile input: any
//! bytes give jobs or one error that names file, line and column.
#![forbid(unsafe_code)]

pub mod backend;
mod error;
pub mod generate;
mod job;
mod jobfile;
mod progress;
mod random;
pub mod report;
mod runner;
pub mod stats;
pub mod verify;

pub use error::{JobError, Place};
pub use job::{
    BlockSizes, DepthOptions, Direction2, Distribution, ExitWhat, FileService, Flag, Generated,
    Instance, Job, LatencyTarget, LogOptions, PaceOptions, RandomOptions, RateProcess, Rw,
    Sequence, Skew, SteadyState, ThinkOptions, Verify, VerifyOptions, Zone,
};
pub use jobfile::size::{size as parse_size, time_ns as parse_time_ns};
pub use jobfile::{
    Argument, Effect, JOB_FILE_BYTES_MAX, JobFile, LINE_BYTES_MAX, OptionDoc, option, options,
};
pub use progress::{Phase, Progress, Snapshot};
pub use runner::{Limits, Runner, RunnerProgress, RunnerSet};
pub use stats::{CpuUse, JobResult};

#[cfg(test)]
mod testing;
