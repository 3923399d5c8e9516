//! How large the next operation is: one size, any size in a range, or some sizes by likelihood.

use crate::job::BlockSizes;
use crate::random::Tausworthe;

/// Draws sizes of one direction.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    sizes: BlockSizes,
    /// Sizes need not be multiples of the smallest.
    unaligned: bool,
    rng: Tausworthe,
}

impl Sizes {
    pub(super) fn new(sizes: &BlockSizes, unaligned: bool, rng: Tausworthe) -> Self {
        Sizes { sizes: sizes.clone(), unaligned, rng }
    }

    pub(super) fn reseed(&mut self, rng: Tausworthe) {
        self.rng = rng;
    }

    /// The next size; one that leaves at most `room` bytes, or `None` when even the smallest does
    /// not fit.
    #[inline]
    pub(super) fn next(&mut self, room: u64) -> Option<u32> {
        let BlockSizes { min, max, .. } = self.sizes;
        if min == max {
            return Some(min);
        }
        if u64::from(min) > room {
            return None;
        }
        loop {
            let drawn = self.draw(room);
            let even = if self.unaligned { drawn } else { drawn - drawn % u64::from(min) };
            let bytes = even.min(max.into());
            if bytes <= room {
                return Some((bytes as u32).max(1));
            }
        }
    }

    fn draw(&mut self, room: u64) -> u64 {
        let BlockSizes { min, max, split, .. } = &self.sizes;
        let number = self.rng.next();
        if split.is_empty() {
            let part = number as f64 / (self.rng.max() as f64 + 1.0);
            return u64::from(*min) + (f64::from(*max) * part) as u64;
        }
        let hundredth = self.rng.max() / 100;
        let mut sum = 0;
        let mut bytes = u64::from(*min);
        for (size, percent) in split.iter().filter(|(_, percent)| *percent > 0) {
            bytes = u64::from(*size);
            sum += u64::from(*percent);
            if number / sum <= hundredth && bytes <= room {
                break;
            }
        }
        bytes
    }
}
