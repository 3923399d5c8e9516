//! Keys per I/O: memory windows for the request slots of a connection.
//!
//! Each slot has one; a slot that offers a chunk of several segments gets one more for each of
//! them, which it keeps. They are bound in the chain of the slot's Send and invalidated by the
//! server, or by us where its Reply leaves that to us, before the caller sees the result. If that
//! fails the connection ends (RFC 8166 §4.5.4), and its windows with it: the next one gets its own.

use verbs::{Bind, MemoryWindow, ProtectionDomain, RegionHandle, WindowAccess, next_rkey};
use wire::rpcrdma::Segment;

use crate::Error;
use crate::piece::SEGMENTS_MAX;
use crate::request::Key;

/// The windows of one queue pair; dropped no later than it.
pub(crate) struct Windows<D: ProtectionDomain> {
    list: Vec<D::Window>,
    /// Of slots that have offered several segments: for the second and on.
    more: Vec<Vec<D::Window>>,
    region: Option<RegionHandle>,
}

impl<D: ProtectionDomain> Windows<D> {
    /// None: chunks go by the region's own key.
    pub(crate) fn none() -> Self {
        Self { list: Vec::new(), more: Vec::new(), region: None }
    }

    /// One for each of `count` slots, to be bound to parts of `region` or of callers' own memory.
    pub(crate) fn new(domain: &D, region: RegionHandle, count: u32) -> Result<Self, Error> {
        let list = (0..count).map(|_| domain.new_window()).collect::<Result<_, _>>()?;
        let more = (0..count).map(|_| Vec::new()).collect();
        Ok(Self { list, more, region: Some(region) })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        (self.list.len() + self.more.iter().map(Vec::len).sum::<usize>()) as u64
    }

    /// Chunks go by keys of their own.
    #[inline]
    pub(crate) fn exist(&self) -> bool {
        self.region.is_some()
    }

    /// Keys of the slots' first windows before the first bind, in the order of slots.
    pub(crate) fn keys(&self) -> impl Iterator<Item = u32> {
        self.list.iter().map(MemoryWindow::rkey)
    }

    /// Makes windows until the slot has one for each of `count` segments; `keys` gets those of the
    /// new ones. Returns how many were made.
    pub(crate) fn extend(
        &mut self,
        domain: &D,
        slot: u32,
        count: usize,
        keys: &mut [Key; SEGMENTS_MAX],
    ) -> Result<u64, Error> {
        let Some(more) = self.more.get_mut(slot as usize) else { return Ok(0) };
        let before = more.len();
        while more.len() + 1 < count {
            let window = domain.new_window()?;
            keys[more.len() + 1] = Key { rkey: window.rkey(), bound: false };
            more.push(window);
        }
        Ok((more.len() - before) as u64)
    }

    // req: 8166-8.1-1
    /// How the server is to reach the segment at `place` of a chunk: through the slot's window for
    /// it, to be bound under its next key, which the segment is then told by; or, where there are
    /// no windows, by the key that it has. `region` is what it lies in, if not in the connection's
    /// pool.
    #[inline(always)]
    pub(crate) fn bind(
        &self,
        (slot, place): (u32, usize),
        key: &mut Key,
        segment: &mut Segment,
        region: Option<RegionHandle>,
        access: WindowAccess,
    ) -> Option<Bind> {
        let (window, region) = (self.of(slot, place)?.handle(), region.or(self.region)?);
        let new_rkey = next_rkey(key.rkey);
        *key = Key { rkey: new_rkey, bound: true };
        segment.handle = new_rkey;
        let Segment { length, offset: addr, .. } = *segment;
        Some(Bind { window, region, new_rkey, addr, length, access })
    }

    #[inline]
    fn of(&self, slot: u32, place: usize) -> Option<&D::Window> {
        match place {
            0 => self.list.get(slot as usize),
            _ => self.more.get(slot as usize)?.get(place - 1),
        }
    }

    /// Send Queue entries that a call with so many segments may take.
    #[inline]
    pub(crate) fn wrs_per_call(&self, segments: usize) -> u32 {
        if self.list.is_empty() { 1 } else { 1 + segments as u32 }
    }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
