//! Reading back what was written, block by block, in order.

use super::slots::Work;
use super::{EILSEQ, Runner};
use crate::backend::Backend;
use crate::generate::Direction;
use crate::verify::Stamp;

impl<B: Backend> Runner<B> {
    pub(super) fn make_check(&mut self, now_ns: u64, backend: &mut B) -> Option<u32> {
        let next = self.written.as_ref().and_then(|w| w.next_written(self.cursor));
        let (Some(block), Some(generator)) = (next, &self.generator) else {
            self.exhausted = true;
            return None;
        };
        let space = generator.space(Direction::Write);
        let (len, (file, offset)) = (space.bs(), space.locate(block));
        if !self.prime(now_ns, backend) {
            return None;
        }
        let slot = self.slots.make(Work::Check, file, now_ns)?;
        self.slots.get(slot).block = block;
        self.set_range(slot, offset, len);
        self.cursor = block + 1;
        Some(slot)
    }

    /// A read that is looked at: the check after writing, or a job that only reads.
    pub(super) fn is_checked(&self, work: Work) -> bool {
        match work {
            Work::Check => true,
            Work::Read => self.verifier.is_on() && !self.job.rw.writes(),
            _ => false,
        }
    }

    /// Looks at the block that `index` has read, in one answer or in several.
    pub(super) fn check_block(&mut self, index: u32) {
        let slot = self.slots.get(index);
        let (len, file) = (slot.whole_len, slot.file);
        let offset = slot.offset + u64::from(slot.len) - u64::from(len);
        let generation = match (&self.written, slot.work) {
            (Some(written), Work::Check) => written.generation(slot.block),
            _ => None,
        };
        let Some(buf) = &slot.buf else { return };
        let last = &buf.as_ref()[..slot.len as usize];
        let block = match slot.partial.is_empty() {
            true => last,
            false => {
                slot.partial.extend_from_slice(last);
                &slot.partial
            }
        };
        let Err(found) = self.verifier.check(block, Stamp { offset, generation }) else {
            return;
        };
        let path = &self.files[file as usize].path;
        let message =
            format!("verify of '{path}' failed at offset {offset}, length {len}: {found}");
        self.fail(EILSEQ, message);
    }
}
