//! Registrations by key: who may touch which memory.
//!
//! Held for reading while bytes are copied and for writing to register and deregister, so memory
//! is never touched after its region is gone.

mod windows;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Access, Sge};
use windows::{WINDOW, WindowTable};

/// A key is `index << 12 | generation << 1 | remote`, below those of windows. The local and the remote key of a region
/// differ, which no card promises but which catches one given for the other.
const GENERATION_BITS: u32 = 11;
const INDEX_SHIFT: u32 = GENERATION_BITS + 1;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;
/// Most live registrations on a fabric.
const REGIONS_MAX: usize = (WINDOW >> INDEX_SHIFT) as usize;
/// An index rests until this many others were freed after it: with the generation, two million
/// registrations pass before a key comes again.
const RESTING_MIN: usize = 1024;

/// All registrations of a fabric.
#[derive(Default)]
pub(super) struct KeyTable {
    entries: Vec<Entry>,
    resting: VecDeque<u32>,
    windows: WindowTable,
}

struct Entry {
    live: bool,
    /// Atomic because a peer ends it while the table is held for reading.
    remote_valid: AtomicBool,
    generation: u32,
    domain: u32,
    addr: u64,
    len: u64,
    access: Access,
}

/// The two keys of a registration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pub(super) lkey: u32,
    pub(super) rkey: u32,
}

impl KeyTable {
    /// `None` when the table is full.
    pub(super) fn register(
        &mut self,
        domain: u32,
        addr: u64,
        len: u64,
        access: Access,
    ) -> Option<Keys> {
        let (index, generation) = self.claim()?;
        let remote_valid = AtomicBool::new(true);
        let entry = Entry { live: true, remote_valid, generation, domain, addr, len, access };
        if index == self.entries.len() {
            self.entries.push(entry);
        } else {
            self.entries[index] = entry;
        }
        let lkey = (index as u32) << INDEX_SHIFT | generation << 1;
        Some(Keys { lkey, rkey: lkey | 1 })
    }

    fn claim(&mut self) -> Option<(usize, u32)> {
        let full = self.entries.len() == REGIONS_MAX;
        if (full && !self.resting.is_empty()) || self.resting.len() > RESTING_MIN {
            let index = self.resting.pop_front()? as usize;
            let next = (self.entries[index].generation + 1) & GENERATION_MASK;
            return Some((index, next.max(1)));
        }
        (!full).then_some((self.entries.len(), 1))
    }

    /// Ends the registration that `lkey` names, if it lives.
    pub(super) fn deregister(&mut self, lkey: u32) {
        if self.find(lkey).is_some() {
            let index = lkey >> INDEX_SHIFT;
            self.entries[index as usize].live = false;
            self.resting.push_back(index);
        }
    }

    /// How many regions and windows there are.
    pub(super) fn live(&self) -> (usize, usize) {
        let regions = self.entries.iter().filter(|entry| entry.live).count();
        (regions, self.windows.live())
    }

    /// Ends a remote key from afar. Ordinary regions stay readable and writable locally.
    pub(super) fn invalidate_remote(&self, domain: u32, rkey: u32) -> bool {
        self.find_remote(domain, rkey)
            .is_some_and(|entry| entry.remote_valid.swap(false, Ordering::Relaxed))
    }

    /// Whether queue pairs of `domain` may use this SGE. An empty SGE needs no key.
    pub(super) fn allows_local(&self, domain: u32, sge: &Sge, write: bool) -> bool {
        if sge.length == 0 {
            return true;
        }
        let entry = if sge.lkey & 1 == 0 { self.find(sge.lkey) } else { None };
        entry.is_some_and(|entry| {
            entry.domain == domain
                && entry.covers(sge.addr, u64::from(sge.length))
                && (!write || entry.access.local_write)
        })
    }

    /// Whether the peer of the queue pair `qp_num`, of `domain`, may reach `len` bytes at `addr`.
    pub(super) fn allows_remote(
        &self,
        (qp_num, domain): (u32, u32),
        rkey: u32,
        addr: u64,
        len: u32,
        write: bool,
    ) -> bool {
        if len == 0 {
            return true;
        }
        if rkey & WINDOW != 0 {
            return self.allows_window(qp_num, rkey, addr, len, write);
        }
        self.find_remote(domain, rkey).is_some_and(|entry| {
            let granted = if write { entry.access.remote_write } else { entry.access.remote_read };
            granted && entry.covers(addr, u64::from(len))
        })
    }

    fn find_remote(&self, domain: u32, rkey: u32) -> Option<&Entry> {
        let entry = if rkey & 1 == 1 { self.find(rkey) } else { None };
        entry.filter(|entry| entry.domain == domain && entry.remote_valid.load(Ordering::Relaxed))
    }

    fn find(&self, key: u32) -> Option<&Entry> {
        let entry = self.entries.get((key >> INDEX_SHIFT) as usize)?;
        let generation = (key >> 1) & GENERATION_MASK;
        (entry.live && entry.generation == generation).then_some(entry)
    }
}

impl Entry {
    fn covers(&self, addr: u64, len: u64) -> bool {
        addr.checked_sub(self.addr)
            .is_some_and(|offset| offset <= self.len && len <= self.len - offset)
    }
}

#[cfg(test)]
mod tests;
