//! An in-memory backend for the tests: files in a map, completions late and out of order, queues
//! that fill, pools that run dry, answers that are short or wrong, on command.

use crate::backend::{Backend, Io, IoDone, IoError, IoOp, IoResult};
use crate::job::Instance;
use crate::jobfile::JobFile;
use crate::random::Rng;
use crate::runner::{Limits, Runner, RunnerProgress};
use crate::stats::JobResult;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub(crate) const PAYLOAD_BYTES_MAX: u32 = 1 << 20;
pub(crate) const TURN_NS: u64 = 1_000;

/// A buffer that counts itself, so that tests see what was not given back. What a read brings is
/// beside its memory, as with data that arrives inline: whoever writes to it loses that.
pub(crate) struct Buf {
    bytes: Vec<u8>,
    received: Option<Vec<u8>>,
    out: Rc<Cell<usize>>,
}

impl Drop for Buf {
    fn drop(&mut self) {
        self.out.set(self.out.get() - 1);
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self.received.as_ref().unwrap_or(&self.bytes)
    }
}

impl AsMut<[u8]> for Buf {
    fn as_mut(&mut self) -> &mut [u8] {
        self.received = None;
        &mut self.bytes
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    Open(String),
    Space,
    Commit(String),
    Read(String, u64, u32),
    Write(String, u64, u32),
}

type Failing = Box<dyn Fn(&Did) -> Option<IoError>>;

pub(crate) struct Memory {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) handles: Vec<String>,
    pub(crate) space: u64,
    pub(crate) queue_max: usize,
    /// Refuses every so-many-th submission.
    pub(crate) refuse_every: u64,
    pub(crate) pool_max: usize,
    pub(crate) buffer_bytes_max: u32,
    /// Every so-many-th read or write is answered short.
    pub(crate) short_every: u64,
    /// Completions come in any order, up to so many polls late.
    pub(crate) late_polls_max: u64,
    pub(crate) fails: Failing,
    pub(crate) log: Vec<Did>,
    pub(crate) in_flight_max: usize,
    pub(crate) overlapping_writes: u64,
    pub(crate) buffers_out: Rc<Cell<usize>>,
    pub(crate) queue: Vec<(u64, Io<u32, Buf>)>,
    pub(crate) polls: u64,
    /// Writes are answered, and not done.
    pub(crate) loses_writes: bool,
    /// Nothing completes while it is set.
    pub(crate) frozen: bool,
    /// How long a poll takes: what it finds has completed at its end.
    pub(crate) poll_ns: u64,
    pub(crate) submissions: u64,
    pub(crate) transfers: u64,
    pub(crate) rng: Rng,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            files: BTreeMap::new(),
            handles: Vec::new(),
            space: u64::MAX,
            queue_max: usize::MAX,
            refuse_every: u64::MAX,
            pool_max: usize::MAX,
            buffer_bytes_max: u32::MAX,
            short_every: u64::MAX,
            late_polls_max: 5,
            fails: Box::new(|_| None),
            log: Vec::new(),
            in_flight_max: 0,
            overlapping_writes: 0,
            buffers_out: Rc::default(),
            queue: Vec::new(),
            polls: 0,
            loses_writes: false,
            frozen: false,
            poll_ns: 0,
            submissions: 0,
            transfers: 0,
            rng: Rng::new(7),
        }
    }
}

impl Memory {
    pub(crate) fn buffers_out(&self) -> usize {
        self.buffers_out.get()
    }

    fn describe(&self, op: &IoOp<u32, Buf>) -> Did {
        let name = |file: &u32| self.handles[*file as usize].clone();
        match op {
            IoOp::Open { path, .. } => Did::Open(path.clone()),
            IoOp::Space { .. } => Did::Space,
            IoOp::Commit { file } | IoOp::SetSize { file, .. } => Did::Commit(name(file)),
            IoOp::Read { file, offset, len, .. } => Did::Read(name(file), *offset, *len),
            IoOp::Write { file, offset, len, .. } => Did::Write(name(file), *offset, *len),
        }
    }

    /// How much of a transfer is done.
    fn part(&mut self, len: u32) -> usize {
        self.transfers += 1;
        match self.transfers.is_multiple_of(self.short_every) && len > 1 {
            true => len as usize / 2,
            false => len as usize,
        }
    }

    fn perform(&mut self, io: Io<u32, Buf>, done_ns: u64) -> IoDone<u32, Buf> {
        let did = self.describe(&io.op);
        self.log.push(did.clone());
        let failure = (self.fails)(&did);
        let (buf, result) = match io.op {
            IoOp::Open { path, create } => (None, self.open(path, create)),
            IoOp::SetSize { .. } | IoOp::Commit { .. } => (None, Ok(IoResult::Done)),
            IoOp::Space { .. } => (None, Ok(IoResult::Available(self.space))),
            IoOp::Read { file, offset, len, mut buf } => {
                let part = self.part(len);
                let data = &self.files[&self.handles[file as usize]];
                let from = (offset as usize).min(data.len());
                let to = (from + part).min(data.len());
                let mut received = buf.bytes.clone();
                received[..to - from].copy_from_slice(&data[from..to]);
                buf.received = Some(received);
                (Some(buf), Ok(IoResult::Bytes((to - from) as u32)))
            }
            IoOp::Write { file, offset, len, buf, .. } => {
                let part = self.part(len);
                let name = &self.handles[file as usize];
                let data = self.files.get_mut(name).expect("an open file exists");
                let end = offset as usize + part;
                data.resize(data.len().max(end), 0);
                if !self.loses_writes {
                    data[offset as usize..end].copy_from_slice(&buf.bytes[..part]);
                }
                (Some(buf), Ok(IoResult::Bytes(part as u32)))
            }
        };
        let result = failure.map_or(result, Err);
        IoDone { tag: io.tag, buf, result, done_ns }
    }

    fn open(&mut self, path: String, create: bool) -> Result<IoResult<u32>, IoError> {
        if !create && !self.files.contains_key(&path) {
            return Err(error(2, &format!("LOOKUP {path}: no such file or directory")));
        }
        let size_bytes = self.files.entry(path.clone()).or_default().len() as u64;
        self.handles.push(path);
        Ok(IoResult::Opened { file: self.handles.len() as u32 - 1, size_bytes })
    }
}

pub(crate) fn error(errno: i32, message: &str) -> IoError {
    IoError { errno, message: message.to_owned() }
}

impl Backend for Memory {
    type File = u32;
    type Buf = Buf;

    fn alloc(&mut self, len: u32) -> Option<Buf> {
        if self.buffers_out.get() == self.pool_max || len > self.buffer_bytes_max {
            return None;
        }
        self.buffers_out.set(self.buffers_out.get() + 1);
        Some(Buf { bytes: vec![0; len as usize], received: None, out: self.buffers_out.clone() })
    }

    fn submit(&mut self, io: Io<u32, Buf>) -> Result<(), Io<u32, Buf>> {
        self.submissions += 1;
        let refused = self.submissions.is_multiple_of(self.refuse_every);
        if self.queue.len() >= self.queue_max || refused {
            return Err(io);
        }
        if let Did::Write(name, offset, len) = self.describe(&io.op) {
            let overlaps = |(_, other): &(u64, Io<u32, Buf>)| match self.describe(&other.op) {
                Did::Write(n, o, l) => {
                    n == name && o < offset + u64::from(len) && offset < o + u64::from(l)
                }
                _ => false,
            };
            self.overlapping_writes += u64::from(self.queue.iter().any(overlaps));
        }
        let due = self.polls + self.rng.below(self.late_polls_max + 1);
        self.queue.push((due, io));
        self.in_flight_max = self.in_flight_max.max(self.queue.len());
        Ok(())
    }

    fn poll(&mut self, now_ns: u64, mut done: impl FnMut(IoDone<u32, Buf>)) {
        if self.frozen {
            return;
        }
        self.polls += 1;
        let polls = self.polls;
        let due: Vec<_> = self.queue.extract_if(.., |(at, _)| *at < polls).collect();
        for (_, io) in due.into_iter().rev() {
            let result = self.perform(io, now_ns + self.poll_ns);
            done(result);
        }
    }
}

pub(crate) fn runner(job: &str) -> Runner<Memory> {
    let file = JobFile::parse(job.as_bytes(), "test.fio").expect("the test's job is right");
    let instance = &Instance::of(&file.jobs)[0];
    let limits = Limits { payload_bytes_max: PAYLOAD_BYTES_MAX };
    Runner::new(instance, limits, 0).expect("the test's job fits")
}

/// Turns until finished; a runner that does not finish fails the test.
pub(crate) fn finish(mut runner: Runner<Memory>, backend: &mut Memory) -> JobResult {
    const TURNS_MAX: u64 = 50_000_000;
    for turn in 0..TURNS_MAX {
        if runner.turn(turn * TURN_NS, backend) == RunnerProgress::Finished {
            return runner.into_result();
        }
    }
    panic!("the runner did not finish in {TURNS_MAX} turns");
}

pub(crate) fn run(job: &str, backend: &mut Memory) -> JobResult {
    let result = finish(runner(job), backend);
    assert_eq!(backend.buffers_out(), 0, "every buffer goes back to the pool");
    result
}
