//! COMMIT of every file, after the layout and at the end.

use super::Runner;
use super::slots::Work;
use crate::backend::Backend;

impl<B: Backend> Runner<B> {
    pub(super) fn make_commit_all(&mut self, now_ns: u64) -> Option<u32> {
        if self.cursor == self.files.len() as u64 {
            self.exhausted = true;
            return None;
        }
        let slot = self.slots.make(Work::Commit, self.cursor as u32, now_ns)?;
        self.cursor += 1;
        Some(slot)
    }
}
