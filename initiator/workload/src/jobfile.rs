//! fio job files, and the same said on a command line.

mod arithmetic;
mod lexer;
mod options;
mod parse;
pub(crate) mod size;
#[cfg(test)]
mod tests;
mod variables;

use crate::error::{JobError, Place};
use crate::job::Job;
use std::io::Read;
use std::path::Path;

pub use lexer::{JOB_FILE_BYTES_MAX, LINE_BYTES_MAX};
pub(crate) use options::apply;
pub use options::{Effect, OptionDoc, option, options};
pub use parse::Argument;

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
    /// Reads and checks the file at `path`; of its jobs only `sections`, unless there are none.
    pub fn read(path: &Path, sections: &[String]) -> Result<JobFile, JobError> {
        let name = path.display().to_string();
        let bytes = read_bounded(path).map_err(|e| {
            JobError::new(Place::Flag(name.clone()), format!("cannot read the job file: {e}"))
        })?;
        parse::parse(&bytes, &name, &|asked| include(path, asked), sections)
    }

    /// Checks job text; `file` names it in errors. It may not include other files.
    pub fn parse(bytes: &[u8], file: &str) -> Result<JobFile, JobError> {
        let refuse =
            |_: &str| Err("'include' needs a job file that is read from a file".to_owned());
        parse::parse(bytes, file, &refuse, &[])
    }

    /// Jobs given as `--name=j --rw=read`: options before the first `--name` are for all.
    pub fn from_arguments(arguments: &[Argument]) -> Result<JobFile, JobError> {
        parse::from_arguments(arguments)
    }
}

/// The file that `include` names: beside the file that includes it, or where the user is.
fn include(from: &Path, asked: &str) -> Result<Vec<u8>, String> {
    let beside = from.parent().map(|directory| directory.join(asked));
    let path = beside.filter(|path| path.exists()).unwrap_or_else(|| asked.into());
    read_bounded(&path).map_err(|e| format!("cannot include '{}': {e}", path.display()))
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed is enough to refuse it.
    std::fs::File::open(path)?.take(JOB_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
