//! Combined Tausworthe generators (L'Ecuyer 1996 and 1999): the ones fio draws its numbers from, so
//! that a job with the same seed goes to the same places.

/// One component: how far it shifts, and which of its bits count.
struct Step<T> {
    mask: T,
    up: u32,
    own: u32,
    down: u32,
}

const STEPS_32: [Step<u32>; 3] = [
    Step { mask: !0x1, up: 12, own: 13, down: 19 },
    Step { mask: !0x7, up: 4, own: 2, down: 25 },
    Step { mask: !0xf, up: 17, own: 3, down: 11 },
];

const STEPS_64: [Step<u64>; 5] = [
    Step { mask: !0x1, up: 10, own: 1, down: 53 },
    Step { mask: !0x1ff, up: 5, own: 24, down: 50 },
    Step { mask: !0xfff, up: 29, own: 3, down: 23 },
    Step { mask: !0x1_ffff, up: 23, own: 5, down: 24 },
    Step { mask: !0x7f_ffff, up: 8, own: 3, down: 33 },
];

/// Each component must begin at this or above.
const FLOORS: [u64; 5] = [1, 7, 15, 33, 49];
/// Where fio begins to derive the components from the seed.
const ORIGIN: u64 = 53;
const FACTOR_32: u32 = 69_069;
const FACTOR_64: u64 = 6_906_969_069;
/// Numbers thrown away after seeding.
const WARM_UP: u32 = 6;

/// A stream of random numbers, of 32 or of 64 bits.
#[derive(Clone, Debug)]
pub(crate) enum Tausworthe {
    /// taus88.
    Narrow([u32; 3]),
    /// taus258.
    Wide([u64; 5]),
}

impl Tausworthe {
    /// The 32-bit generator; of a seed its lower half counts.
    pub(crate) fn narrow(seed: u64) -> Self {
        let seed = seed as u32;
        let mut state = [0; 3];
        let mut before = ORIGIN as u32;
        for (component, floor) in state.iter_mut().zip(FLOORS) {
            before = before.wrapping_mul(FACTOR_32) ^ seed;
            if u64::from(before) < floor {
                before += floor as u32;
            }
            *component = before;
        }
        Self::warmed(Tausworthe::Narrow(state))
    }

    /// The 64-bit generator.
    pub(crate) fn wide(seed: u64) -> Self {
        let mut state = [0; 5];
        let mut before = ORIGIN;
        for (component, floor) in state.iter_mut().zip(FLOORS) {
            before = before.wrapping_mul(FACTOR_64) ^ seed;
            if before < floor {
                before += floor;
            }
            *component = before;
        }
        Self::warmed(Tausworthe::Wide(state))
    }

    /// Either.
    pub(crate) fn new(seed: u64, wide: bool) -> Self {
        if wide { Self::wide(seed) } else { Self::narrow(seed) }
    }

    fn warmed(mut self) -> Self {
        for _ in 0..WARM_UP {
            self.next();
        }
        self
    }

    /// The next number.
    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        match self {
            Tausworthe::Narrow(state) => {
                let mut all = 0;
                for (s, step) in state.iter_mut().zip(&STEPS_32) {
                    *s = ((*s & step.mask) << step.up) ^ (((*s << step.own) ^ *s) >> step.down);
                    all ^= *s;
                }
                u64::from(all)
            }
            Tausworthe::Wide(state) => {
                let mut all = 0;
                for (s, step) in state.iter_mut().zip(&STEPS_64) {
                    *s = ((*s & step.mask) << step.up) ^ (((*s << step.own) ^ *s) >> step.down);
                    all ^= *s;
                }
                all
            }
        }
    }

    /// One more than the largest number, as a float.
    #[inline]
    fn span(&self) -> f64 {
        match self {
            Tausworthe::Narrow(_) => 4_294_967_296.0,
            Tausworthe::Wide(_) => 18_446_744_073_709_551_616.0,
        }
    }

    /// The largest number.
    #[inline]
    pub(crate) fn max(&self) -> u64 {
        match self {
            Tausworthe::Narrow(_) => u32::MAX.into(),
            Tausworthe::Wide(_) => u64::MAX,
        }
    }

    /// In [0, 1).
    #[inline]
    pub(crate) fn unit(&mut self) -> f64 {
        self.next() as f64 / self.span()
    }

    /// In (0, 1]: fit for a logarithm.
    #[inline]
    pub(crate) fn unit_above_zero(&mut self) -> f64 {
        (self.next() as f64 + 1.0) / self.span()
    }

    /// A percentage from 1 to 100.
    #[inline]
    pub(crate) fn percent(&mut self) -> u8 {
        1 + (100.0 * self.unit()) as u8
    }
}
