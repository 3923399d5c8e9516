//! Writing transport headers.

use super::{
    ErrorBody, HEADER_MIN, READ_SEGMENT_LEN, ReadSegment, SEGMENT_LEN, Segment, VERSION,
    error_code, procedure,
};
use crate::xdr::{Full, Writer};

// req: 8166-4.2.4-2, 8166-4.6.1-1, 8166-4.6.2-1
/// Message kinds that carry an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmitKind {
    /// RDMA_MSG.
    Msg,
    /// RDMA_NOMSG.
    NoMsg,
}

/// A header to be written (RFC 8166 §4.3).
#[derive(Clone, Copy, Debug)]
pub struct Emit<'s> {
    /// Transaction; the same as in the RPC message.
    pub xid: u32,
    /// Credits asked for (call) or granted (reply).
    pub credits: u32,
    /// Message kind.
    pub kind: EmitKind,
    /// Read list.
    pub reads: &'s [ReadSegment],
    /// Write list: chunks of segments.
    pub write_chunks: &'s [&'s [Segment]],
    /// Reply chunk.
    pub reply_chunk: Option<&'s [Segment]>,
}

impl Emit<'_> {
    /// Bytes that [`Emit::emit`] writes.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a header is never empty")]
    #[inline]
    pub fn len(&self) -> usize {
        let chunk = |segments: &[Segment]| 4 + segments.len() * SEGMENT_LEN;
        HEADER_MIN
            + self.reads.len() * READ_SEGMENT_LEN
            + self.write_chunks.iter().map(|segments| 4 + chunk(segments)).sum::<usize>()
            + self.reply_chunk.map_or(0, chunk)
    }

    // req: 8166-4-1, 8166-4.2.2-1
    /// Writes the header at the front of `out` and returns its length.
    ///
    /// # Errors
    /// [`Full`] when `out` is too short.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, Full> {
        let kind = match self.kind {
            EmitKind::Msg => procedure::MSG,
            EmitKind::NoMsg => procedure::NOMSG,
        };
        let fixed = [self.xid, VERSION, self.credits, kind];
        let w = &mut Writer::new(out);
        words(w, fixed)?;
        for read in self.reads {
            w.u32(1)?;
            w.u32(read.position)?;
            put_segment(w, read.segment)?;
        }
        w.u32(0)?;
        for segments in self.write_chunks {
            w.u32(1)?;
            put_chunk(w, segments)?;
        }
        w.u32(0)?;
        match self.reply_chunk {
            None => w.u32(0)?,
            Some(segments) => {
                w.u32(1)?;
                put_chunk(w, segments)?;
            }
        }
        Ok(w.position())
    }
}

// req: 8166-4.5-4, 8166-4.5-5, 8166-4.5-6
/// Writes an RDMA_ERROR report (RFC 8166 §4.5) and returns its length: 28 bytes for ERR_VERS, 20
/// for ERR_CHUNK.
///
/// # Errors
/// [`Full`] when `out` is too short.
pub fn emit_error(xid: u32, credits: u32, body: ErrorBody, out: &mut [u8]) -> Result<usize, Full> {
    let mut w = Writer::new(out);
    words(&mut w, [xid, VERSION, credits, procedure::ERROR])?;
    match body {
        ErrorBody::Version { low, high } => {
            w.u32(error_code::VERS)?;
            w.u32(low)?;
            w.u32(high)?;
        }
        ErrorBody::Chunk => w.u32(error_code::CHUNK)?,
        ErrorBody::Unknown(code) => w.u32(code)?,
    }
    Ok(w.position())
}

#[inline]
fn words<const N: usize>(w: &mut Writer<'_>, words: [u32; N]) -> Result<(), Full> {
    words.into_iter().try_for_each(|word| w.u32(word))
}

#[inline]
fn put_chunk(w: &mut Writer<'_>, segments: &[Segment]) -> Result<(), Full> {
    let count = u32::try_from(segments.len());
    w.u32(count.map_err(|_| w.full(usize::MAX))?)?;
    segments.iter().try_for_each(|&segment| put_segment(w, segment))
}

#[inline]
fn put_segment(w: &mut Writer<'_>, segment: Segment) -> Result<(), Full> {
    w.sized::<SEGMENT_LEN>(|w| {
        w.u32(segment.handle)?;
        w.u32(segment.length)?;
        w.u64(segment.offset)
    })
}
