//! Protection domains and registrations.

use std::ptr::NonNull;
use std::rc::Rc;

use rdma_sys as ffi;

use super::cm::CmId;
use super::convert::access_flags;
use super::last_error;
use crate::{Access, Error, MemoryRegion, ProtectionDomain};

/// A protection domain on a device; clones name the same one.
#[derive(Clone)]
pub struct Domain(Rc<Pd>);

struct Pd {
    pd: NonNull<ffi::ibv_pd>,
    /// Keeps the device's context open: librdmacm may close it with its last id.
    _id: Rc<CmId>,
}

impl Domain {
    /// On the device that `id` is bound to. The context must be the id's own: librdmacm refuses
    /// a domain of another context, even of the same device.
    pub(super) fn new(id: &Rc<CmId>) -> Result<Self, Error> {
        // SAFETY: the context is open while the id lives; the caller checked that it is bound.
        let pd = unsafe { ffi::ibv_alloc_pd(id.verbs()) };
        let pd = NonNull::new(pd).ok_or_else(|| last_error("ibv_alloc_pd"))?;
        Ok(Self(Rc::new(Pd { pd, _id: Rc::clone(id) })))
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::ibv_pd {
        self.0.pd.as_ptr()
    }
}

impl Drop for Pd {
    fn drop(&mut self) {
        // SAFETY: regions and queue pairs hold the domain, so none is left in it.
        unsafe { ffi::ibv_dealloc_pd(self.pd.as_ptr()) };
    }
}

impl ProtectionDomain for Domain {
    type Region = Region;

    unsafe fn register(&self, addr: *mut u8, len: usize, access: Access) -> Result<Region, Error> {
        // SAFETY: the domain is alive; the caller keeps the range mapped while the region lives.
        let mr = unsafe { ffi::ibv_reg_mr(self.as_ptr(), addr.cast(), len, access_flags(access)) };
        let mr = NonNull::new(mr).ok_or_else(|| last_error("ibv_reg_mr"))?;
        Ok(Region { mr, _domain: self.clone() })
    }
}

/// A registration; dropping it deregisters.
pub struct Region {
    mr: NonNull<ffi::ibv_mr>,
    _domain: Domain,
}

impl MemoryRegion for Region {
    fn lkey(&self) -> u32 {
        // SAFETY: the registration is alive; its keys do not change.
        unsafe { self.mr.as_ref() }.lkey
    }

    fn rkey(&self) -> u32 {
        // SAFETY: as above.
        unsafe { self.mr.as_ref() }.rkey
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: ours, deregistered once; the domain outlives it.
        unsafe { ffi::ibv_dereg_mr(self.mr.as_ptr()) };
    }
}

impl std::fmt::Debug for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Domain").field(&self.0.pd).finish()
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Region").field("lkey", &self.lkey()).field("rkey", &self.rkey()).finish()
    }
}
