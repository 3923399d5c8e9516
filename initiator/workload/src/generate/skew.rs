//! Offsets that are not equally likely: zipf, pareto and normal, as fio draws them.

use crate::job::Skew;
use crate::random::Tausworthe;

/// Terms of zipf's sum that are computed; what is beyond weighs next to nothing.
const ZETA_TERMS_MAX: u64 = 10_000_000;
/// Spreads neighbours in likelihood over the file.
const SCATTER: u64 = 0x61c8_8646_80b5_83eb;
/// Numbers that make one of a normal distribution.
const NORMAL_TERMS: u64 = 12;

/// Draws numbers below a bound.
#[derive(Clone, Debug)]
pub(super) struct Skewed {
    below: u64,
    shift: u64,
    scatter: bool,
    rng: Tausworthe,
    seed: u64,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    Zipf { zeta: f64, second: f64, eta: f64, alpha: f64 },
    Pareto { power: f64 },
    Normal { deviation: u32 },
}

impl Skewed {
    /// Numbers below `below`, at least 1.
    pub(super) fn new(
        skew: Skew,
        center: Option<f64>,
        below: u64,
        seed: u64,
        scatter: bool,
    ) -> Self {
        let below = below.max(1);
        let mut rng = Tausworthe::narrow(seed);
        let n = below as f64;
        let (shape, shift) = match skew {
            Skew::Normal(percent) => {
                let deviation = (n * percent / 100.0).ceil().min((below / 2) as f64) as u32;
                // The middle of the distribution is the middle of the file.
                let shift = center.map_or(0, |center| (n * (center - 0.5)) as i64 as u64);
                (Shape::Normal { deviation }, shift)
            }
            Skew::Zipf(_) | Skew::Pareto(_) => {
                let drawn = rng.next();
                let shift = center.map_or(drawn, |center| (n * center) as u64);
                (Shape::of(skew, below), shift)
            }
        };
        Skewed { below, shift, scatter, rng, seed, shape }
    }

    /// From the start.
    pub(super) fn reset(&mut self) {
        self.rng = Tausworthe::narrow(self.seed);
        if !matches!(self.shape, Shape::Normal { .. }) {
            self.rng.next();
        }
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        let n = self.below as f64;
        let rank = match self.shape {
            Shape::Zipf { zeta, second, eta, alpha } => {
                let unit = self.rng.next() as f64 / f64::from(u32::MAX);
                let place = unit * zeta;
                if place < 1.0 {
                    0
                } else if place < 1.0 + second {
                    1
                } else {
                    (n * (eta * unit - eta + 1.0).powf(alpha)) as u64
                }
            }
            Shape::Pareto { power } => {
                let unit = self.rng.next() as f64 / f64::from(u32::MAX);
                ((self.below - 1) as f64 * unit.powf(power)) as u64
            }
            Shape::Normal { deviation } => self.normal(deviation),
        };
        let place = if self.scatter { rank.wrapping_mul(SCATTER) } else { rank };
        place.wrapping_add(self.shift) % self.below
    }

    fn normal(&mut self, deviation: u32) -> u64 {
        let draws = (0..NORMAL_TERMS).map(|_| self.rng.next() % (self.below + 1));
        let sum: u64 = draws.sum();
        let mean = sum.div_ceil(NORMAL_TERMS);
        if deviation == 0 {
            return mean;
        }
        let drawn = (f64::from(deviation) * self.rng.unit()) as i64;
        let mut off = drawn - i64::from(deviation / 2);
        // What would fall outside comes back half as far. The sum wraps below zero on purpose.
        while mean.wrapping_add_signed(off) >= self.below && off != 0 {
            off /= 2;
        }
        mean.wrapping_add_signed(off)
    }
}

impl Shape {
    fn of(skew: Skew, below: u64) -> Self {
        match skew {
            Skew::Zipf(theta) => {
                let terms = 1..=below.min(ZETA_TERMS_MAX);
                let zeta = terms.fold(0.0, |sum, term| sum + (1.0 / term as f64).powf(theta));
                let second = 0.5f64.powf(theta);
                let eta = (1.0 - (2.0 / below as f64).powf(1.0 - theta))
                    / (1.0 - (1.0f64.powf(theta) + second) / zeta);
                Shape::Zipf { zeta, second, eta, alpha: 1.0 / (1.0 - theta) }
            }
            Skew::Pareto(h) => Shape::Pareto { power: h.ln() / (1.0 - h).ln() },
            Skew::Normal(_) => Shape::Normal { deviation: 0 },
        }
    }
}
