//! What a Reply may say: pure checks of its transport header against what the call offered.
//!
//! The peer is not trusted: handles and offsets that come back must be those that were offered and
//! lengths must not exceed them. (Linux takes them on faith; a confused server then hands the
//! caller memory that was never written.)

use wire::rpcrdma::{Chunk, Header, Kind, Segment};

use crate::error::BadReply;

/// The chunk that a call offered for its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Offered {
    /// Nothing: the reply comes inline.
    #[default]
    Nothing,
    /// A Write chunk of one segment, for the DDP-eligible result.
    Write(Segment),
    /// A Reply chunk of one segment, for the whole reply.
    Reply(Segment),
}

/// Where an acceptable Reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// In the Receive, after the transport header; `written` bytes of the result came by Write
    /// chunk, if one was offered and used.
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

/// Checks an RDMA_MSG or RDMA_NOMSG reply (RFC 8166 §4.3, §4.4).
pub(crate) fn check(header: &Header<'_>, offered: Offered) -> Result<Arrival, BadReply> {
    if !header.reads.is_empty() {
        return Err(BadReply::ReadList);
    }
    let written = written(header, offered)?;
    match (header.kind, header.reply) {
        (Kind::NoMsg, Some(chunk)) => {
            let Offered::Reply(segment) = offered else {
                return Err(BadReply::ForeignChunk("Reply chunk"));
            };
            match returned(chunk, segment, "Reply chunk")? {
                0 => Err(BadReply::EmptyReplyChunk),
                len => Ok(Arrival::InReplyChunk { len }),
            }
        }
        (Kind::NoMsg, None) => Err(BadReply::EmptyReplyChunk),
        (_, Some(_)) => Err(BadReply::MsgWithReplyChunk),
        (_, None) => Ok(Arrival::Inline { header_len: header.len, written }),
    }
}

/// The length of the returned Write chunk, if any came back.
fn written(header: &Header<'_>, offered: Offered) -> Result<Option<u32>, BadReply> {
    let mut chunks = header.writes.iter();
    let Some(chunk) = chunks.next() else {
        return Ok(None);
    };
    let Offered::Write(segment) = offered else {
        return Err(BadReply::ForeignChunk("Write chunk"));
    };
    if chunks.next().is_some() {
        return Err(BadReply::ForeignChunk("Write list"));
    }
    returned(chunk, segment, "Write chunk").map(Some)
}

/// The bytes that a returned chunk claims, if it is the one-segment chunk that was offered.
fn returned(chunk: Chunk<'_>, offered: Segment, name: &'static str) -> Result<u32, BadReply> {
    let mut segments = chunk.iter();
    let (Some(segment), None) = (segments.next(), segments.next()) else {
        return Err(BadReply::ForeignChunk(name));
    };
    if (segment.handle, segment.offset) != (offered.handle, offered.offset) {
        return Err(BadReply::ForeignChunk(name));
    }
    if segment.length > offered.length {
        let returned = segment.length.into();
        return Err(BadReply::TooLong { returned, offered: offered.length });
    }
    Ok(segment.length)
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
