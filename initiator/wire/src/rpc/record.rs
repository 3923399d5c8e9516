//! Record marking: RPC messages in a byte stream such as TCP (RFC 5531 §11). A record is one
//! message; it is sent as one or more fragments, each behind a 4-byte mark.

use crate::xdr::DecodeError;

/// The bit that marks the last fragment of a record.
pub const LAST: u32 = 1 << 31;
/// Size of a mark.
pub const MARK_SIZE: usize = 4;
/// Longest fragment accepted here, and a sensible limit for a whole record: ample for the MOUNT
/// and portmap traffic that goes over TCP. The format would allow 2 GiB.
pub const FRAGMENT_MAX: u32 = 1 << 20;

/// What stands before a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Nothing follows this fragment in its record.
    pub last: bool,
    /// Bytes in the fragment, at most [`FRAGMENT_MAX`].
    pub len: u32,
}

impl Mark {
    /// The bytes to send.
    #[must_use]
    pub const fn encode(self) -> [u8; MARK_SIZE] {
        let last = if self.last { LAST } else { 0 };
        (self.len & !LAST | last).to_be_bytes()
    }

    /// Reads a mark.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] when the fragment is longer than [`FRAGMENT_MAX`]: the stream is
    /// no RPC, or the peer means harm; close it.
    pub const fn parse(bytes: [u8; MARK_SIZE]) -> Result<Self, DecodeError> {
        let word = u32::from_be_bytes(bytes);
        let (last, len) = (word & LAST != 0, word & !LAST);
        if len > FRAGMENT_MAX {
            let max = FRAGMENT_MAX;
            return Err(DecodeError::TooLong { what: "fragment", offset: 0, found: len, max });
        }
        Ok(Self { last, len })
    }
}
