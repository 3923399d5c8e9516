//! Memory that is not of the connection's pool: registered on first use, and kept registered for
//! the next.
//!
//! To register memory is a system call that pins pages, so it is done once and the registration
//! kept, up to a bound; beyond it the one that was used longest ago goes, among those that no call
//! uses. A piece that is lent holds its registration, so none goes while a Send, a chunk or a
//! window refers to it. What nobody but this cache holds any more is let go by the clock.
//!
//! Registrations belong to a protection domain: they outlive queue pairs, and end with the device.

use std::rc::Rc;

use hugepages::{Keys, Region};
use verbs::{Access, MemoryRegion, ProtectionDomain, RegionHandle};

use crate::call::Refusal;
use crate::memory::{is_out_of_memory, not_registered};
use crate::stats::Counters;

/// What a call needs to know of a registration; holding it keeps it.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) keys: Keys,
    /// To bind windows to it.
    pub(crate) handle: Option<RegionHandle>,
}

/// The registrations of one protection domain.
pub(crate) struct Registrations<D: ProtectionDomain> {
    list: Vec<Entry<D>>,
    max: usize,
    uses: u64,
}

struct Entry<D: ProtectionDomain> {
    registered: Rc<Registered>,
    /// Dropped before the memory that it covers.
    _registration: D::Region,
    memory: Rc<Region>,
    used: u64,
}

impl<D: ProtectionDomain> Entry<D> {
    /// Whether no call uses it.
    fn is_idle(&self) -> bool {
        Rc::strong_count(&self.registered) == 1
    }

    /// Whether nobody could ever use it again.
    fn is_forgotten(&self) -> bool {
        self.is_idle() && Rc::strong_count(&self.memory) == 1
    }
}

/// How memory is to be registered.
pub(crate) struct Terms<'a, D> {
    pub(crate) domain: &'a D,
    pub(crate) access: Access,
    /// Windows are to be bound to it.
    pub(crate) bindable: bool,
}

impl<D: ProtectionDomain> Registrations<D> {
    /// Room for `max`.
    pub(crate) fn new(max: u32) -> Self {
        Self { list: Vec::new(), max: max as usize, uses: 0 }
    }

    /// The registration of this memory, made if there is none.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when there are as many as there may be and calls use them all; otherwise
    /// why the device refused.
    pub(crate) fn get(
        &mut self,
        memory: &Rc<Region>,
        terms: &Terms<'_, D>,
        counters: &mut Counters,
    ) -> Result<Rc<Registered>, Refusal> {
        self.uses += 1;
        if let Some(entry) = self.list.iter_mut().find(|entry| Rc::ptr_eq(&entry.memory, memory)) {
            entry.used = self.uses;
            return Ok(entry.registered.clone());
        }
        if self.list.len() >= self.max && !self.evict(counters) {
            counters.own_region_waits += 1;
            return Err(Refusal::Busy);
        }
        let registration = loop {
            // SAFETY: the entry keeps the region, and so its bytes mapped, for longer than the
            // registration (field order). References into it are made only by `Buffer`, which
            // exists only while nothing posted or advertised names its bytes.
            match unsafe { terms.domain.register(memory.addr(), memory.len(), terms.access) } {
                Ok(registration) => break registration,
                // Pages of idle memory may be unpinned for it.
                Err(error) if is_out_of_memory(&error) && self.evict(counters) => {}
                Err(error) => return Err(Refusal::Invalid(not_registered(memory, error).into())),
            }
        };
        let keys = Keys { lkey: registration.lkey(), rkey: registration.rkey() };
        let handle = terms.bindable.then(|| registration.handle());
        let registered = Rc::new(Registered { keys, handle });
        counters.hardway_register_count += memory.len() as u64;
        counters.own_regions_registered += 1;
        self.list.push(Entry {
            registered: registered.clone(),
            _registration: registration,
            memory: memory.clone(),
            used: self.uses,
        });
        Ok(registered)
    }

    /// Ends the registration that was used longest ago. False: calls use them all.
    fn evict(&mut self, counters: &mut Counters) -> bool {
        let idle = self.list.iter().enumerate().filter(|(_, entry)| entry.is_idle());
        let Some((at, _)) = idle.min_by_key(|(_, entry)| entry.used) else { return false };
        self.list.swap_remove(at);
        counters.own_regions_evicted += 1;
        true
    }

    /// Ends those of memory that nobody else holds any more.
    pub(crate) fn sweep(&mut self) {
        self.list.retain(|entry| !entry.is_forgotten());
    }

    /// Ends the registration of this memory, unless a call uses it.
    pub(crate) fn forget(&mut self, memory: &Rc<Region>) -> bool {
        let before = self.list.len();
        self.list.retain(|entry| !Rc::ptr_eq(&entry.memory, memory) || !entry.is_idle());
        self.list.len() < before
    }

    /// The domain ends: so do they all.
    pub(crate) fn clear(&mut self) {
        debug_assert!(self.list.iter().all(Entry::is_idle), "no queue pair is left to use them");
        self.list.clear();
    }
}

#[cfg(test)]
#[path = "registrations_tests.rs"]
mod tests;
