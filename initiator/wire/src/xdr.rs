//! XDR (RFC 4506) over borrowed bytes: a bounded reader and a bounded writer.
//!
//! The reader trusts nothing: every length is checked against its limit and against what is left
//! before anything is taken, so no input makes it panic, loop or allocate. Byte strings are
//! borrowed from the input.

/// Bytes of padding after an opaque of `len` bytes (RFC 4506 §4.10).
#[must_use]
pub const fn pad(len: usize) -> usize {
    len.wrapping_neg() & 3
}

/// A value that has an XDR form.
pub trait Encode {
    /// Appends the XDR form.
    ///
    /// # Errors
    /// [`Full`] when it does not fit; part of it may then have been written.
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full>;
}

/// A value that can be read from XDR.
pub trait Decode<'a>: Sized {
    /// Takes the value from the front of what is left.
    ///
    /// # Errors
    /// The bytes are no such value.
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError>;
}

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends within a value.
    #[error("offset {offset}: {needed} bytes needed, {left} left")]
    Short {
        /// Where the value starts.
        offset: usize,
        /// Bytes it takes.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// A length or count is beyond its limit.
    #[error("offset {offset}: {what} of {found}, at most {max} allowed")]
    TooLong {
        /// Which.
        what: &'static str,
        /// Where the length word is.
        offset: usize,
        /// Its value.
        found: u32,
        /// The limit.
        max: u32,
    },
    /// A discriminant or flag has a value that its type does not.
    #[error("offset {offset}: {found} is no {what}")]
    Value {
        /// Of which type.
        what: &'static str,
        /// Where.
        offset: usize,
        /// The value.
        found: u32,
    },
    /// Bytes follow where there should be none.
    #[error("offset {offset}: {left} bytes follow the end")]
    Trailing {
        /// Where the value ended.
        offset: usize,
        /// Bytes behind it.
        left: usize,
    },
}

/// Reads XDR from a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Offset of the next byte.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// Takes `count` raw bytes, without padding.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let left = self.remaining();
        if count > left {
            return Err(DecodeError::Short { offset: self.position, needed: count, left });
        }
        let taken = &self.bytes[self.position..self.position + count];
        self.position += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (offset, left) = (self.position, self.remaining());
        let short = DecodeError::Short { offset, needed: N, left };
        let taken = *self.bytes[offset..].first_chunk().ok_or(short)?;
        self.position += N;
        Ok(taken)
    }

    /// unsigned int (RFC 4506 §4.2).
    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// int (RFC 4506 §4.1).
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// unsigned hyper (RFC 4506 §4.5).
    #[inline]
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// bool (RFC 4506 §4.4): 0 or 1 and nothing else.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let offset = self.position;
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(DecodeError::Value { what: "bool", offset, found }),
        }
    }

    /// Variable-length opaque of at most `max` bytes (RFC 4506 §4.10). Padding must be there; its
    /// value is not looked at, as everywhere in NFS.
    pub fn opaque(&mut self, max: u32) -> Result<&'a [u8], DecodeError> {
        let offset = self.position;
        let found = self.u32()?;
        if found > max {
            return Err(DecodeError::TooLong { what: "opaque", offset, found, max });
        }
        self.opaque_fixed(found as usize)
    }

    /// Fixed-length opaque (RFC 4506 §4.9).
    pub fn opaque_fixed(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (offset, left) = (self.position, self.remaining());
        let padded = len.saturating_add(pad(len));
        if padded > left {
            return Err(DecodeError::Short { offset, needed: padded, left });
        }
        self.position += padded;
        Ok(&self.bytes[offset..offset + len])
    }

    /// string (RFC 4506 §4.11), as bytes: names in NFS are not UTF-8 by rule.
    pub fn string(&mut self, max: u32) -> Result<&'a [u8], DecodeError> {
        self.opaque(max)
    }

    /// A decoded value.
    pub fn value<T: Decode<'a>>(&mut self) -> Result<T, DecodeError> {
        T::decode(self)
    }

    /// Optional-data (RFC 4506 §4.19) of one value.
    pub fn option<T: Decode<'a>>(&mut self) -> Result<Option<T>, DecodeError> {
        if self.bool()? { T::decode(self).map(Some) } else { Ok(None) }
    }

    /// Ends reading: nothing may be left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { offset: self.position, left }),
        }
    }
}

/// The output is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{needed} bytes needed, there is room for {room}")]
pub struct Full {
    /// Bytes that would have been needed so far, from the start.
    pub needed: usize,
    /// Bytes there are.
    pub room: usize,
}

/// Writes XDR into a slice.
#[derive(Debug)]
pub struct Writer<'a> {
    bytes: &'a mut [u8],
    position: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes written.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes left.
    #[must_use]
    pub fn room(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// Appends raw bytes, without padding.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.position + bytes.len();
        let room = self.bytes.len();
        let Some(out) = self.bytes.get_mut(self.position..end) else {
            return Err(Full { needed: end, room });
        };
        out.copy_from_slice(bytes);
        self.position = end;
        Ok(())
    }

    /// unsigned int.
    #[inline]
    pub fn u32(&mut self, value: u32) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    /// int.
    pub fn i32(&mut self, value: i32) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    /// unsigned hyper.
    #[inline]
    pub fn u64(&mut self, value: u64) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    /// bool.
    pub fn bool(&mut self, value: bool) -> Result<(), Full> {
        self.u32(value.into())
    }

    /// Variable-length opaque, padded with zeros.
    pub fn opaque(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let too_long = Full { needed: usize::MAX, room: self.bytes.len() };
        self.u32(u32::try_from(bytes.len()).map_err(|_| too_long)?)?;
        self.opaque_fixed(bytes)
    }

    /// Fixed-length opaque, padded with zeros.
    pub fn opaque_fixed(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.put(bytes)?;
        self.put(&[0; 3][..pad(bytes.len())])
    }

    /// string.
    pub fn string(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.opaque(bytes)
    }

    /// An encoded value.
    pub fn value<T: Encode>(&mut self, value: &T) -> Result<(), Full> {
        value.encode(self)
    }

    /// Optional-data of one value.
    pub fn option<T: Encode>(&mut self, value: Option<&T>) -> Result<(), Full> {
        self.bool(value.is_some())?;
        value.map_or(Ok(()), |value| value.encode(self))
    }
}

#[cfg(test)]
#[path = "xdr_tests.rs"]
mod tests;
