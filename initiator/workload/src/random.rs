//! Random numbers that repeat from run to run, and data made of them.
//!
//! What decides where a job goes comes from the generators that fio uses, seeded as fio seeds them;
//! data comes from a cheaper one.

mod lfsr;
mod seeds;
mod tausworthe;
#[cfg(test)]
mod tests;

pub(crate) use lfsr::Lfsr;
pub(crate) use seeds::{Purpose, Seeds, name_hash};
pub(crate) use tausworthe::Tausworthe;

/// A good 64-bit mixing of bits (the finalizer of SplitMix64).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// SplitMix64: eight bytes of state, a few cycles a number.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `n`, which must not be 0.
    #[cfg(test)]
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
}

/// Random bytes in the pool, before the shift.
const POOL_BYTES: usize = 64 << 10;
/// A fill begins anywhere in the first so many bytes of the pool.
const SHIFT_BYTES: u64 = 4096;

/// Data of two pages differs at least here.
const PAGE_BYTES: usize = 4096;

/// Makes data its own: each page gets its place, and a number, at its end. (The front of a block may
/// be a verify header.)
pub(crate) fn mark_pages(block: &mut [u8], offset: u64, number: u64) {
    for (page, data) in block.chunks_mut(PAGE_BYTES).enumerate() {
        let at = offset + (page * PAGE_BYTES) as u64;
        let mark = u128::from(number) << 64 | u128::from(at);
        let len = data.len().min(size_of::<u128>());
        let tail = data.len() - len;
        data[tail..].copy_from_slice(&mark.to_le_bytes()[..len]);
    }
}

/// Data that does not compress, at the price of a copy: made once, used from a random place on.
#[derive(Clone, Debug)]
pub(crate) struct DataPool {
    bytes: Box<[u8]>,
    rng: Rng,
}

impl DataPool {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let words = (POOL_BYTES + SHIFT_BYTES as usize) / 8;
        let bytes = (0..words).flat_map(|_| rng.next().to_le_bytes()).collect();
        DataPool { bytes, rng }
    }

    /// Fills `data`, each time otherwise.
    pub(crate) fn fill(&mut self, data: &mut [u8]) {
        let number = self.rng.next();
        self.fill_as(number, data);
    }

    /// Fills `data` with what belongs to this number.
    pub(crate) fn fill_as(&self, number: u64, data: &mut [u8]) {
        for (index, part) in (0..).zip(data.chunks_mut(POOL_BYTES)) {
            let from = (mix(number ^ index) % SHIFT_BYTES) as usize;
            part.copy_from_slice(&self.bytes[from..from + part.len()]);
        }
    }
}
