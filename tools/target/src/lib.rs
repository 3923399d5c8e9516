//! The embedded target: a small NFSv3 and MOUNT server over RPC-over-RDMA, generic over
//! [`verbs::Provider`], in memory or on a directory. The quick start, the benchmarks and the tests
//! run against it, and it misbehaves on request.
//!
//! Threading: a [`Target`] belongs to one thread. Give it to a reactor as a poller, or call
//! [`Target::poll`] oneself, as single-threaded tests do. From other threads, [`Target::stats`] may
//! be read and [`Target::switch`] changes its behaviour.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

pub mod config;
pub mod fs;
pub mod misbehave;
mod mountd;
mod server;
pub mod stats;
mod target;

pub use config::{Config, ConfigError, Storage};
pub use misbehave::{Misbehaviour, Switch};
pub use server::StartError;
pub use stats::Stats;
pub use target::Target;
