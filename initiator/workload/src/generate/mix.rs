//! Reading or writing next, in a mixed job (`rwmixread`).

use super::Direction;
use crate::job::Job;
use crate::random::{Purpose, Seeds, Tausworthe};

/// Draws directions in runs, the longer the further the job has come, as fio does.
#[derive(Debug)]
pub(super) struct Mix {
    only: Option<Direction>,
    percent_read: u8,
    current: Direction,
    picked: [u64; 2],
    /// The present direction is kept until so many of it were picked.
    until: u64,
    rng: Tausworthe,
}

impl Mix {
    pub(super) fn new(job: &Job, seeds: &Seeds) -> Self {
        let only = match (job.rw.reads(), job.rw.writes()) {
            (true, true) => None,
            (true, false) => Some(Direction::Read),
            (false, _) => Some(Direction::Write),
        };
        Mix {
            only,
            percent_read: job.rwmixread,
            current: Direction::Read,
            picked: [0; 2],
            until: 0,
            rng: seeds.narrow(Purpose::Mix),
        }
    }

    #[inline]
    pub(super) fn next(&mut self, steer: &mut impl FnMut(Direction) -> Direction) -> Direction {
        if let Some(only) = self.only {
            return only;
        }
        if self.picked[self.current as usize] >= self.until {
            let drawn = match self.rng.percent() <= self.percent_read {
                true => Direction::Read,
                false => Direction::Write,
            };
            if drawn != self.current {
                let other = match self.current {
                    Direction::Read => 100 - self.percent_read,
                    Direction::Write => self.percent_read,
                };
                self.until = self.picked[self.current as usize] * u64::from(other) / 100;
            }
            self.current = drawn;
        }
        self.current = steer(self.current);
        self.current
    }

    #[inline]
    pub(super) fn picked(&mut self, direction: Direction) {
        self.picked[direction as usize] += 1;
    }

    pub(super) fn restart(&mut self, seeds: Option<&Seeds>) {
        self.until = 0;
        if let Some(seeds) = seeds {
            self.rng = seeds.narrow(Purpose::Mix);
        }
    }
}
