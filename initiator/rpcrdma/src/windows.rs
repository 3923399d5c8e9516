//! Keys per I/O: one memory window for each request slot of a connection.
//!
//! A slot's window is bound in the chain of its Send and invalidated by the server, or by us when
//! its Reply leaves that to us, before the caller sees the result. If that fails the connection
//! ends (RFC 8166 §4.5.4), and its windows with it: the next one gets its own.

use verbs::{MemoryWindow, ProtectionDomain, RegionHandle, WindowHandle};

use crate::Error;

/// The windows of one queue pair; dropped no later than it.
pub(crate) struct Windows<D: ProtectionDomain> {
    list: Vec<D::Window>,
    region: Option<RegionHandle>,
}

impl<D: ProtectionDomain> Windows<D> {
    /// None: chunks go by the region's own key.
    pub(crate) fn none() -> Self {
        Self { list: Vec::new(), region: None }
    }

    /// One for each of `count` slots, to be bound to parts of `region`.
    pub(crate) fn new(domain: &D, region: RegionHandle, count: u32) -> Result<Self, Error> {
        let list = (0..count).map(|_| domain.new_window()).collect::<Result<_, _>>()?;
        Ok(Self { list, region: Some(region) })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.list.len() as u64
    }

    /// Their keys before the first bind, in the order of slots.
    pub(crate) fn keys(&self) -> impl Iterator<Item = u32> {
        self.list.iter().map(MemoryWindow::rkey)
    }

    /// The window of a slot and the region that it opens parts of.
    #[inline]
    pub(crate) fn of(&self, slot: u32) -> Option<(WindowHandle, RegionHandle)> {
        Some((self.list.get(slot as usize)?.handle(), self.region?))
    }

    /// Send Queue entries that a call with a chunk takes.
    #[inline]
    pub(crate) fn wrs_per_call(&self) -> u32 {
        if self.list.is_empty() { 1 } else { 2 }
    }
}
