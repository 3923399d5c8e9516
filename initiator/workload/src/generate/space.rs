//! Blocks of several files numbered from 0.

/// The part of a file that a job works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// The whole blocks of some files' regions, numbered through.
#[derive(Clone, Debug)]
pub struct BlockSpace {
    bs: u32,
    offsets: Box<[u64]>,
    /// First block of each file, and one more: the number of blocks.
    starts: Box<[u64]>,
}

impl BlockSpace {
    /// What is left of a region after its last whole block is not used, as in fio.
    pub fn new(regions: &[Region], bs: u32) -> Self {
        let mut starts = vec![0];
        let mut total = 0;
        for region in regions {
            total += region.len / u64::from(bs);
            starts.push(total);
        }
        BlockSpace {
            bs,
            offsets: regions.iter().map(|r| r.offset).collect(),
            starts: starts.into(),
        }
    }

    /// Block size in bytes.
    pub fn bs(&self) -> u32 {
        self.bs
    }

    /// How many blocks.
    pub fn blocks(&self) -> u64 {
        self.starts[self.starts.len() - 1]
    }

    /// Which file a block is in and where.
    pub fn locate(&self, block: u64) -> (u32, u64) {
        let file = match self.offsets.len() {
            1 => 0,
            _ => self.starts.partition_point(|&start| start <= block) - 1,
        };
        let within = (block - self.starts[file]) * u64::from(self.bs);
        (file as u32, self.offsets[file] + within)
    }

    pub(super) fn first_of(&self, file: usize) -> u64 {
        self.starts[file]
    }

    pub(super) fn blocks_of(&self, file: usize) -> u64 {
        self.starts[file + 1] - self.starts[file]
    }
}
