//! Jobs over mounts: what brings the workload's runners, which know no transport, and the client,
//! which knows no jobs, together on a reactor.
//!
//! A [`JobPoller`] makes one mount, runs its jobs over it and reports. The command line starts some
//! on its reactors, and the simulator one on a reactor of its own: it is the same code.
//!
//! Threading: a poller is made, polled and dropped on one reactor; [`Event`]s go to other threads.

#![forbid(unsafe_code)]

mod backend;
mod poller;

pub use poller::{Assignment, EVENTS_MAX, Event, Held, JobPoller, Outcome};
