//! Hugepage-backed memory, carved into fixed-size buffers that a network card may read and write.
//!
//! * [`Region`] maps memory: on huge pages where it can, bound to a NUMA node, faulted in and
//!   locked, and says what it got ([`Region::report`]).
//! * [`Pool`] carves a slice of a region into equal [`Buffer`]s: no lock, no allocation, no system
//!   call to take or return one.
//! * [`Buffer`] is the caller's memory: of a pool, or made from a `Vec` ([`Buffer::from_vec`]) or
//!   a mapping of the caller's ([`Buffer::from_raw`]). [`Lent`] is the same memory while a work request can touch
//!   it: no Rust reference into it can be made until it is reclaimed.
//! * [`Words`] is a table of words, in memory or in a file that outlives its process.
//! * [`reserve`] reads and sets how many huge pages the kernel keeps aside.
//!
//! **Threading.** A pool and its buffers belong to one thread (`Rc` inside); the types are not
//! `Send`. Nothing here blocks after the region is mapped.
//!
//! **Faults survived.** Too few huge pages, a node without free pages, a small memlock limit, no
//! permission to bind: each is an error in words or a step down that the report tells, never a
//! SIGBUS at first touch. A buffer that a device may still write is never handed out again and
//! never unmapped, whatever its holder forgot.
//!
//! This crate knows memory only. The keys a buffer carries are numbers it does not interpret.
#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

mod error;
mod lent;
mod own;
mod pool;
mod proc;
mod region;
pub mod reserve;
mod spec;
mod sys;
#[cfg(test)]
mod testing;
mod words;

pub use error::{Error, OutOfBounds};
pub use lent::Lent;
pub use pool::{BUFFERS_PER_POOL_MAX, Buffer, Keys, POOLS_PER_REGION_MAX, Pool};
pub use region::Region;
pub use spec::{Backing, PageSize, Policy, RegionSpec};
pub use words::Words;
