//! What an actor can do, and what it remembers of what is under way.

use client::Op;
use hugepages::Buffer;
use rpcrdma::Pieces;
use wire::nfs3::StableHow;

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// WRITE, bare.
    Write,
    /// READ.
    Read,
    /// WRITE whose data is kept until it is durable.
    WriteBack,
    /// fsync.
    Sync,
    /// GETATTR.
    Getattr,
    /// SETATTR of the size.
    Resize,
    /// LOOKUP.
    Lookup,
    /// CREATE, guarded.
    Create,
    /// REMOVE.
    Remove,
    /// COMMIT, bare.
    Commit,
    /// READDIRPLUS.
    List,
    /// NULL, ACCESS, FSSTAT or FSINFO.
    Ask,
}

/// All kinds, in the order of [`MountShape::mix`](crate::shape::MountShape::mix).
pub const KINDS: [Kind; 12] = [
    Kind::Write,
    Kind::Read,
    Kind::WriteBack,
    Kind::Sync,
    Kind::Getattr,
    Kind::Resize,
    Kind::Lookup,
    Kind::Create,
    Kind::Remove,
    Kind::Commit,
    Kind::List,
    Kind::Ask,
];

/// Where in its pieces a payload lies: offset and length in each.
pub(super) type Layout = Vec<(u32, u32)>;

/// An operation on its way, with what its answer will be held against.
#[derive(Debug)]
pub(super) enum Pending {
    Open { index: usize },
    Write { file: usize, offset: u64, data: Vec<u8>, stable: StableHow },
    WriteBack { file: usize, offset: u64, data: Vec<u8> },
    Sync { file: usize, mark: u64 },
    Read { file: usize, offset: u64, len: u32, layout: Layout },
    Getattr { file: usize, sizes: Option<u64> },
    Resize { file: usize, size: u64 },
    Lookup { name: usize },
    Create { name: usize, retransmissions: u64 },
    Remove { name: usize, retransmissions: u64 },
    Commit,
    List,
    Ask,
}

impl Pending {
    pub(super) fn changes_size(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::WriteBack { .. } | Self::Resize { .. })
    }

    /// In so many words as a report needs.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Write { file, offset, data, stable } => {
                format!(
                    "Write {{ file: {file}, offset: {offset}, len: {}, {stable:?} }}",
                    data.len()
                )
            }
            Self::WriteBack { file, offset, data } => {
                format!("WriteBack {{ file: {file}, offset: {offset}, len: {} }}", data.len())
            }
            other => format!("{other:?}"),
        }
    }
}

/// An operation that was drawn, with its memory.
pub(super) struct Drawn {
    pub(super) op: Op,
    pub(super) buffer: Option<Buffer>,
    pub(super) pieces: Option<Pieces>,
    pub(super) pending: Pending,
}

impl Drawn {
    /// One that needs no memory.
    pub(super) fn bare(op: Op, pending: Pending) -> Self {
        Self { op, buffer: None, pieces: None, pending }
    }
}
