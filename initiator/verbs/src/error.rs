//! Errors of the verbs layer: what the device or its driver refused.

/// A verb or connection manager call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system or driver call failed.
    #[error("{call}: {}", std::io::Error::from_raw_os_error(*errno))]
    Os {
        /// The call, by its C name.
        call: &'static str,
        /// Its errno.
        errno: i32,
    },
    /// There is no RDMA device, or none that reaches the address.
    #[error("no RDMA device: {0}")]
    NoDevice(String),
    /// The completion queue lost entries; it and all its queue pairs are dead.
    #[error("completion queue overflow: {depth} entries were not enough")]
    CqOverflow {
        /// Its depth.
        depth: u32,
    },
    /// The caller used the connection in a state that does not allow it.
    #[error("{call} is not allowed in state {state}")]
    WrongState {
        /// The operation.
        call: &'static str,
        /// The state it met.
        state: &'static str,
    },
    /// A size is beyond what the device offers.
    #[error("{what}: {asked} asked for, the device offers {limit}")]
    Limit {
        /// Which limit.
        what: &'static str,
        /// What was asked.
        asked: u64,
        /// What there is.
        limit: u64,
    },
    /// Nobody listens, or the address is taken, on the in-process fabric.
    #[error("{0}")]
    Address(String),
}

/// A chain was posted in part: the first `posted` entries are on the queue and will complete or be
/// flushed; the one after them was refused with `errno`; the rest were never looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("post failed after {posted} entries: {}", std::io::Error::from_raw_os_error(*errno))]
pub struct PostError {
    /// Entries on the queue.
    pub posted: usize,
    /// Why the next was refused (`ENOMEM`: the queue is full).
    pub errno: i32,
}
