//! What is to be done, the same for every contender.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

/// Calls in flight, at most: what knfsd grants.
const DEPTH_MAX: u32 = 64;

/// The work.
#[derive(Args, Clone, Debug)]
pub(crate) struct Work {
    /// What each call does.
    #[arg(long, value_enum)]
    pub(crate) op: Kind,
    /// Bytes of a READ or WRITE.
    #[arg(long, default_value_t = 4096)]
    pub(crate) bytes: u32,
    /// Calls in flight.
    #[arg(long, default_value_t = 1)]
    pub(crate) depth: u32,
    /// Largest inline message, both ways.
    #[arg(long, default_value_t = 4096)]
    pub(crate) inline: u32,
    /// Bytes of the file that are read or written at random.
    #[arg(long, default_value_t = 64 << 20)]
    pub(crate) span: u64,
    /// One block after the other, not at random.
    #[arg(long)]
    pub(crate) sequential: bool,
    /// Seconds to measure.
    #[arg(long, default_value_t = 2)]
    pub(crate) runtime: u32,
    /// Milliseconds before those that are not measured.
    #[arg(long, default_value_t = 500)]
    pub(crate) ramp: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// READ.
    Read,
    /// WRITE, unstable.
    Write,
    /// GETATTR.
    Getattr,
    /// LOOKUP.
    Lookup,
}

/// How a payload travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// There is none, or it is in the reply.
    Plain,
    /// Gathered into the Send.
    Gathered,
    /// The server writes it by RDMA.
    WriteChunk,
    /// The server reads it by RDMA.
    ReadChunk,
}

impl Work {
    /// The work, if it can be done.
    ///
    /// # Errors
    /// Which option is out of range.
    pub(crate) fn checked(self) -> Result<Self> {
        if self.depth == 0 || self.depth > DEPTH_MAX {
            bail!("--depth is 1 to {DEPTH_MAX}, not {}", self.depth);
        }
        if self.bytes == 0 || self.bytes > 1 << 20 || !self.bytes.is_multiple_of(4) {
            bail!("--bytes is 4 to 1048576, a multiple of 4, not {}", self.bytes);
        }
        if !(1024..=1 << 16).contains(&self.inline) || !self.inline.is_multiple_of(1024) {
            bail!("--inline is 1024 to 65536, a multiple of 1024, not {}", self.inline);
        }
        if self.span < self.bytes.into() || self.runtime == 0 {
            bail!("--span is at least --bytes, --runtime at least 1");
        }
        Ok(self)
    }

    /// How the payload goes if call and reply take so many bytes without it and without chunks.
    pub(crate) fn way(&self, call_len: usize, reply_len: usize) -> Way {
        let (bytes, inline) = (self.bytes as usize, self.inline as usize);
        match self.op {
            Kind::Read if reply_len + bytes > inline => Way::WriteChunk,
            Kind::Write if call_len + bytes > inline => Way::ReadChunk,
            Kind::Write => Way::Gathered,
            _ => Way::Plain,
        }
    }

    /// Where the next call reads or writes.
    pub(crate) fn offset(&self, serial: u64, random: &mut fastrand::Rng) -> u64 {
        let blocks = self.span / u64::from(self.bytes);
        let block = if self.sequential { serial % blocks } else { random.u64(..blocks) };
        block * u64::from(self.bytes)
    }

    /// Not measured, then measured.
    pub(crate) fn times(&self) -> (Duration, Duration) {
        (Duration::from_millis(self.ramp.into()), Duration::from_secs(self.runtime.into()))
    }
}
