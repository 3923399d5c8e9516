//! Calls as nearly all are: a header from a template, one file handle, and words behind it.

use super::{FileHandle, HANDLE_MAX};
use crate::rpc::{CallTemplate, IMAGE};

/// Bytes behind the header that such a call takes at most.
pub(super) const ARGUMENTS_MAX: usize = 4 + HANDLE_MAX as usize + 4 * WORDS_MAX;
/// Words behind the handle, at most.
const WORDS_MAX: usize = 8;

/// Writes a call whose arguments are a file handle and these words, and returns its length. `None`
/// where there is not enough room for the largest such call, or the header is one of a long
/// credential: then it takes the encoders.
///
/// Everything is copied in amounts that do not depend on its lengths; what is copied too much is
/// written over by what follows.
#[inline(always)]
pub fn put_call<const N: usize>(
    template: &CallTemplate,
    xid: u32,
    procedure: u32,
    file: &FileHandle,
    words: [u32; N],
    out: &mut [u8],
) -> Option<usize> {
    const { assert!(N <= WORDS_MAX) };
    let (header, handle) = (template.size(), file.padded_len());
    let out = out.first_chunk_mut::<{ IMAGE + ARGUMENTS_MAX }>().filter(|_| header <= IMAGE)?;
    template.put_image(xid, procedure, out);
    let arguments = out[header..].first_chunk_mut::<ARGUMENTS_MAX>()?;
    file.put(arguments);
    let (behind, _) = arguments[4 + handle..].as_chunks_mut::<4>();
    *behind.first_chunk_mut::<N>()? = words.map(u32::to_be_bytes);
    Some(header + 4 + handle + 4 * N)
}
