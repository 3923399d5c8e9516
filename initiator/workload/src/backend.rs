//! What a job needs of the thing it drives: a queue of file operations.
//!
//! The client's mount keeps this contract in production and an in-memory double keeps it in the
//! unit tests, so the generator, verifier and rate control know no transport. One thread; never
//! blocks.

/// A queue of file operations with owned buffers: a buffer is given with the operation and comes
/// back with its result, never before.
pub trait Backend {
    /// An open file.
    type File: Copy;
    /// An I/O buffer. It belongs to whoever holds it.
    type Buf: AsRef<[u8]> + AsMut<[u8]>;

    /// A buffer of at least `len` bytes, or `None` when the pool is dry (try again after
    /// completions).
    fn alloc(&mut self, len: u32) -> Option<Self::Buf>;

    /// Queues an operation. When the queue is full it comes back untouched.
    fn submit(&mut self, io: Io<Self::File, Self::Buf>) -> Result<(), Io<Self::File, Self::Buf>>;

    /// Pushes out what was queued (one doorbell) and hands what has completed to `done`.
    fn poll(&mut self, now_ns: u64, done: impl FnMut(IoDone<Self::File, Self::Buf>));
}

/// An operation.
#[derive(Debug)]
pub struct Io<F, B> {
    /// Comes back in [`IoDone::tag`].
    pub tag: u64,
    /// What to do.
    pub op: IoOp<F, B>,
}

/// The operations.
#[derive(Debug)]
pub enum IoOp<F, B> {
    /// Open the file at `path`, relative to the mount; `create` makes it if it is absent.
    Open {
        /// Slash-separated path below the mount's root.
        path: String,
        /// Make it if it is absent.
        create: bool,
    },
    /// Set the file's size in bytes.
    SetSize {
        /// Which file.
        file: F,
        /// New size.
        size_bytes: u64,
    },
    /// Read `len` bytes at `offset` into the buffer.
    Read {
        /// Which file.
        file: F,
        /// Byte offset.
        offset: u64,
        /// Byte count, at most the buffer's length.
        len: u32,
        /// Where to.
        buf: B,
    },
    /// Write the first `len` bytes of the buffer at `offset`.
    Write {
        /// Which file.
        file: F,
        /// Byte offset.
        offset: u64,
        /// Byte count, at most the buffer's length.
        len: u32,
        /// Where from.
        buf: B,
        /// What holds when it is done.
        durability: Durability,
    },
    /// Make durable everything that was written to the file (fsync). What was written as
    /// [`Durability::Kept`] survives a restart of the server.
    Commit {
        /// Which file.
        file: F,
    },
    /// Ask for the free space of the file system (FSSTAT).
    Space {
        /// Any file on it.
        file: F,
    },
}

/// What is promised of a write that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: a server that restarts loses it.
    Bare,
    /// It is kept until a Commit has proven it durable, and written again if need be.
    Kept,
    /// It is durable.
    Stable,
}

/// A finished operation.
#[derive(Debug)]
pub struct IoDone<F, B> {
    /// From [`Io::tag`].
    pub tag: u64,
    /// The buffer, returned whatever the outcome.
    pub buf: Option<B>,
    /// What came of it.
    pub result: Result<IoResult<F>, IoError>,
    /// When it was seen to be complete. A poll can take long, so this may be later than the time
    /// that the poll was given: latencies are counted to here.
    pub done_ns: u64,
}

/// Results by operation.
#[derive(Clone, Copy, Debug)]
pub enum IoResult<F> {
    /// From Open: the file and its present size.
    Opened {
        /// The file.
        file: F,
        /// Present size.
        size_bytes: u64,
    },
    /// From Read and Write: how many bytes (0 at end of file).
    Bytes(u32),
    /// From Space: bytes available to this user.
    Available(u64),
    /// From SetSize and Commit.
    Done,
}

/// Why an operation failed: an errno as fio reports them, and the client's own sentence.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct IoError {
    /// errno, e.g. EIO, ENOSPC, ESTALE, ENOTCONN.
    pub errno: i32,
    /// The whole story in one line.
    pub message: String,
}
