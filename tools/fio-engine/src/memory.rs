//! fio's blocks in the mount's registered buffers.
//!
//! A block belongs to fio, which fills and checks it through a plain pointer, until it is queued;
//! from then on to the client, until its event is taken. Here the buffer is kept meanwhile, and no
//! reference into it is made. A block that fio moved data of (the rest of a short transfer) is no
//! longer where a buffer begins: it travels through a spare one.

use hugepages::{Buffer, Pool};

/// Buffers beside one for each block.
pub(crate) const SPARE_BUFFERS: u32 = 8;

/// The buffers of fio's blocks.
pub(crate) struct Blocks {
    base: u64,
    stride: usize,
    /// Those that are not under way, by slot.
    home: Box<[Option<Buffer>]>,
}

impl Blocks {
    /// Takes a buffer for each slot; they stand side by side in a fresh pool.
    pub(crate) fn take(pool: &Pool, slots: usize, total: usize) -> Result<Self, String> {
        let stride = pool.buffer_len();
        // Not more buffers than are needed: fio wants a little room behind the last block.
        if total > stride * pool.capacity() {
            return Err(format!(
                "fio wants {total} bytes for its blocks, of which {} were registered",
                stride * pool.capacity()
            ));
        }
        let home: Box<[Option<Buffer>]> = (0..slots).map(|_| pool.alloc()).collect();
        let addr = |slot: usize| home[slot].as_ref().map(Buffer::addr);
        let base = addr(0).ok_or("there is no buffer")?;
        if (0..slots).any(|slot| addr(slot) != Some(base + (slot * stride) as u64)) {
            return Err("the mount's buffers are not side by side".into());
        }
        Ok(Self { base, stride, home })
    }

    /// Where the first block is.
    pub(crate) fn base(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.base as usize)
    }

    /// Bytes from one block to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The buffer of a slot, if `memory` is where it begins.
    pub(crate) fn lend(&mut self, slot: usize, memory: *mut u8) -> Option<Buffer> {
        let begins = self.base + (slot * self.stride) as u64;
        if memory.addr() as u64 != begins {
            return None;
        }
        self.home[slot].take()
    }

    /// It is back.
    pub(crate) fn put(&mut self, slot: usize, buffer: Buffer) {
        self.home[slot] = Some(buffer);
    }
}

/// Copies from fio's block into a buffer that stands in for it.
///
/// # Safety
/// `from` has `len` bytes that nothing writes meanwhile, and lies in no buffer that a reference
/// exists to.
pub(crate) unsafe fn copy_in(buffer: &mut Buffer, from: *const u8, len: usize) {
    let into = &mut buffer[..len];
    // SAFETY: `into` has `len` bytes of our own; the rest is the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), len) };
}

/// Copies what has arrived in a stand-in to fio's block.
///
/// # Safety
/// `into` has room for `len` bytes that nothing else touches meanwhile.
pub(crate) unsafe fn copy_out(buffer: &Buffer, into: *mut u8, len: usize) {
    let from = &buffer[..len];
    // SAFETY: `from` has `len` bytes of our own; the rest is the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), into, len) };
}
