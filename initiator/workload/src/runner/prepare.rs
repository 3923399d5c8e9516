//! Before the run: open, ask for space, lay out.

use super::slots::Work;
use super::{EINVAL, ENOSPC, Limits, Runner};
use crate::backend::Backend;
use crate::generate::{Generator, Region};
use crate::job::Verify;
use crate::verify::WrittenMap;

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
        self.job.rw.writes() || (self.job.size.is_some() && self.job.verify == Verify::None)
    }

    /// Every file is open: where to work, and what is missing.
    pub(super) fn plan(&mut self) {
        let mut regions = Vec::with_capacity(self.files.len());
        for index in 0..self.files.len() {
            match self.region(index) {
                Ok(region) => regions.push(region),
                Err(message) => return self.fail(EINVAL, message),
            }
        }
        for (file, region) in self.files.iter().zip(&regions) {
            let end = region.offset + region.len;
            self.missing_bytes += end.saturating_sub(file.size_bytes);
        }
        let generator = Generator::new(&self.job, &regions, self.seed);
        if self.verifier.is_on() && self.job.rw.writes() {
            let blocks = generator.space(crate::generate::Direction::Write).blocks();
            self.written = Some(WrittenMap::new(blocks));
        }
        self.generator = Some(generator);
    }

    fn region(&self, index: usize) -> Result<Region, String> {
        let file = &self.files[index];
        let (offset, path, has) = (self.job.offset, &file.path, file.size_bytes);
        let Some(len) = self.job.file_bytes() else {
            let len = has.saturating_sub(offset);
            return match len >= u64::from(self.job.bs[0]) {
                true => Ok(Region { offset, len }),
                false => Err(format!(
                    "'{path}' has {has} bytes, less than a block after offset={offset}; give size= to have it laid out"
                )),
            };
        };
        if !self.job.rw.writes() && self.verifier.is_on() && has < offset + len {
            return Err(format!(
                "'{path}' has {has} bytes and the job verifies {}; write it first, with the same verify=",
                offset + len
            ));
        }
        Ok(Region { offset, len })
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
        let end = self.job.offset + self.job.file_bytes().unwrap_or(0);
        let short = |file: &super::JobFile<B::File>| file.size_bytes < end;
        let Some(index) = self.files[self.cursor as usize..].iter().position(short) else {
            self.exhausted = true;
            return None;
        };
        self.cursor += index as u64;
        let offset = self.files[self.cursor as usize].size_bytes;
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
