//! Memory of the caller's own: a `Vec`, or a mapping that somebody else made, as a [`Buffer`].
//!
//! A device can use any memory that is registered with it; only who keeps it mapped differs. So a
//! buffer of one's own is the one buffer of a pool of its own, over a region that is taken as it
//! is, and lends and returns like any other.

use std::any::Any;
use std::ptr::NonNull;
use std::rc::Rc;

use memmap2::MmapRaw;

use crate::{Buffer, Error, Keys, Pool, Region};

/// What keeps a region's memory where it is.
pub(crate) enum Owner {
    /// Our own mapping, never looked at again: it is unmapped when it is dropped.
    Mapped(#[allow(dead_code)] MmapRaw),
    /// The region itself: it was a boxed slice, and is freed as one.
    Boxed,
    /// Somebody whom the caller gave along.
    Kept(#[allow(dead_code)] Box<dyn Any>),
    /// Nobody here any more: the memory was given back.
    Gone,
}

impl Buffer {
    /// Makes a buffer of the bytes of a `Vec`, which stay where they are.
    ///
    /// A connection that the buffer is given to registers the memory when it first needs to, which
    /// is a system call, and keeps the registration for the next time.
    ///
    /// ```
    /// use hugepages::Buffer;
    ///
    /// let buffer = Buffer::from_vec(b"hello".to_vec())?;
    /// assert_eq!(&buffer[..], b"hello");
    /// assert_eq!(buffer.into_vec().unwrap(), b"hello");
    /// # Ok::<(), hugepages::Error>(())
    /// ```
    ///
    /// # Errors
    /// No bytes at all.
    pub fn from_vec(bytes: Vec<u8>) -> Result<Self, Error> {
        let boxed = bytes.into_boxed_slice();
        let len = boxed.len();
        let base = NonNull::from(Box::leak(boxed)).cast();
        // SAFETY: the slice was leaked, so the region is its only owner: nobody else has a
        // reference into it, and it is freed when the region is dropped.
        unsafe { Self::of(base, len, Owner::Boxed) }
    }

    /// Makes a buffer of `len` bytes at `start`; `owner` is dropped when nothing can touch them
    /// any more, and not before.
    ///
    /// # Safety
    /// The bytes are initialised, may be read and written, and stay so until `owner` is dropped.
    /// Until then nothing reads or writes them but through the buffer.
    ///
    /// # Errors
    /// No bytes at all.
    pub unsafe fn from_raw(
        start: NonNull<u8>,
        len: usize,
        owner: Box<dyn Any>,
    ) -> Result<Self, Error> {
        // SAFETY: the caller's promise; the region keeps the owner.
        unsafe { Self::of(start, len, Owner::Kept(owner)) }
    }

    /// # Safety
    /// As for [`Region::own`].
    unsafe fn of(start: NonNull<u8>, len: usize, owner: Owner) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        let region = Rc::new(unsafe { Region::own(start, len, owner) }?);
        let pool = Pool::new(region, 0, len, 1, Keys::default())?;
        Ok(pool.alloc().expect("a new pool has all its buffers"))
    }

    /// The bytes of a buffer that [`Buffer::from_vec`] made, without a copy.
    ///
    /// # Errors
    /// The buffer again: it was not made from a `Vec`, or its memory is still registered with a
    /// device.
    pub fn into_vec(self) -> Result<Vec<u8>, Self> {
        let owner = self.region().owner.replace(Owner::Gone);
        if !matches!(owner, Owner::Boxed) || !self.is_alone() {
            self.region().owner.set(owner);
            return Err(self);
        }
        let bytes = NonNull::slice_from_raw_parts(self.start(), self.len());
        drop(self);
        // SAFETY: the slice was leaked by `from_vec`. The buffer was the last holder of pool and
        // region, which are gone now and did not free it, for they had lost their owner.
        Ok(unsafe { Box::from_raw(bytes.as_ptr()) }.into_vec())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if matches!(self.owner.get_mut(), Owner::Boxed) {
            let bytes = NonNull::slice_from_raw_parts(self.base(), self.len());
            // SAFETY: the slice was leaked by `Buffer::from_vec`, and no buffer holds the region.
            drop(unsafe { Box::from_raw(bytes.as_ptr()) });
        }
    }
}

#[cfg(test)]
mod tests;
