//! Before the run: open, ask for space, lay out.

use super::log::Logger;
use super::slots::Work;
use super::{EINVAL, ENOSPC, Limits, Runner};
use crate::backend::Backend;
use crate::generate::Generator;
use crate::job;

/// Layout writes in flight.
pub(super) const LAYOUT_DEPTH: u32 = 16;
/// Largest layout write.
const LAYOUT_CHUNK_BYTES_MAX: u32 = 1 << 20;
/// Smallest, when the buffer pool has none larger.
const LAYOUT_CHUNK_BYTES_MIN: u32 = 512;

pub(super) fn layout_chunk(limits: &Limits) -> u32 {
    limits.payload_bytes_max.min(LAYOUT_CHUNK_BYTES_MAX)
}

impl<B: Backend> Runner<B> {
    pub(super) fn make_open(&mut self, now_ns: u64) -> Option<u32> {
        if self.cursor == self.files.len() as u64 {
            self.exhausted = true;
            return None;
        }
        let slot = self.slots.make(Work::Open, self.cursor as u32, now_ns)?;
        self.cursor += 1;
        Some(slot)
    }

    /// A file that is to be written, or laid out, is made when it is absent.
    pub(super) fn creates_files(&self) -> bool {
        let sized = self.job.size.is_some() || self.job.filesize.is_some();
        let fills = self.job.rw.writes() || self.job.verify == job::Verify::None;
        sized && fills && !self.job.only_checks()
    }

    /// Every file is open: where to work, and what is missing.
    pub(super) fn plan(&mut self) {
        if let Err(message) = self.try_plan() {
            self.fail(EINVAL, message);
        }
    }

    fn try_plan(&mut self) -> Result<(), String> {
        let regions = self.regions()?;
        for (file, region) in self.files.iter_mut().zip(&regions) {
            file.end = region.offset + region.len;
            self.missing_bytes += file.end.saturating_sub(file.size_bytes);
        }
        self.verify.plan(&self.job, &regions)?;
        self.generator = Some(Generator::new(&self.job, regions, self.thread)?);
        self.set_limits();
        let expected = (!self.job.time_based)
            .then(|| self.loop_bytes_all / u64::from(self.job.block_bytes_min()));
        self.logger = Logger::new(&self.job, self.thread, expected.map(|ios| 2 * ios + 64));
        Ok(())
    }

    pub(super) fn make_space(&mut self, now_ns: u64) -> Option<u32> {
        self.exhausted = true;
        self.slots.make(Work::Space, 0, now_ns)
    }

    pub(super) fn check_space(&mut self, available: u64) {
        let needed = self.missing_bytes;
        if available < needed {
            self.fail(
                ENOSPC,
                format!("its files need {needed} more bytes, the server has {available} free; use a smaller size="),
            );
        }
    }

    /// The next chunk of the first file that is too short.
    pub(super) fn make_layout(&mut self, now_ns: u64, backend: &mut B) -> Option<u32> {
        let short = |file: &super::JobFile<B::File>| file.size_bytes < file.end;
        let Some(index) = self.files[self.cursor as usize..].iter().position(short) else {
            self.exhausted = true;
            return None;
        };
        self.cursor += index as u64;
        let super::JobFile { size_bytes: offset, end, .. } = self.files[self.cursor as usize];
        let len = (end - offset).min(self.layout_chunk.into()) as u32;
        if !self.prime(now_ns, backend) {
            // The pool may have only smaller buffers than a mount's payload.
            if self.in_flight == 0 && self.layout_chunk > LAYOUT_CHUNK_BYTES_MIN {
                self.layout_chunk /= 2;
            }
            return None;
        }
        let slot = self.slots.make(Work::Layout, self.cursor as u32, now_ns)?;
        self.files[self.cursor as usize].size_bytes += u64::from(len);
        self.set_range(slot, offset, len);
        self.stamp(slot);
        Some(slot)
    }
}
