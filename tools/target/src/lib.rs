//! The embedded target.
#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

pub mod fs;
pub mod misbehave;
pub mod stats;
