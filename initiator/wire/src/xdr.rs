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
    /// What is left. It shrinks from the front, so that one comparison guards each value.
    left: &'a [u8],
    /// Offset of the end of the input.
    end: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes, end: bytes.len() }
    }

    /// Offset of the next byte.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.end - self.left.len()
    }

    /// Bytes left.
    #[inline]
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.left.len()
    }

    /// Takes `count` raw bytes, without padding.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, left) = self.left.split_at_checked(count).ok_or_else(|| self.short(count))?;
        self.left = left;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, left) = self.left.split_first_chunk().ok_or_else(|| self.short(N))?;
        self.left = left;
        Ok(*taken)
    }

    /// Takes these bytes, if they come next; says whether they do.
    #[inline]
    pub fn skip<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        match self.left.split_first_chunk() {
            Some((next, left)) if next == bytes => {
                self.left = left;
                true
            }
            _ => false,
        }
    }

    #[cold]
    fn short(&self, needed: usize) -> DecodeError {
        DecodeError::Short { offset: self.position(), needed, left: self.left.len() }
    }

    /// unsigned int (RFC 4506 §4.2).
    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// unsigned hyper (RFC 4506 §4.5).
    #[inline]
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// bool (RFC 4506 §4.4): 0 or 1 and nothing else.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(DecodeError::Value { what: "bool", offset: self.position() - 4, found }),
        }
    }

    /// Variable-length opaque of at most `max` bytes (RFC 4506 §4.10). Padding must be there; its
    /// value is not looked at, as everywhere in NFS.
    #[inline]
    pub fn opaque(&mut self, max: u32) -> Result<&'a [u8], DecodeError> {
        let found = self.u32()?;
        if found > max {
            let offset = self.position() - 4;
            return Err(DecodeError::TooLong { what: "opaque", offset, found, max });
        }
        self.opaque_fixed(found as usize)
    }

    /// Fixed-length opaque (RFC 4506 §4.9).
    #[inline]
    pub fn opaque_fixed(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let padded = self.take(len.saturating_add(pad(len)))?;
        Ok(&padded[..len])
    }

    /// string (RFC 4506 §4.11), as bytes: names in NFS are not UTF-8 by rule.
    #[inline]
    pub fn string(&mut self, max: u32) -> Result<&'a [u8], DecodeError> {
        self.opaque(max)
    }

    /// A decoded value.
    #[inline]
    pub fn value<T: Decode<'a>>(&mut self) -> Result<T, DecodeError> {
        T::decode(self)
    }

    /// A value whose XDR form always has `SIZE` bytes: whether they are there is asked once, not
    /// for each of its fields.
    #[inline]
    pub fn sized<const SIZE: usize, T>(
        &mut self,
        decode: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let end = self.position() + SIZE;
        let (taken, left) =
            self.left.split_first_chunk::<SIZE>().ok_or_else(|| self.short(SIZE))?;
        self.left = left;
        decode(&mut Reader { left: taken, end })
    }

    /// Optional-data (RFC 4506 §4.19) of one value.
    #[inline]
    pub fn option<T: Decode<'a>>(&mut self) -> Result<Option<T>, DecodeError> {
        if self.bool()? { T::decode(self).map(Some) } else { Ok(None) }
    }

    /// Ends reading: nothing may be left.
    #[inline]
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { offset: self.position(), left }),
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
    #[inline]
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes written.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Appends raw bytes, without padding.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.position + bytes.len();
        let Some(out) = self.bytes.get_mut(self.position..end) else {
            return Err(self.full(end));
        };
        out.copy_from_slice(bytes);
        self.position = end;
        Ok(())
    }

    #[cold]
    pub(crate) fn full(&self, needed: usize) -> Full {
        Full { needed, room: self.bytes.len() }
    }

    /// unsigned int.
    #[inline]
    pub fn u32(&mut self, value: u32) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    /// unsigned hyper.
    #[inline]
    pub fn u64(&mut self, value: u64) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    /// bool.
    #[inline]
    pub fn bool(&mut self, value: bool) -> Result<(), Full> {
        self.u32(value.into())
    }

    /// Variable-length opaque, padded with zeros.
    #[inline]
    pub fn opaque(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let len = u32::try_from(bytes.len()).map_err(|_| self.full(usize::MAX))?;
        self.u32(len)?;
        self.opaque_fixed(bytes)
    }

    /// Fixed-length opaque, padded with zeros.
    #[inline]
    pub fn opaque_fixed(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.put(bytes)?;
        self.put(&[0; 3][..pad(bytes.len())])
    }

    /// string.
    #[inline]
    pub fn string(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.opaque(bytes)
    }

    /// An encoded value.
    #[inline]
    pub fn value<T: Encode>(&mut self, value: &T) -> Result<(), Full> {
        value.encode(self)
    }

    /// A value whose XDR form always has `SIZE` bytes: whether there is room is asked once, not
    /// for each of its fields.
    #[inline]
    pub fn sized<const SIZE: usize>(
        &mut self,
        encode: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let Some(out) = self.bytes[self.position..].first_chunk_mut::<SIZE>() else {
            return Err(self.full(self.position + SIZE));
        };
        encode(&mut Writer::new(out))?;
        self.position += SIZE;
        Ok(())
    }

    /// Optional-data of one value.
    #[inline]
    pub fn option<T: Encode>(&mut self, value: Option<&T>) -> Result<(), Full> {
        self.bool(value.is_some())?;
        value.map_or(Ok(()), |value| value.encode(self))
    }
}

#[cfg(test)]
#[path = "xdr_tests.rs"]
mod tests;
