//! What a Reply may say: pure checks of its transport header against what the call offered.
//!
//! The peer is not trusted: handles and offsets that come back must be those that were offered and
//! lengths must not exceed them. (Linux takes them on faith; a confused server then hands the
//! caller memory that was never written.)

use wire::rpcrdma::{Chunk, ErrorBody, Header, Kind, Segment};

use crate::error::BadReply;
use crate::piece::SEGMENTS_MAX;
use crate::request::Travel;

/// The chunk that a call offered, and how it was to be used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offered {
    travel: Travel,
    count: u8,
    segments: [Segment; SEGMENTS_MAX],
}

impl Offered {
    /// Starts anew: a chunk for payload that travels so, without segments yet.
    #[inline]
    pub(crate) fn begin(&mut self, travel: Travel) {
        (self.travel, self.count) = (travel, 0);
    }

    /// A chunk of one segment.
    #[inline(always)]
    pub(crate) fn one(&mut self, travel: Travel, segment: Segment) {
        (self.travel, self.count, self.segments[0]) = (travel, 1, segment);
    }

    /// Adds a segment; there are never more than pieces.
    #[inline]
    pub(crate) fn push(&mut self, segment: Segment) {
        self.segments[usize::from(self.count)] = segment;
        self.count += 1;
    }

    /// The segments in their order.
    #[inline]
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments[..usize::from(self.count)]
    }

    /// The bytes in the Write chunk, if one was offered, where none came back.
    #[inline]
    pub(crate) fn none_returned(&self) -> Option<u32> {
        (self.travel == Travel::WriteChunk).then_some(0)
    }

    /// The bytes that came back in a Write chunk of this one segment, if it is the one offered and
    /// holds as many.
    #[inline]
    pub(crate) fn returned_one(&self, segment: &Segment) -> Option<u32> {
        let offered = &self.segments[0];
        let is_it = self.travel == Travel::WriteChunk
            && self.count == 1
            && (segment.handle, segment.offset) == (offered.handle, offered.offset)
            && segment.length <= offered.length;
        is_it.then_some(segment.length)
    }

    // req: 8166-6.1-3
    /// The segments of the chunk that the server was to use so.
    fn of(&self, travel: Travel, name: &'static str) -> Result<&[Segment], BadReply> {
        if self.travel == travel { Ok(self.segments()) } else { Err(BadReply::ForeignChunk(name)) }
    }
}

/// Where an acceptable Reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// In the Receive, after the transport header; `written` bytes of the result came by Write
    /// chunk, if one was offered.
    Inline {
        /// Transport header bytes to skip.
        header_len: usize,
        /// Bytes in the Write chunk.
        written: Option<u32>,
    },
    /// In the Reply chunk.
    InReplyChunk {
        /// Bytes there.
        len: u32,
    },
}

/// Whether an RPC message begins with the XID of its transport header, as it has to.
#[inline]
pub(crate) fn answers(xid: u32, rpc: &[u8]) -> bool {
    rpc.get(..4) == Some(&xid.to_be_bytes())
}

// req: 8166-4.5-3, 8166-4.5-7
/// Whether a message is what its header makes of it, so that its XID can be relied on: the RPC
/// message behind the header has the same, one that is elsewhere has a chunk, an error is one that
/// we know (RFC 8166 §4.5.2).
#[inline]
pub(crate) fn is_sound(header: &Header<'_>, message: &[u8]) -> bool {
    match header.kind {
        Kind::Msg => answers(header.xid, &message[header.len..]),
        Kind::NoMsg => {
            !header.reads.is_empty() || !header.writes.is_empty() || header.reply.is_some()
        }
        Kind::Error(body) => !matches!(body, ErrorBody::Unknown(_)),
    }
}

/// Checks an RDMA_MSG or RDMA_NOMSG reply against what its call offered (RFC 8166 §4.3, §6.1). A
/// server that does not need the Reply chunk returns it empty, or leaves it away.
pub(crate) fn check(header: &Header<'_>, offered: &Offered) -> Result<Arrival, BadReply> {
    if !header.reads.is_empty() {
        return Err(BadReply::ReadList);
    }
    let written = written(header, offered)?;
    let in_chunk = match header.reply {
        None => 0,
        Some(chunk) => {
            let segments = offered.of(Travel::ReplyChunk, "Reply chunk")?;
            returned(chunk, segments, "Reply chunk")?
        }
    };
    match (header.kind, in_chunk) {
        (Kind::NoMsg, 0) => Err(BadReply::EmptyReplyChunk),
        (Kind::NoMsg, len) => Ok(Arrival::InReplyChunk { len }),
        (_, 0) => Ok(Arrival::Inline { header_len: header.len, written }),
        (_, _) => Err(BadReply::MsgWithReplyChunk),
    }
}

/// The bytes in the Write chunk, if one was offered: none where it did not come back.
fn written(header: &Header<'_>, offered: &Offered) -> Result<Option<u32>, BadReply> {
    let mut chunks = header.writes.iter();
    let Some(chunk) = chunks.next() else {
        return Ok(offered.none_returned());
    };
    let segments = offered.of(Travel::WriteChunk, "Write chunk")?;
    if chunks.next().is_some() {
        return Err(BadReply::ForeignChunk("Write list"));
    }
    returned(chunk, segments, "Write chunk").map(Some)
}

/// The bytes that a returned chunk claims, if it is the one that was offered: all its segments, in
/// their order, each full before the next is used (RFC 8166 §3.4.6).
fn returned(chunk: Chunk<'_>, offered: &[Segment], name: &'static str) -> Result<u32, BadReply> {
    if chunk.segment_count() != offered.len() {
        return Err(BadReply::ForeignChunk(name));
    }
    let (mut total, mut all_full) = (0, true);
    for (segment, offered) in chunk.iter().zip(offered) {
        if (segment.handle, segment.offset) != (offered.handle, offered.offset) {
            return Err(BadReply::ForeignChunk(name));
        }
        let (returned, room) = (segment.length, offered.length);
        if returned > room {
            return Err(BadReply::TooLong { returned: returned.into(), offered: room });
        }
        if returned > 0 && !all_full {
            return Err(BadReply::Gap(name));
        }
        all_full &= returned == room;
        // No more than the payload's length, which is a u32.
        total += returned;
    }
    Ok(total)
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
