//! What a sleeper waits for: a descriptor that the fabric makes readable.
//!
//! Bells are made when somebody first wants to sleep: a fabric whose ends are only polled has none.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::Error;

/// An event counter; readable from [`ring`](Self::ring) to [`hush`](Self::hush).
pub(super) struct Bell(EventFd);

impl Bell {
    pub(super) fn new() -> Result<Self, Error> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let made = EventFd::from_value_and_flags(0, flags);
        made.map(Self).map_err(|errno| Error::Os { call: "eventfd", errno: errno as i32 })
    }

    pub(super) fn ring(&self) {
        // It fails only when 2^64 - 2 rings were not hushed, and then it is readable.
        let _ = self.0.write(1);
    }

    pub(super) fn hush(&self) {
        // It fails only when there was nothing to read.
        let _ = self.0.read();
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A queue whose bell, once somebody asked for it, is readable as long as something waits.
pub(super) struct Belled<T> {
    queue: VecDeque<T>,
    bell: Option<Arc<Bell>>,
}

impl<T> Default for Belled<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), bell: None }
    }
}

impl<T> Belled<T> {
    pub(super) fn push_back(&mut self, item: T) {
        self.queue.push_back(item);
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let item = self.queue.pop_front()?;
        self.hush_if_empty();
        Some(item)
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.hush_if_empty();
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn bell(&mut self) -> Result<Arc<Bell>, Error> {
        if let Some(bell) = &self.bell {
            return Ok(Arc::clone(bell));
        }
        let bell = Arc::new(Bell::new()?);
        if !self.queue.is_empty() {
            bell.ring();
        }
        self.bell = Some(Arc::clone(&bell));
        Ok(bell)
    }

    fn hush_if_empty(&self) {
        if let (true, Some(bell)) = (self.queue.is_empty(), &self.bell) {
            bell.hush();
        }
    }
}

/// The bell that a shared place keeps, made on first use. `None` when there is none to be had.
pub(super) fn kept(
    place: &std::sync::OnceLock<Arc<Bell>>,
    make: impl FnOnce() -> Result<Arc<Bell>, Error>,
) -> Option<BorrowedFd<'_>> {
    if place.get().is_none() {
        // Who comes second finds the first's bell, and of one queue they are the same.
        let _ = place.set(make().ok()?);
    }
    place.get().map(|bell| bell.as_fd())
}
