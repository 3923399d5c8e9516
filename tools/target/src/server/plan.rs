//! What a call's transport header asks the server to do, checked before anything is done.

use std::ops::Range;

use wire::rpcrdma::{
    Chunk, Emit, EmitKind, ErrorBody, HEADER_MIN, Header, HeaderError, Kind, ReadSegment, Segment,
    VERSION,
};

/// Segments served in all lists of one call together.
pub(super) const SEGMENTS_MAX: usize = 64;
/// Write chunks served in one call; NFSv3 has use for one.
pub(super) const WRITE_CHUNKS_MAX: usize = 4;

/// How a message that cannot be served is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// With an RDMA_ERROR (RFC 8166 §4.5), the connection goes on.
    Error(u32, ErrorBody),
    /// With an RDMA_ERROR, and the connection is closed, as knfsd does.
    ErrorAndClose(u32, ErrorBody),
    /// Not at all: the connection is closed.
    Close,
    /// Not at all: it is no call.
    Ignore,
}

/// A chunk of the call, to be fetched from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    /// Offset in the RPC message at which it belongs.
    pub(super) position: usize,
    pub(super) bytes: usize,
    pub(super) segments: u32,
}

/// See the module documentation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) xid: u32,
    /// The RPC message, or what of it came inline, within what was received.
    pub(super) inline: Range<usize>,
    pub(super) fetch: Option<Fetch>,
    /// Bytes offered for the DDP-eligible result: the first Write chunk.
    pub(super) payload_room: Option<usize>,
    /// Bytes offered for the whole reply.
    pub(super) reply_room: Option<usize>,
    /// Most RDMA Writes the reply can take.
    pub(super) writes: u32,
    /// The transport header of the reply.
    pub(super) reply_header_bytes: usize,
    /// The only key in the header, if there is exactly one.
    pub(super) only_key: Option<u32>,
}

impl Plan {
    /// `received` is the whole message; `stage_bytes_max` limits what can be fetched.
    pub(super) fn new(
        header: &Header<'_>,
        received: usize,
        stage_bytes_max: usize,
    ) -> Result<Self, Refusal> {
        let xid = header.xid;
        let bad_chunk = Refusal::Error(xid, ErrorBody::Chunk);
        let inline = match header.kind {
            Kind::Msg => header.len..received,
            Kind::NoMsg => received..received,
            Kind::Error(_) => return Err(Refusal::Ignore),
        };
        let fetch = fetch(header, inline.len(), stage_bytes_max)?;
        if header.kind == Kind::NoMsg && fetch.is_none() {
            return Err(bad_chunk);
        }
        let chunks = || header.writes.iter().chain(header.reply);
        let segments: usize = chunks().map(|chunk| chunk.segment_count()).sum();
        let empty = chunks().any(|chunk| chunk.segment_count() == 0);
        let reads = header.reads.len();
        if empty || segments + reads > SEGMENTS_MAX || header.writes.len() > WRITE_CHUNKS_MAX {
            return Err(bad_chunk);
        }
        let room = |chunk: Chunk<'_>| chunk.total_length() as usize;
        Ok(Self {
            xid,
            inline,
            fetch,
            payload_room: header.writes.iter().next().map(room),
            reply_room: header.reply.map(room),
            writes: segments as u32,
            reply_header_bytes: reply_header_bytes(header),
            only_key: only_key(header),
        })
    }
}

/// The Read list must form one chunk that fits. A long call may be followed by the chunk with its
/// data (RFC 8166 §3.5.3), which is last in every call of NFSv3: fetched behind it, the two are
/// one.
fn fetch(header: &Header<'_>, inline: usize, bytes_max: usize) -> Result<Option<Fetch>, Refusal> {
    let Some(first) = header.reads.iter().next() else { return Ok(None) };
    let bad_list = Refusal::ErrorAndClose(header.xid, ErrorBody::Chunk);
    let position = first.position as usize;
    let length = |read: ReadSegment| u64::from(read.segment.length);
    let bytes: u64 = header.reads.iter().map(length).sum();
    // A long call is all of the message; any other chunk belongs behind an inline part.
    let whole = matches!(header.kind, Kind::NoMsg);
    let head = header.reads.iter().take_while(|read| read.position == first.position);
    let (count, head) = head.fold((0, 0), |(count, bytes), read| (count + 1, bytes + length(read)));
    let follows =
        |read: ReadSegment| whole && u64::from(read.position) == head && head.is_multiple_of(4);
    let several = !header.reads.iter().skip(count).all(follows);
    let misplaced = whole != (position == 0) || position > inline || !position.is_multiple_of(4);
    // The chunk's padding and the part behind it follow it in the staging buffer.
    let too_long = bytes.next_multiple_of(4) + inline as u64 > bytes_max as u64;
    if several || misplaced || too_long || bytes == 0 {
        return Err(bad_list);
    }
    let segments = header.reads.len() as u32;
    Ok(Some(Fetch { position, bytes: bytes as usize, segments }))
}

/// A reply returns every Write chunk and the Reply chunk, with the segments that were offered.
fn reply_header_bytes(header: &Header<'_>) -> usize {
    if header.writes.is_empty() && header.reply.is_none() {
        return HEADER_MIN;
    }
    static NONE: [Segment; SEGMENTS_MAX] =
        [Segment { handle: 0, length: 0, offset: 0 }; SEGMENTS_MAX];
    let counts = header.writes.iter().map(|chunk| chunk.segment_count());
    let mut chunks = [NONE.as_slice(); WRITE_CHUNKS_MAX];
    for (chunk, count) in chunks.iter_mut().zip(counts) {
        *chunk = &NONE[..count];
    }
    let emit = Emit {
        xid: 0,
        credits: 0,
        kind: EmitKind::Msg,
        reads: &[],
        write_chunks: &chunks[..header.writes.len()],
        reply_chunk: header.reply.map(|chunk| &NONE[..chunk.segment_count()]),
    };
    emit.len()
}

fn only_key(header: &Header<'_>) -> Option<u32> {
    let reads = header.reads.iter().map(|read| read.segment.handle);
    let chunks = header.writes.iter().chain(header.reply);
    let mut keys = reads.chain(chunks.flat_map(|chunk| chunk.iter().map(|s| s.handle)));
    let first = keys.next()?;
    keys.all(|key| key == first).then_some(first)
}

/// The answer to a header that could not be parsed.
impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        let versions = ErrorBody::Version { low: VERSION, high: VERSION };
        match (error, error.xid()) {
            (HeaderError::Version { xid, .. }, _) => Self::Error(xid, versions),
            (_, Some(xid)) => Self::Error(xid, ErrorBody::Chunk),
            (_, None) => Self::Close,
        }
    }
}
