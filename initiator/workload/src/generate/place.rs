//! Where the next operation is, in a file and a direction that are settled.

use super::{Direction, Generator, Place};

/// An offset below the region's start, and whether it was drawn, not counted.
#[derive(Clone, Copy)]
struct Found {
    within: u64,
    random: bool,
    /// It may be in a block that this pass has visited.
    again: bool,
}

impl Generator {
    /// Offset and length of the next operation in `file`; `None` when there is none left.
    #[inline]
    pub(super) fn next_in(&mut self, file: usize, direction: Direction) -> Option<(u64, u32)> {
        let found = self.find(file, direction as usize)?;
        let region = &self.places[file].region;
        let offset = found.within + region.offset;
        if found.within >= region.len || offset >= region.file_bytes {
            return None;
        }
        let sizes_of = match (self.rules.size_by_order, found.random) {
            (false, _) => direction as usize,
            (true, random) => usize::from(random),
        };
        let len = self.sizes[sizes_of].next(region.len - found.within)?;
        if offset + u64::from(len) > region.file_bytes {
            return None;
        }
        Some((offset, self.mark(file, direction as usize, found, len)))
    }

    /// Notes the visit; it ends where a block begins that was visited before.
    #[inline]
    fn mark(&mut self, file: usize, direction: usize, found: Found, len: u32) -> u32 {
        let Some(map) = self.places[file].map.as_mut().filter(|_| !found.again) else {
            return len;
        };
        let unit = self.rules.block_min[direction];
        let blocks = u64::from(len).div_ceil(unit);
        let marked = map.mark(found.within / unit, blocks);
        (marked.max(1) * unit).min(len.into()) as u32
    }

    #[inline]
    fn find(&mut self, file: usize, direction: usize) -> Option<Found> {
        let jumps = match self.rules.sequence_every {
            0 => false,
            1 => true,
            every => {
                self.until_jump -= 1;
                let jumps = self.until_jump == 0;
                if jumps {
                    self.until_jump = every;
                }
                jumps
            }
        };
        let random = self.rules.random;
        if !jumps {
            return self.stay(file, direction);
        }
        if !random {
            let within = self.in_order(file, direction)?;
            return Some(Found { within, random: false, again: false });
        }
        if self.jumps_at_random(direction) {
            let within = self.at_random(file, direction)?;
            return Some(Found { within, random: true, again: false });
        }
        let within = self.in_order(file, direction).or_else(|| self.at_random(file, direction))?;
        Some(Found { within, random: false, again: true })
    }

    /// Between the jumps of `rw=randread:N`.
    fn stay(&mut self, file: usize, direction: usize) -> Option<Found> {
        let place = &self.places[file];
        let within = if self.rules.sequence_identical {
            place.last_start[direction].map_or(0, |start| start - place.region.offset)
        } else {
            self.in_order(file, direction).or_else(|| self.at_random(file, direction))?
        };
        Some(Found { within, random: false, again: true })
    }

    #[inline]
    fn jumps_at_random(&mut self, direction: usize) -> bool {
        let percent = self.rules.percent_random[direction];
        percent == 100 || self.order[direction].percent() <= percent
    }

    /// After the last operation of the direction.
    fn in_order(&mut self, file: usize, direction: usize) -> Option<u64> {
        let (add, single) = (self.rules.sequence_add, self.places.len() == 1);
        let Place { region, last_end, .. } = &mut self.places[file];
        let end = &mut last_end[direction];
        if self.rules.time_based && single && *end >= region.len + region.offset {
            *end = region.offset;
        }
        if *end >= region.file_bytes {
            return None;
        }
        // Backwards from the end, when it begins.
        let top = region.len.min(region.file_bytes);
        if *end == region.offset && region.offset > 0 && add < 0 {
            *end = top;
        }
        let within = end.saturating_sub(region.offset);
        if within == 0 || add == 0 {
            return Some(within);
        }
        let stepped = within.wrapping_add_signed(add);
        if stepped < region.file_bytes {
            return Some(stepped);
        }
        Some(if add > 0 { region.offset } else { top.wrapping_add_signed(add) })
    }

    #[inline]
    fn at_random(&mut self, file: usize, direction: usize) -> Option<u64> {
        let drawn = self.draw(file, direction);
        let block = match drawn {
            None if self.rules.time_based || self.files.reuses() => {
                self.places[file].reset();
                self.draw(file, direction)
            }
            drawn => drawn,
        };
        Some(block? * self.rules.align[direction])
    }

    /// A block that this pass has not visited.
    #[inline]
    fn draw(&mut self, file: usize, direction: usize) -> Option<u64> {
        let place = &mut self.places[file];
        if let Some(skew) = &mut place.skew {
            return Some(skew.next());
        }
        let (align, smallest) = (self.rules.align[direction], self.rules.block_min[direction]);
        let bytes = place.region.len.min(place.region.file_bytes);
        let blocks = bytes.saturating_sub(smallest.saturating_sub(align)) / align;
        if blocks == 0 {
            return None;
        }
        let (first, count) = match &self.rules.zones[direction] {
            None => (0, blocks),
            Some(zones) => zones.blocks(self.zone.percent(), blocks, align)?,
        };
        let block = match &mut place.lfsr {
            Some(lfsr) => lfsr.next()?,
            None => (count as f64 * self.offsets.unit()) as u64,
        };
        match &place.map {
            Some(map) if map.has(block) => map.free_after(block),
            _ => Some(first + block),
        }
    }
}
