//! What the connections of one mount share: the payload buffers, and on a device the protection
//! domain with their registration. So a buffer can be used on whichever connection its call goes,
//! and one mount's keys reach nothing of another's.
//!
//! Whoever has a connection on the device holds the registration; it ends with the last of them.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use hugepages::{Keys, Pool, Region};
use verbs::{Access, MemoryRegion, ProtectionDomain, RegionHandle};

use crate::Error;
use crate::config::BufferConfig;
use crate::memory::{aligned, map, register};

/// The payload buffers of a mount.
pub(crate) struct Payloads<D: ProtectionDomain> {
    pub(crate) pool: Pool,
    pub(crate) region: Rc<Region>,
    on_device: RefCell<Weak<OnDevice<D>>>,
}

/// Their registration with a device.
pub(crate) struct OnDevice<D: ProtectionDomain> {
    // Dropped before its domain, and before the memory that it covers.
    registration: D::Region,
    pub(crate) domain: D,
    device_key: u64,
    _region: Rc<Region>,
}

impl<D: ProtectionDomain> Payloads<D> {
    /// Maps the buffers.
    pub(crate) fn new(config: &BufferConfig) -> Result<Rc<Self>, Error> {
        let (len, count) = (aligned(config.buffer_len), config.count as usize);
        let region = map(config, len * count)?;
        let pool = Pool::new(region.clone(), 0, len, count, Keys::default())?;
        Ok(Rc::new(Self { pool, region, on_device: RefCell::default() }))
    }

    /// The registration with a device: the one that there is, or a new one in a domain of its own.
    /// An error while another connection of the mount still holds one with another device.
    pub(crate) fn register(
        &self,
        device_key: u64,
        new_domain: impl FnOnce() -> Result<D, verbs::Error>,
        access: Access,
    ) -> Result<Rc<OnDevice<D>>, Error> {
        if let Some(known) = self.on_device.borrow().upgrade() {
            return if known.device_key == device_key { Ok(known) } else { Err(Error::TwoDevices) };
        }
        let (domain, region) = (new_domain()?, self.region.clone());
        let registration = register(&domain, &region, 0, region.len(), access)?;
        self.pool.set_keys(Keys { lkey: registration.lkey(), rkey: registration.rkey() });
        let made = Rc::new(OnDevice { registration, domain, device_key, _region: region });
        *self.on_device.borrow_mut() = Rc::downgrade(&made);
        Ok(made)
    }
}

impl<D: ProtectionDomain> OnDevice<D> {
    /// Names the registration, to bind windows to it.
    pub(crate) fn handle(&self) -> RegionHandle {
        self.registration.handle()
    }
}
