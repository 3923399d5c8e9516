//! The workload's queue of file operations, kept by a mount.
//!
//! Threading: owned by one job poller on one reactor. Per operation nothing is allocated: what is
//! built here is moved, and only opening a file and failing make text.
//!
//! Faults survived: a server that leaves the attributes out of a reply (they are asked for), and one
//! that hands out something that is no regular file.

use client::{Client, Error, File, Finished, MountId, Op, Output, Received, Submission};
use hugepages::{Buffer, Pool};
use reactor::{Clock, Timestamp};
use verbs::Provider;
use wire::nfs3::{FileType, Sattr, StableHow};
use workload::backend::{Backend, Durability, Io, IoDone, IoError, IoOp, IoResult};

/// Permission bits of the files that jobs make.
const FILE_MODE: u32 = 0o644;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;
const EIO: i32 = 5;

/// What the client says of an operation.
type Told = Result<Output, Error>;

/// A buffer as the runners see it: it reads as the data that came for it, where that was left in
/// the memory that it arrived in.
#[derive(Debug)]
pub(crate) struct IoBuffer {
    buffer: Buffer,
    received: Option<Received>,
}

impl AsRef<[u8]> for IoBuffer {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.received.as_deref().unwrap_or(&self.buffer)
    }
}

impl AsMut<[u8]> for IoBuffer {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        self.received = None;
        &mut self.buffer
    }
}

/// A mount as the runners see it.
pub(crate) struct MountBackend<P: Provider> {
    pub(crate) client: Client<P>,
    pub(crate) mount: MountId,
    /// When the present turn began.
    pub(crate) now: Timestamp,
    /// For when results are in: on some devices most of a turn is in its doorbell.
    clock: Clock,
    /// Put before every path: empty, or a directory with its slash.
    prefix: String,
    /// The mount's buffers, once it is mounted.
    pool: Option<Pool>,
    /// Files that were opened without learning their size, by tag.
    unsized_files: Vec<(u64, File)>,
}

impl<P: Provider> MountBackend<P> {
    /// `directory` is where in the mount the jobs' paths begin.
    pub(crate) fn new(
        client: Client<P>,
        mount: MountId,
        directory: &str,
        clock: Clock,
        now: Timestamp,
    ) -> Self {
        let prefix = match directory {
            "" => String::new(),
            directory => format!("{directory}/"),
        };
        Self { client, mount, now, clock, prefix, pool: None, unsized_files: Vec::new() }
    }

    /// The mount is made: its buffers can be had.
    pub(crate) fn mounted(&mut self) {
        self.pool = self.client.pool(self.mount).cloned();
    }

    /// Takes and drops what completes after the runners are gone.
    pub(crate) fn discard(&mut self) {
        while self.client.next_done(self.mount).is_some() {}
    }

    fn submission(&self, io: Io<File, IoBuffer>) -> Submission {
        let tag = io.tag;
        let (op, buffer) = match io.op {
            IoOp::Read { file, offset, len, buf } => {
                (Op::Read { file, offset, len }, Some(buf.buffer))
            }
            IoOp::Write { file, offset, len, buf, durability } => {
                let write = |stable| Op::Write { file, offset, len, stable };
                let op = match durability {
                    Durability::Bare => write(StableHow::Unstable),
                    Durability::Kept => Op::WriteBack { file, offset, len },
                    Durability::Stable => write(StableHow::FileSync),
                };
                (op, Some(buf.buffer))
            }
            IoOp::Commit { file } => (Op::Sync { file }, None),
            IoOp::Open { path, create } => {
                let path = format!("{}{path}", self.prefix);
                (Op::Open { path, create: create.then_some(FILE_MODE) }, None)
            }
            IoOp::SetSize { file, size_bytes } => {
                let attributes = Sattr { size: Some(size_bytes), ..Sattr::default() }.into();
                (Op::Setattr { file, attributes }, None)
            }
            IoOp::Space { file } => (Op::Fsstat { file }, None),
        };
        Submission { tag, op, buffer, pieces: None }
    }

    /// A submission that found no room, as the operation it was made of.
    fn undo(&self, refused: Submission) -> Io<File, IoBuffer> {
        let buffer = refused.buffer.map(|buffer| IoBuffer { buffer, received: None });
        let op = match (refused.op, buffer) {
            (Op::Read { file, offset, len }, Some(buf)) => IoOp::Read { file, offset, len, buf },
            (Op::Write { file, offset, len, stable }, Some(buf)) => {
                let durability = match stable {
                    StableHow::Unstable => Durability::Bare,
                    _ => Durability::Stable,
                };
                IoOp::Write { file, offset, len, buf, durability }
            }
            (Op::WriteBack { file, offset, len }, Some(buf)) => {
                IoOp::Write { file, offset, len, buf, durability: Durability::Kept }
            }
            (Op::Sync { file }, _) => IoOp::Commit { file },
            (Op::Open { mut path, create }, _) => {
                IoOp::Open { path: path.split_off(self.prefix.len()), create: create.is_some() }
            }
            (Op::Setattr { file, attributes }, _) => {
                IoOp::SetSize { file, size_bytes: attributes.size.unwrap_or_default() }
            }
            (Op::Fsstat { file }, _) => IoOp::Space { file },
            _ => unreachable!("`submission` makes no other operation"),
        };
        Io { tag: refused.tag, op }
    }

    /// What a result means to the runner; `None` when there is one more thing to ask.
    #[cold] // Reads and writes that succeed do not come here.
    fn result(&mut self, tag: u64, told: Told) -> Option<Result<IoResult<File>, IoError>> {
        let output = match told {
            Ok(output) => output,
            Err(error) => {
                self.unsized_files.retain(|(of, _)| *of != tag);
                return Some(Err(IoError { errno: error.errno(), message: error.to_string() }));
            }
        };
        Some(match output {
            Output::Read { count, .. } | Output::Written { count, .. } => {
                Ok(IoResult::Bytes(count))
            }
            Output::Opened { file, attributes: Some(found) } => {
                regular(found.file_type).map(|()| opened(file, found.size))
            }
            Output::Opened { file, attributes: None } => return self.ask_size(tag, file),
            Output::Attributes(found) => {
                let at = self.unsized_files.iter().position(|(of, _)| *of == tag);
                match (at.map(|at| self.unsized_files.swap_remove(at)), found) {
                    (None, _) => Ok(IoResult::Done),
                    (Some((_, file)), Some(found)) => {
                        regular(found.file_type).map(|()| opened(file, found.size))
                    }
                    (Some(_), None) => {
                        Err(failure(EIO, "the server does not tell the file's size"))
                    }
                }
            }
            Output::Fsstat(space) => Ok(IoResult::Available(space.available_bytes)),
            Output::Committed { .. }
            | Output::Nothing
            | Output::Access(_)
            | Output::Fsinfo(_)
            | Output::Listing { .. } => Ok(IoResult::Done),
        })
    }

    fn ask_size(&mut self, tag: u64, file: File) -> Option<Result<IoResult<File>, IoError>> {
        self.unsized_files.push((tag, file));
        let ask = Submission { tag, op: Op::Getattr { file }, buffer: None, pieces: None };
        // The place of the operation that has just finished is free.
        match self.client.submit(self.mount, ask, self.now) {
            Ok(()) => None,
            Err(_full) => {
                self.unsized_files.retain(|(of, _)| *of != tag);
                Some(Err(failure(EIO, "no room to ask for the file's size")))
            }
        }
    }
}

impl<P: Provider> Backend for MountBackend<P> {
    type File = File;
    type Buf = IoBuffer;

    #[inline]
    fn alloc(&mut self, len: u32) -> Option<IoBuffer> {
        let pool = self.pool.as_ref()?;
        if pool.buffer_len() < len as usize {
            return None;
        }
        pool.alloc().map(|buffer| IoBuffer { buffer, received: None })
    }

    #[inline]
    fn submit(&mut self, io: Io<File, IoBuffer>) -> Result<(), Io<File, IoBuffer>> {
        let submission = self.submission(io);
        let refused = self.client.submit(self.mount, submission, self.now);
        refused.map_err(|refused| self.undo(refused))
    }

    #[inline]
    fn poll(&mut self, now_ns: u64, mut done: impl FnMut(IoDone<File, IoBuffer>)) {
        self.client.turn(Timestamp(now_ns));
        let mut done_ns = None;
        while let Some((tag, buf, told)) = self.client.look_at_done(self.mount, taken) {
            let done_ns = *done_ns.get_or_insert_with(|| self.clock.now().0);
            let result = match told {
                Ok(bytes) => Ok(IoResult::Bytes(bytes)),
                Err(told) => match self.result(tag, told) {
                    Some(result) => result,
                    None => continue,
                },
            };
            done(IoDone { tag, buf, result, done_ns });
        }
    }
}

/// Tag and buffer of a result, and the bytes of a READ or WRITE or, copied, what else it says.
#[inline]
fn taken(done: Finished<'_>) -> (u64, Option<IoBuffer>, Result<u32, Told>) {
    let told = match done.result {
        Ok(Output::Read { count, .. } | Output::Written { count, .. }) => Ok(*count),
        other => Err(other.clone()),
    };
    let received = done.received.take();
    let buf = done.buffer.take().map(|buffer| IoBuffer { buffer, received });
    (done.tag, buf, told)
}

fn opened(file: File, size_bytes: u64) -> IoResult<File> {
    IoResult::Opened { file, size_bytes }
}

fn regular(file_type: FileType) -> Result<(), IoError> {
    match file_type {
        FileType::Regular => Ok(()),
        FileType::Directory => Err(failure(EISDIR, "it is a directory")),
        _ => Err(failure(EINVAL, "it is no regular file")),
    }
}

fn failure(errno: i32, message: &str) -> IoError {
    IoError { errno, message: message.to_owned() }
}
