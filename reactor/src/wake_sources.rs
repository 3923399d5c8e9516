//! What ends a reactor's sleep, collected anew for each.
//!
//! Threading: it belongs to one reactor.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::time::Timestamp;

/// Descriptors that one sleep may wait for.
const FDS_MAX: usize = 4096;
const NS_PER_S: u64 = 1_000_000_000;

/// Where a [`Poller`](crate::Poller) that is asked to let its reactor sleep says what is to wake it.
#[derive(Debug)]
pub struct WakeSources {
    now: Timestamp,
    until: Timestamp,
    fds: Vec<libc::pollfd>,
    too_many: bool,
}

impl WakeSources {
    pub(crate) fn new() -> WakeSources {
        let (now, until) = (Timestamp::ZERO, Timestamp::MAX);
        WakeSources { now, until, fds: Vec::new(), too_many: false }
    }

    pub(crate) fn reset(&mut self, now: Timestamp) {
        *self = WakeSources { fds: std::mem::take(&mut self.fds), ..WakeSources::new() };
        self.fds.clear();
        self.now = now;
    }

    /// The time of the last turn.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Wakes the reactor when the descriptor becomes readable, or fails. It is to stay open until
    /// the poller is next called; one that was closed makes the sleep end at once.
    pub fn watch(&mut self, fd: BorrowedFd<'_>) {
        self.too_many |= self.fds.len() == FDS_MAX;
        if !self.too_many {
            self.fds.push(libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
        }
    }

    /// Wakes the reactor at `time`, if nothing does so before.
    pub fn no_later_than(&mut self, time: Timestamp) {
        self.until = self.until.min(time);
    }

    /// Whether all that was asked for can be waited for.
    pub(crate) fn complete(&self) -> bool {
        !self.too_many
    }

    /// Sleeps from `from`, which is now, until something that was asked for happens. It may return
    /// early, for a signal too.
    pub(crate) fn wait(&mut self, from: Timestamp) {
        let ns = self.until.ns_since(from);
        let timeout = libc::timespec {
            tv_sec: (ns / NS_PER_S) as libc::time_t,
            tv_nsec: (ns % NS_PER_S) as libc::c_long,
        };
        let timeout = if self.until == Timestamp::MAX { ptr::null() } else { &raw const timeout };
        // SAFETY: the array and the time are ours and outlive the call; the descriptors are only
        // looked at, and one that is not open is reported, not touched.
        unsafe {
            libc::ppoll(
                self.fds.as_mut_ptr(),
                self.fds.len() as libc::nfds_t,
                timeout,
                ptr::null(),
            );
        }
    }
}
