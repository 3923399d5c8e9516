//! Which blocks were written, and by which write.

use hugepages::Words;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Most blocks remembered: 256 MiB of memory, 256 GiB of file at 4 KiB.
pub const VERIFY_BLOCKS_MAX: u64 = 1 << 26;

/// A write of the block is in flight.
const IN_FLIGHT: u32 = 1 << 31;
/// The block was checked as the job went on: not again at its end.
const CHECKED: u32 = 1 << 30;
const NEVER: u32 = 0;

/// For each block (a unit that is checked by itself) the number of the last write to it. Two writes
/// to one block are never in flight together: nobody could say which of them the block would hold
/// (fio's serialize_overlap).
///
/// One thread writes it. Where its words are in a file, that is the state that a later run loads.
#[derive(Debug)]
pub struct WrittenMap {
    words: Words,
    last: u32,
}

impl WrittenMap {
    /// For so many blocks, none written.
    ///
    /// # Errors
    /// No memory.
    pub fn new(blocks: u64) -> std::io::Result<Self> {
        Ok(Self::over(Words::in_memory(blocks as usize)?))
    }

    /// A block a word.
    pub(crate) fn over(words: Words) -> Self {
        WrittenMap { words, last: 0 }
    }

    /// Takes what another run has left of a block: who wrote it, if that write had come back.
    pub(crate) fn recall(&self, block: u64, word: u32) {
        let known = if word & IN_FLIGHT == 0 { word & !CHECKED } else { NEVER };
        if let Some(entry) = self.words.get().get(block as usize) {
            entry.store(known, Relaxed);
        }
    }

    fn range(&self, block: u64, count: u64) -> &[AtomicU32] {
        let blocks = self.words.get();
        let end = blocks.len().min((block + count) as usize);
        &blocks[end.min(block as usize)..end]
    }

    fn word(&self, block: u64) -> u32 {
        self.words.get().get(block as usize).map_or(NEVER, |entry| entry.load(Relaxed))
    }

    /// Numbers a write of `count` blocks from `block` on; `None` while another is in flight there.
    pub fn begin(&mut self, block: u64, count: u64) -> Option<u32> {
        // 30 bits, never 0: after a thousand million writes the numbers start again.
        let number = match self.last + 1 {
            CHECKED => 1,
            next => next,
        };
        let range = self.range(block, count);
        if range.iter().any(|entry| entry.load(Relaxed) & IN_FLIGHT != 0) {
            return None;
        }
        range.iter().for_each(|entry| entry.store(number | IN_FLIGHT, Relaxed));
        self.last = number;
        Some(number)
    }

    /// The write of these blocks has succeeded.
    pub fn finish(&mut self, block: u64, count: u64) {
        for entry in self.range(block, count) {
            entry.store(entry.load(Relaxed) & !IN_FLIGHT, Relaxed);
        }
    }

    /// These blocks need not be looked at again by this run.
    pub fn forget(&mut self, block: u64, count: u64) {
        for entry in self.range(block, count) {
            entry.store(entry.load(Relaxed) | CHECKED, Relaxed);
        }
    }

    /// The number of the last write to `block`.
    pub fn generation(&self, block: u64) -> Option<u32> {
        match self.word(block) & !(IN_FLIGHT | CHECKED) {
            NEVER => None,
            generation => Some(generation),
        }
    }

    /// Is a write of it in flight?
    pub fn is_in_flight(&self, block: u64) -> bool {
        self.word(block) & IN_FLIGHT != 0
    }

    /// The first block from `block` on that is written and not checked, and how many after it the
    /// same write wrote, up to `count_max` in all.
    pub fn next_written(&self, block: u64, count_max: u64) -> Option<(u64, u64)> {
        let wanted = |entry: &AtomicU32| {
            let word = entry.load(Relaxed);
            word != NEVER && word & CHECKED == 0
        };
        let rest = self.words.get().get(block as usize..)?;
        let step = rest.iter().position(wanted)?;
        let first = rest[step].load(Relaxed);
        let alike = rest[step..].iter().take_while(|entry| entry.load(Relaxed) == first).count();
        Some((block + step as u64, (alike as u64).min(count_max)))
    }
}
