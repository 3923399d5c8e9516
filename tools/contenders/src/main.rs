//! What `tools/compare` measures the client against.
//!
//! - `bare`: the least that can be done against a real server. One polled loop, static keys,
//!   prebuilt calls of which three words are patched, chained posts, one Send in seven signaled,
//!   and nothing checked.
//! - `messages`: the same messages (call, RDMA of the payload, reply) between two ends of this
//!   process, without RPC and NFS: what verbs and link permit.
//! - `metadata`: GETATTR or LOOKUP by this project's client, for which fio has no job.
//! - `stat`: the same by statx(2) on a mount of the kernel's.
//!
//! Each prints one line of JSON.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

mod caller;
mod echo;
mod end;
mod metadata;
mod meter;
mod nfs;
mod site;
mod stat;
mod work;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::work::Work;

/// Ceilings and yardsticks for tools/compare.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    who: Who,
}

#[derive(Subcommand)]
enum Who {
    /// A bare polled loop against an NFS server: nothing checked.
    Bare {
        /// The file, nfs://HOST/EXPORT/PATH.
        url: String,
        #[command(flatten)]
        work: Work,
    },
    /// The same messages between two ends, without RPC and NFS.
    Messages {
        /// Where to listen: an address of an RDMA device; port 0 is any.
        address: SocketAddr,
        #[command(flatten)]
        work: Work,
    },
    /// GETATTR or LOOKUP by this project's client.
    Metadata {
        /// The file, nfs://HOST/EXPORT/PATH.
        url: String,
        #[command(flatten)]
        work: Work,
    },
    /// The same by statx(2), a thread for each operation in flight.
    Stat {
        /// The file, on a mount of the kernel's.
        path: PathBuf,
        #[command(flatten)]
        work: Work,
    },
}

fn main() -> Result<()> {
    let outcome = match Args::parse().who {
        Who::Stat { path, work } => stat::run(&path, &work.checked()?),
        #[cfg(feature = "rdma")]
        Who::Bare { url, work } => nfs::run(&verbs::ibv::Ibv, &url, &work.checked()?),
        #[cfg(feature = "rdma")]
        Who::Messages { address, work } => echo::run(&verbs::ibv::Ibv, address, &work.checked()?),
        #[cfg(feature = "rdma")]
        Who::Metadata { url, work } => metadata::run(&verbs::ibv::Ibv, &url, &work.checked()?),
        #[cfg(not(feature = "rdma"))]
        _ => anyhow::bail!("built without RDMA devices (feature rdma)"),
    }?;
    println!("{}", outcome.json());
    Ok(())
}

#[cfg(test)]
mod tests;
