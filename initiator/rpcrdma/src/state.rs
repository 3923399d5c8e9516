//! Where a connection is in its life, and where it may go from there.

/// States of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Address and route are being resolved.
    Resolving,
    /// The connection request is out.
    Connecting,
    /// RPCs flow.
    Established,
    /// The queue pair is in the error state; completions are being waited for.
    Draining,
    /// Lost; RPCs wait for the next attempt to connect.
    Waiting,
    /// Disconnected because there were no calls; the next one connects again.
    Idle,
    /// Everything is released.
    Closed,
}

impl State {
    /// The table of transitions.
    pub(crate) fn may_become(self, next: Self) -> bool {
        use State::{Closed, Connecting, Draining, Established, Idle, Resolving, Waiting};
        match self {
            Resolving => matches!(next, Connecting | Draining),
            Connecting => matches!(next, Established | Draining),
            Established => matches!(next, Draining),
            Draining => matches!(next, Waiting | Idle | Closed),
            Waiting => matches!(next, Resolving | Draining),
            Idle => matches!(next, Waiting | Draining),
            Closed => false,
        }
    }
}
