//! C values to and from the contract's.

use rdma_sys as ffi;

use super::cm::Event;
use crate::{Access, CmEvent, Completion, WcStatus};

/// A work completion as the contract has it. Nothing but the identity and the status is read
/// from a failed one: the rest is undefined there. Any of `invalidated_flags` says that there is an
/// invalidated key.
#[inline]
pub(super) fn completion(wc: &ffi::ibv_wc, invalidated_flags: u32) -> Completion {
    let mut out = Completion {
        wr_id: wc.wr_id,
        status: wc_status(wc.status),
        byte_len: 0,
        invalidated_rkey: None,
        qp_num: wc.qp_num,
    };
    if wc.status == ffi::ibv_wc_status::IBV_WC_SUCCESS {
        out.byte_len = wc.byte_len;
        if wc.wc_flags & invalidated_flags != 0 {
            // SAFETY: both variants are 32-bit integers; the flag says which one is meant.
            out.invalidated_rkey =
                Some(unsafe { wc.imm_data_invalidated_rkey_union.invalidated_rkey });
        }
    }
    out
}

#[inline]
fn wc_status(status: ffi::ibv_wc_status::Type) -> WcStatus {
    use ffi::ibv_wc_status as s;
    match status {
        s::IBV_WC_SUCCESS => WcStatus::Success,
        s::IBV_WC_WR_FLUSH_ERR => WcStatus::Flushed,
        s::IBV_WC_LOC_LEN_ERR => WcStatus::LocalLength,
        s::IBV_WC_LOC_PROT_ERR => WcStatus::LocalProtection,
        s::IBV_WC_MW_BIND_ERR => WcStatus::MwBind,
        s::IBV_WC_REM_ACCESS_ERR => WcStatus::RemoteAccess,
        s::IBV_WC_REM_INV_REQ_ERR => WcStatus::RemoteInvalidRequest,
        s::IBV_WC_REM_OP_ERR => WcStatus::RemoteOperation,
        s::IBV_WC_RETRY_EXC_ERR => WcStatus::RetryExceeded,
        s::IBV_WC_RNR_RETRY_EXC_ERR => WcStatus::RnrRetryExceeded,
        other => WcStatus::Other(other),
    }
}

/// Access flags. Remote Write without local write is refused by every device (IBA C10-44), so
/// the one brings the other.
pub(super) fn access_flags(access: Access) -> i32 {
    use ffi::ibv_access_flags as f;
    let mut flags = f(0);
    if access.local_write || access.remote_write {
        flags |= f::IBV_ACCESS_LOCAL_WRITE;
    }
    if access.remote_read {
        flags |= f::IBV_ACCESS_REMOTE_READ;
    }
    if access.remote_write {
        flags |= f::IBV_ACCESS_REMOTE_WRITE;
    }
    if access.bind {
        flags |= f::IBV_ACCESS_MW_BIND;
    }
    flags.0 as i32
}

/// An event of a connection as the contract has it. Address resolution is a step of ours and not
/// told; it maps to the number here if it comes twice.
pub(super) fn cm_event(event: Event) -> CmEvent {
    use ffi::rdma_cm_event_type as t;
    let errno = event.status.saturating_abs();
    match event.kind {
        t::RDMA_CM_EVENT_ROUTE_RESOLVED => CmEvent::RouteResolved,
        t::RDMA_CM_EVENT_ADDR_ERROR | t::RDMA_CM_EVENT_ROUTE_ERROR => CmEvent::ResolveFailed(errno),
        t::RDMA_CM_EVENT_ESTABLISHED => CmEvent::Established { private_data: event.private_data },
        t::RDMA_CM_EVENT_REJECTED => {
            CmEvent::Rejected { reason: errno, private_data: event.private_data }
        }
        t::RDMA_CM_EVENT_UNREACHABLE => CmEvent::Unreachable(errno),
        t::RDMA_CM_EVENT_CONNECT_ERROR => CmEvent::ConnectFailed(errno),
        t::RDMA_CM_EVENT_DISCONNECTED => CmEvent::Disconnected,
        t::RDMA_CM_EVENT_DEVICE_REMOVAL => CmEvent::DeviceRemoved,
        t::RDMA_CM_EVENT_ADDR_CHANGE => CmEvent::AddressChanged,
        other => CmEvent::Other(other),
    }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
