//! A keyed permutation of 0..n in constant memory.
//!
//! An unbalanced Feistel network permutes the next power of two; what falls outside 0..n walks on
//! along its cycle until it is inside (fewer than two steps on average).

use crate::random::mix;

const ROUNDS: u64 = 6;

#[derive(Clone, Debug)]
pub(super) struct Permutation {
    len: u64,
    key: u64,
    left_bits: u32,
    right_bits: u32,
}

impl Permutation {
    pub(super) fn new(len: u64, key: u64) -> Self {
        let bits = (64 - len.saturating_sub(1).leading_zeros()).max(2);
        let left_bits = bits / 2;
        Permutation { len, key, left_bits, right_bits: bits - left_bits }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Where `index` (below `len`) goes.
    pub(super) fn at(&self, index: u64) -> u64 {
        let mut value = self.scramble(index);
        while value >= self.len {
            value = self.scramble(value);
        }
        value
    }

    fn scramble(&self, value: u64) -> u64 {
        let left_mask = (1 << self.left_bits) - 1;
        let right_mask = (1 << self.right_bits) - 1;
        let (mut left, mut right) = (value >> self.right_bits, value & right_mask);
        for round in 0..ROUNDS {
            let key = self.key.wrapping_add(round << 56);
            match round % 2 {
                0 => left ^= mix(right ^ key) & left_mask,
                _ => right ^= mix(left ^ key) & right_mask,
            }
        }
        left << self.right_bits | right
    }
}
