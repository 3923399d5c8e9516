//! File handles, kept inline so that they are copied without allocation.

use std::fmt;

use super::HANDLE_MAX;
use crate::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer};

/// What a server calls a file (RFC 1813 §2.6, `nfs_fh3`): up to 64 bytes that mean nothing to the
/// client.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileHandle {
    len: u8,
    /// Zero behind `len`: equality and hash look at all of it.
    bytes: [u8; HANDLE_MAX as usize],
}

impl FileHandle {
    /// Takes a handle; `None` if it is longer than 64 bytes.
    #[must_use]
    pub fn from_bytes(handle: &[u8]) -> Option<Self> {
        (handle.len() <= HANDLE_MAX as usize).then(|| Self::from_checked(handle))
    }

    #[inline]
    fn from_checked(handle: &[u8]) -> Self {
        let mut bytes = [0; HANDLE_MAX as usize];
        bytes[..handle.len()].copy_from_slice(handle);
        Self { len: handle.len() as u8, bytes }
    }

    /// Bytes with their pad.
    #[inline]
    pub(super) fn padded_len(&self) -> usize {
        // Never more than the store has; said so that nobody asks.
        ((usize::from(self.len) + 3) & !3).min(HANDLE_MAX as usize)
    }

    /// Writes the XDR form, and zeros behind it as far as the longest handle would go.
    #[inline]
    pub(super) fn put(&self, out: &mut [u8; super::call::ARGUMENTS_MAX]) {
        out[..4].copy_from_slice(&u32::from(self.len).to_be_bytes());
        out[4..4 + HANDLE_MAX as usize].copy_from_slice(&self.bytes);
    }

    /// The handle.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for FileHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileHandle(")?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

impl Encode for FileHandle {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.opaque(self.as_bytes())
    }
}

impl Decode<'_> for FileHandle {
    #[inline]
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.opaque(HANDLE_MAX).map(Self::from_checked)
    }
}
