//! How other threads wake a reactor that sleeps.
//!
//! The reactor says that it is about to sleep and then looks a last time; who leaves it something
//! does so and then asks whether it sleeps. Each does its own part first and a full fence stands
//! between the two on both sides, so at least one of them sees the other's: nothing is left behind
//! a sleeper's back, and a reactor that is awake costs its senders no system call.
//!
//! Threading: any thread rings; only the reactor sets and clears.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

/// An event counter that does not block.
pub(crate) fn event_fd() -> Result<EventFd, Errno> {
    EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
}

/// One reactor's alarm. Senders look at it for every message, so it shares no cache line with what
/// is written all the time.
#[repr(align(128))]
#[derive(Debug)]
pub(crate) struct Alarm {
    set: AtomicBool,
    /// `None`: this reactor never sleeps.
    bell: Option<EventFd>,
}

impl Alarm {
    /// For a reactor that sleeps, or for one that never does.
    pub(crate) fn new(sleeps: bool) -> Result<Alarm, Errno> {
        let bell = if sleeps { Some(event_fd()?) } else { None };
        Ok(Alarm { set: AtomicBool::new(false), bell })
    }

    /// Wakes the reactor, if it sleeps or is about to. Call it after what it is to find is there.
    #[inline]
    pub(crate) fn ring(&self) {
        if let Some(bell) = &self.bell {
            fence(Ordering::SeqCst);
            if self.set.load(Ordering::Relaxed) {
                // It fails only when the counter is full, and then the reactor wakes as well.
                let _ = bell.write(1);
            }
        }
    }

    /// From here on the reactor is rung for. What was left before is there to be seen.
    pub(crate) fn set(&self) {
        self.set.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The reactor is awake.
    pub(crate) fn clear(&self) {
        self.set.store(false, Ordering::Relaxed);
        if let Some(bell) = &self.bell {
            // It fails only when nobody rang.
            let _ = bell.read();
        }
    }

    /// Readable once somebody rang.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.bell.as_ref().map(AsFd::as_fd)
    }
}
