//! A device of four functions for tests: what `rdma-sys` reaches through `context->ops`.

use std::mem;

use rdma_sys as ffi;

type PostSend = unsafe extern "C" fn(
    *mut ffi::ibv_qp,
    *mut ffi::ibv_send_wr,
    *mut *mut ffi::ibv_send_wr,
) -> i32;
type PostRecv = unsafe extern "C" fn(
    *mut ffi::ibv_qp,
    *mut ffi::ibv_recv_wr,
    *mut *mut ffi::ibv_recv_wr,
) -> i32;
type PollCq = unsafe extern "C" fn(*mut ffi::ibv_cq, i32, *mut ffi::ibv_wc) -> i32;

/// A context, a queue pair and a completion queue wired to the given functions. `state` reaches
/// the functions as `qp_context` and `cq_context`.
pub(super) struct FakeDevice {
    context: Box<ffi::ibv_context>,
    qp: Box<ffi::ibv_qp>,
    cq: Box<ffi::ibv_cq>,
}

impl FakeDevice {
    pub(super) fn new<S>(
        state: *mut S,
        send: Option<PostSend>,
        recv: Option<PostRecv>,
        poll: Option<PollCq>,
    ) -> Self {
        // SAFETY: plain data, zeroes are a value.
        let mut context: Box<ffi::ibv_context> = Box::new(unsafe { mem::zeroed() });
        context.ops.post_send = send;
        context.ops.post_recv = recv;
        context.ops.poll_cq = poll;
        // SAFETY: as above.
        let mut qp: Box<ffi::ibv_qp> = Box::new(unsafe { mem::zeroed() });
        qp.context = &raw mut *context;
        qp.qp_context = state.cast();
        // SAFETY: as above.
        let mut cq: Box<ffi::ibv_cq> = Box::new(unsafe { mem::zeroed() });
        cq.context = &raw mut *context;
        cq.cq_context = state.cast();
        Self { context, qp, cq }
    }

    pub(super) fn qp(&mut self) -> *mut ffi::ibv_qp {
        &raw mut *self.qp
    }

    /// A window of this device with the key `rkey`; its deallocation zeroes that.
    pub(super) fn window(&mut self, rkey: u32) -> Box<ffi::ibv_mw> {
        self.context.ops.dealloc_mw = Some(dealloc_mw);
        // SAFETY: as above.
        let mut mw: Box<ffi::ibv_mw> = Box::new(unsafe { mem::zeroed() });
        mw.context = &raw mut *self.context;
        mw.rkey = rkey;
        mw
    }

    pub(super) fn cq(&mut self) -> *mut ffi::ibv_cq {
        &raw mut *self.cq
    }
}

unsafe extern "C" fn dealloc_mw(mw: *mut ffi::ibv_mw) -> i32 {
    // SAFETY: the test's own window.
    unsafe {
        assert_ne!((*mw).rkey, 0, "deallocated twice");
        (*mw).rkey = 0;
    }
    0
}
