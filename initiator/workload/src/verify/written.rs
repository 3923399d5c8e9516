//! Which blocks were written, and by which write.

/// Most blocks remembered: 256 MiB of memory, 256 GiB of file at 4 KiB.
pub const VERIFY_BLOCKS_MAX: u64 = 1 << 26;

/// A write of the block is in flight.
const IN_FLIGHT: u32 = 1 << 31;
const NEVER: u32 = 0;

/// For each block (a unit that is checked by itself) the number of the last write to it. Two writes
/// to one block are never in flight together: nobody could say which of them the block would hold
/// (fio's serialize_overlap).
#[derive(Debug)]
pub struct WrittenMap {
    blocks: Box<[u32]>,
    last: u32,
}

impl WrittenMap {
    /// For so many blocks, none written.
    pub fn new(blocks: u64) -> Self {
        WrittenMap { blocks: vec![NEVER; blocks as usize].into(), last: 0 }
    }

    fn range(&mut self, block: u64, count: u64) -> &mut [u32] {
        let end = self.blocks.len().min((block + count) as usize);
        &mut self.blocks[end.min(block as usize)..end]
    }

    /// Numbers a write of `count` blocks from `block` on; `None` while another is in flight there.
    pub fn begin(&mut self, block: u64, count: u64) -> Option<u32> {
        // 31 bits, never 0: after two thousand million writes the numbers start again.
        let number = match self.last + 1 {
            IN_FLIGHT => 1,
            next => next,
        };
        let range = self.range(block, count);
        if range.iter().any(|entry| entry & IN_FLIGHT != 0) {
            return None;
        }
        range.fill(number | IN_FLIGHT);
        self.last = number;
        Some(number)
    }

    /// The write of these blocks has succeeded.
    pub fn finish(&mut self, block: u64, count: u64) {
        for entry in self.range(block, count) {
            *entry &= !IN_FLIGHT;
        }
    }

    /// These blocks need not be looked at again.
    pub fn forget(&mut self, block: u64, count: u64) {
        self.range(block, count).fill(NEVER);
    }

    /// The number of the last write to `block`.
    pub fn generation(&self, block: u64) -> Option<u32> {
        match self.blocks.get(block as usize)? & !IN_FLIGHT {
            NEVER => None,
            generation => Some(generation),
        }
    }

    /// Is a write of it in flight?
    pub fn is_in_flight(&self, block: u64) -> bool {
        self.blocks.get(block as usize).is_some_and(|entry| entry & IN_FLIGHT != 0)
    }

    /// The first written block from `block` on, and how many after it the same write wrote, up to
    /// `count_max` in all.
    pub fn next_written(&self, block: u64, count_max: u64) -> Option<(u64, u64)> {
        let rest = self.blocks.get(block as usize..)?;
        let step = rest.iter().position(|&b| b != NEVER)?;
        let alike = rest[step..].iter().take_while(|&&b| b == rest[step]).count();
        Some((block + step as u64, (alike as u64).min(count_max)))
    }
}
