//! How often each fault has struck: not ordered, but happened to a message, a post or a request.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident = $name:literal,)*) => {
        /// A fault that a fabric can cause.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Fault {
            $($(#[$doc])* $fault,)*
        }

        const NAMES: [&str; [$($name),*].len()] = [$($name),*];
    };
}

faults! {
    /// An acknowledgement.
    AckLost = "acknowledgement lost",
    /// An acknowledgement.
    AckHeld = "acknowledgement held back",
    /// A message.
    MessageLost = "message lost",
    /// A Send found no Receive.
    NoReceive = "no Receive found",
    /// A work request failed.
    Request = "work request failed",
    /// The first of a chain could not be posted.
    Post = "post failed at once",
    /// A later one of a chain could not.
    PostPartWay = "post failed part-way",
    /// A Receive could not be posted.
    ReceivePost = "post of Receives failed",
    /// What would not have had a completion had one.
    Flushed = "unsignaled request flushed",
    /// The link was cut.
    Cut = "link cut",
    /// A request to connect.
    Rejected = "connection rejected",
    /// A request to connect.
    Unanswered = "connection request unanswered",
    /// An address did not resolve.
    Unresolved = "address not resolved",
    /// A completion went before those of other queues.
    Overtaken = "completion before that of another queue",
}

/// Counts, by fault.
#[derive(Default)]
pub(super) struct Struck {
    counts: [AtomicU64; NAMES.len()],
}

impl Struck {
    pub(super) fn count(&self, fault: Fault) {
        self.counts[fault as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        NAMES.into_iter().zip(counts).collect()
    }
}
