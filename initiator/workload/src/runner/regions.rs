//! Which part of each file a job works on, once the files are open.

use super::Runner;
use crate::backend::Backend;
use crate::generate::Region;
use crate::random::{Purpose, Seeds, Tausworthe};

impl<B: Backend> Runner<B> {
    /// A region for each file.
    pub(super) fn regions(&self) -> Result<Vec<Region>, String> {
        let seeds = Seeds::new(&self.job.random, self.thread, self.job.rw.random());
        let mut sizes = seeds.stream(Purpose::FileSize);
        let smallest = u64::from(self.job.block_bytes_min());
        let count = u64::from(self.job.file_count());
        let each = self.job.file_bytes().unwrap_or(0);
        // What does not divide makes the first files a block longer.
        let over = self.job.size.map_or(0, |size| (size - each * count) / smallest);
        (0..self.files.len())
            .map(|index| {
                let extra = if (index as u64) < over { smallest } else { 0 };
                self.region(index, each + extra, &mut sizes)
            })
            .collect()
    }

    fn region(&self, index: usize, each: u64, sizes: &mut Tausworthe) -> Result<Region, String> {
        let file = &self.files[index];
        let (path, has) = (&file.path, file.size_bytes);
        let offset = self.offset(has);
        let smallest = u64::from(self.job.block_bytes_min());
        let mut len = match self.job.filesize {
            None if self.job.size.is_some() => each,
            None => has.saturating_sub(offset),
            Some((low, high)) if has < low || has > high => {
                let drawn = (high - low) as f64 * sizes.unit();
                let bytes = low + drawn as u64;
                let even = if low == high { bytes } else { bytes - bytes % smallest };
                even.saturating_sub(offset)
            }
            Some(_) => has.saturating_sub(offset),
        };
        if let Some(percent) = self.job.size_percent.filter(|&percent| percent < 100) {
            let part = (len + offset) / 100 * u64::from(percent)
                + (len + offset) % 100 * u64::from(percent) / 100;
            len = part.min(len) / smallest * smallest;
        }
        if len < smallest {
            return Err(format!(
                "'{path}' has {has} bytes, less than a block after offset={offset}; give size= to have it laid out"
            ));
        }
        let end = offset + len;
        let needs_all = !self.job.rw.writes() && !self.job.verify_options.state_load;
        if needs_all && self.verify.verifier.is_on() && has < end {
            return Err(format!(
                "'{path}' has {has} bytes and the job verifies {end}; write it first, with the same verify="
            ));
        }
        Ok(Region { name: path.clone(), offset, len, file_bytes: has.max(end) })
    }

    /// Where in a file that has so many bytes the job begins.
    fn offset(&self, has: u64) -> u64 {
        let later = self.job.offset_increment * u64::from(self.number);
        let Some(percent) = self.job.offset_percent else {
            return self.job.offset + later;
        };
        let align = self.job.offset_align.unwrap_or(self.job.block_bytes_min().into());
        let raw = (u128::from(has) * u128::from(percent) / 100) as u64 + later;
        raw.next_multiple_of(align)
    }

    /// What ends a pass, and the run. A pass goes over `size` once, or, where blocks may repeat, over
    /// as much as is asked for; one that checks as it goes has room for both.
    pub(super) fn set_limits(&mut self) {
        let pass = self.generator.as_ref().map_or(0, |generator| generator.pass_bytes());
        let size = self.job.size.map_or(pass, |size| size.min(pass));
        let all = self.loop_bytes();
        let repeats = self.job.rw.writes() && self.job.rw.random() && !self.job.has_random_map();
        self.pass_limit = if repeats { size.max(all) } else { size };
        self.loop_bytes_all = all.saturating_mul(self.job.loops.into());
    }

    /// Bytes of one loop.
    pub(super) fn loop_bytes(&self) -> u64 {
        let pass = self.generator.as_ref().map_or(0, |generator| generator.pass_bytes());
        let size = self.job.size.map_or(pass, |size| size.min(pass));
        match (self.job.io_size, self.job.io_size_percent) {
            (Some(bytes), _) => bytes,
            (None, Some(percent)) => {
                size / 100 * u64::from(percent) + size % 100 * u64::from(percent) / 100
            }
            (None, None) => size,
        }
    }
}
