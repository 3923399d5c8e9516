//! An external ioengine: real fio drives this client, through its own `ioengine=external:PATH`.
//!
//! Two halves. `shim/shim.c` sees fio's headers and nothing of the client: hooks and options. This
//! crate sees the client and nothing of fio. Between them is `shim/engine.h`, plain C, which
//! [`abi`] implements. Without the feature `fio` there is only this half.
//!
//! Threading: each of fio's threads has a mount of its own, a [`client::Client`] that it polls in
//! `getevents`; no reactor, and nothing shared. fio's blocks are the mount's registered buffers, so
//! what fio fills is sent from where it stands, and what the server sends arrives there.
//!
//! Faults survived: a bad option, a server that is missing, refuses, or goes away in the middle:
//! one sentence each, through fio. With `recovery=hard` an I/O waits for its server as on a hard
//! mount, until fio is interrupted.

mod abi;
mod cores;
mod embedded;
mod layout;
mod life;
mod memory;
mod mounting;
mod session;
mod settings;
