//! Whose memory it is: a connection's buffers, and the loan that says whether the NIC has one.

use std::rc::Rc;

use hugepages::{Buffer, Keys, Lent, Pool, Region, RegionSpec};
use verbs::{Access, MemoryRegion, ProtectionDomain, RegionHandle, Sge};

use crate::Error;
use crate::config::BufferConfig;

/// What a device says when the memlock limit keeps it from pinning memory.
const ENOMEM: i32 = 12;

/// A buffer that goes back and forth between us and the NIC.
#[derive(Debug, Default)]
pub(crate) enum Loan {
    /// No buffer here.
    #[default]
    Vacant,
    /// Nothing posted names it: ours to read and write.
    Ours(Buffer),
    /// A posted work request, or a key the peer was told of, names it: hands off.
    Lent(Lent),
}

impl Loan {
    /// Gives the buffer to the NIC.
    pub(crate) fn lend(&mut self) {
        if let Self::Ours(buffer) = std::mem::take(self) {
            *self = Self::Lent(buffer.lend());
        } else {
            debug_assert!(false, "only a buffer of ours can be lent");
        }
    }

    /// Takes the buffer back. Does nothing to one that is ours already.
    ///
    /// # Safety
    /// No posted work request names the buffer any more, and no peer may reach it by a key.
    pub(crate) unsafe fn reclaim(&mut self) {
        if self.is_lent()
            && let Self::Lent(lent) = std::mem::take(self)
        {
            // SAFETY: the caller's promise is the one that `Lent::reclaim` asks for.
            *self = Self::Ours(unsafe { lent.reclaim() });
        }
    }

    /// Whether the NIC has it.
    #[inline]
    pub(crate) fn is_lent(&self) -> bool {
        matches!(self, Self::Lent(_))
    }

    /// The buffer, if it is ours; the loan is then vacant.
    pub(crate) fn take(&mut self) -> Option<Buffer> {
        match std::mem::take(self) {
            Self::Ours(buffer) => Some(buffer),
            other => {
                *self = other;
                None
            }
        }
    }

    /// The buffer to read or write, if it is ours.
    pub(crate) fn ours(&mut self) -> Option<&mut Buffer> {
        match self {
            Self::Ours(buffer) => Some(buffer),
            _ => None,
        }
    }

    /// The buffer to look at, if it is ours.
    pub(crate) fn shared(&self) -> Option<&Buffer> {
        match self {
            Self::Ours(buffer) => Some(buffer),
            _ => None,
        }
    }

    /// The keys that the buffer carries, and its address.
    pub(crate) fn keys_and_addr(&self) -> (Keys, u64) {
        match self {
            Self::Vacant => (Keys::default(), 0),
            Self::Ours(buffer) => (buffer.keys(), buffer.addr()),
            Self::Lent(lent) => (lent.keys(), lent.addr()),
        }
    }

    /// An SGE for `len` bytes from `offset`, whoever has the buffer.
    pub(crate) fn sge(&self, offset: usize, len: usize) -> Sge {
        let (addr, room, keys) = match self {
            Self::Vacant => (0, 0, Keys::default()),
            Self::Ours(buffer) => (buffer.addr(), buffer.len(), buffer.keys()),
            Self::Lent(lent) => (lent.addr(), lent.len(), lent.keys()),
        };
        assert!(offset + len <= room, "an SGE stays within its buffer");
        Sge { addr: addr + offset as u64, length: len as u32, lkey: keys.lkey }
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
