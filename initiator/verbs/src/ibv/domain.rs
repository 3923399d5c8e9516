//! Protection domains and registrations.

use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::{Rc, Weak};

use rdma_sys as ffi;

use super::cm::CmId;
use super::convert::access_flags;
use super::last_error;
use super::window::{Mw, Window};
use crate::{Access, Error, MemoryRegion, ProtectionDomain, RegionHandle};

/// A protection domain on a device; clones name the same one.
#[derive(Clone)]
pub struct Domain(Rc<Pd>);

struct Pd {
    pd: NonNull<ffi::ibv_pd>,
    /// Those alive, for a queue pair that must take its own along.
    windows: RefCell<Vec<Weak<Mw>>>,
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
        Ok(Self(Rc::new(Pd { pd, windows: RefCell::default(), _id: Rc::clone(id) })))
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::ibv_pd {
        self.0.pd.as_ptr()
    }

    /// Ends the windows that were bound on `qp`, before it is destroyed.
    pub(super) fn end_windows_of(&self, qp: *mut ffi::ibv_qp) {
        for window in self.0.windows.borrow().iter().filter_map(Weak::upgrade) {
            if window.bound_on() == qp {
                window.end();
            }
        }
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
    type Window = Window;

    unsafe fn register(&self, addr: *mut u8, len: usize, access: Access) -> Result<Region, Error> {
        // SAFETY: the domain is alive; the caller keeps the range mapped while the region lives.
        let mr = unsafe { ffi::ibv_reg_mr(self.as_ptr(), addr.cast(), len, access_flags(access)) };
        let mr = NonNull::new(mr).ok_or_else(|| last_error("ibv_reg_mr"))?;
        Ok(Region { mr, _domain: self.clone() })
    }

    fn new_window(&self) -> Result<Window, Error> {
        let window = Window::new(self)?;
        let mut windows = self.0.windows.borrow_mut();
        windows.retain(|window| window.strong_count() > 0);
        windows.push(window.downgrade());
        Ok(window)
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

    fn handle(&self) -> RegionHandle {
        RegionHandle(self.mr.as_ptr().expose_provenance())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let lkey = self.lkey();
        // SAFETY: ours, deregistered once; the domain outlives it.
        let errno = unsafe { ffi::ibv_dereg_mr(self.mr.as_ptr()) };
        if errno != 0 {
            tracing::warn!(lkey, errno, "region not deregistered: is a window bound to it?");
        }
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
