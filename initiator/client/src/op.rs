//! The operations of the queue API and their results.

use hugepages::Buffer;
use rpcrdma::{Pieces, Received};
use wire::nfs3::{CreateHow, Fattr, FileHandle, FsinfoOk, FsstatOk, Sattr, StableHow, WriteOk};

use crate::Error;

/// An open file: a handle and nothing else. NFSv3 keeps no open state, so it may be copied, and
/// there is nothing to leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// The server's name for it.
    pub handle: FileHandle,
}

/// An operation. What only rare ones have is boxed, so that all are small.
#[derive(Clone, Debug)]
#[repr(u8)] // A byte that says which: quicker to look at than what the compiler would find.
pub enum Op {
    /// NULL: does nothing, over the whole way.
    Null,
    /// Attributes.
    Getattr {
        /// Of which file.
        file: File,
    },
    /// Sets attributes; sets the size in particular.
    Setattr {
        /// Of which file.
        file: File,
        /// What to set.
        attributes: Box<Sattr>,
    },
    /// One name in one directory.
    Lookup {
        /// Where.
        dir: File,
        /// Which name.
        name: String,
    },
    /// Asks which of these [`wire::nfs3::access`] bits are granted.
    Access {
        /// For which file.
        file: File,
        /// Bits asked for.
        access: u32,
    },
    /// Reads `len` bytes at `offset`, into the pieces; or, with a buffer, to where [`Done::data`]
    /// says: the buffer is where they go if they do not come inline.
    Read {
        /// From which file.
        file: File,
        /// Byte offset.
        offset: u64,
        /// Bytes.
        len: u32,
    },
    /// Writes the first `len` bytes of the buffer, or the pieces, at `offset`: the bare WRITE. What
    /// an unstable one wrote is lost if the server restarts before a COMMIT; whoever uses it
    /// compares verifiers.
    Write {
        /// To which file.
        file: File,
        /// Byte offset.
        offset: u64,
        /// Bytes.
        len: u32,
        /// How stable before the answer.
        stable: StableHow,
    },
    /// Writes the first `len` bytes of the buffer at `offset`, all of them, and keeps them until
    /// they are proven durable: if the server restarts, they are written again. The result comes
    /// with another buffer of the mount's pool, or, if there are too many uncommitted bytes, with
    /// the same one once they are durable. Memory of the caller's own is copied and comes back.
    ///
    /// What is kept is ordered among these writes and [`Op::Sync`] of one client; before bare
    /// writes, or another size, for the same bytes: sync.
    WriteBack {
        /// To which file.
        file: File,
        /// Byte offset.
        offset: u64,
        /// Bytes.
        len: u32,
    },
    /// fsync: when it has succeeded, everything whose [`Op::WriteBack`] had a result before is
    /// durable, whatever became of the server meanwhile. When it fails the data is still kept and
    /// another one tries again.
    Sync {
        /// Which file.
        file: File,
    },
    /// Creates a file in a directory.
    Create {
        /// Where.
        dir: File,
        /// Which name.
        name: String,
        /// How, with which attributes.
        how: Box<CreateHow>,
    },
    /// Makes a directory.
    Mkdir {
        /// Where.
        dir: File,
        /// Which name.
        name: String,
        /// What to set.
        attributes: Box<Sattr>,
    },
    /// Removes an empty directory.
    Rmdir {
        /// Where.
        dir: File,
        /// Which name.
        name: String,
    },
    /// Removes a file.
    Remove {
        /// Where.
        dir: File,
        /// Which name.
        name: String,
    },
    /// Makes unstable writes durable, the bare COMMIT; a count of 0 means to the end of the file.
    Commit {
        /// Which file.
        file: File,
        /// From this offset.
        offset: u64,
        /// Bytes.
        count: u32,
    },
    /// Limits of the server.
    Fsinfo {
        /// Any file of it.
        file: File,
    },
    /// Space on the server.
    Fsstat {
        /// Any file of it.
        file: File,
    },
    /// A part of a directory, as much as the buffer holds.
    Readdirplus {
        /// Which.
        dir: File,
        /// After this entry; 0 to begin.
        cookie: u64,
        /// From the previous part; zeros to begin.
        verifier: [u8; 8],
    },
    /// Walks a path from the root of the mount and opens what is there.
    Open {
        /// Components separated by slashes; empty for the root itself.
        path: String,
        /// Make a regular file of this mode if there is nothing at the path.
        create: Option<u32>,
    },
}

/// An operation to be done, with the buffer that it reads into, writes from or lists into.
#[derive(Debug)]
pub struct Submission {
    /// Comes back in [`Done::tag`].
    pub tag: u64,
    /// What to do.
    pub op: Op,
    /// Needed by Read, Write, WriteBack and Readdirplus; it comes back with the result, never before. It may
    /// be of the mount's pool or memory of the caller's own (see [`Buffer::from_vec`]).
    pub buffer: Option<Buffer>,
    /// Instead of a buffer, for Read and Write: several pieces, as preadv(2) and pwritev(2) take
    /// them, that together are as long as the operation says.
    pub pieces: Option<Pieces>,
}

/// A finished operation.
#[derive(Debug)]
pub struct Done {
    /// From the submission.
    pub tag: u64,
    /// What came of it.
    pub result: Result<Output, Error>,
    /// The buffer, whatever the outcome; after WriteBack it may be another one.
    pub buffer: Option<Buffer>,
    /// Or the pieces.
    pub pieces: Option<Pieces>,
    /// What was read or listed, where it was left in the memory that it arrived in.
    pub(crate) received: Option<Received>,
}

/// A finished operation in the client's own memory, to be looked at; see [`Done`] for what is what.
#[derive(Debug)]
pub struct Finished<'a> {
    /// From the submission.
    pub tag: u64,
    /// What came of it.
    pub result: &'a Result<Output, Error>,
    /// The buffer, to be taken.
    pub buffer: &'a mut Option<Buffer>,
    /// Or the pieces.
    pub pieces: &'a mut Option<Pieces>,
    /// What was read or listed, where it was left in the memory that it arrived in.
    pub received: &'a mut Option<Received>,
}

impl Finished<'_> {
    /// As [`Done::data`].
    #[must_use]
    pub fn data(&self) -> &[u8] {
        data(self.result, self.received.as_ref(), self.buffer.as_ref())
    }
}

fn data<'a>(
    result: &Result<Output, Error>,
    received: Option<&'a Received>,
    buffer: Option<&'a Buffer>,
) -> &'a [u8] {
    let len = match result {
        Ok(Output::Read { count: len, .. } | Output::Listing { len }) => *len as usize,
        _ => return &[],
    };
    match (received, buffer) {
        (Some(received), _) => received,
        (None, Some(buffer)) => &buffer[..len],
        (None, None) => &[],
    }
}

impl Done {
    /// The same in place.
    #[cfg(feature = "planted-faults")]
    pub(crate) fn finished(&mut self) -> Finished<'_> {
        let Self { tag, result, buffer, pieces, received } = self;
        Finished { tag: *tag, result, buffer, pieces, received }
    }

    /// An operation that brought no data, or left it in the buffer.
    pub(crate) fn new(tag: u64, result: Result<Output, Error>, buffer: Option<Buffer>) -> Self {
        Self { tag, result, buffer, pieces: None, received: None }
    }

    /// The data of a Read, or the reply message of a Readdirplus, wherever it is: in the buffer, or
    /// in memory of the connection, which is given back with this.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        data(&self.result, self.received.as_ref(), self.buffer.as_ref())
    }

    /// Takes the data out, where it is not in the buffer.
    pub fn take_received(&mut self) -> Option<Received> {
        self.received.take()
    }

    /// Copies the data to the start of the buffer, unless it is there already.
    #[must_use]
    pub fn in_buffer(mut self) -> Self {
        if let (Some(received), Some(buffer)) = (&self.received, &mut self.buffer)
            && let Some(room) = buffer.get_mut(..received.len())
        {
            room.copy_from_slice(received);
            self.received = None;
        }
        self
    }
}

/// Results, by operation.
#[derive(Clone, Debug, PartialEq)]
#[repr(u8)] // As for `Op`.
pub enum Output {
    /// Of Null, Remove and Rmdir.
    Nothing,
    /// Of Getattr, and of Setattr where the server tells.
    Attributes(Option<Fattr>),
    /// Of Lookup, Create, Mkdir and Open.
    Opened {
        /// The file.
        file: File,
        /// Its attributes, where the server tells.
        attributes: Option<Box<Fattr>>,
    },
    /// Of Access: the bits granted.
    Access(u32),
    /// Of Read: the data is [`Done::data`], or in the pieces.
    Read {
        /// Bytes; fewer than asked for at the end of the file, or as the server likes.
        count: u32,
        /// Whether the end of the file was reached.
        eof: bool,
    },
    /// Of Write and WriteBack.
    Written {
        /// Bytes that the server took; fewer than given as it likes.
        count: u32,
        /// How stable they are.
        committed: StableHow,
        /// Of the server's life: unstable data is lost when it changes.
        verifier: [u8; 8],
    },
    /// Of Commit: compare with that of the writes. Of Sync: it has been compared.
    Committed {
        /// The verifier.
        verifier: [u8; 8],
    },
    /// Of Fsinfo.
    Fsinfo(Box<FsinfoOk>),
    /// Of Fsstat.
    Fsstat(Box<FsstatOk>),
    /// Of Readdirplus: the listing is [`Done::data`], see [`listing`](crate::listing).
    Listing {
        /// Length of the reply message.
        len: u32,
    },
}

impl Op {
    /// Whether it holds memory of its own.
    #[inline]
    pub(crate) fn is_rich(&self) -> bool {
        !matches!(
            self,
            Self::Null
                | Self::Getattr { .. }
                | Self::Access { .. }
                | Self::Read { .. }
                | Self::Write { .. }
                | Self::WriteBack { .. }
                | Self::Sync { .. }
                | Self::Commit { .. }
                | Self::Fsinfo { .. }
                | Self::Fsstat { .. }
                | Self::Readdirplus { .. }
        )
    }
}

impl Output {
    /// What was opened.
    pub(crate) fn opened(handle: FileHandle, attributes: Option<Fattr>) -> Self {
        Self::Opened { file: File { handle }, attributes: attributes.map(Box::new) }
    }
}

impl From<WriteOk> for Output {
    fn from(ok: WriteOk) -> Self {
        Self::Written { count: ok.count, committed: ok.committed, verifier: ok.verifier }
    }
}
