//! The results that nearly all replies bring, known by a few comparisons: an accepted RPC without a
//! verifier, status NFS3_OK, and nothing behind the end. Attributes that come along are passed over
//! unseen.
//!
//! Each takes an RPC message from its XID on, which with the message type is the caller's to check.
//! `None` says nothing but that it takes the decoders to know what a message is.

use std::ops::Range;

use super::attr::{FATTR_LEN, WCC_ATTR_LEN};
use super::{Fattr, StableHow};
use crate::xdr::Reader;

/// Where the results begin: behind XID, msg_type, reply_stat, verf, accept_stat and the status.
const RESULTS: usize = 28;

/// READ without data: how many bytes there are elsewhere, and whether they end the file.
#[inline(always)]
#[must_use]
pub fn read(rpc: &[u8]) -> Option<(u32, bool)> {
    let at = behind_option::<FATTR_LEN>(rpc, succeeded(rpc)?)?;
    let [count, eof, len] = last_words::<3, 12>(rpc, at)?;
    (eof <= 1 && len == count).then_some((count, eof == 1))
}

/// READ with its data: how many bytes, whether they end the file, and where in the message they are.
#[inline(always)]
#[must_use]
pub fn read_inline(rpc: &[u8]) -> Option<(u32, bool, Range<usize>)> {
    let at = behind_option::<FATTR_LEN>(rpc, succeeded(rpc)?)?;
    let (words, padded) = rpc.get(at..)?.split_first_chunk::<12>()?;
    let [count, eof, len] = words.as_chunks::<4>().0.as_array::<3>()?.map(u32::from_be_bytes);
    let data = padded.get(..count as usize)?;
    let ends = padded.len() == data.len().next_multiple_of(4);
    let start = at + words.len();
    (ends && eof <= 1 && len == count).then_some((count, eof == 1, start..start + data.len()))
}

/// WRITE: how many bytes were taken, how stable they are, and the verifier.
#[inline(always)]
#[must_use]
pub fn write(rpc: &[u8]) -> Option<(u32, StableHow, [u8; 8])> {
    let at = behind_option::<WCC_ATTR_LEN>(rpc, succeeded(rpc)?)?;
    let at = behind_option::<FATTR_LEN>(rpc, at)?;
    let [count, committed, high, low] = last_words::<4, 16>(rpc, at)?;
    let committed = match committed {
        0 => StableHow::Unstable,
        1 => StableHow::DataSync,
        2 => StableHow::FileSync,
        _ => return None,
    };
    let verifier = u64::from(high) << 32 | u64::from(low);
    Some((count, committed, verifier.to_be_bytes()))
}

/// GETATTR.
#[inline(always)]
#[must_use]
pub fn getattr(rpc: &[u8]) -> Option<Fattr> {
    let attributes = rpc.get(succeeded(rpc)?..)?.as_array::<FATTR_LEN>()?;
    Reader::new(attributes).value().ok()
}

/// Where the results begin, if there are any.
#[inline(always)]
fn succeeded(rpc: &[u8]) -> Option<usize> {
    let start = rpc.first_chunk::<RESULTS>()?;
    (start[8..] == [0; RESULTS - 8]).then_some(RESULTS)
}

/// The offset behind optional-data of so many bytes.
#[inline(always)]
fn behind_option<const LEN: usize>(rpc: &[u8], at: usize) -> Option<usize> {
    let follows = u32::from_be_bytes(*rpc.get(at..)?.first_chunk()?);
    (follows <= 1).then_some(at + 4 + LEN * follows as usize)
}

/// The words that end the message.
#[inline(always)]
fn last_words<const N: usize, const LEN: usize>(rpc: &[u8], at: usize) -> Option<[u32; N]> {
    const { assert!(LEN == 4 * N) };
    let (words, _) = rpc.get(at..)?.as_array::<LEN>()?.as_chunks::<4>();
    Some(words.as_array::<N>()?.map(u32::from_be_bytes))
}

#[cfg(test)]
#[path = "usual_tests.rs"]
mod tests;
