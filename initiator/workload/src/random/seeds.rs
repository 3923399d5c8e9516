//! Which stream of random numbers is seeded with what, as in fio 3.33: one seed for each purpose,
//! so that changing one option leaves the numbers of the others alone.

use super::Tausworthe;
use crate::job::{Generated, RandomOptions};
use std::hash::{BuildHasher, Hasher, RandomState};

/// The factor that seeds are spread with.
const SPREAD: u64 = 0x9e37_0001;
/// What `randrepeat` and `allrandrepeat` begin with.
const REPEATABLE: u64 = 0xb189_9bed;
/// Purposes; some are of things that this runner does not have.
const PURPOSES: usize = 21;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Sizes of reads.
    ReadSize = 0,
    /// Sizes of writes.
    WriteSize = 1,
    /// Reading or writing.
    Mix = 4,
    /// Which file.
    File = 5,
    /// Where in the file.
    Block = 6,
    /// How large a file is.
    FileSize = 7,
    /// In order, or at random (`percentage_random`).
    Order = 10,
    /// `startdelay=` ranges.
    StartDelay = 13,
    /// Times between reads.
    ReadPace = 15,
    /// Which zone.
    Zone = 16,
    /// Times between writes.
    WritePace = 17,
}

/// All seeds of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Seeds {
    seeds: [u64; PURPOSES],
    wide: bool,
}

impl Seeds {
    /// For the instance with this number among all of the run, from 1.
    pub(crate) fn new(options: &RandomOptions, thread: u32, random_offsets: bool) -> Self {
        let thread = u64::from(thread);
        let mut seeds = [0; PURPOSES];
        if !options.repeat && !options.seed_given {
            let fresh = RandomState::new();
            for (n, seed) in seeds.iter_mut().enumerate() {
                let mut hasher = fresh.build_hasher();
                hasher.write_usize(n);
                *seed = hasher.finish();
            }
        } else {
            let mut base = (0..4).fold(options.seed, |seed, _| seed.wrapping_mul(SPREAD));
            for (n, seed) in (0..).zip(&mut seeds) {
                *seed = base.wrapping_mul(thread).wrapping_add(n);
                base = base.wrapping_mul(SPREAD);
            }
        }
        if options.repeat_all {
            for (n, seed) in (0..).zip(&mut seeds) {
                *seed = REPEATABLE.wrapping_mul(thread).wrapping_add(n);
            }
        }
        // Offsets have a seed of their own unless randrepeat=0, whatever randseed is.
        if options.repeat && random_offsets {
            seeds[Purpose::Block as usize] = REPEATABLE.wrapping_mul(thread);
        }
        Seeds { seeds, wide: options.generator == Generated::Tausworthe64 }
    }

    /// The seed for a purpose.
    pub(crate) fn of(&self, purpose: Purpose) -> u64 {
        self.seeds[purpose as usize]
    }

    /// A stream that `random_generator=` widens to 64 bits.
    pub(crate) fn stream(&self, purpose: Purpose) -> Tausworthe {
        Tausworthe::new(self.of(purpose), self.wide)
    }

    /// A stream that always has 32 bits.
    pub(crate) fn narrow(&self, purpose: Purpose) -> Tausworthe {
        Tausworthe::narrow(self.of(purpose))
    }
}

/// Bob Jenkins' hash of a name, byte by byte in the way of fio's: what the place of a skewed
/// distribution's favourites follows from.
pub(crate) fn name_hash(name: &str) -> u32 {
    const GOLDEN: u32 = 0x61c8_8647;
    let bytes = name.as_bytes();
    let start = GOLDEN.wrapping_add(bytes.len() as u32);
    let [mut a, mut b, mut c] = [start; 3];
    let mut rest = bytes;
    while rest.len() > 12 {
        a = a.wrapping_add(rest[0].into());
        b = b.wrapping_add(rest[4].into());
        c = c.wrapping_add(rest[8].into());
        for (x, y, z, turn) in
            [(0, 2, 1, 4), (1, 0, 2, 6), (2, 1, 0, 8), (0, 2, 1, 16), (1, 0, 2, 19), (2, 1, 0, 4)]
        {
            let mut words = [a, b, c];
            words[x] = words[x].wrapping_sub(words[y]) ^ words[y].rotate_left(turn);
            words[y] = words[y].wrapping_add(words[z]);
            [a, b, c] = words;
        }
        rest = &rest[12..];
    }
    if rest.is_empty() {
        return c;
    }
    let mut words = [a, b, c];
    for (at, &byte) in rest.iter().enumerate() {
        words[at / 4] = words[at / 4].wrapping_add(u32::from(byte) << (8 * (at % 4)));
    }
    for (x, y, turn) in
        [(2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24)]
    {
        words[x] = (words[x] ^ words[y]).wrapping_sub(words[y].rotate_left(turn));
    }
    words[2]
}
