//! The headers that nearly all messages have, of fixed length: as [`Emit`](super::Emit) writes
//! them, but in one go. All are RDMA_MSG.

use super::{HEADER_MIN, READ_SEGMENT_LEN, ReadSegment, Segment, VERSION, procedure};

/// Bytes of a header whose lists have one segment in all, in a Read or Write list.
const WITH_SEGMENT: usize = HEADER_MIN + READ_SEGMENT_LEN;

/// All lists are empty.
#[inline]
#[must_use]
pub fn without_lists(xid: u32, credits: u32) -> [u8; HEADER_MIN] {
    bytes([xid, VERSION, credits, procedure::MSG, 0, 0, 0])
}

/// One Write chunk of one segment.
#[inline]
#[must_use]
pub fn with_write(xid: u32, credits: u32, segment: Segment) -> [u8; WITH_SEGMENT] {
    let Segment { handle, length, offset } = segment;
    let [high, low] = halves(offset);
    bytes([xid, VERSION, credits, procedure::MSG, 0, 1, 1, handle, length, high, low, 0, 0])
}

/// A Read list of one entry.
#[inline]
#[must_use]
pub fn with_read(xid: u32, credits: u32, read: ReadSegment) -> [u8; WITH_SEGMENT] {
    let ReadSegment { position, segment: Segment { handle, length, offset } } = read;
    let [high, low] = halves(offset);
    bytes([xid, VERSION, credits, procedure::MSG, 1, position, handle, length, high, low, 0, 0, 0])
}

#[inline]
fn halves(offset: u64) -> [u32; 2] {
    [(offset >> 32) as u32, offset as u32]
}

#[inline]
fn bytes<const WORDS: usize, const LEN: usize>(words: [u32; WORDS]) -> [u8; LEN] {
    const { assert!(WORDS * 4 == LEN) };
    let mut bytes = [0; LEN];
    for (place, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *place = word.to_be_bytes();
    }
    bytes
}
