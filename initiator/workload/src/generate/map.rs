//! Which blocks of a file a pass has visited: a bit each, and summaries over them, so that the next
//! free one is found in a few steps however full the map is.

const BITS: u64 = u64::BITS as u64;

/// A set of block numbers. A level's bit is set when the word below it is full; the last level is
/// one word.
#[derive(Clone, Debug)]
pub(super) struct BlockMap {
    blocks: u64,
    levels: Box<[Box<[u64]>]>,
}

impl BlockMap {
    /// An empty map of so many blocks, at least one.
    pub(super) fn new(blocks: u64) -> Self {
        let mut levels = Vec::new();
        let mut bits = blocks.max(1);
        loop {
            let words = bits.div_ceil(BITS);
            levels.push(vec![0; words as usize].into());
            if words == 1 {
                break;
            }
            bits = words;
        }
        let mut map = BlockMap { blocks: blocks.max(1), levels: levels.into() };
        map.clear();
        map
    }

    /// Forgets all visits.
    pub(super) fn clear(&mut self) {
        let mut bits = self.blocks;
        for level in &mut self.levels {
            level.fill(0);
            // What is past the end counts as visited.
            if let (Some(last), over @ 1..) = (level.last_mut(), bits % BITS) {
                *last = !0 << over;
            }
            bits = level.len() as u64;
        }
    }

    /// Was it visited? Blocks past the end were.
    #[inline]
    pub(super) fn has(&self, block: u64) -> bool {
        let word = self.levels[0].get((block / BITS) as usize);
        word.is_none_or(|word| word >> (block % BITS) & 1 != 0)
    }

    /// Marks up to `count` blocks from `block` on, as far as they are free and without a gap;
    /// returns how many.
    pub(super) fn mark(&mut self, block: u64, count: u64) -> u64 {
        let mut marked = 0;
        while marked < count && !self.has(block + marked) {
            self.set(block + marked);
            marked += 1;
        }
        marked
    }

    #[inline]
    fn set(&mut self, block: u64) {
        let mut index = block;
        for level in &mut self.levels {
            let word = &mut level[(index / BITS) as usize];
            *word |= 1 << (index % BITS);
            if *word != !0 {
                break;
            }
            index /= BITS;
        }
    }

    /// The first free block after `block`, from the start again past the end.
    pub(super) fn free_after(&self, block: u64) -> Option<u64> {
        self.free_from(block + 1).or_else(|| self.free_from(0))
    }

    fn free_from(&self, block: u64) -> Option<u64> {
        let mut index = block;
        // Up while the rest of the word is full, down again from where something is free.
        let mut level = 0;
        loop {
            let word = *self.levels[level].get((index / BITS) as usize)?;
            let free = !word & (!0 << (index % BITS));
            if free != 0 {
                index = index / BITS * BITS + u64::from(free.trailing_zeros());
                break;
            }
            level += 1;
            if level == self.levels.len() {
                return None;
            }
            index = index / BITS + 1;
        }
        while level > 0 {
            level -= 1;
            let word = self.levels[level][index as usize];
            index = index * BITS + u64::from((!word).trailing_zeros());
        }
        (index < self.blocks).then_some(index)
    }
}
