//! Blocks that can be checked: how they are written and how they are looked at again.
//!
//! `crc32c`: a header (magic, length, offset, generation, writer, checksum of the data, checksum of
//! the header) at the front of each block. `pattern`: `verify_pattern` over and over. The
//! generation is the number of the write, kept for each block in a [`WrittenMap`], so that a block
//! that the server took and lost again is found even though its old contents are sound.

mod header;
mod pattern;
mod written;

#[cfg(test)]
mod tests;

use crate::job::{Job, Verify};

pub use header::HEADER_BYTES;
pub use pattern::Pattern;
pub use written::{VERIFY_BLOCKS_MAX, WrittenMap};

/// Where and when a block was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Byte offset in its file.
    pub offset: u64,
    /// Number of the write; `None` when reading what somebody else wrote.
    pub generation: Option<u32>,
}

/// Makes and checks blocks.
#[derive(Debug)]
pub struct Verifier {
    kind: Verify,
    pattern: Option<Pattern>,
    writer: u32,
}

impl Verifier {
    /// For `job`; `writer` goes into headers, so that two instances' blocks differ.
    pub fn new(job: &Job, writer: u64) -> Self {
        Verifier { kind: job.verify, pattern: job.verify_pattern.clone(), writer: writer as u32 }
    }

    /// Is anything to be checked?
    pub fn is_on(&self) -> bool {
        self.kind != Verify::None
    }

    /// Prepares a block for writing; `block` already holds data.
    pub fn seal(&self, block: &mut [u8], stamp: Stamp) {
        if let (Some(pattern), true) = (&self.pattern, self.is_on()) {
            pattern.fill(block, stamp.offset);
        }
        if self.kind == Verify::Crc32c {
            header::seal(block, stamp, self.writer);
        }
    }

    /// Looks at a block that was read: `Err` says what was found and what was expected.
    pub fn check(&self, block: &[u8], stamp: Stamp) -> Result<(), String> {
        match (self.kind, &self.pattern) {
            (Verify::Crc32c, _) => header::check(block, stamp, self.writer),
            (Verify::Pattern, Some(pattern)) => pattern.check(block, stamp.offset),
            _ => Ok(()),
        }
    }
}
