//! Keys per I/O: one memory window for each request slot of a connection.
//!
//! A slot's window is bound in the chain of its Send and invalidated by the server, or by us when
//! its Reply leaves that to us, before the caller sees the result. If that fails the connection
//! ends (RFC 8166 §4.5.4), and its windows with it: the next one gets its own.

use verbs::{MemoryWindow, ProtectionDomain, RegionHandle, WindowAccess, next_rkey};
use wire::rpcrdma::Segment;

use crate::Error;
use crate::request::Key;
use crate::sendctx::Bind;

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

    /// How the server is to reach a chunk: through the slot's window, to be bound under its next
    /// key; or, where there are no windows, by the key that it has.
    #[inline]
    pub(crate) fn bind(
        &self,
        slot: u32,
        key: Key,
        chunk: Segment,
        access: WindowAccess,
    ) -> (Segment, Option<Bind>) {
        let (Some(window), Some(region)) = (self.list.get(slot as usize), self.region) else {
            return (chunk, None);
        };
        let Segment { length, offset: addr, .. } = chunk;
        let (window, rkey) = (window.handle(), next_rkey(key.rkey));
        let bind = Bind { window, region, rkey, addr, length, access };
        (Segment { handle: rkey, ..chunk }, Some(bind))
    }

    /// Send Queue entries that a call with `chunks` may take.
    #[inline]
    pub(crate) fn wrs_per_call(&self, chunks: u32) -> u32 {
        if self.list.is_empty() { 1 } else { 1 + chunks }
    }
}
