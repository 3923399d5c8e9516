//! `random_distribution=zoned` and `zoned_abs`: so much of the accesses to such a part of the file.

use crate::job::{Distribution, Zone};

/// For each hundredth of the accesses, the zone it falls into.
#[derive(Debug)]
pub(super) struct Zones {
    /// Begin and end of the zone, in percent of the file or in bytes.
    of_percent: [(u64, u64); 100],
    absolute: bool,
}

impl Zones {
    /// Of both directions; `None` where all blocks are equally likely.
    pub(super) fn of(distribution: &Distribution) -> [Option<Zones>; 2] {
        let (zones, absolute) = match distribution {
            Distribution::Zoned(zones) => (zones, false),
            Distribution::ZonedAbsolute(zones) => (zones, true),
            _ => return [None, None],
        };
        [0, 1].map(|d: usize| (!zones[d].is_empty()).then(|| Zones::new(&zones[d], absolute)))
    }

    fn new(zones: &[Zone], absolute: bool) -> Self {
        let mut of_percent = [(0, 0); 100];
        let (mut filled, mut begin) = (0, 0);
        for zone in zones {
            let end = begin + zone.size;
            for entry in of_percent.iter_mut().skip(filled).take(zone.access_percent.into()) {
                *entry = (begin, end);
            }
            filled += usize::from(zone.access_percent);
            begin = end;
        }
        Zones { of_percent, absolute }
    }

    /// Do they fit into a region of so many bytes?
    pub(super) fn check(&self, len: u64) -> Result<(), String> {
        let end = self.of_percent.iter().map(|zone| zone.1).max().unwrap_or(0);
        match self.absolute && end > len {
            true => Err(format!(
                "random_distribution=zoned_abs: the zones end at byte {end}, the file's part at {len}"
            )),
            false => Ok(()),
        }
    }

    /// First block and number of blocks of the zone that accesses of this percent (from 1) go to.
    pub(super) fn blocks(&self, percent: u8, blocks: u64, align: u64) -> Option<(u64, u64)> {
        let (begin, end) = *self.of_percent.get(usize::from(percent) - 1)?;
        Some(match self.absolute {
            true => (begin / align, end / align - begin / align),
            false => (begin * blocks / 100, blocks * (end - begin) / 100),
        })
    }
}
