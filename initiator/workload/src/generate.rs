//! Which block next: sequential, random without repeats, random with, mixed.
//!
//! Without `norandommap` a random job visits every block once before it visits any again. The
//! order is a keyed permutation of the block numbers, computed, not stored: memory does not grow
//! with the file. Each pass over the files has its own order.

mod permutation;
mod space;
#[cfg(test)]
mod tests;

use crate::job::{Job, Rw};
use crate::random::Rng;
use permutation::Permutation;

pub use space::{BlockSpace, Region};

/// Reading or writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Reading.
    Read = 0,
    /// Writing.
    Write = 1,
}

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Read or write.
    pub direction: Direction,
    /// The block's number in its direction's [`BlockSpace`].
    pub block: u64,
}

/// A job instance's endless sequence of blocks. Who asks decides when enough is enough.
#[derive(Debug)]
pub struct Generator {
    rw: Rw,
    rwmixread: u64,
    spaces: [BlockSpace; 2],
    order: Order,
    rng: Rng,
}

#[derive(Debug)]
enum Order {
    /// A cursor for each direction: mixed sequential jobs read in order and write in order.
    Sequential([Cursor; 2]),
    /// Both directions share the map, so a block is read or written, once.
    Map {
        permutation: Permutation,
        next: u64,
    },
    Repeating,
}

impl Generator {
    /// For `job`, over `regions` (one a file), from `seed`. Every region must hold a block.
    pub fn new(job: &Job, regions: &[Region], seed: u64) -> Self {
        let spaces = job.bs.map(|bs| BlockSpace::new(regions, bs));
        let mut rng = Rng::new(seed);
        let shared = &spaces[usize::from(!job.rw.reads())];
        let order = match (job.rw.random(), job.norandommap) {
            (false, _) => Order::Sequential([(); 2].map(|()| Cursor::new(regions.len()))),
            (true, true) => Order::Repeating,
            (true, false) => {
                Order::Map { permutation: Permutation::new(shared.blocks(), rng.next()), next: 0 }
            }
        };
        Generator { rw: job.rw, rwmixread: u64::from(job.rwmixread), spaces, order, rng }
    }

    /// The blocks of a direction.
    pub fn space(&self, direction: Direction) -> &BlockSpace {
        &self.spaces[direction as usize]
    }

    /// Bytes in one pass over everything.
    pub fn pass_bytes(&self) -> u64 {
        let bytes = |d: Direction| self.space(d).blocks() * u64::from(self.space(d).bs());
        match (self.rw.reads(), self.rw.writes()) {
            (true, true) => bytes(Direction::Read).min(bytes(Direction::Write)),
            (true, false) => bytes(Direction::Read),
            (false, _) => bytes(Direction::Write),
        }
    }

    /// The next block. After a whole pass comes another.
    pub fn next_pick(&mut self) -> Pick {
        let direction = self.direction();
        let space = &self.spaces[direction as usize];
        let block = match &mut self.order {
            Order::Sequential(cursors) => cursors[direction as usize].advance(space),
            Order::Repeating => self.rng.below(space.blocks()),
            Order::Map { permutation, next } => {
                if *next == permutation.len() {
                    *permutation = Permutation::new(permutation.len(), self.rng.next());
                    *next = 0;
                }
                *next += 1;
                permutation.at(*next - 1)
            }
        };
        Pick { direction, block }
    }

    fn direction(&mut self) -> Direction {
        let reads = match (self.rw.reads(), self.rw.writes()) {
            (true, true) => self.rng.below(100) < self.rwmixread,
            (reads, _) => reads,
        };
        if reads { Direction::Read } else { Direction::Write }
    }
}

/// In order through each file, one block of each file in turn (fio's round robin).
#[derive(Debug)]
struct Cursor {
    /// Blocks done of each file.
    done: Box<[u64]>,
    file: usize,
}

impl Cursor {
    fn new(files: usize) -> Self {
        Cursor { done: vec![0; files].into(), file: 0 }
    }

    fn advance(&mut self, space: &BlockSpace) -> u64 {
        let files = self.done.len();
        let open = (0..files)
            .map(|step| (self.file + step) % files)
            .find(|&file| self.done[file] < space.blocks_of(file));
        let file = open.unwrap_or_else(|| {
            self.done.fill(0);
            0
        });
        let block = space.first_of(file) + self.done[file];
        self.done[file] += 1;
        self.file = (file + 1) % files;
        block
    }
}
