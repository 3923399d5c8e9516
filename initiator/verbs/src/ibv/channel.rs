//! Completion channels: how a device tells a sleeper of completions.
//!
//! Each completion queue has a channel of its own, so an event needs no look at whose it is, and a
//! queue that is never armed costs no more than the descriptor.

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rdma_sys as ffi;

use super::cm::set_nonblocking;
use super::last_error;
use crate::Error;

/// Acknowledging takes a lock of the library's: it is done for so many events at once.
const ACK_BATCH: u32 = 128;

/// A non-blocking completion channel of one completion queue.
pub(super) struct Channel {
    channel: NonNull<ffi::ibv_comp_channel>,
    /// Events read and not acknowledged yet.
    unacknowledged: Cell<u32>,
}

impl Channel {
    /// # Safety
    /// `context` is open, and stays so until the channel is dropped.
    pub(super) unsafe fn new(context: *mut ffi::ibv_context) -> Result<Self, Error> {
        // SAFETY: given by the caller.
        let raw = unsafe { ffi::ibv_create_comp_channel(context) };
        let channel = NonNull::new(raw).ok_or_else(|| last_error("ibv_create_comp_channel"))?;
        let channel = Self { channel, unacknowledged: Cell::new(0) };
        // SAFETY: the channel is open.
        set_nonblocking(unsafe { (*raw).fd })?;
        Ok(channel)
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::ibv_comp_channel {
        self.channel.as_ptr()
    }

    /// Readable while an event waits.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the channel is open, and with it its descriptor, as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.channel.as_ref().fd) }
    }

    /// Takes the events that wait. An armed queue brings at most one.
    ///
    /// # Safety
    /// `cq` is alive and the only queue on this channel.
    pub(super) unsafe fn take_events(&self, cq: *mut ffi::ibv_cq) {
        let (mut whose, mut context) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the channel is open and does not block; both pointers are written on success.
        while unsafe { ffi::ibv_get_cq_event(self.as_ptr(), &mut whose, &mut context) } == 0 {
            self.unacknowledged.set(self.unacknowledged.get() + 1);
        }
        if self.unacknowledged.get() >= ACK_BATCH {
            // SAFETY: given by the caller.
            unsafe { self.acknowledge(cq) };
        }
    }

    /// Acknowledges what was taken. Destroying the queue waits for it.
    ///
    /// # Safety
    /// As [`take_events`](Self::take_events).
    pub(super) unsafe fn acknowledge(&self, cq: *mut ffi::ibv_cq) {
        let count = self.unacknowledged.take();
        if count > 0 {
            // SAFETY: given by the caller; so many events of the queue were read.
            unsafe { ffi::ibv_ack_cq_events(cq, count) };
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: the channel is ours; whoever holds it destroys the queue before.
        unsafe { ffi::ibv_destroy_comp_channel(self.as_ptr()) };
    }
}
