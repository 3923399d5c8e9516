//! A call as its caller gives it, and as the caller gets it back.
//!
//! Buffers are given away with the call and come back with its result, never before: reusing one
//! too early does not compile.

use hugepages::Buffer;

use crate::Error;
use crate::inline::Inline;
use crate::piece::{Held, Piece, Pieces};
use crate::request::Role;

/// An RPC to be made.
#[derive(Debug)]
pub struct Call {
    /// Comes back in [`Completed::token`].
    pub token: u64,
    /// Bulk data that goes along or is to come back.
    pub payload: Payload,
    /// Largest RPC reply message that can come, in bytes, not counting the data of
    /// [`Payload::Receive`] or [`Payload::Reply`].
    pub reply_max: u32,
}

/// The bulk data of a call. Only arguments and results that are DDP-eligible (RFC 8267 §3) may
/// travel as `Send` or `Receive`.
#[derive(Debug, Default)]
pub enum Payload {
    /// None.
    #[default]
    None,
    /// The last argument: the first `len` bytes of the buffer are its opaque data. The encoded
    /// call ends with the length word; pad is added by the transport.
    Send {
        /// The data.
        buffer: Buffer,
        /// Bytes of it.
        len: u32,
    },
    /// A result of up to `len` bytes is to be placed at the start of the buffer. When the reply
    /// comes inline the data is in [`Completed::inline`] instead, for the caller to copy or keep.
    Receive {
        /// Room for the data.
        buffer: Buffer,
        /// Most bytes.
        len: u32,
    },
    /// The reply message may be large: it may be placed in the first `len` bytes of the buffer
    /// as a whole.
    Reply {
        /// Room for the message.
        buffer: Buffer,
        /// Most bytes.
        len: u32,
    },
    /// As `Send`, in several pieces.
    SendPieces(Pieces),
    /// As `Receive`, into several pieces, each filled before the next is used.
    ReceivePieces(Pieces),
    /// As `Reply`, into several pieces.
    ReplyPieces(Pieces),
}

impl Payload {
    /// Its role, the length asked for, if it has room for that, and in how many pieces.
    #[inline(always)]
    pub(crate) fn shape(&self) -> Option<(Role, u32, u32)> {
        let (role, len, room) = match self {
            Self::None => (Role::None, 0, 0),
            Self::Send { buffer, len } => (Role::Send, *len, buffer.len()),
            Self::Receive { buffer, len } => (Role::Receive, *len, buffer.len()),
            Self::Reply { buffer, len } => (Role::Reply, *len, buffer.len()),
            Self::SendPieces(pieces) => return shape_of(Role::Send, pieces),
            Self::ReceivePieces(pieces) => return shape_of(Role::Receive, pieces),
            Self::ReplyPieces(pieces) => return shape_of(Role::Reply, pieces),
        };
        (len as usize <= room).then_some((role, len, 1))
    }

    /// The memory, to be held until the call completes.
    pub(crate) fn into_held(self) -> Held {
        match self {
            Self::None => Held::default(),
            Self::Send { buffer, len }
            | Self::Receive { buffer, len }
            | Self::Reply { buffer, len } => Held::One(Piece::new(buffer, 0, len)),
            Self::SendPieces(pieces) | Self::ReceivePieces(pieces) | Self::ReplyPieces(pieces) => {
                Held::Many(pieces)
            }
        }
    }

    /// What [`Payload::into_held`] was made of.
    pub(crate) fn again(role: Role, len: u32, held: &mut Held) -> Self {
        match (role, held.take()) {
            (Role::Send, (Some(buffer), _)) => Self::Send { buffer, len },
            (Role::Receive, (Some(buffer), _)) => Self::Receive { buffer, len },
            (Role::Reply, (Some(buffer), _)) => Self::Reply { buffer, len },
            (Role::Send, (_, Some(pieces))) => Self::SendPieces(pieces),
            (Role::Receive, (_, Some(pieces))) => Self::ReceivePieces(pieces),
            (Role::Reply, (_, Some(pieces))) => Self::ReplyPieces(pieces),
            _ => Self::None,
        }
    }

    /// The memory, whatever it was for.
    #[must_use]
    pub fn into_memory(self) -> (Option<Buffer>, Option<Pieces>) {
        self.into_held().take()
    }
}

fn shape_of(role: Role, pieces: &Pieces) -> Option<(Role, u32, u32)> {
    let len = u32::try_from(pieces.total_len()).ok()?;
    pieces.iter().all(Piece::fits).then_some((role, len, pieces.iter().len() as u32))
}

/// Why a call was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no room now; [`Upcalls::wake`](crate::Upcalls::wake) follows when there is.
    Busy,
    /// The connection is not established: not yet, or no more.
    NotConnected,
    /// This call can never be made.
    Invalid(Box<Error>),
}

/// The reply of an RPC that nothing is special about: the RPC message came inline, and its call had
/// one buffer or none.
#[derive(Clone, Copy, Debug)]
pub struct PlainReply<'a> {
    /// From [`Call::token`].
    pub token: u64,
    /// The RPC message; its XID is the call's, and it is a reply.
    pub rpc: &'a [u8],
    /// As [`Reply::written`].
    pub written: Option<u32>,
}

/// A finished RPC.
#[derive(Debug)]
pub struct Completed<'a> {
    /// From [`Call::token`].
    pub token: u64,
    /// The reply, or why there is none.
    pub result: Result<Reply, Box<Error>>,
    /// The caller's buffer again.
    pub buffer: Option<Buffer>,
    /// Or the caller's pieces.
    pub pieces: Option<Pieces>,
    /// The RPC reply message, when it came inline: in a Receive, apart from the caller's buffer.
    pub inline: Inline<'a>,
}

/// Where the reply is.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// The length of the RPC reply message, when it is at the start of the buffer or pieces (Reply chunk).
    pub(crate) in_buffer: Option<u32>,
    /// Bytes of the result that were placed in the buffer or pieces by Write chunk, where one was
    /// offered.
    pub written: Option<u32>,
}

impl Reply {
    /// The length of the RPC reply message, when it is at the start of the caller's buffer or
    /// spread over the caller's pieces.
    #[must_use]
    pub fn in_buffer(&self) -> Option<u32> {
        self.in_buffer
    }
}

impl Completed<'_> {
    /// The RPC reply message, wherever it came; one that came in pieces is for the caller to put
    /// together ([`Reply::in_buffer`] bytes of [`Completed::pieces`]), and empty here.
    ///
    /// # Errors
    /// The failure of the RPC.
    #[inline]
    pub fn message(&self) -> Result<&[u8], Box<Error>> {
        let reply = self.result.as_ref().map_err(Clone::clone)?;
        Ok(match (reply.in_buffer, &self.buffer) {
            (Some(len), Some(buffer)) => &buffer[..len as usize],
            _ => self.inline.bytes(),
        })
    }
}
