//! What is wrong with a job, and where it was said.

use std::fmt;
use std::sync::Arc;

/// Where an option was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a job file; line and column count from 1, columns in characters.
    Line {
        /// The file's name as the user gave it.
        file: Arc<str>,
        /// Line.
        line: u32,
        /// Column.
        column: u32,
    },
    /// On the command line, as the user would type it (`-b`, `--size`).
    Flag(String),
    /// Nowhere in particular: the job as a whole, by name.
    Job(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Place::Flag(flag) => f.write_str(flag),
            Place::Job(name) => write!(f, "job '{name}'"),
        }
    }
}

/// A job that cannot be run as written: where, what is wrong, what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct JobError {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
}

impl JobError {
    pub(crate) fn new(place: Place, message: impl Into<String>) -> Self {
        JobError { place, message: message.into() }
    }
}
