//! This runner on files of a local directory, and what it did to them.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use workload::backend::{Backend, Io, IoDone, IoError, IoOp, IoResult};
use workload::{Instance, Job, JobFile, JobResult, Limits, Phase, Runner, RunnerProgress};

use crate::Op;

const PAYLOAD_BYTES_MAX: u32 = 4 << 20;
/// A job that does not end fails the test.
const SECONDS_MAX: u64 = 20;

/// Files of a directory; operations are done as they are submitted.
pub(crate) struct Local {
    directory: PathBuf,
    names: Vec<String>,
    files: Vec<Rc<File>>,
    done: Vec<IoDone<usize, Vec<u8>>>,
    begun: Instant,
    phase: Phase,
    /// What the job did, in the order that it was submitted in; laying out is not in it.
    pub(crate) ops: Vec<Op>,
    /// What it read to verify, at the end.
    pub(crate) verified: Vec<Op>,
}

impl Local {
    fn new(directory: &Path) -> Self {
        Local {
            directory: directory.to_owned(),
            names: Vec::new(),
            files: Vec::new(),
            done: Vec::new(),
            begun: Instant::now(),
            phase: Phase::Opening,
            ops: Vec::new(),
            verified: Vec::new(),
        }
    }

    fn open(&mut self, path: String, create: bool) -> std::io::Result<IoResult<usize>> {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(create).open(self.directory.join(&path))?;
        let size_bytes = file.metadata()?.len();
        self.names.push(path);
        self.files.push(Rc::new(file));
        Ok(IoResult::Opened { file: self.files.len() - 1, size_bytes })
    }

    fn note(&mut self, write: bool, file: usize, offset: u64, len: u32) {
        let op = Op { write, file: self.names[file].clone(), offset, len: len.into() };
        match self.phase {
            Phase::Ramping | Phase::Running => self.ops.push(op),
            Phase::Verifying => self.verified.push(op),
            _ => {}
        }
    }

    fn perform(
        &mut self,
        op: IoOp<usize, Vec<u8>>,
    ) -> (Option<Vec<u8>>, std::io::Result<IoResult<usize>>) {
        match op {
            IoOp::Open { path, create } => (None, self.open(path, create)),
            IoOp::SetSize { .. } | IoOp::Commit { .. } => (None, Ok(IoResult::Done)),
            IoOp::Space { .. } => (None, Ok(IoResult::Available(u64::MAX))),
            IoOp::Read { file, offset, len, mut buf } => {
                self.note(false, file, offset, len);
                let read = self.files[file].read_at(&mut buf[..len as usize], offset);
                (Some(buf), read.map(|n| IoResult::Bytes(n as u32)))
            }
            IoOp::Write { file, offset, len, buf, .. } => {
                self.note(true, file, offset, len);
                let written = self.files[file].write_at(&buf[..len as usize], offset);
                (Some(buf), written.map(|n| IoResult::Bytes(n as u32)))
            }
        }
    }
}

impl Backend for Local {
    type File = usize;
    type Buf = Vec<u8>;

    fn alloc(&mut self, len: u32) -> Option<Vec<u8>> {
        Some(vec![0; len as usize])
    }

    fn submit(&mut self, io: Io<usize, Vec<u8>>) -> Result<(), Io<usize, Vec<u8>>> {
        let (buf, result) = self.perform(io.op);
        let result = result.map_err(|error| IoError {
            errno: error.raw_os_error().unwrap_or(5),
            message: error.to_string(),
        });
        let done_ns = self.begun.elapsed().as_nanos() as u64;
        self.done.push(IoDone { tag: io.tag, buf, result, done_ns });
        Ok(())
    }

    fn poll(&mut self, _now_ns: u64, done: impl FnMut(IoDone<usize, Vec<u8>>)) {
        self.done.drain(..).for_each(done);
    }
}

/// What came of a job file.
pub(crate) struct Ran {
    pub(crate) jobs: Vec<Job>,
    pub(crate) results: Vec<JobResult>,
    pub(crate) ops: Vec<Op>,
    pub(crate) verified: Vec<Op>,
}

/// Runs all instances of a job file on a directory, one after another.
pub(crate) fn run(text: &str, directory: &Path) -> Result<Ran, String> {
    let file = JobFile::parse(text.as_bytes(), "job").map_err(|error| error.to_string())?;
    let limits = Limits { payload_bytes_max: PAYLOAD_BYTES_MAX };
    let mut ran =
        Ran { jobs: file.jobs, results: Vec::new(), ops: Vec::new(), verified: Vec::new() };
    for instance in Instance::of(&ran.jobs) {
        let mut runner = Runner::new(&instance, limits, 0).map_err(|error| error.to_string())?;
        let mut backend = Local::new(directory);
        let progress = runner.progress();
        loop {
            backend.phase = progress.snapshot().phase;
            let now = backend.begun.elapsed();
            if now.as_secs() >= SECONDS_MAX {
                return Err(format!("it does not end:\n{text}"));
            }
            if runner.turn(now.as_nanos() as u64, &mut backend) == RunnerProgress::Finished {
                break;
            }
        }
        ran.results.push(runner.into_result());
        ran.ops.extend(backend.ops);
        ran.verified.extend(backend.verified);
    }
    Ok(ran)
}
