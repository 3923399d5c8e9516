//! Replies that came inline, in the hands of their caller.
//!
//! The message lies in the Receive that it arrived in. The caller looks at it there while the RPC
//! completes, and may keep it: then the Receive gets another buffer from the connection's spare
//! ones, and the data is never copied. A spare comes back when the caller drops what it has kept;
//! while there is none, everything is copied, so a Receive is never without a buffer.

use std::fmt;
use std::ops::{Deref, Range};

use hugepages::Buffer;

use crate::receives::Receives;

/// The RPC reply message, when it came inline; empty otherwise.
pub struct Inline<'a> {
    /// With the index of the one that it is in.
    receives: Option<(&'a mut Receives, u32)>,
    /// Where in the Receive.
    range: Range<usize>,
}

impl<'a> Inline<'a> {
    /// None.
    pub(crate) const NONE: Inline<'static> = Inline { receives: None, range: 0..0 };

    /// A part of what has arrived in a Receive.
    pub(crate) fn new(receives: &'a mut Receives, index: u32, range: Range<usize>) -> Self {
        Self { receives: Some((receives, index)), range }
    }

    /// The message.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.receives {
            Some((receives, index)) => {
                receives.message(*index, self.range.end as u32).get(self.range.start..)
            }
            None => None,
        }
        .unwrap_or_default()
    }

    /// Keeps these bytes of the message, without a copy. `None` when a copy is cheaper, or there
    /// is no buffer to put in the place of this one. The message is gone once it is kept.
    pub fn keep(&mut self, bytes: Range<usize>) -> Option<Received> {
        let (receives, index) = self.receives.as_mut()?;
        let range = self.range.start + bytes.start..self.range.start + bytes.end;
        if range.end > self.range.end || bytes.len() <= receives.copy_max {
            return None;
        }
        let buffer = receives.keep(*index)?;
        self.receives = None;
        Some(Received { buffer, range: range.start as u32..range.end as u32 })
    }
}

impl fmt::Debug for Inline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inline({} bytes)", self.bytes().len())
    }
}

/// Data in the Receive buffer that it arrived in. It dereferences to the data; dropping it gives
/// the buffer back to its connection, or what is left of that.
pub struct Received {
    buffer: Buffer,
    range: Range<u32>,
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.range.start as usize..self.range.end as usize]
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({} bytes)", self.len())
    }
}
