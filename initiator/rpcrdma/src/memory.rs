//! Whose memory it is: a connection's buffers, and the loan that says whether the NIC has one.

use std::rc::Rc;

use hugepages::{Buffer, Keys, Pool, Region, RegionSpec};
use verbs::{Access, MemoryRegion, ProtectionDomain, RegionHandle, Sge};

use crate::Error;
use crate::config::BufferConfig;

/// What a device says when the memlock limit keeps it from pinning memory.
const ENOMEM: i32 = 12;

/// A buffer that goes back and forth between us and the NIC, or no buffer at all.
///
/// It stays in its place: whose it is is a flag, and nobody gets at the bytes while it says that a
/// posted work request, or a key that the peer was told of, names them.
#[derive(Debug, Default)]
pub(crate) struct Loan {
    buffer: Option<Buffer>,
    lent: bool,
}

impl Loan {
    /// A buffer that is ours to read and write.
    #[inline]
    pub(crate) fn ours_of(buffer: Option<Buffer>) -> Self {
        Self { buffer, lent: false }
    }

    /// Whether no buffer is here.
    #[inline]
    pub(crate) fn is_vacant(&self) -> bool {
        self.buffer.is_none()
    }

    /// A buffer of ours comes where there is none.
    #[inline]
    pub(crate) fn put(&mut self, buffer: Buffer) {
        debug_assert!(self.buffer.is_none(), "there is a buffer already");
        // Nothing is in the place that would have to be dropped.
        std::mem::forget(self.buffer.replace(buffer));
    }

    /// The same, out of another place.
    #[inline(always)]
    pub(crate) fn put_from(&mut self, from: &mut Option<Buffer>) {
        debug_assert!(self.buffer.is_none(), "there is a buffer already");
        if let Some(buffer) = from.take() {
            self.put(buffer);
        }
    }

    /// Gives the buffer to the NIC.
    #[inline]
    pub(crate) fn lend(&mut self) {
        debug_assert!(self.shared().is_some(), "only a buffer of ours can be lent");
        self.lent = true;
    }

    /// Takes the buffer back. Does nothing to one that is ours already.
    ///
    /// # Safety
    /// No posted work request names the buffer any more, and no peer may reach it by a key.
    #[inline]
    pub(crate) unsafe fn reclaim(&mut self) {
        self.lent = false;
    }

    /// Whether the NIC has it.
    #[inline]
    pub(crate) fn is_lent(&self) -> bool {
        self.lent
    }

    /// The buffer, if it is ours; none is here then.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Buffer> {
        if self.lent { None } else { self.buffer.take() }
    }

    /// The place for the buffer, unless that is lent.
    #[inline]
    pub(crate) fn place(&mut self) -> Option<&mut Option<Buffer>> {
        if self.lent { None } else { Some(&mut self.buffer) }
    }

    /// The buffer to read or write, if it is ours.
    #[inline]
    pub(crate) fn ours(&mut self) -> Option<&mut Buffer> {
        if self.lent { None } else { self.buffer.as_mut() }
    }

    /// The buffer to look at, if it is ours.
    #[inline]
    pub(crate) fn shared(&self) -> Option<&Buffer> {
        if self.lent { None } else { self.buffer.as_ref() }
    }

    /// The keys that the buffer carries, and its address.
    #[inline]
    pub(crate) fn keys_and_addr(&self) -> (Keys, u64) {
        self.buffer.as_ref().map_or_else(Default::default, |buffer| (buffer.keys(), buffer.addr()))
    }

    /// An SGE for `len` bytes from `offset`, whoever has the buffer.
    #[inline]
    pub(crate) fn sge(&self, offset: usize, len: usize) -> Sge {
        let (room, Keys { lkey, .. }, addr) = match &self.buffer {
            Some(buffer) => (buffer.len(), buffer.keys(), buffer.addr()),
            None => Default::default(),
        };
        assert!(offset + len <= room, "an SGE stays within its buffer");
        Sge { addr: addr + offset as u64, length: len as u32, lkey }
    }
}

impl Drop for Loan {
    /// A buffer that the NIC may still touch never goes back to its pool.
    #[inline]
    fn drop(&mut self) {
        if self.lent
            && let Some(buffer) = self.buffer.take()
        {
            drop(buffer.lend());
        }
    }
}

/// A pool, and its registration with the domain of the present connection. The pages stay mapped
/// for as long as anybody holds a buffer of them, whatever becomes of the registration.
pub(crate) struct RegisteredPool<D: ProtectionDomain> {
    registration: Option<D::Region>,
    pub(crate) pool: Pool,
    region: Rc<Region>,
    /// Where in the region the pool begins.
    offset: usize,
}

/// Maps memory as the configuration has it, whatever it says of buffers.
pub(crate) fn map(config: &BufferConfig, len: usize) -> Result<Rc<Region>, Error> {
    let &BufferConfig { policy, page_size, numa_node, .. } = config;
    Ok(Rc::new(Region::map(&RegionSpec { len, policy, page_size, numa_node, lock: true })?))
}

/// The length of a buffer that is to hold `len` bytes: each starts on a cache line.
pub(crate) fn aligned(len: u32) -> usize {
    (len as usize).next_multiple_of(64)
}

/// Registers a part of a region.
pub(crate) fn register<D: ProtectionDomain>(
    domain: &D,
    region: &Rc<Region>,
    offset: usize,
    len: usize,
    access: Access,
) -> Result<D::Region, Error> {
    debug_assert!(offset + len <= region.len(), "a part lies within its region");
    // SAFETY: the part lies within the region, which stays mapped while anybody or any buffer
    // holds it, and whoever has the registration drops it before (field order). References into it
    // are made only by `Buffer`, which exists only while nothing posted or advertised names its
    // bytes.
    let registered = unsafe { domain.register(region.addr().wrapping_add(offset), len, access) };
    registered.map_err(|error| not_registered(region, error))
}

impl<D: ProtectionDomain> RegisteredPool<D> {
    /// Carves a part of a region into buffers, which have no keys yet.
    pub(crate) fn carve(
        region: Rc<Region>,
        offset: usize,
        buffer_len: usize,
        count: usize,
    ) -> Result<Self, Error> {
        let pool = Pool::new(region.clone(), offset, buffer_len, count, Keys::default())?;
        Ok(Self { registration: None, pool, region, offset })
    }

    /// Registers the memory with a domain; every buffer carries the new keys from here on.
    pub(crate) fn register(&mut self, domain: &D, access: Access) -> Result<(), Error> {
        let len = self.pool.capacity() * self.pool.buffer_len();
        let registration = register(domain, &self.region, self.offset, len, access)?;
        self.pool.set_keys(Keys { lkey: registration.lkey(), rkey: registration.rkey() });
        self.registration = Some(registration);
        Ok(())
    }

    /// Names the registration, to bind windows to it.
    pub(crate) fn handle(&self) -> Option<RegionHandle> {
        self.registration.as_ref().map(MemoryRegion::handle)
    }

    /// Ends the registration: the device may go.
    pub(crate) fn deregister(&mut self) {
        self.registration = None;
    }
}

/// Whether a device could not pin memory. Pages of registered memory are pinned.
pub(crate) fn is_out_of_memory(error: &verbs::Error) -> bool {
    matches!(error, verbs::Error::Os { errno: ENOMEM, .. })
}

/// Why a region could not be registered.
pub(crate) fn not_registered(region: &Region, error: verbs::Error) -> Error {
    if is_out_of_memory(&error) {
        return region.pin_error(std::io::Error::from_raw_os_error(ENOMEM)).into();
    }
    error.into()
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
