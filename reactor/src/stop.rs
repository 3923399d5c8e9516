//! The flag that asks reactors to stop.
//!
//! Threading: any thread, or a signal handler, may set it; every reactor that holds a clone reads
//! it each turn.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;
use nix::sys::eventfd::EventFd;

use crate::alarm::event_fd;

/// A request to stop, shared by everything that should stop together. It is never withdrawn.
#[derive(Clone, Debug, Default)]
pub struct StopToken {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    /// Wakes every reactor that sleeps; never read, so that it wakes them all. Made by the first
    /// reactor that sleeps.
    bell: OnceLock<EventFd>,
}

impl StopToken {
    /// A token nobody has used yet.
    #[must_use]
    pub fn new() -> StopToken {
        StopToken::default()
    }

    /// Asks everything that holds this token to stop. Safe to call from a signal handler.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        // With the one in `wake_fd`: either the bell is seen here, or the flag by its maker.
        fence(Ordering::SeqCst);
        if let Some(bell) = self.shared.bell.get() {
            // It fails only when the counter is full, which wakes as well.
            let _ = bell.write(1);
        }
    }

    /// Whether a stop was asked for.
    #[inline]
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Acquire)
    }

    /// Readable once a stop was asked for. Look at [`is_stopped`](Self::is_stopped) after the first
    /// call of this and before waiting.
    pub(crate) fn wake_fd(&self) -> Result<BorrowedFd<'_>, Errno> {
        let bell = &self.shared.bell;
        if bell.get().is_none() {
            // Somebody else's, made meanwhile, is as good.
            let _ = bell.set(event_fd()?);
            fence(Ordering::SeqCst);
        }
        bell.get().map(AsFd::as_fd).ok_or(Errno::EBADF)
    }
}
