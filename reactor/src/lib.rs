//! Pinned, polled-mode event loops, one a core, in the manner of SPDK's reactors.
//!
//! A [`Reactor`] turns: each turn reads the clock once, takes a bounded number of messages from
//! its mailbox, calls every [`Poller`], fires what timers are due and polls the futures that were
//! woken. It never blocks; only [`IdlePolicy::Adaptive`] lets it sleep, when nothing has happened
//! for a while, until a descriptor, a message or a timer wakes it. It knows nothing of storage.
//!
//! Threading: a reactor and everything in it (pollers, futures, [`LocalHandle`]) stays on one
//! thread and needs no lock. What crosses threads is named here: [`Mailbox`] and
//! [`ReactorHandle`] (control), [`StopToken`] (shutdown), and the wakers of local futures.
//!
//! The same reactor can be driven without a thread: [`Reactor::turn`] takes the time as an
//! argument, so a simulation owns the clock and every run repeats exactly.
//!
//! ```
//! use std::time::Duration;
//! use reactor::{Reactor, ReactorConfig, ReactorError};
//!
//! # fn main() -> Result<(), ReactorError> {
//! let mut reactor = Reactor::new("example", ReactorConfig::default())?;
//! let local = reactor.local().clone();
//! let answer = reactor.run_until(async {
//!     let task = local.spawn_local(async { 6 * 7 })?;
//!     local.sleep(Duration::from_micros(50)).await;
//!     Ok::<_, ReactorError>(task.await)
//! })??;
//! assert_eq!(answer, 42);
//! # Ok(())
//! # }
//! ```
//!
//! Faults survived: a panic in a reactor becomes an error from [`ReactorHandle::join`] that names
//! it, and asks its siblings to stop; a poller that takes too long, or never comes back, is
//! reported by name; a drain that does not end is cut off after a grace time.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

mod alarm;
mod config;
mod error;
mod event_loop;
mod idle;
mod ledger;
mod local;
mod mailbox;
mod monitor;
mod poller;
pub mod signals;
mod stop;
mod sync;
mod task;
mod thread;
mod time;
mod timer;
mod topology;
mod wake_sources;
mod watchdog;

pub use config::ReactorConfig;
pub use error::{BoxError, ReactorError};
pub use event_loop::Reactor;
pub use idle::IdlePolicy;
pub use ledger::{PollerStats, ReactorStats, Stall};
pub use local::{LocalHandle, Sleep};
pub use mailbox::{Mailbox, MailboxError};
pub use poller::{Poller, Progress, Turn};
pub use stop::StopToken;
pub use task::JoinHandle;
pub use thread::{ReactorHandle, spawn};
pub use time::{Clock, Hand, Timestamp};
pub use timer::{TimerId, TimerWheel};
pub use topology::{core_numa_node, usable_cores};
pub use wake_sources::WakeSources;
