//! What the sendctx ring shares between threads, in one place: the standard library's, or under the
//! feature `loom` that of a model checker, which tries every order in which two threads can run.

#[cfg(not(feature = "loom"))]
mod real {
    use std::cell::UnsafeCell;
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;

    /// A place that two threads take turns with.
    #[derive(Default)]
    pub(crate) struct Cell<T>(UnsafeCell<T>);

    impl<T> Cell<T> {
        /// For whoever has the place to itself.
        #[inline]
        pub(crate) fn get(&self) -> *mut T {
            self.0.get()
        }

        /// For whoever only looks.
        #[inline]
        pub(crate) fn shared(&self) -> *const T {
            self.0.get()
        }
    }

    /// Orders what was done to a place before it is the other thread's.
    #[inline]
    pub(crate) fn hand_over() -> Ordering {
        Ordering::Release
    }
}

#[cfg(feature = "loom")]
mod model {
    use std::sync::atomic::Ordering;

    use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::AtomicU32;

    std::thread_local! {
        /// Set by the test that shows that a weaker ordering would be found. The model runs all
        /// its threads on the one of its test.
        pub(crate) static WEAKENED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }

    #[derive(Default)]
    pub(crate) struct Cell<T>(UnsafeCell<T>);

    impl<T> Cell<T> {
        pub(crate) fn get(&self) -> *mut T {
            self.0.with_mut(|place| place)
        }

        pub(crate) fn shared(&self) -> *const T {
            self.0.with(|place| place)
        }
    }

    pub(crate) fn hand_over() -> Ordering {
        if WEAKENED.get() { Ordering::Relaxed } else { Ordering::Release }
    }
}

#[cfg(feature = "loom")]
pub(crate) use model::*;
#[cfg(not(feature = "loom"))]
pub(crate) use real::*;
