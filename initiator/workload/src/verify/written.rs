//! Which blocks were written, and by which write.

/// Most blocks remembered: 256 MiB of memory, 256 GiB of file at 4 KiB.
pub const VERIFY_BLOCKS_MAX: u64 = 1 << 26;

/// A write of the block is in flight.
const IN_FLIGHT: u32 = 1 << 31;
const NEVER: u32 = 0;

/// For each block the number of the last write to it. Two writes to one block are never in flight
/// together: nobody could say which of them the block would hold (fio's serialize_overlap).
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

    /// Numbers a write of `block`; `None` while another is in flight there.
    pub fn begin(&mut self, block: u64) -> Option<u32> {
        let entry = &mut self.blocks[block as usize];
        if *entry & IN_FLIGHT != 0 {
            return None;
        }
        // 31 bits, never 0: after two thousand million writes the numbers start again.
        self.last = match self.last + 1 {
            IN_FLIGHT => 1,
            next => next,
        };
        *entry = self.last | IN_FLIGHT;
        Some(self.last)
    }

    /// The write of `block` has succeeded.
    pub fn finish(&mut self, block: u64) {
        self.blocks[block as usize] &= !IN_FLIGHT;
    }

    /// The number of the last write to `block`.
    pub fn generation(&self, block: u64) -> Option<u32> {
        match self.blocks[block as usize] & !IN_FLIGHT {
            NEVER => None,
            generation => Some(generation),
        }
    }

    /// The first written block from `block` on.
    pub fn next_written(&self, block: u64) -> Option<u64> {
        let rest = self.blocks.get(block as usize..)?;
        rest.iter().position(|&b| b != NEVER).map(|step| block + step as u64)
    }
}
