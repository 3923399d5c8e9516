//! The flag that asks reactors to stop.
//!
//! Threading: any thread, or a signal handler, may set it; every reactor that holds a clone reads
//! it each turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A request to stop, shared by everything that should stop together. It is never withdrawn.
#[derive(Clone, Debug, Default)]
pub struct StopToken {
    flag: Arc<AtomicBool>,
}

impl StopToken {
    /// A token nobody has used yet.
    #[must_use]
    pub fn new() -> StopToken {
        StopToken::default()
    }

    /// Asks everything that holds this token to stop. Safe to call from a signal handler.
    pub fn stop(&self) {
        self.flag.store(true, Ordering::Release);
    }

    /// Whether a stop was asked for.
    #[inline]
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }
}
