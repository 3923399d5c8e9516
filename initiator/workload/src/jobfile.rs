//! fio job files.

mod lexer;
mod options;
mod parse;
pub(crate) mod size;
#[cfg(test)]
mod tests;

use crate::error::{JobError, Place};
use crate::job::Job;
use std::io::Read;
use std::path::Path;

pub use lexer::{JOB_FILE_BYTES_MAX, LINE_BYTES_MAX};
pub(crate) use options::apply;
pub use options::{Effect, OptionDoc, options};

/// Most jobs in one file.
pub(crate) const JOBS_MAX: usize = 1024;

/// Most instances of all its jobs.
pub(crate) const INSTANCES_MAX: u32 = 4096;

/// A job file, read, checked and ready to run.
#[derive(Clone, Debug)]
pub struct JobFile {
    /// The jobs in the order written. Each carries its `stage` (jobs of one stage run at the same
    /// time, stages one after another) and its reporting `group`.
    pub jobs: Vec<Job>,
    /// What `[global]` said, for the report.
    pub global_options: Vec<(String, String)>,
}

impl JobFile {
    /// Reads and checks the file at `path`.
    pub fn read(path: &Path) -> Result<JobFile, JobError> {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| {
                // One byte more than allowed is enough to refuse it.
                file.take(JOB_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)
            })
            .map_err(|e| {
                JobError::new(Place::Flag(name.clone()), format!("cannot read the job file: {e}"))
            })?;
        JobFile::parse(&bytes, &name)
    }

    /// Checks job text; `file` names it in errors.
    pub fn parse(bytes: &[u8], file: &str) -> Result<JobFile, JobError> {
        parse::parse(bytes, file)
    }
}
