//! The memory behind [`MemFs`](super::MemFs): pages from slabs, and the map from a file's
//! offsets to its pages.
//!
//! A slab is one anonymous mapping that asks for transparent huge pages; it is made when pages
//! run out and lives as long as the file system. A page knows nothing of its file. Reading and
//! overwriting resident data allocates nothing.

use std::io;

use memmap2::{Advice, MmapMut};

/// Bytes in a page, the unit a sparse file is allocated in.
pub(super) const PAGE_BYTES: usize = 64 << 10;
const SLAB_PAGES: usize = 512;
/// Pages one leaf of a [`PageMap`] covers: 32 MiB of file.
const LEAF_PAGES: usize = 512;
/// Largest file: a full root of a [`PageMap`] is then 4 MiB.
pub(super) const FILE_BYTES_MAX: u64 = 16 << 40;

/// A page, by number; 0 is a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page(u32);

/// All pages of a file system.
#[derive(Debug)]
pub(super) struct Pages {
    slabs: Vec<MmapMut>,
    /// Given back, content undefined.
    free: Vec<Page>,
    /// Pages ever taken from slabs; those above are still zero.
    carved: usize,
    used: usize,
    capacity: usize,
}

impl Pages {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        let capacity = capacity_bytes / PAGE_BYTES as u64;
        Self {
            slabs: Vec::new(),
            free: Vec::new(),
            carved: 0,
            used: 0,
            capacity: capacity.min(u64::from(u32::MAX - 1)) as usize,
        }
    }

    pub(super) fn capacity_bytes(&self) -> u64 {
        self.capacity as u64 * PAGE_BYTES as u64
    }

    pub(super) fn free_bytes(&self) -> u64 {
        (self.capacity - self.used) as u64 * PAGE_BYTES as u64
    }

    /// A zeroed page, or `None` when the capacity is used up or the host refuses memory.
    pub(super) fn take(&mut self) -> Option<Page> {
        if self.used == self.capacity {
            return None;
        }
        let page = match self.free.pop() {
            Some(page) => {
                self.bytes_mut(page).fill(0);
                page
            }
            None => self.carve().ok()?,
        };
        self.used += 1;
        Some(page)
    }

    /// Another page with the same bytes.
    pub(super) fn copy(&mut self, page: Page) -> Option<Page> {
        let copy = self.take()?;
        let bytes: Box<[u8]> = self.bytes(page).into();
        self.bytes_mut(copy).copy_from_slice(&bytes);
        Some(copy)
    }

    pub(super) fn give(&mut self, page: Page) {
        self.used -= 1;
        self.free.push(page);
    }

    pub(super) fn bytes(&self, page: Page) -> &[u8] {
        let (slab, start) = Self::place(page);
        &self.slabs[slab][start..start + PAGE_BYTES]
    }

    pub(super) fn bytes_mut(&mut self, page: Page) -> &mut [u8] {
        let (slab, start) = Self::place(page);
        &mut self.slabs[slab][start..start + PAGE_BYTES]
    }

    fn place(page: Page) -> (usize, usize) {
        let index = page.0 as usize - 1;
        (index / SLAB_PAGES, index % SLAB_PAGES * PAGE_BYTES)
    }

    fn carve(&mut self) -> io::Result<Page> {
        if self.carved == self.slabs.len() * SLAB_PAGES {
            let slab = MmapMut::map_anon(SLAB_PAGES * PAGE_BYTES)?;
            // A hint only: kernels without transparent huge pages refuse it.
            let _ = slab.advise(Advice::HugePage);
            self.slabs.push(slab);
        }
        self.carved += 1;
        Ok(Page(self.carved as u32))
    }
}

/// Where a file's pages are: a root of leaves, so that the map of a sparse file is sparse too.
#[derive(Debug, Default)]
pub(super) struct PageMap {
    leaves: Vec<Option<Box<Leaf>>>,
    resident: usize,
}

type Leaf = [Option<PageSlot>; LEAF_PAGES];
/// Non-zero, so that a leaf takes 4 bytes a page.
type PageSlot = std::num::NonZeroU32;

impl PageMap {
    /// The page that holds `index * PAGE_BYTES`, unless that is a hole.
    pub(super) fn get(&self, index: usize) -> Option<Page> {
        let leaf = self.leaves.get(index / LEAF_PAGES)?.as_deref()?;
        leaf[index % LEAF_PAGES].map(|slot| Page(slot.get()))
    }

    pub(super) fn resident_bytes(&self) -> u64 {
        self.resident as u64 * PAGE_BYTES as u64
    }

    /// The same, taking a zeroed page for a hole.
    pub(super) fn get_or_take(&mut self, index: usize, pages: &mut Pages) -> Option<Page> {
        if let Some(page) = self.get(index) {
            return Some(page);
        }
        let page = pages.take()?;
        let root = index / LEAF_PAGES;
        if self.leaves.len() <= root {
            self.leaves.resize_with(root + 1, || None);
        }
        let leaf = self.leaves[root].get_or_insert_with(|| Box::new([None; LEAF_PAGES]));
        leaf[index % LEAF_PAGES] = PageSlot::new(page.0);
        self.resident += 1;
        Some(page)
    }

    /// Puts a page, or a hole, in place of another. There was a page there at some time.
    pub(super) fn replace(&mut self, index: usize, page: Option<Page>) -> Option<Page> {
        let leaf = self.leaves.get_mut(index / LEAF_PAGES)?.as_deref_mut()?;
        let slot = &mut leaf[index % LEAF_PAGES];
        let before = std::mem::replace(slot, page.and_then(|page| PageSlot::new(page.0)));
        self.resident = self.resident + usize::from(slot.is_some()) - usize::from(before.is_some());
        before.map(|slot| Page(slot.get()))
    }

    /// Gives back every page from `first` on.
    pub(super) fn truncate(&mut self, first: usize, pages: &mut Pages) {
        let (root, within) = (first / LEAF_PAGES, first % LEAF_PAGES);
        for (number, leaf) in self.leaves.iter_mut().enumerate().skip(root) {
            let Some(leaf) = leaf else { continue };
            let from = if number == root { within } else { 0 };
            for slot in leaf[from..].iter_mut().filter_map(Option::take) {
                pages.give(Page(slot.get()));
                self.resident -= 1;
            }
        }
        self.leaves.truncate(root + usize::from(within > 0));
    }
}
