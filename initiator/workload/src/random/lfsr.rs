//! A linear feedback shift register that visits every number below a bound once, in constant
//! memory: fio's `random_generator=lfsr`.

/// Taps of a maximal XNOR register for each width from 3 bits on (Xilinx XAPP 052, table 3; a few
/// widths have other maximal taps, which are those that fio uses).
#[rustfmt::skip]
const TAPS: [&[u8]; 61] = [
    &[3, 2], &[4, 3], &[5, 3], &[6, 5], &[7, 6], &[8, 6, 5, 4], &[9, 5], &[10, 7], &[11, 9],
    &[12, 6, 4, 1], &[13, 4, 3, 1], &[14, 5, 3, 1], &[15, 14], &[16, 15, 13, 4], &[17, 14],
    &[18, 11], &[19, 6, 2, 1], &[20, 17], &[21, 19], &[22, 21], &[23, 18], &[24, 23, 22, 17],
    &[25, 22], &[26, 6, 2, 1], &[27, 5, 2, 1], &[28, 25], &[29, 27], &[30, 6, 4, 1], &[31, 28],
    &[32, 31, 29, 1], &[33, 20], &[34, 27, 2, 1], &[35, 33], &[36, 25], &[37, 5, 4, 3, 2, 1],
    &[38, 6, 5, 1], &[39, 35], &[40, 38, 21, 19], &[41, 38], &[42, 41, 20, 19], &[43, 42, 38, 37],
    &[44, 43, 18, 17], &[45, 44, 42, 41], &[46, 45, 26, 25], &[47, 42], &[48, 47, 21, 20],
    &[49, 40], &[50, 49, 24, 23], &[51, 50, 36, 35], &[52, 49], &[53, 52, 38, 37],
    &[54, 53, 18, 17], &[55, 31], &[56, 55, 35, 34], &[57, 50], &[58, 39], &[59, 58, 38, 37],
    &[60, 59], &[61, 60, 46, 45], &[62, 61, 6, 5], &[63, 62],
];

/// Width of the first entry.
const BITS_MIN: u32 = 3;

/// See the module documentation.
#[derive(Clone, Debug)]
pub(crate) struct Lfsr {
    below: u64,
    top_bit: u64,
    taps: u64,
    seed: u64,
    value: u64,
    given: u64,
}

impl Lfsr {
    /// Numbers below `below` (at least 1), from `seed`.
    pub(crate) fn new(below: u64, seed: u64) -> Self {
        let bits = (64 - below.leading_zeros()).clamp(BITS_MIN, 63);
        let taps =
            TAPS[(bits - BITS_MIN) as usize].iter().fold(0, |mask, tap| mask | 1 << (tap - 1));
        let mask = (1u64 << bits) - 1;
        // A register of ones would stay there.
        let seed = if seed & mask == mask { seed & mask >> 1 } else { seed & mask };
        Lfsr { below, top_bit: 1 << (bits - 1), taps, seed, value: seed, given: 0 }
    }

    /// The next number, or `None` when each was given once.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<u64> {
        if self.given >= self.below {
            return None;
        }
        self.given += 1;
        loop {
            let feedback = if self.value & 1 == 0 { self.taps } else { 0 };
            self.value = (self.value >> 1 | self.top_bit) ^ feedback;
            if self.value < self.below {
                return Some(self.value);
            }
        }
    }

    /// From the start.
    pub(crate) fn reset(&mut self) {
        self.value = self.seed;
        self.given = 0;
    }
}
