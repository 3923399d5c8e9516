//! Blocks that can be checked: how they are written and how they are looked at again.
//!
//! With a sum (`crc32c`, `md5`, ...): a header in front of each unit of a block. `pattern`:
//! `verify_pattern` over and over. The generation is the number of the write, kept for each unit in
//! a [`WrittenMap`], so that a block that the server took and lost again is found even though its
//! old contents are sound.

mod header;
mod pattern;
mod sum;
mod written;

#[cfg(test)]
mod tests;

use crate::job::{Job, Verify};

pub(crate) use header::header_bytes;
pub use pattern::Pattern;
pub use sum::Sum;
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
    /// Bytes that one header covers.
    unit: usize,
    /// Bytes after which a pattern begins anew: a block, or, where blocks of several sizes overlap,
    /// a unit.
    span: usize,
    /// Where in a unit the header is.
    header_at: usize,
    writer: u32,
    thread: u16,
}

/// What was found, and where in the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Byte of the block where the unit begins.
    pub at: usize,
    /// Bytes of the unit.
    pub len: usize,
    /// The whole story.
    pub found: String,
}

impl Verifier {
    /// For `job`; `writer` goes into headers, so that two instances' blocks differ, and `thread`
    /// where fio has the number of its thread.
    pub fn new(job: &Job, writer: u64, thread: u32) -> Self {
        Verifier {
            kind: job.verify,
            pattern: job.verify_options.pattern.clone(),
            unit: job.verify_unit() as usize,
            span: if job.verified_sizes().is_fixed() {
                usize::MAX
            } else {
                job.verify_unit() as usize
            },
            header_at: job.verify_options.offset as usize,
            writer: writer as u32,
            thread: thread as u16,
        }
    }

    /// Is anything to be checked?
    pub fn is_on(&self) -> bool {
        self.kind.is_on()
    }

    /// Prepares a block for writing; `block` already holds data.
    pub fn seal(&self, block: &mut [u8], stamp: Stamp) {
        if let (Some(pattern), true) = (&self.pattern, self.is_on()) {
            for (index, span) in block.chunks_mut(self.span).enumerate() {
                pattern.fill(span, stamp.offset + (index * self.span) as u64);
            }
        }
        let Verify::Sum(sum) = self.kind else { return };
        for (index, unit) in block.chunks_mut(self.unit).enumerate() {
            let offset = stamp.offset + (index * self.unit) as u64;
            header::seal(unit, sum, Stamp { offset, ..stamp }, self.writer, self.thread);
            swap(unit, self.header_at, header_bytes(sum));
        }
    }

    /// Looks at a block that was read.
    ///
    /// # Errors
    /// The first unit that is not as it should be. The block may then be left with its headers in
    /// front of their units.
    pub fn check(&self, block: &mut [u8], stamp: Stamp) -> Result<(), Mismatch> {
        let Verify::Sum(sum) = self.kind else {
            return self.check_pattern(block, stamp);
        };
        for (index, unit) in block.chunks_mut(self.unit).enumerate() {
            let at = index * self.unit;
            let header_bytes = header_bytes(sum);
            swap(unit, self.header_at, header_bytes);
            let unit_stamp = Stamp { offset: stamp.offset + at as u64, ..stamp };
            let mut checked = header::check(unit, sum, unit_stamp, self.writer);
            if let (Ok(()), Sum::PatternHeader, Some(pattern)) = (&checked, sum, &self.pattern) {
                let span = at / self.span * self.span;
                let span_offset = stamp.offset + span as u64;
                checked =
                    pattern.check(&unit[header_bytes..], span_offset, at - span + header_bytes);
            }
            swap(unit, self.header_at, header_bytes);
            if let Err(found) = checked {
                return Err(Mismatch { at, len: unit.len(), found });
            }
        }
        Ok(())
    }

    fn check_pattern(&self, block: &[u8], stamp: Stamp) -> Result<(), Mismatch> {
        let Some(pattern) = self.pattern.as_ref().filter(|_| self.kind == Verify::Pattern) else {
            return Ok(());
        };
        for (index, span) in block.chunks(self.span).enumerate() {
            let at = index * self.span;
            pattern.check(span, stamp.offset + at as u64, 0).map_err(|found| Mismatch {
                at,
                len: span.len(),
                found,
            })?;
        }
        Ok(())
    }
}

/// Changes places of what is in front and what is at `at`.
fn swap(unit: &mut [u8], at: usize, len: usize) {
    if at >= len && at + len <= unit.len() {
        let (front, back) = unit.split_at_mut(at);
        front[..len].swap_with_slice(&mut back[..len]);
    }
}
