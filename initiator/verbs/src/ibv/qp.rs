//! The reliable-connected queue pair of an id.

use std::mem;
use std::rc::Rc;

use rdma_sys as ffi;

use super::chain::{RecvChain, SendChain};
use super::cm::CmId;
use super::cq::Cq;
use super::domain::Domain;
use super::{faults, last_error};
use crate::{DeviceInfo, Error, PostError, QueuePairCaps, RecvWr, SendWr};

/// A queue pair. Dropping it ends the windows bound on it and destroys it, before its completion
/// queue, domain and id.
pub(super) struct QueuePair {
    id: Rc<CmId>,
    qp: *mut ffi::ibv_qp,
    sends: SendChain,
    recvs: RecvChain,
    cq: Cq,
    domain: Domain,
}

impl QueuePair {
    /// Makes the queue pair of `id`, ready to take Receives.
    pub(super) fn new(
        id: &Rc<CmId>,
        device: &DeviceInfo,
        domain: &Domain,
        cq: &Cq,
        caps: &QueuePairCaps,
    ) -> Result<Self, Error> {
        within("Send Queue entries", caps.send_wr_max, device.max_qp_wr)?;
        within("Receive Queue entries", caps.recv_wr_max, device.max_qp_wr)?;
        within("SGEs per Send", caps.send_sge_max, device.max_sge)?;
        // SAFETY: plain data, zeroes are a value.
        let mut attr: ffi::ibv_qp_init_attr = unsafe { mem::zeroed() };
        attr.send_cq = cq.as_ptr();
        attr.recv_cq = cq.as_ptr();
        attr.qp_type = ffi::ibv_qp_type::IBV_QPT_RC;
        attr.sq_sig_all = 0;
        attr.cap.max_send_wr = caps.send_wr_max.max(1);
        attr.cap.max_recv_wr = caps.recv_wr_max.max(1);
        attr.cap.max_send_sge = caps.send_sge_max.max(1);
        attr.cap.max_recv_sge = 1;
        // SAFETY: id, domain and completion queue are alive and stay so: the queue pair holds
        // them. librdmacm refuses a domain of another context.
        if unsafe { ffi::rdma_create_qp(id.as_ptr(), domain.as_ptr(), &mut attr) } != 0 {
            return Err(last_error("rdma_create_qp"));
        }
        Ok(Self {
            id: Rc::clone(id),
            // SAFETY: the id is alive and its queue pair was just made.
            qp: unsafe { (*id.as_ptr()).qp },
            sends: SendChain::new(caps.send_wr_max.max(1)),
            recvs: RecvChain::new(caps.recv_wr_max.max(1)),
            cq: cq.clone(),
            domain: domain.clone(),
        })
    }

    pub(super) fn number(&self) -> u32 {
        // SAFETY: the queue pair is alive; its number does not change.
        unsafe { (*self.qp).qp_num }
    }

    pub(super) fn cq(&self) -> &Cq {
        &self.cq
    }

    /// Moves the queue pair to the error state, from whichever it is in. On rxe a second move
    /// also flushes the Receives that were posted since the first: nothing else wakes its
    /// responder, as posting them makes no system call.
    pub(super) fn fail(&self) {
        // SAFETY: plain data, zeroes are a value.
        let mut attr: ffi::ibv_qp_attr = unsafe { mem::zeroed() };
        attr.qp_state = ffi::ibv_qp_state::IBV_QPS_ERR;
        let mask = ffi::ibv_qp_attr_mask::IBV_QP_STATE.0 as i32;
        // SAFETY: the queue pair is alive.
        let errno = unsafe { ffi::ibv_modify_qp(self.qp, &mut attr, mask) };
        if errno != 0 {
            tracing::warn!(qp_num = self.number(), errno, "queue pair could not be failed");
        }
        if matches!(errno, libc::EIO | libc::ENODEV) {
            // The kernel has taken the device away, and no flush will come.
            self.cq.device_gone();
        }
    }

    /// # Safety
    /// As [`crate::Connection::post_send`].
    #[inline]
    pub(super) unsafe fn post_send<'a>(
        &mut self,
        chain: impl IntoIterator<Item = SendWr<'a>>,
    ) -> Result<usize, PostError> {
        // SAFETY: the queue pair is alive and not shared; memory as the caller promises.
        unsafe { self.sends.post(self.qp, chain) }
    }

    /// # Safety
    /// As [`crate::Connection::post_recv`].
    #[inline]
    pub(super) unsafe fn post_recv(
        &mut self,
        chain: impl IntoIterator<Item = RecvWr>,
    ) -> Result<usize, PostError> {
        // SAFETY: as above.
        unsafe { self.recvs.post(self.qp, chain) }
    }
}

impl Drop for QueuePair {
    fn drop(&mut self) {
        self.domain.end_windows_of(self.qp);
        // SAFETY: the id is alive and the queue pair its own, destroyed once.
        unsafe { faults::destroy_qp(self.id.as_ptr()) };
    }
}

fn within(what: &'static str, asked: u32, limit: u32) -> Result<(), Error> {
    if asked <= limit {
        return Ok(());
    }
    Err(Error::Limit { what, asked: asked.into(), limit: limit.into() })
}
