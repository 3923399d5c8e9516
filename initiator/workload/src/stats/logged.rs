//! Logs of a job, and how they are written: in fio's formats.

use crate::generate::Direction;
use crate::job::Job;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Classes of fio's histograms: 64 for each doubling.
pub(crate) const HISTOGRAM_CLASSES: usize = 29 * 64;
const CLASS_BITS: u32 = 6;

/// What a log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// Until the queue took it.
    SubmissionLatency,
    /// From there on.
    CompletionLatency,
    /// Both.
    Latency,
    /// KiB a second.
    Bandwidth,
    /// Operations a second.
    Iops,
}

impl LogKind {
    fn suffix(self) -> &'static str {
        match self {
            LogKind::SubmissionLatency => "slat",
            LogKind::CompletionLatency => "clat",
            LogKind::Latency => "lat",
            LogKind::Bandwidth => "bw",
            LogKind::Iops => "iops",
        }
    }

    fn prefix(self, job: &Job) -> Option<&String> {
        match self {
            LogKind::Bandwidth => job.logs.bandwidth.as_ref(),
            LogKind::Iops => job.logs.iops.as_ref(),
            _ => job.logs.latency.as_ref(),
        }
    }
}

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Since the job began.
    pub time_ms: u64,
    /// Nanoseconds, KiB a second, or operations a second.
    pub value: u64,
    /// Of which direction.
    pub direction: Direction,
    /// Block size; 0 for a stretch of time.
    pub bytes: u32,
    /// Where.
    pub offset: u64,
}

/// Everything that an instance logged.
#[derive(Clone, Debug)]
pub struct Logged {
    /// fio's number of the instance.
    pub thread: u32,
    /// Lines of each log.
    pub lines: Vec<(LogKind, Vec<LogLine>)>,
    /// Time, direction, block size and classes.
    pub histograms: Vec<(u64, Direction, u32, Box<[u32]>)>,
    /// What there was no room for.
    pub dropped: u64,
    pub(crate) seen: [bool; 2],
}

impl Logged {
    pub(crate) fn new(thread: u32) -> Self {
        Logged { thread, lines: Vec::new(), histograms: Vec::new(), dropped: 0, seen: [false; 2] }
    }

    /// Writes the files that `job` asks for below `directory`.
    ///
    /// # Errors
    /// The file that could not be written, and why.
    pub fn write(&self, job: &Job, directory: &Path) -> Result<(), String> {
        for (kind, lines) in &self.lines {
            let Some(prefix) = kind.prefix(job) else { continue };
            let mut text = String::new();
            for line in lines {
                let direction = line.direction as u8;
                // Writing to a String cannot fail.
                let _ =
                    write!(text, "{}, {}, {direction}, {}", line.time_ms, line.value, line.bytes);
                if job.logs.offset {
                    let _ = write!(text, ", {}", line.offset);
                }
                text.push_str(", 0\n");
            }
            self.save(job, directory, prefix, kind.suffix(), &text)?;
        }
        let Some(prefix) = &job.logs.histogram else { return Ok(()) };
        let mut text = String::new();
        for (time_ms, direction, block, classes) in &self.histograms {
            let _ = write!(text, "{time_ms}, {}, {block}", *direction as u8);
            for joined in classes.chunks(1 << job.logs.coarseness) {
                let _ = write!(text, ", {}", joined.iter().sum::<u32>());
            }
            text.push('\n');
        }
        self.save(job, directory, prefix, "clat_hist", &text)
    }

    fn save(
        &self,
        job: &Job,
        directory: &Path,
        prefix: &str,
        suffix: &str,
        text: &str,
    ) -> Result<(), String> {
        let name = match job.logs.not_per_job {
            true => format!("{prefix}_{suffix}.log"),
            false => format!("{prefix}_{suffix}.{}.log", self.thread),
        };
        let path: PathBuf = directory.join(name);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true);
        // Instances that share a name follow each other in it.
        let shared = job.logs.not_per_job && self.thread > 1;
        let file = if shared { options.append(true) } else { options.truncate(true) };
        file.open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| format!("{}: cannot write the log: {error}", path.display()))
    }
}

/// The class of fio's histograms that a latency is in.
#[inline]
pub(crate) fn class_of(ns: u64) -> usize {
    let top = 63 - (ns | 1).leading_zeros();
    if top <= CLASS_BITS {
        return ns as usize;
    }
    let shift = top - CLASS_BITS;
    let within = (ns >> shift) & ((1 << CLASS_BITS) - 1);
    ((((shift + 1) as usize) << CLASS_BITS) + within as usize).min(HISTOGRAM_CLASSES - 1)
}

/// The latency that a class stands for: its middle.
pub(crate) fn class_ns(class: usize) -> u64 {
    if class < 2 << CLASS_BITS {
        return class as u64;
    }
    let shift = (class >> CLASS_BITS) as u32 - 1;
    let base = 1u64 << (shift + CLASS_BITS);
    let within = (class & ((1 << CLASS_BITS) - 1)) as u64;
    base + ((2 * within + 1) << (shift - 1))
}
