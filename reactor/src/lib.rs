//! (being written)

/// Nanoseconds on the process's monotonic clock. State machines take it; only the reactor and the
/// binary make it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);
