//! What of a file in memory would outlive a crash: the other side of UNSTABLE writes.
//!
//! A file is read as it was last written. Where that is not durable yet, its durable pages are
//! held apart here, from the first unstable write until a COMMIT drops them or a crash puts them
//! back. Anything that must be durable at once makes all of its file durable, as RFC 1813 §3.3.21
//! leaves a server free to.

use std::collections::BTreeMap;

use super::pages::{Page, PageMap, Pages};

/// The durable state of a file, as far as it differs from what is read.
#[derive(Debug)]
pub(super) struct Durable {
    size: u64,
    /// By index in the file; `None` is a hole.
    pages: BTreeMap<usize, Option<Page>>,
}

impl Durable {
    /// Of a file that is durable as a whole so far.
    pub(super) fn new(size: u64) -> Self {
        Self { size, pages: BTreeMap::new() }
    }

    /// A page is about to be written. False: there is no memory to hold its durable state.
    #[must_use]
    pub(super) fn hold(&mut self, index: usize, map: &PageMap, pages: &mut Pages) -> bool {
        if self.pages.contains_key(&index) {
            return true;
        }
        let held = match map.get(index) {
            None => None,
            Some(page) => match pages.copy(page) {
                Some(copy) => Some(copy),
                None => return false,
            },
        };
        self.pages.insert(index, held);
        true
    }

    /// What is read is durable now.
    pub(super) fn forget(self, pages: &mut Pages) {
        self.pages.into_values().flatten().for_each(|page| pages.give(page));
    }

    /// The crash: the durable pages are put back. Returns the file's size.
    pub(super) fn restore(self, map: &mut PageMap, pages: &mut Pages) -> u64 {
        for (index, page) in self.pages {
            if let Some(lost) = map.replace(index, page) {
                pages.give(lost);
            }
        }
        self.size
    }
}
