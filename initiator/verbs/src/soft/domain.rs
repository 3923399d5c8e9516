//! Protection domains, regions and windows.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::Fabric;
use super::device::Device;
use super::keys::Keys;
use crate::{
    Access, Error, MemoryRegion, MemoryWindow, ProtectionDomain, RegionHandle, WindowHandle,
};

/// A protection domain of the fabric.
#[derive(Clone)]
pub struct SoftDomain {
    pub(super) fabric: Arc<Fabric>,
    pub(super) id: u32,
    device: Arc<Device>,
}

impl SoftDomain {
    pub(super) fn new(fabric: &Arc<Fabric>, device: &Arc<Device>) -> Self {
        let id = fabric.next_domain.fetch_add(1, Ordering::Relaxed);
        Self { fabric: Arc::clone(fabric), id, device: Arc::clone(device) }
    }
}

impl ProtectionDomain for SoftDomain {
    type Region = SoftRegion;
    type Window = SoftWindow;

    unsafe fn register(
        &self,
        addr: *mut u8,
        len: usize,
        access: Access,
    ) -> Result<SoftRegion, Error> {
        let refuse = |errno| Error::Os { call: "register", errno };
        let start = addr as u64;
        // libibverbs refuses remote writes to memory that local queues may not write.
        let contradicts = access.remote_write && !access.local_write;
        if start == 0 || len == 0 || start.checked_add(len as u64).is_none() || contradicts {
            return Err(refuse(libc::EINVAL));
        }
        let mut table = self.fabric.keys.write().unwrap_or_else(PoisonError::into_inner);
        let keys = table.register(self.id, start, len as u64, access);
        let keys = keys.ok_or_else(|| refuse(libc::ENOMEM))?;
        drop(table);
        let (fabric, device) = (Arc::clone(&self.fabric), Arc::clone(&self.device));
        Ok(SoftRegion { fabric, keys, _device: device })
    }

    fn new_window(&self) -> Result<SoftWindow, Error> {
        if !self.device.info.memory_window_2b {
            return Err(Error::Os { call: "new_window", errno: libc::EOPNOTSUPP });
        }
        let mut table = self.fabric.keys.write().unwrap_or_else(PoisonError::into_inner);
        let handle = table.new_window(self.id);
        let handle = handle.ok_or(Error::Os { call: "new_window", errno: libc::ENOMEM })?;
        drop(table);
        let (fabric, device) = (Arc::clone(&self.fabric), Arc::clone(&self.device));
        Ok(SoftWindow { fabric, handle, _device: device })
    }
}

/// A registered region; dropping it waits until nobody copies to or from it.
pub struct SoftRegion {
    fabric: Arc<Fabric>,
    keys: Keys,
    _device: Arc<Device>,
}

impl MemoryRegion for SoftRegion {
    fn lkey(&self) -> u32 {
        self.keys.lkey
    }

    fn rkey(&self) -> u32 {
        self.keys.rkey
    }

    fn handle(&self) -> RegionHandle {
        RegionHandle(self.keys.lkey as usize)
    }
}

impl Drop for SoftRegion {
    fn drop(&mut self) {
        let mut table = self.fabric.keys.write().unwrap_or_else(PoisonError::into_inner);
        table.deregister(self.keys.lkey);
    }
}

/// A memory window; dropping it waits until nobody copies through it.
pub struct SoftWindow {
    fabric: Arc<Fabric>,
    handle: WindowHandle,
    _device: Arc<Device>,
}

impl MemoryWindow for SoftWindow {
    fn rkey(&self) -> u32 {
        let table = self.fabric.keys.read().unwrap_or_else(PoisonError::into_inner);
        table.window_rkey(self.handle)
    }

    fn handle(&self) -> WindowHandle {
        self.handle
    }
}

impl Drop for SoftWindow {
    fn drop(&mut self) {
        let mut table = self.fabric.keys.write().unwrap_or_else(PoisonError::into_inner);
        table.drop_window(self.handle);
    }
}

impl std::fmt::Debug for SoftWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftWindow").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SoftDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftDomain").field("id", &self.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SoftRegion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftRegion").field("keys", &self.keys).finish_non_exhaustive()
    }
}
