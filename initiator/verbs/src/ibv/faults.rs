//! Faults that a device reports beside the completion queues: an overflowing queue, a dying
//! device.
//!
//! They come as asynchronous events on the device context, which librdmacm opens once per
//! process, so one list serves all threads. Reading, acknowledging and destroying happen under
//! its lock: destroying a queue or queue pair waits for events that were read but not
//! acknowledged, and under the lock there are none. The lock is for the control path; the
//! completion queue's poll only looks at its own flag, and a look while another thread destroys
//! something is put off to the next one.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use rdma_sys as ffi;

use super::cm::set_nonblocking;
use crate::Error;

/// Most events taken in one look, so that a storm of them cannot hold a reactor.
const EVENTS_PER_LOOK_MAX: usize = 64;

/// The health of one completion queue.
#[derive(Debug, Default)]
pub(super) struct Health(AtomicU8);

const SOUND: u8 = 0;
const OVERFLOWED: u8 = 1;
const DEVICE_GONE: u8 = 2;

impl Health {
    /// An error once the queue is dead. One relaxed load: the poller needs no more than to see
    /// it in the end.
    #[inline]
    pub(super) fn check(&self, depth: u32) -> Result<(), Error> {
        match self.0.load(Ordering::Relaxed) {
            SOUND => Ok(()),
            OVERFLOWED => Err(Error::CqOverflow { depth }),
            _ => Err(Error::NoDevice("the device was removed or failed".to_owned())),
        }
    }

    /// The device behind the queue is gone: no completion will come any more.
    pub(super) fn device_gone(&self) {
        self.0.store(DEVICE_GONE, Ordering::Relaxed);
    }
}

/// A completion queue that lives, by address.
struct Entry {
    cq: usize,
    context: usize,
    health: Arc<Health>,
}

static QUEUES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

fn queues() -> MutexGuard<'static, Vec<Entry>> {
    // The list is valid after every statement that changes it.
    QUEUES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes ready to look at a context's events.
///
/// # Safety
/// `context` is open.
pub(super) unsafe fn watch(context: *mut ffi::ibv_context) -> Result<(), Error> {
    // SAFETY: given by the caller.
    set_nonblocking(unsafe { (*context).async_fd })
}

/// Enters a completion queue.
///
/// # Safety
/// `cq` is alive and leaves by [`destroy_cq`].
pub(super) unsafe fn enter_cq(cq: *mut ffi::ibv_cq) -> Arc<Health> {
    let health = Arc::new(Health::default());
    // SAFETY: given by the caller.
    let context = unsafe { (*cq).context } as usize;
    queues().push(Entry { cq: cq as usize, context, health: Arc::clone(&health) });
    health
}

/// Destroys a completion queue and forgets it.
///
/// # Safety
/// `cq` was entered, no queue pair is on it, and it is not used again.
pub(super) unsafe fn destroy_cq(cq: *mut ffi::ibv_cq) {
    let mut queues = queues();
    queues.retain(|entry| entry.cq != cq as usize);
    // SAFETY: given by the caller; under the lock no event of it is unacknowledged.
    unsafe { ffi::ibv_destroy_cq(cq) };
}

/// Destroys the queue pair of an id.
///
/// # Safety
/// The id is alive and has a queue pair made by `rdma_create_qp`, which is not used again.
pub(super) unsafe fn destroy_qp(id: *mut ffi::rdma_cm_id) {
    let _no_event_in_flight = queues();
    // SAFETY: given by the caller; under the lock no event of it is unacknowledged.
    unsafe { ffi::rdma_destroy_qp(id) };
}

/// Takes the events that wait on a context and marks the queues they kill.
///
/// # Safety
/// `context` is open and was given to [`watch`].
pub(super) unsafe fn look(context: *mut ffi::ibv_context) {
    let queues = match QUEUES.try_lock() {
        Ok(queues) => queues,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    for _ in 0..EVENTS_PER_LOOK_MAX {
        let mut event = MaybeUninit::<ffi::ibv_async_event>::uninit();
        // SAFETY: given by the caller; the event is written on success, and the descriptor does
        // not block.
        if unsafe { ffi::ibv_get_async_event(context, event.as_mut_ptr()) } != 0 {
            return;
        }
        // `event_type` is a Rust enum in rdma-sys, and a newer library may report a number that
        // it does not have: read as an integer.
        // SAFETY: the event was written; the enum is 32 bits wide (pinned by a test).
        let kind = unsafe { (&raw const (*event.as_ptr()).event_type).cast::<u32>().read() };
        // SAFETY: the event was written; the element is a pointer or a smaller integer, and only
        // compared.
        let element = unsafe { (&raw const (*event.as_ptr()).element).cast::<usize>().read() };
        mark(&queues, context as usize, kind, element);
        // SAFETY: read above, acknowledged once; its queue is alive, as destroying takes the
        // lock that we hold.
        unsafe { ffi::ibv_ack_async_event(event.as_mut_ptr()) };
    }
}

fn mark(queues: &[Entry], context: usize, kind: u32, element: usize) {
    const CQ_ERR: u32 = ffi::ibv_event_type::IBV_EVENT_CQ_ERR as u32;
    const DEVICE_FATAL: u32 = ffi::ibv_event_type::IBV_EVENT_DEVICE_FATAL as u32;
    for entry in queues.iter().filter(|entry| entry.context == context) {
        match kind {
            CQ_ERR if entry.cq == element => entry.health.0.store(OVERFLOWED, Ordering::Relaxed),
            DEVICE_FATAL => entry.health.device_gone(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(cq: usize, context: usize) -> Entry {
        Entry { cq, context, health: Arc::default() }
    }

    #[test]
    fn an_overflow_kills_its_queue_and_no_other() {
        let queues = [entry(1, 9), entry(2, 9), entry(1, 8)];
        mark(&queues, 9, 0, 1);
        assert_eq!(queues[0].health.check(64), Err(Error::CqOverflow { depth: 64 }));
        assert!(queues[1].health.check(64).is_ok());
        assert!(queues[2].health.check(64).is_ok());
    }

    #[test]
    fn a_dying_device_kills_all_its_queues() {
        let queues = [entry(1, 9), entry(2, 9), entry(3, 8)];
        mark(&queues, 9, 8, 0);
        assert!(matches!(queues[0].health.check(1), Err(Error::NoDevice(_))));
        assert!(matches!(queues[1].health.check(1), Err(Error::NoDevice(_))));
        assert!(queues[2].health.check(1).is_ok());
    }

    #[test]
    fn other_events_kill_nothing() {
        let queues = [entry(1, 9)];
        for kind in [1, 4, 9, 10, 4242] {
            mark(&queues, 9, kind, 1);
        }
        assert!(queues[0].health.check(1).is_ok());
    }
}
