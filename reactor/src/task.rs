//! Futures on a reactor: a fixed table of tasks and a set of those to be polled.
//!
//! A turn polls each woken task at most once, so a task that always wakes itself delays nobody
//! for longer than its own poll. A wake is a bit set in a preallocated map: nothing is allocated,
//! and waking twice is waking once. Wakers outlive their task harmlessly: the next task in the
//! same place is polled once for nothing.
//!
//! Threading: futures need not be `Send`; they are polled and dropped on the reactor's thread.
//! Wakers may be cloned, called and dropped on any thread.
//!
//! Faults survived: a waker called after its task, or its reactor, is gone.

mod join;
mod table;
mod wake;

pub use join::JoinHandle;
pub(crate) use join::joinable;
pub(crate) use table::TaskTable;

#[cfg(test)]
mod tests;
