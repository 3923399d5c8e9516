//! Protection domains and regions.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::Fabric;
use super::keys::Keys;
use crate::{Access, Error, MemoryRegion, ProtectionDomain};

/// A protection domain of the fabric.
#[derive(Clone)]
pub struct SoftDomain {
    pub(super) fabric: Arc<Fabric>,
    pub(super) id: u32,
}

impl SoftDomain {
    pub(super) fn new(fabric: &Arc<Fabric>) -> Self {
        let id = fabric.next_domain.fetch_add(1, Ordering::Relaxed);
        Self { fabric: Arc::clone(fabric), id }
    }
}

impl ProtectionDomain for SoftDomain {
    type Region = SoftRegion;

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
        Ok(SoftRegion { fabric: Arc::clone(&self.fabric), keys })
    }
}

/// A registered region; dropping it waits until nobody copies to or from it.
pub struct SoftRegion {
    fabric: Arc<Fabric>,
    keys: Keys,
}

impl MemoryRegion for SoftRegion {
    fn lkey(&self) -> u32 {
        self.keys.lkey
    }

    fn rkey(&self) -> u32 {
        self.keys.rkey
    }
}

impl Drop for SoftRegion {
    fn drop(&mut self) {
        let mut table = self.fabric.keys.write().unwrap_or_else(PoisonError::into_inner);
        table.deregister(self.keys.lkey);
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
