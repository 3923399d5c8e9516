//! A buffer while a work request can touch it.
//!
//! A device reads and writes memory behind the compiler's back, so a `&[u8]` into a posted buffer
//! would be a false promise. [`Lent`] has none to give: an address and keys for the work request,
//! and copies through a raw pointer. It becomes a [`Buffer`] again only by an `unsafe` call in
//! which the caller vouches that nothing posted can touch it any more.
//!
//! Giving a `Lent` up any other way never returns the memory: the buffer is counted in
//! [`Pool::abandoned`](crate::Pool::abandoned) and its region stays mapped until the process ends,
//! because a device may still write there. [`Lent::abandon`] says that this is meant. A plain drop
//! is a bug: it panics where debug assertions are on (unless already panicking) and is only
//! counted where they are off.

use std::fmt;
use std::mem::ManuallyDrop;

use crate::{Buffer, Keys, OutOfBounds};

/// A buffer that a work request may read or write at any moment.
///
/// Neither `Clone` nor `Send`:
/// ```compile_fail,E0277
/// fn needs_clone<T: Clone>() {}
/// needs_clone::<hugepages::Lent>();
/// ```
/// ```compile_fail,E0277
/// fn needs_send<T: Send>() {}
/// needs_send::<hugepages::Lent>();
/// ```
/// and no slice of it can be had:
/// ```compile_fail
/// fn look(lent: &hugepages::Lent) -> &[u8] { lent }
/// ```
#[must_use = "a lent buffer that is dropped is lost to its pool: reclaim or abandon it"]
pub struct Lent {
    buffer: ManuallyDrop<Buffer>,
}

impl Lent {
    #[inline]
    pub(crate) fn new(buffer: Buffer) -> Self {
        Self { buffer: ManuallyDrop::new(buffer) }
    }

    /// The address of the first byte, as a scatter/gather element wants it.
    #[inline]
    pub fn addr(&self) -> u64 {
        self.buffer.addr()
    }

    /// Bytes in the buffer.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // a pool has no empty buffers
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// The registration keys.
    #[inline]
    pub fn keys(&self) -> Keys {
        self.buffer.keys()
    }

    /// Copies bytes out, from `offset`. What a device is writing meanwhile may come out torn.
    #[inline]
    pub fn copy_out(&self, offset: usize, into: &mut [u8]) -> Result<(), OutOfBounds> {
        self.check(offset, into.len())?;
        // SAFETY: the source range is inside the buffer, whose memory `self` keeps mapped; `into`
        // is a live exclusive reference, and none can point into a lent buffer, so they are apart.
        unsafe {
            let from = self.buffer.start().as_ptr().add(offset);
            std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len());
        }
        Ok(())
    }

    /// Copies bytes in, at `offset`. A device that is reading meanwhile may see any mixture.
    #[inline]
    pub fn copy_in(&mut self, offset: usize, from: &[u8]) -> Result<(), OutOfBounds> {
        self.check(offset, from.len())?;
        // SAFETY: the target range is inside the buffer, whose memory `self` keeps mapped and of
        // which it is the only holder on this side; no reference points into a lent buffer, so
        // `from` lies elsewhere.
        unsafe {
            let into = self.buffer.start().as_ptr().add(offset);
            std::ptr::copy_nonoverlapping(from.as_ptr(), into, from.len());
        }
        Ok(())
    }

    /// Makes it the caller's again.
    ///
    /// # Safety
    /// No posted work request may touch the buffer any more, nor may a peer through its keys: all
    /// that could have completed or been flushed, and a key given away for this use is invalid.
    #[inline]
    pub unsafe fn reclaim(self) -> Buffer {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped or used again, so the buffer is taken exactly once.
        unsafe { ManuallyDrop::take(&mut this.buffer) }
    }

    /// Gives the buffer up for good: its pool counts it, and its region stays mapped for ever.
    pub fn abandon(self) {
        // SAFETY: the buffer is not touched through the result, only taken out of circulation.
        unsafe { self.reclaim() }.abandon();
    }

    #[inline]
    fn check(&self, offset: usize, len: usize) -> Result<(), OutOfBounds> {
        let buffer_len = self.len();
        match offset.checked_add(len) {
            Some(end) if end <= buffer_len => Ok(()),
            _ => Err(OutOfBounds { offset, len, buffer_len }),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: `self` is going away and nothing takes the buffer after this.
        unsafe { ManuallyDrop::take(&mut self.buffer) }.abandon();
        if cfg!(debug_assertions) && !std::thread::panicking() {
            panic!("a lent buffer was dropped: reclaim it, or abandon it explicitly");
        }
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lent({:?})", *self.buffer)
    }
}

#[cfg(test)]
mod tests;
