//! What connections on one device share: protection domain, completion queue, staging buffers.
//!
//! Nothing here is ever advertised to a peer: the server reads and writes the client's memory, the
//! client never the server's. So one domain may serve all connections.

use std::rc::Rc;

use hugepages::{Buffer, Keys, PageSize, Policy, Pool, Region, RegionSpec};
use verbs::{Access, DeviceInfo, MemoryRegion, ProtectionDomain, Provider};

use super::StartError;
use crate::config::Config;

/// Most completion queue entries asked of a device.
const CQ_DEPTH_MAX: u32 = 1 << 18;
/// Staging for small I/O, so that it does not occupy the large ones.
const SMALL_BYTES: usize = 16 << 10;
const SMALL_BUFFERS: usize = 512;
/// Room in a large staging buffer beyond the largest payload: the call or reply around it.
const MESSAGE_BYTES: usize = 16 << 10;
/// Buffers start on a cache line.
const ALIGN: usize = 64;

/// Memory registered for local access, carved into equal buffers of one or two sizes.
pub(super) struct Registered<P: Provider> {
    /// Before the pools, which keep the memory mapped: deregistered first.
    _registration: <P::Domain as ProtectionDomain>::Region,
    pub(super) pools: [Pool; 2],
}

impl<P: Provider> Registered<P> {
    /// `sizes`: bytes and count of the buffers in each pool.
    pub(super) fn new(
        domain: &P::Domain,
        sizes: [(usize, usize); 2],
        policy: Policy,
    ) -> Result<Self, StartError> {
        let sizes = sizes.map(|(bytes, count)| (bytes.next_multiple_of(ALIGN), count));
        let len = sizes.iter().map(|(bytes, count)| bytes * count).sum();
        let page_size = PageSize::default();
        let spec = RegionSpec { len, policy, page_size, numa_node: None, lock: false };
        let region = Rc::new(Region::map(&spec)?);
        // SAFETY: the pools keep the region mapped and are dropped after the registration. The
        // access is local, so no peer can change these bytes by itself.
        let registration = unsafe { domain.register(region.addr(), len, Access::LOCAL) }?;
        let keys = Keys { lkey: registration.lkey(), rkey: registration.rkey() };
        let second = sizes[0].0 * sizes[0].1;
        let pools = [
            Pool::new(Rc::clone(&region), 0, sizes[0].0, sizes[0].1, keys)?,
            Pool::new(region, second, sizes[1].0, sizes[1].1, keys)?,
        ];
        Ok(Self { _registration: registration, pools })
    }
}

/// See the module documentation.
pub(super) struct Plane<P: Provider> {
    /// [`DeviceInfo::key`].
    pub(super) key: u64,
    /// Completion queue entries that no connection has claimed.
    pub(super) cqe_free: u32,
    /// What one connection claims.
    pub(super) cqe_each: u32,
    staging: Registered<P>,
    pub(super) domain: P::Domain,
    pub(super) cq: P::Cq,
}

impl<P: Provider> Plane<P> {
    /// Takes what the first connection on a device needs and what later ones will share;
    /// `cqe_each` is what one connection claims of the completion queue.
    pub(super) fn new(
        id: &P::Connection,
        device: &DeviceInfo,
        config: &Config,
        cqe_each: u32,
    ) -> Result<Self, StartError> {
        use verbs::{CompletionQueue, Connection};
        let domain = id.new_domain()?;
        let connections = u32::try_from(config.connections_max).unwrap_or(u32::MAX);
        let wanted = cqe_each.saturating_mul(connections);
        let cq = id.new_completion_queue(wanted.min(CQ_DEPTH_MAX).min(device.max_cqe))?;
        let large = config.payload_bytes_max as usize + MESSAGE_BYTES;
        let sizes = [(SMALL_BYTES, SMALL_BUFFERS), (large, config.staging_buffers)];
        let staging = Registered::new(&domain, sizes, config.hugepages)?;
        Ok(Self { key: device.key, cqe_free: cq.depth(), cqe_each, staging, domain, cq })
    }

    /// A staging buffer of at least `bytes`, or `None` when all of that size are in use.
    pub(super) fn stage(&self, bytes: usize) -> Option<Buffer> {
        let [small, large] = &self.staging.pools;
        if bytes <= small.buffer_len() { small.alloc() } else { large.alloc() }
    }

    /// The largest staging buffer there is.
    pub(super) fn stage_bytes_max(&self) -> usize {
        self.staging.pools[1].buffer_len()
    }
}
