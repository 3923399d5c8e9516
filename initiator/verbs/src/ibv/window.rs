//! Type-2B memory windows.
//!
//! What rxe makes of them (seen on Linux 6.1 and 6.12; the first two on 6.12 only), and what follows:
//! - Destroying a queue pair waits 50 s for the windows bound on it, and then frees what they still
//!   refer to. So they end first: [`Domain`] knows them, and each knows its queue pair. A process
//!   that is killed leaves the order to the kernel, which takes the youngest objects first as far
//!   as its source says: make windows after the queue pair that they are for.
//! - The second invalidation of a key, ours or the peer's, is a null pointer in the kernel. Nothing
//!   here can tell; [`Op::LocalInvalidate`](crate::Op::LocalInvalidate) says how to avoid it.
//! - Any peer of any queue pair on the device may invalidate any window.
//! - An access through a window is held against the region's bounds, not the window's; on 6.1 a
//!   bind is not held against the region's domain.
//! - On 6.12 an operation that fails completes as flushed, like those behind it.
//! - A region with a window bound to it is not deregistered, and stays within the peer's reach.
//! - It is the user's part to keep the window's key up to date (as for every device).

use std::cell::Cell;
use std::ptr;
use std::rc::{Rc, Weak};

use rdma_sys as ffi;

use super::domain::Domain;
use super::last_error;
use crate::{Bind, Error, MemoryWindow, WindowAccess, WindowHandle};

/// A memory window; dropping it deallocates it.
pub struct Window {
    // Declared first, dropped first: the window goes before its domain.
    mw: Rc<Mw>,
    _domain: Domain,
}

/// What a [`WindowHandle`] of this provider points to.
pub(super) struct Mw {
    /// Null once ended.
    mw: Cell<*mut ffi::ibv_mw>,
    /// The queue pair of the last bind.
    qp: Cell<*mut ffi::ibv_qp>,
}

impl Window {
    pub(super) fn new(domain: &Domain) -> Result<Self, Error> {
        // SAFETY: the domain is alive; the window keeps it so.
        let mw = unsafe { ffi::ibv_alloc_mw(domain.as_ptr(), ffi::ibv_mw_type::IBV_MW_TYPE_2) };
        let mw = mw.filter(|mw| !mw.is_null()).ok_or_else(|| last_error("ibv_alloc_mw"))?;
        Ok(Self { mw: Rc::new(Mw::new(mw)), _domain: domain.clone() })
    }

    pub(super) fn downgrade(&self) -> Weak<Mw> {
        Rc::downgrade(&self.mw)
    }
}

impl MemoryWindow for Window {
    fn rkey(&self) -> u32 {
        let mw = self.mw.mw.get();
        // SAFETY: not null: not ended, hence alive.
        if mw.is_null() { 0 } else { unsafe { (*mw).rkey } }
    }

    fn handle(&self) -> WindowHandle {
        Mw::handle(&self.mw)
    }
}

impl Mw {
    fn new(mw: *mut ffi::ibv_mw) -> Self {
        Self { mw: Cell::new(mw), qp: Cell::new(ptr::null_mut()) }
    }

    fn handle(this: &Rc<Self>) -> WindowHandle {
        WindowHandle(Rc::as_ptr(this).expose_provenance())
    }

    /// The queue pair that the window was last bound on, or null.
    pub(super) fn bound_on(&self) -> *mut ffi::ibv_qp {
        self.qp.get()
    }

    /// Deallocates the window, once; its key ends, and nothing can be bound to it any more.
    pub(super) fn end(&self) {
        let mw = self.mw.replace(ptr::null_mut());
        if mw.is_null() {
            return;
        }
        // SAFETY: ours and alive until now; its domain is alive.
        let errno = unsafe { ffi::ibv_dealloc_mw(mw) };
        if errno != 0 {
            tracing::warn!(errno, "memory window not deallocated");
        }
    }
}

impl Drop for Mw {
    fn drop(&mut self) {
        self.end();
    }
}

/// What `IBV_WR_BIND_MW` asks for, on `qp`; `None` if the window has ended.
///
/// # Safety
/// Window and region are alive, of this provider, and used by this thread only.
#[inline]
pub(super) unsafe fn bind_info(qp: *mut ffi::ibv_qp, bind: &Bind) -> Option<ffi::bind_mw_t> {
    let &Bind { window, region, new_rkey: rkey, addr, length, access } = bind;
    let window = ptr::with_exposed_provenance::<Mw>(window.0);
    // SAFETY: the handle was made from a window that is alive.
    let window = unsafe { &*window };
    window.qp.set(qp);
    let mw = window.mw.get();
    let mr = ptr::with_exposed_provenance_mut(region.0);
    let mw_access_flags = access_flags(access);
    let bind_info = ffi::ibv_mw_bind_info { mr, addr, length: length.into(), mw_access_flags };
    (!mw.is_null()).then_some(ffi::bind_mw_t { mw, rkey, bind_info })
}

fn access_flags(access: WindowAccess) -> u32 {
    use ffi::ibv_access_flags as f;
    let read = if access.remote_read { f::IBV_ACCESS_REMOTE_READ.0 } else { 0 };
    let write = if access.remote_write { f::IBV_ACCESS_REMOTE_WRITE.0 } else { 0 };
    read | write
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window").field("rkey", &self.rkey()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
