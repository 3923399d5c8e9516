//! NFS version 3 over RPC-over-RDMA: mounts, file handles and files.
//!
//! Two interfaces over one machine. The queue API ([`Client`]): submit operations with owned
//! buffers, turn the crank, take results, like a completion ring. The async API ([`aio`]): the
//! same operations as futures on a reactor.
//!
//! Threading: a [`Client`] belongs to one reactor. [`locate`] (MOUNT over TCP) blocks and is
//! called elsewhere, before.
//!
//! Faults survived: a server that refuses, goes away, or answers nonsense: every operation comes
//! back once, with its buffer and one line that says what happened.

#![forbid(unsafe_code)]

pub mod aio;
mod client;
mod error;
mod links;
mod mount;
mod mountd;
mod op;
mod procedure;
mod tcp;
mod uncommitted;
mod url;
mod walk;

pub use client::{Client, JUKEBOX_WAIT_NS, MountConfig, MountId};
pub use error::Error;
pub use mount::{Limits, MountState};
pub use mountd::{Located, MountOptions, locate};
pub use rpcrdma::Received;

pub use op::{Done, File, Finished, Op, Output, Submission};
pub use procedure::listing;
pub use rpcrdma::{Piece, Pieces, SEGMENTS_MAX};
pub use url::{NFS_RDMA_PORT, NfsUrl, UrlError};
