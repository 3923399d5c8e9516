//! Lots of XIDs: how connections and processes of one host keep out of each other's way.
//!
//! A server recognises a call sent again by its XID, the client's address and a checksum of its
//! first bytes; all RDMA connections of an address share port 0, so they share one space of XIDs.
//! It is divided into [`LOTS`] lots. Whoever has a lot is the only one on this host to use its
//! XIDs: a claim is an abstract unix socket with the lot's name. Such names belong to the network
//! namespace, as addresses do, and the kernel takes them back when the process ends, however it
//! ends.
//!
//! Threading: each connection has its own; what they share is the kernel's table of names. System
//! calls are made when a connection is made and when a lot runs out, never for a call.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::Error;

/// XIDs in a lot, as a power of two.
pub(crate) const LOT_BITS: u32 = 22;
/// How many lots there are.
pub(crate) const LOTS: u32 = 1 << (32 - LOT_BITS);
/// How far the lots of a seeded connection are apart: those between are for the mount's others.
const SEEDED_STRIDE: u32 = crate::config::CONNECTIONS_MAX;
/// Names of claims begin so; the lot's number follows.
const CLAIMS: &str = "nfs-rdma-xids/";

/// The sole use of some XIDs, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Lot {
    number: u32,
    _claim: Option<UnixDatagram>,
}

impl Lot {
    /// The first of its XIDs.
    pub(crate) fn base(&self) -> u32 {
        self.number << LOT_BITS
    }
}

/// Where a connection gets its lots.
#[derive(Debug)]
pub(crate) enum Lots {
    /// Claimed on this host.
    Host {
        /// What the names of claims begin with.
        claims: String,
    },
    /// Always the same ones, claimed nowhere: for runs that are to be repeated exactly.
    Seeded {
        /// The next one.
        next: u32,
    },
}

impl Lots {
    /// For a mount's connection of this index: from the host, or from a seed.
    pub(crate) fn new(seed: Option<u32>, index: u32) -> Self {
        match seed {
            None => Self::Host { claims: CLAIMS.to_owned() },
            Some(seed) => Self::Seeded { next: seed.wrapping_add(index) % LOTS },
        }
    }

    /// A lot that nobody else on this host has.
    pub(crate) fn claim(&mut self) -> Result<Lot, Error> {
        match self {
            Self::Host { claims } => from_host(claims),
            Self::Seeded { next } => {
                let number = *next;
                *next = (number + SEEDED_STRIDE) % LOTS;
                Ok(Lot { number, _claim: None })
            }
        }
    }
}

/// Tries each lot once, from a random one on.
fn from_host(claims: &str) -> Result<Lot, Error> {
    let first = random() % LOTS;
    for step in 0..LOTS {
        let number = (first + step) % LOTS;
        match try_claim(claims, number) {
            Ok(socket) => return Ok(Lot { number, _claim: Some(socket) }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(Error::XidClaim { why: error.to_string() }),
        }
    }
    Err(Error::NoXids { lots: LOTS })
}

fn try_claim(claims: &str, number: u32) -> io::Result<UnixDatagram> {
    let name = format!("{claims}{number}");
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// Anything.
pub(crate) fn random() -> u32 {
    RandomState::new().hash_one(0) as u32
}

#[cfg(test)]
#[path = "lots_tests.rs"]
mod tests;
