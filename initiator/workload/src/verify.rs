//! Blocks that can be checked: how they are written and how they are looked at again.
//!
//! With a sum (`crc32c`, `md5`, ...): a header in front of each unit of a block. `pattern`:
//! `verify_pattern` over and over. The generation is the number of the write, kept for each unit in
//! a [`WrittenMap`], so that a block that the server took and lost again is found even though its
//! old contents are sound.

mod header;
mod pattern;
pub(crate) mod state;
mod sum;
mod written;

#[cfg(test)]
mod tests;

use crate::job::{Job, Verify};
use crate::random::{DataPool, mark_pages, mix};

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

/// What blocks hold below their headers, where `verify_pattern` does not say.
#[derive(Clone, Debug)]
enum Content {
    /// What follows from who wrote them, where, and with which write, so that it can be made again.
    Random(DataPool),
    Zeros,
    Repeats(Pattern),
    /// What the writer of the job makes.
    Given,
}

impl Content {
    fn of(job: &Job, writer: u32) -> Content {
        match (job.verify, &job.buffer_pattern) {
            (Verify::Sum(_), _) if job.zero_buffers => Content::Zeros,
            (Verify::Sum(_), Some(pattern)) => Content::Repeats(pattern.clone()),
            (Verify::Sum(_), None) => Content::Random(DataPool::new(writer.into())),
            _ => Content::Given,
        }
    }

    /// For the unit at `offset`.
    fn fill(&self, unit: &mut [u8], offset: u64, generation: u64) {
        match self {
            Content::Random(pool) => {
                pool.fill_as(mix(offset ^ generation << 40), unit);
                mark_pages(unit, offset, generation);
            }
            Content::Zeros => unit.fill(0),
            Content::Repeats(pattern) => pattern.fill(unit, offset),
            Content::Given => {}
        }
    }
}

/// Makes and checks blocks.
#[derive(Clone, Debug)]
pub struct Verifier {
    kind: Verify,
    pattern: Option<Pattern>,
    content: Content,
    /// Bytes that one header covers.
    unit: usize,
    /// Bytes after which a pattern begins anew: a block, or, where blocks of several sizes overlap,
    /// a unit.
    span: usize,
    /// Where in a unit the header is.
    header_at: usize,
    writer: u32,
    thread: u16,
    /// A unit whose header is not in front, with its header in front.
    turned: Vec<u8>,
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
            content: Content::of(job, writer as u32),
            unit: job.verify_unit() as usize,
            span: if job.verified_sizes().is_fixed() {
                usize::MAX
            } else {
                job.verify_unit() as usize
            },
            header_at: job.verify_options.offset as usize,
            writer: writer as u32,
            thread: thread as u16,
            turned: match job.verify_options.offset {
                0 => Vec::new(),
                _ => Vec::with_capacity(job.verify_unit() as usize),
            },
        }
    }

    /// Is anything to be checked?
    pub fn is_on(&self) -> bool {
        self.kind.is_on()
    }

    /// Does [`Verifier::seal`] make all of a block?
    pub(crate) fn makes_data(&self) -> bool {
        self.is_on() && (self.pattern.is_some() || !matches!(self.content, Content::Given))
    }

    /// The blocks to check are another's, who was told apart by this.
    pub(crate) fn expect_writer(&mut self, writer: u32) {
        self.writer = writer;
        if let Content::Random(pool) = &mut self.content {
            *pool = DataPool::new(writer.into());
        }
    }

    /// Prepares a block for writing; it already holds data where that is not made here.
    pub fn seal(&self, block: &mut [u8], stamp: Stamp) {
        self.seal_pattern(block, stamp);
        let Verify::Sum(sum) = self.kind else { return };
        for (index, unit) in block.chunks_mut(self.unit).enumerate() {
            let offset = stamp.offset + (index * self.unit) as u64;
            if self.pattern.is_none() {
                self.content.fill(unit, offset, stamp.generation.unwrap_or(0).into());
            }
            header::seal(unit, sum, Stamp { offset, ..stamp }, self.writer, self.thread);
            swap(unit, self.header_at, header_bytes(sum));
        }
    }

    /// Looks at a block that was read.
    ///
    /// # Errors
    /// The first unit that is not as it should be.
    pub fn check(&mut self, block: &[u8], stamp: Stamp) -> Result<(), Mismatch> {
        let Verify::Sum(sum) = self.kind else {
            return self.check_pattern(block, stamp);
        };
        let mut turned = std::mem::take(&mut self.turned);
        let checked = block.chunks(self.unit).enumerate().try_for_each(|(index, unit)| {
            let at = index * self.unit;
            let checked = match self.header_at {
                0 => self.check_unit(unit, at, sum, stamp),
                header_at => {
                    turned.clear();
                    turned.extend_from_slice(unit);
                    swap(&mut turned, header_at, header_bytes(sum));
                    self.check_unit(&turned, at, sum, stamp)
                }
            };
            checked.map_err(|found| Mismatch { at, len: unit.len(), found })
        });
        self.turned = turned;
        checked
    }

    fn seal_pattern(&self, block: &mut [u8], stamp: Stamp) {
        let Some(pattern) = self.pattern.as_ref().filter(|_| self.is_on()) else { return };
        for (index, span) in block.chunks_mut(self.span).enumerate() {
            pattern.fill(span, stamp.offset + (index * self.span) as u64);
        }
    }

    /// What should have been where `block`, read at `stamp`, is not as it should be: made again.
    /// Where only the header knows who wrote it, `None` unless that is borne out by its sum.
    pub(crate) fn expected(
        &self,
        block: &[u8],
        mismatch: &Mismatch,
        stamp: Stamp,
    ) -> Option<Vec<u8>> {
        let range = mismatch.at..mismatch.at + mismatch.len;
        let mut made = vec![0; block.len()];
        let Verify::Sum(sum) = self.kind else {
            self.pattern.as_ref()?;
            self.seal_pattern(&mut made, stamp);
            return made.get(range).map(<[u8]>::to_vec);
        };
        if stamp.generation.is_some() {
            self.seal(&mut made, stamp);
            return made.get(range).map(<[u8]>::to_vec);
        }
        let mut found = block.get(range.clone())?.to_vec();
        swap(&mut found, self.header_at, header_bytes(sum));
        let author = header::author(&found)?;
        let mut verifier = Verifier { thread: author.thread, ..self.clone() };
        verifier.expect_writer(author.writer);
        verifier.seal(&mut made, Stamp { generation: Some(author.generation), ..stamp });
        let made = made.get(range)?.to_vec();
        let mut turned = made.clone();
        swap(&mut turned, self.header_at, header_bytes(sum));
        header::is_same_sum(&found, &turned, sum).then_some(made)
    }

    /// Checks a unit with its header in front, `at` bytes into its block.
    fn check_unit(&self, unit: &[u8], at: usize, sum: Sum, stamp: Stamp) -> Result<(), String> {
        let unit_stamp = Stamp { offset: stamp.offset + at as u64, ..stamp };
        header::check(unit, sum, unit_stamp, self.writer)?;
        let (Sum::PatternHeader, Some(pattern)) = (sum, &self.pattern) else { return Ok(()) };
        let span = at / self.span * self.span;
        let skipped = at - span + header_bytes(sum);
        pattern.check(&unit[header_bytes(sum)..], stamp.offset + span as u64, skipped)
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
