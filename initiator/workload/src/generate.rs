//! What to do next: read or write, in which file, where, how much.
//!
//! The order of everything is fio's: the same options and the same seed give the same sequence of
//! operations as fio 3.33, drawn from the same generators in the same order (the conformance test
//! holds the two side by side). Without `norandommap` a random pass visits every block once before
//! it ends; which it has visited is a bit a block, or, with `random_generator=lfsr`, nothing at all.

mod files;
mod map;
mod mix;
mod place;
mod size;
mod skew;
#[cfg(test)]
mod tests;
mod zones;

use crate::job::{Distribution, Generated, Job};
use crate::random::{Lfsr, Purpose, Seeds, Tausworthe, name_hash};
use files::Files;
use map::BlockMap;
use mix::Mix;
use size::Sizes;
use skew::Skewed;
use zones::Zones;

/// Most blocks of a random map: 1 GiB of bits, 32 TiB of file at 4 KiB.
pub const MAP_BLOCKS_MAX: u64 = 1 << 33;

/// Reading or writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Reading.
    Read = 0,
    /// Writing.
    Write = 1,
}

impl Direction {
    /// The other one.
    pub(crate) fn other(self) -> Direction {
        match self {
            Direction::Read => Direction::Write,
            Direction::Write => Direction::Read,
        }
    }
}

/// The part of a file that a job works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The file's path, which skewed distributions are seeded with.
    pub name: String,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Bytes of the whole file, once it is laid out.
    pub file_bytes: u64,
}

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Read or write.
    pub direction: Direction,
    /// Which file.
    pub file: u32,
    /// Byte offset in the file.
    pub offset: u64,
    /// Bytes.
    pub len: u32,
}

/// A file, and how far this pass has come in it.
#[derive(Debug)]
struct Place {
    region: Region,
    /// Where the last operation of each direction ended, and where it began.
    last_end: [u64; 2],
    last_start: [Option<u64>; 2],
    map: Option<BlockMap>,
    lfsr: Option<Lfsr>,
    skew: Option<Skewed>,
}

/// What of a job's options decides about places.
#[derive(Debug)]
struct Rules {
    random: bool,
    time_based: bool,
    sequence_every: u32,
    sequence_add: i64,
    sequence_identical: bool,
    size_by_order: bool,
    percent_random: [u8; 2],
    /// Offsets are multiples of this.
    align: [u64; 2],
    block_min: [u64; 2],
    zones: [Option<Zones>; 2],
}

/// A job instance's sequence of operations, pass after pass. Who asks decides when enough is enough.
#[derive(Debug)]
pub struct Generator {
    rules: Rules,
    files: Files,
    places: Box<[Place]>,
    sizes: [Sizes; 2],
    mix: Mix,
    /// Operations until the next jump (`rw=randread:N`).
    until_jump: u32,
    offsets: Tausworthe,
    order: [Tausworthe; 2],
    zone: Tausworthe,
    seeds: Seeds,
    /// A pass goes where the pass before went.
    repeats: bool,
    size_purposes: [Purpose; 2],
}

impl Generator {
    /// For `job`, over `regions` (one a file); `thread` numbers the instance from 1 among all.
    ///
    /// # Errors
    /// What in the job does not fit the files.
    pub fn new(job: &Job, regions: Vec<Region>, thread: u32) -> Result<Self, String> {
        let seeds = Seeds::new(&job.random, thread, job.rw.random());
        let rules = Rules::new(job, &regions)?;
        // What is verified is read back in the sizes that it was written in.
        let size_purposes = match job.verify.is_on() {
            true => [Purpose::ReadSize; 2],
            false => [Purpose::ReadSize, Purpose::WriteSize],
        };
        let files = Files::new(job, regions.len(), &seeds);
        let places: Result<_, String> =
            regions.into_iter().map(|region| Place::new(job, region, &seeds, thread)).collect();
        Ok(Generator {
            files,
            places: places?,
            sizes: [0, 1].map(|d: usize| {
                Sizes::new(&job.bs[d], job.bs_unaligned, seeds.stream(size_purposes[d]))
            }),
            size_purposes,
            mix: Mix::new(job, &seeds),
            // The first operation jumps.
            until_jump: 1,
            offsets: seeds.stream(Purpose::Block),
            order: [(); 2].map(|()| seeds.narrow(Purpose::Order)),
            zone: seeds.narrow(Purpose::Zone),
            repeats: job.random.repeats_passes(),
            rules,
            seeds,
        })
    }

    /// Bytes in one pass over everything.
    pub fn pass_bytes(&self) -> u64 {
        self.places.iter().map(|place| place.region.len).sum()
    }

    /// Where a file's region begins, and its length.
    pub fn region(&self, file: u32) -> &Region {
        &self.places[file as usize].region
    }

    /// The next operation, or `None` when the pass is over. `steer` may turn the direction that the
    /// mix gives (a rate does).
    pub fn next_pick(&mut self, mut steer: impl FnMut(Direction) -> Direction) -> Option<Pick> {
        loop {
            let file = self.files.next()?;
            let direction = self.mix.next(&mut steer);
            if let Some((offset, len)) = self.next_in(file, direction) {
                let place = &mut self.places[file];
                place.last_start[direction as usize] = Some(offset);
                place.last_end[direction as usize] = offset + u64::from(len);
                self.mix.picked(direction);
                return Some(Pick { direction, file: file as u32, offset, len });
            }
            if self.files.reuses() {
                self.files.close(file);
                self.places[file].reset();
            } else {
                self.files.finish(file);
            }
        }
    }

    /// Begins another pass.
    pub fn restart(&mut self) {
        self.files.restart(self.repeats.then_some(&self.seeds));
        self.places.iter_mut().for_each(Place::reset);
        self.mix.restart(self.repeats.then_some(&self.seeds));
        if !self.repeats {
            return;
        }
        for (sizes, purpose) in self.sizes.iter_mut().zip(self.size_purposes) {
            sizes.reseed(self.seeds.stream(purpose));
        }
        self.offsets = self.seeds.stream(Purpose::Block);
        self.order = [(); 2].map(|()| self.seeds.narrow(Purpose::Order));
        self.zone = self.seeds.narrow(Purpose::Zone);
    }

    /// Has the pass come to the end of all files?
    pub fn is_done(&self) -> bool {
        self.files.all_done()
    }
}

impl Rules {
    fn new(job: &Job, regions: &[Region]) -> Result<Self, String> {
        let random = job.rw.random();
        let align = [0, 1].map(|d: usize| match (random, job.bs[d].align) {
            (true, Some(align)) => align.into(),
            _ => job.bs[d].min.into(),
        });
        let zones = Zones::of(&job.random.distribution);
        let smallest = regions.iter().map(|region| region.len).min().unwrap_or(0);
        for zones in zones.iter().flatten() {
            zones.check(smallest)?;
        }
        Ok(Rules {
            random,
            time_based: job.time_based,
            sequence_every: job.sequence.every,
            sequence_add: job.sequence.add,
            sequence_identical: job.sequence.identical,
            size_by_order: job.bs_is_seq_rand,
            percent_random: job.random.percentage,
            align,
            block_min: [0, 1].map(|d: usize| job.bs[d].min.into()),
            zones,
        })
    }
}

impl Place {
    fn new(job: &Job, region: Region, seeds: &Seeds, thread: u32) -> Result<Self, String> {
        let len = region.len.min(region.file_bytes);
        let smallest = u64::from(job.bs[0].min.min(job.bs[1].min));
        let (mut map, mut lfsr, mut skew) = (None, None, None);
        match &job.random.distribution {
            Distribution::Skewed(shape, center) => {
                let seed = match job.random.repeats_passes() {
                    true => u64::from(name_hash(&region.name).wrapping_mul(thread)),
                    false => seeds.of(Purpose::Block),
                };
                skew = Some(Skewed::new(*shape, *center, len.div_ceil(smallest), seed, true));
            }
            _ if !job.rw.random() => {}
            _ if job.random.generator == Generated::Lfsr => {
                lfsr = Some(Lfsr::new((len / smallest).max(1), seeds.of(Purpose::Block)));
            }
            _ if job.has_random_map() => {
                let blocks = len / smallest;
                if blocks > MAP_BLOCKS_MAX {
                    return Err(format!(
                        "'{}' has {blocks} blocks; a random map holds at most {MAP_BLOCKS_MAX}: use norandommap=1, random_generator=lfsr or a larger bs",
                        region.name
                    ));
                }
                map = Some(BlockMap::new(blocks));
            }
            _ => {}
        }
        let last_end = [region.offset; 2];
        Ok(Place { region, last_end, last_start: [None; 2], map, lfsr, skew })
    }

    fn reset(&mut self) {
        self.last_end = [self.region.offset; 2];
        self.last_start = [None; 2];
        if let Some(map) = &mut self.map {
            map.clear();
        }
        if let Some(lfsr) = &mut self.lfsr {
            lfsr.reset();
        }
    }
}
