//! The whole system against Linux's own NFS server, over rxe, in the virtual machine: what this
//! client writes is compared with what the server's kernel sees in the export and with what the
//! kernel's client reads.
//!
//! Where there is no such server each test says that it was skipped. docs/harness.md says what
//! the machine offers.
#![cfg(feature = "rdma")]

mod adaptive;
mod addresses;
mod data;
mod directory;
mod embedded;
mod errors;
mod inline;
mod jobs;

mod kernel;
mod long_calls;
mod mounting;
mod own_memory;
mod pieces;
mod server;
mod session;
mod stopping;
