//! The RPC-over-RDMA version 1 transport header (RFC 8166 §4).
//!
//! [`Header::parse`] checks a received header once, from front to back, and keeps views of its
//! lists; iterating them later cannot fail. [`Emit`] writes one. Neither allocates.

mod emit;
pub mod private_data;
pub mod usual;

pub use emit::{Emit, EmitKind, emit_error};

use std::marker::PhantomData;

use crate::codec::list;
use crate::xdr::{Decode, DecodeError, Reader};

/// The protocol version (RFC 8166 §4.2.2).
pub const VERSION: u32 = 1;
/// Bytes of a header whose lists are all empty.
pub const HEADER_MIN: usize = 28;
/// Bytes of the shortest header there is: an ERR_CHUNK report.
pub const HEADER_SHORTEST: usize = 20;
/// Read segments accepted in one header.
pub const READ_SEGMENTS_MAX: u32 = 1024;
/// Write chunks accepted in one header.
pub const WRITE_CHUNKS_MAX: u32 = 16;
/// Segments accepted in one Write or Reply chunk.
pub const SEGMENTS_MAX: u32 = 1024;

/// Procedure numbers (RFC 8166 §4.2.4).
pub(crate) mod procedure {
    pub(crate) const MSG: u32 = 0;
    pub(crate) const NOMSG: u32 = 1;
    pub(crate) const ERROR: u32 = 4;
}

/// Error codes of RDMA_ERROR (RFC 8166 §4.5).
pub(crate) mod error_code {
    pub(crate) const VERS: u32 = 1;
    pub(crate) const CHUNK: u32 = 2;
}

/// Bytes of the parts of the lists.
const SEGMENT_LEN: usize = 16;
const READ_SEGMENT_LEN: usize = 24;

// req: 8166-2.3.2-1
/// A range of registered memory (RFC 8166 §4.1, rpcrdma1_segment).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Its key.
    pub handle: u32,
    /// Bytes.
    pub length: u32,
    /// Address.
    pub offset: u64,
}

/// An entry of the Read list. Entries of one position form one chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadSegment {
    /// Offset in the XDR stream at which the data belongs; 0 for the whole message.
    pub position: u32,
    /// Where the data is.
    pub segment: Segment,
}

/// What follows the fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RDMA_MSG: an RPC message follows.
    Msg,
    /// RDMA_NOMSG: the RPC message is in a chunk.
    NoMsg,
    /// RDMA_ERROR.
    Error(ErrorBody),
}

/// The report in RDMA_ERROR (RFC 8166 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorBody {
    /// ERR_VERS: the versions that the responder speaks.
    Version {
        /// Lowest.
        low: u32,
        /// Highest.
        high: u32,
    },
    /// ERR_CHUNK: it could not use the chunks.
    Chunk,
    /// A code that RFC 8166 does not define.
    Unknown(u32),
}

/// A header as it was received.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Transaction.
    pub xid: u32,
    /// Credits asked for (call) or granted (reply).
    pub credits: u32,
    /// Message kind.
    pub kind: Kind,
    /// Read list.
    pub reads: ReadList<'a>,
    /// Write list.
    pub writes: WriteList<'a>,
    /// Reply chunk.
    pub reply: Option<Chunk<'a>>,
    /// Bytes of the header; with [`Kind::Msg`] the RPC message follows.
    pub len: usize,
}

/// Why a header cannot be used, with the XID as soon as it is known, so that a responder can
/// report the error (RFC 8166 §4.5) and a requester can find the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Shorter than any header.
    #[error("message of {len} bytes is shorter than any RPC-over-RDMA header")]
    Short {
        /// Its length.
        len: usize,
    },
    /// Another protocol version.
    #[error("RPC-over-RDMA version {found}, expected 1")]
    Version {
        /// Transaction.
        xid: u32,
        /// The version.
        found: u32,
    },
    /// A procedure that is obsolete (RDMA_MSGP, RDMA_DONE) or unknown.
    #[error("RPC-over-RDMA procedure {found} is not one of MSG, NOMSG, ERROR")]
    Procedure {
        /// Transaction.
        xid: u32,
        /// The procedure.
        found: u32,
    },
    /// The lists make no sense.
    #[error("transport header, {error}")]
    Malformed {
        /// Transaction.
        xid: u32,
        /// What is wrong, and where.
        error: DecodeError,
    },
}

impl HeaderError {
    /// The transaction, unless even that is missing.
    #[must_use]
    pub fn xid(&self) -> Option<u32> {
        match *self {
            Self::Short { .. } => None,
            Self::Version { xid, .. }
            | Self::Procedure { xid, .. }
            | Self::Malformed { xid, .. } => Some(xid),
        }
    }
}

impl<'a> Header<'a> {
    /// Checks and takes apart the header at the front of a message.
    ///
    /// # Errors
    /// See [`HeaderError`].
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, HeaderError> {
        let Some(fixed) = bytes.first_chunk::<HEADER_SHORTEST>() else {
            return Err(HeaderError::Short { len: bytes.len() });
        };
        let mut r = Reader::new(bytes);
        let (words, _) = fixed.as_chunks::<4>();
        let word = |at: usize| u32::from_be_bytes(words[at]);
        let (xid, version, credits) = (word(0), word(1), word(2));
        let malformed = |error| HeaderError::Malformed { xid, error };
        if version != VERSION {
            return Err(HeaderError::Version { xid, found: version });
        }
        r.take(16).map_err(malformed)?;
        let empty = Self {
            xid,
            credits,
            kind: Kind::Msg,
            reads: List::EMPTY,
            writes: List::EMPTY,
            reply: None,
            len: 0,
        };
        let kind = match word(3) {
            procedure::MSG => Kind::Msg,
            procedure::NOMSG => Kind::NoMsg,
            procedure::ERROR => return empty.error(&mut r).map_err(malformed),
            found => return Err(HeaderError::Procedure { xid, found }),
        };
        Self { kind, ..empty }.lists(&mut r).map_err(malformed)
    }

    /// RFC 8166 §4.3: Read list, Write list, Reply chunk.
    #[inline]
    fn lists(self, r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let reads = List::take(r, READ_SEGMENTS_MAX, "Read list")?;
        let writes = List::take(r, WRITE_CHUNKS_MAX, "Write list")?;
        let reply = r.option()?;
        Ok(Self { reads, writes, reply, len: r.position(), ..self })
    }

    #[cold]
    fn error(self, r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let body = match r.u32()? {
            error_code::VERS => ErrorBody::Version { low: r.u32()?, high: r.u32()? },
            error_code::CHUNK => ErrorBody::Chunk,
            code => ErrorBody::Unknown(code),
        };
        Ok(Self { kind: Kind::Error(body), len: r.position(), ..self })
    }
}

/// A reply as nearly every one is: RDMA_MSG with an RPC reply of the same XID behind a header
/// without lists, or with one Write chunk of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsualReply {
    /// Transaction.
    pub xid: u32,
    /// Credits granted.
    pub credits: u32,
    /// The Write chunk.
    pub write: Option<Segment>,
    /// Bytes of the header; the RPC message follows.
    pub len: usize,
}

impl UsualReply {
    /// Recognises such a reply by a few comparisons. `None` says nothing but that it takes
    /// [`Header::parse`] to know what a message is.
    #[inline]
    #[must_use]
    pub fn recognise(message: &[u8]) -> Option<Self> {
        const NO_LISTS: [u8; 16] = [0; 16];
        const ONE_CHUNK: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        let fixed = message.first_chunk::<HEADER_MIN>()?;
        let word = |at: usize| fixed[at..].first_chunk().map_or(0, |w| u32::from_be_bytes(*w));
        let (xid, credits) = (word(0), word(8));
        let (write, len) = if fixed[12..] == NO_LISTS {
            (None, HEADER_MIN)
        } else if fixed[12..] == ONE_CHUNK {
            let chunk = message[HEADER_MIN..].first_chunk::<{ SEGMENT_LEN + 8 }>()?;
            // No further chunk, and no Reply chunk.
            if chunk[SEGMENT_LEN..] != [0; 8] {
                return None;
            }
            let write = Reader::new(chunk).value().ok();
            (write, HEADER_MIN + SEGMENT_LEN + 8)
        } else {
            return None;
        };
        let rpc = message[len..].first_chunk::<8>()?;
        let is_reply = rpc[4..] == crate::rpc::REPLY.to_be_bytes() && rpc[..4] == fixed[..4];
        (is_reply && word(4) == VERSION).then_some(Self { xid, credits, write, len })
    }
}

/// A Read list: entries.
pub type ReadList<'a> = List<'a, ReadSegment>;
/// A Write list: chunks.
pub type WriteList<'a> = List<'a, Chunk<'a>>;

/// A Read or Write list (RFC 8166 §4.3.1, §4.3.2): items, each behind a 1, then a 0.
#[derive(Clone, Copy, Debug)]
pub struct List<'a, T> {
    /// Up to and including the word that says that no item follows.
    bytes: &'a [u8],
    count: u32,
    items: PhantomData<T>,
}

impl<'a, T: Decode<'a>> List<'a, T> {
    const EMPTY: Self = Self { bytes: &[], count: 0, items: PhantomData };

    #[inline]
    fn take(r: &mut Reader<'a>, max: u32, what: &'static str) -> Result<Self, DecodeError> {
        let (bytes, count) = list::<T>(r, max, what)?;
        Ok(Self { bytes, count, items: PhantomData })
    }

    /// No items.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Items.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// The items in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let mut r = Reader::new(self.bytes);
        std::iter::from_fn(move || r.option().ok().flatten())
    }
}

/// A Write or Reply chunk: a counted array of segments (RFC 8166 §4.1).
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    segments: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Segments.
    #[must_use]
    #[inline]
    pub fn segment_count(&self) -> usize {
        self.segments.len() / SEGMENT_LEN
    }

    /// The segments in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Segment> + use<'a> {
        let mut r = Reader::new(self.segments);
        std::iter::from_fn(move || r.value().ok())
    }

    /// Bytes in all segments together.
    #[must_use]
    pub fn total_length(&self) -> u64 {
        self.iter().map(|segment| u64::from(segment.length)).sum()
    }
}

impl<'a> Decode<'a> for Chunk<'a> {
    #[inline]
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let offset = r.position();
        let found = r.u32()?;
        if found > SEGMENTS_MAX {
            let (what, max) = ("chunk", SEGMENTS_MAX);
            return Err(DecodeError::TooLong { what, offset, found, max });
        }
        Ok(Self { segments: r.take(found as usize * SEGMENT_LEN)? })
    }
}

impl Decode<'_> for Segment {
    #[inline]
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.sized::<SEGMENT_LEN, _>(|r| {
            Ok(Self { handle: r.u32()?, length: r.u32()?, offset: r.u64()? })
        })
    }
}

impl Decode<'_> for ReadSegment {
    #[inline]
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { position: r.u32()?, segment: r.value()? })
    }
}

#[cfg(test)]
mod tests;
