//! What connections hold for calls: with none under way, nothing but Sends that are not signaled.

use verbs::Provider;

use crate::connection::Connection;

/// Counts of what is not at home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Request slots, but for those that only a Send holds.
    pub calls: u32,
    /// Credits.
    pub credits: u32,
    /// Places in the ring: Sends without a completion. They stay until a later one asks for it.
    pub sends: u32,
    /// Receives that are neither posted nor due for posting.
    pub receives: u32,
    /// Buffers for messages that are too long to go inline.
    pub long_calls: u32,
}

impl Holdings {
    /// Adds another connection's.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.credits += other.credits;
        self.sends += other.sends;
        self.receives += other.receives;
        self.long_calls += other.long_calls;
    }
}

impl<P: Provider> Connection<P> {
    /// What it holds now.
    pub(crate) fn holdings(&self) -> Holdings {
        Holdings {
            calls: self.slots.in_calls(),
            credits: self.credits.in_use(),
            sends: self.sender.putter.in_flight(),
            receives: self.receives.missing(),
            long_calls: self.long_calls.in_use(),
        }
    }
}
