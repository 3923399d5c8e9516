//! Completion queues: polled, and armed by who has nothing else to do.

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::Arc;

use rdma_sys as ffi;

use super::channel::Channel;
use super::cm::CmId;
use super::convert::completion;
use super::device::Limits;
use super::faults::{self, Health};
use super::last_error;
use crate::{Completion, CompletionQueue, Error};

/// Entries taken from the device in one call: 1.5 KiB of stack.
const BATCH: usize = 32;

/// A completion queue on a device; clones name the same one.
#[derive(Clone)]
pub struct Cq(Rc<Inner>);

struct Inner {
    cq: NonNull<ffi::ibv_cq>,
    depth: u32,
    invalidated_flags: u32,
    health: Arc<Health>,
    /// Where the device tells of completions, once armed.
    channel: Channel,
    /// Keeps the device's context open: librdmacm may close it with its last id.
    _id: Rc<CmId>,
}

impl Cq {
    /// On the device that `id` is bound to.
    pub(super) fn new(id: &Rc<CmId>, depth: u32, limits: &Limits) -> Result<Self, Error> {
        let max_cqe = limits.info.max_cqe;
        if depth > max_cqe {
            return Err(Error::Limit {
                what: "completion queue depth",
                asked: depth.into(),
                limit: max_cqe.into(),
            });
        }
        let entries = i32::try_from(depth.max(1)).unwrap_or(i32::MAX);
        // SAFETY: the context is open while the id lives; the caller checked that it is bound.
        let channel = unsafe { Channel::new(id.verbs()) }?;
        // SAFETY: as above; the channel is dropped after the queue.
        let cq = unsafe {
            ffi::ibv_create_cq(id.verbs(), entries, ptr::null_mut(), channel.as_ptr(), 0)
        };
        let cq = NonNull::new(cq).ok_or_else(|| last_error("ibv_create_cq"))?;
        // SAFETY: just made; it leaves in `Inner::drop`.
        let health = unsafe { faults::enter_cq(cq.as_ptr()) };
        // SAFETY: just made.
        let depth = unsafe { cq.as_ref() }.cqe.max(0).cast_unsigned();
        let (invalidated_flags, _id) = (limits.invalidated_flags, Rc::clone(id));
        Ok(Self(Rc::new(Inner { cq, depth, invalidated_flags, health, channel, _id })))
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::ibv_cq {
        self.0.cq.as_ptr()
    }

    /// The device is gone: from now on polling is an error.
    pub(super) fn device_gone(&self) {
        self.0.health.device_gone();
    }
}

impl CompletionQueue for Cq {
    #[inline]
    fn poll(&self, out: &mut [Completion]) -> Result<usize, Box<Error>> {
        self.0.health.check(self.0.depth)?;
        // SAFETY: the queue is alive while `self` is, and polled by this thread only.
        unsafe { poll(self.as_ptr(), out, self.0.invalidated_flags) }
    }

    fn depth(&self) -> u32 {
        self.0.depth
    }

    fn arm(&self) -> Result<Option<BorrowedFd<'_>>, Error> {
        self.0.health.check(self.0.depth)?;
        // SAFETY: the queue is alive and the only one on its channel.
        unsafe { self.0.channel.take_events(self.as_ptr()) };
        // SAFETY: the queue is alive.
        match unsafe { ffi::ibv_req_notify_cq(self.as_ptr(), 0) } {
            0 => Ok(Some(self.0.channel.fd())),
            errno => Err(Error::Os { call: "ibv_req_notify_cq", errno: errno.abs() }),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: the queue is alive; destroying it waits for events that are not acknowledged.
        unsafe { self.channel.acknowledge(self.cq.as_ptr()) };
        // SAFETY: queue pairs hold their completion queue, so none is left on it.
        unsafe { faults::destroy_cq(self.cq.as_ptr()) };
    }
}

impl std::fmt::Debug for Cq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cq").field("cq", &self.0.cq).field("depth", &self.0.depth).finish()
    }
}

/// Polls in batches until `out` is full or the queue is empty.
///
/// # Safety
/// `cq` is alive and polled by no other thread.
#[inline]
unsafe fn poll(
    cq: *mut ffi::ibv_cq,
    out: &mut [Completion],
    invalidated_flags: u32,
) -> Result<usize, Box<Error>> {
    let mut batch = [const { MaybeUninit::<ffi::ibv_wc>::uninit() }; BATCH];
    let mut filled = 0;
    for chunk in out.chunks_mut(BATCH) {
        // SAFETY: given by the caller; the batch has room for `chunk.len()` entries.
        let got = unsafe { ffi::ibv_poll_cq(cq, chunk.len() as i32, batch.as_mut_ptr().cast()) };
        let got = usize::try_from(got)
            .map_err(|_| Error::Os { call: "ibv_poll_cq", errno: got.saturating_abs() })?;
        let written = &batch[..got.min(chunk.len())];
        for (slot, wc) in chunk.iter_mut().zip(written) {
            // SAFETY: the device's library wrote the first `got` entries.
            *slot = completion(unsafe { wc.assume_init_ref() }, invalidated_flags);
        }
        filled += got;
        if got < chunk.len() {
            break;
        }
    }
    Ok(filled)
}

#[cfg(test)]
#[path = "cq_tests.rs"]
mod tests;
