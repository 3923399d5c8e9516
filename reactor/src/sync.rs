//! What the mailbox's ring shares between threads, in one place: the standard library's, or under
//! the feature `loom` that of a model checker, which tries every order in which threads can run.

/// What one thread leaves to another, for the model that shows that each needs its ordering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// A message, from its sender to the receiver.
    Message,
    /// A place, from the receiver to whichever sender sees first that it is free.
    Place,
    /// The same place, from that sender to the others.
    Limit,
}

#[cfg(not(feature = "loom"))]
mod real {
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;
    pub(crate) use std::thread::yield_now;

    use super::Handover;

    /// A place that threads take turns with.
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        /// For whoever has the place to itself.
        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, look: impl FnOnce(*mut T) -> R) -> R {
            look(self.0.get())
        }
    }

    /// Orders what was done to a place before it is the other thread's.
    #[inline(always)]
    pub(crate) fn hand_over(_: Handover) -> Ordering {
        Ordering::Release
    }
}

#[cfg(feature = "loom")]
mod model {
    use std::sync::atomic::Ordering;

    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::AtomicU64;
    pub(crate) use loom::thread::yield_now;

    use super::Handover;

    std::thread_local! {
        /// Set by a test that shows that a weaker ordering would be found. The model runs all its
        /// threads on the one of its test.
        pub(crate) static WEAKENED: std::cell::Cell<Option<Handover>> =
            const { std::cell::Cell::new(None) };
    }

    pub(crate) fn hand_over(what: Handover) -> Ordering {
        if WEAKENED.get() == Some(what) { Ordering::Relaxed } else { Ordering::Release }
    }
}

#[cfg(feature = "loom")]
pub(crate) use model::*;
#[cfg(not(feature = "loom"))]
pub(crate) use real::*;
