use super::*;
use crate::ibv::cm::ReadDepth;

fn wc(status: ffi::ibv_wc_status::Type, flags: u32) -> ffi::ibv_wc {
    // SAFETY: ibv_wc is plain data, zeroes are a value.
    let mut wc: ffi::ibv_wc = unsafe { std::mem::zeroed() };
    wc.wr_id = 0xfeed;
    wc.status = status;
    wc.byte_len = 4096;
    wc.qp_num = 17;
    wc.wc_flags = flags;
    wc.imm_data_invalidated_rkey_union.invalidated_rkey = 0xabcd;
    wc
}

const WITH_INV: u32 = ffi::ibv_wc_flags::IBV_WC_WITH_INV.0;
const IP_CSUM_OK: u32 = ffi::ibv_wc_flags::IBV_WC_IP_CSUM_OK.0;
const GRH: u32 = ffi::ibv_wc_flags::IBV_WC_GRH.0;

#[test]
fn a_success_carries_length_and_invalidated_key() {
    let got = completion(&wc(ffi::ibv_wc_status::IBV_WC_SUCCESS, WITH_INV), WITH_INV);
    assert_eq!((got.wr_id, got.qp_num, got.byte_len), (0xfeed, 17, 4096));
    assert_eq!(got.invalidated_rkey, Some(0xabcd));
}

#[test]
fn the_grh_flag_that_rxe_sets_on_reliable_connections_changes_nothing() {
    let got = completion(&wc(ffi::ibv_wc_status::IBV_WC_SUCCESS, GRH), WITH_INV);
    assert_eq!((got.byte_len, got.invalidated_rkey), (4096, None));
}

/// rxe 6.1 and 6.12: the key was invalidated, and the flag is the kernel's.
#[test]
fn the_kernels_flag_for_an_invalidated_key_counts_where_the_device_uses_it() {
    let wc = wc(ffi::ibv_wc_status::IBV_WC_SUCCESS, GRH | IP_CSUM_OK);
    assert_eq!(completion(&wc, WITH_INV | IP_CSUM_OK).invalidated_rkey, Some(0xabcd));
    assert_eq!(completion(&wc, WITH_INV).invalidated_rkey, None);
}

#[test]
fn a_failed_completion_keeps_only_identity_and_status() {
    let got = completion(&wc(ffi::ibv_wc_status::IBV_WC_WR_FLUSH_ERR, WITH_INV), WITH_INV);
    assert_eq!((got.wr_id, got.qp_num, got.status), (0xfeed, 17, WcStatus::Flushed));
    assert_eq!((got.byte_len, got.invalidated_rkey), (0, None));
}

#[test]
fn statuses_are_told_apart_and_unknown_ones_keep_their_number() {
    use ffi::ibv_wc_status as s;
    let table = [
        (s::IBV_WC_LOC_LEN_ERR, WcStatus::LocalLength),
        (s::IBV_WC_LOC_PROT_ERR, WcStatus::LocalProtection),
        (s::IBV_WC_MW_BIND_ERR, WcStatus::MwBind),
        (s::IBV_WC_REM_ACCESS_ERR, WcStatus::RemoteAccess),
        (s::IBV_WC_REM_INV_REQ_ERR, WcStatus::RemoteInvalidRequest),
        (s::IBV_WC_REM_OP_ERR, WcStatus::RemoteOperation),
        (s::IBV_WC_RETRY_EXC_ERR, WcStatus::RetryExceeded),
        (s::IBV_WC_RNR_RETRY_EXC_ERR, WcStatus::RnrRetryExceeded),
        (s::IBV_WC_FATAL_ERR, WcStatus::Other(19)),
        (4242, WcStatus::Other(4242)),
    ];
    for (raw, expected) in table {
        assert_eq!(completion(&wc(raw, 0), WITH_INV).status, expected, "{raw}");
    }
}

#[test]
fn remote_write_brings_local_write() {
    assert_eq!(access_flags(Access::SEND_ONLY), 0);
    assert_eq!(access_flags(Access::LOCAL), 1);
    assert_eq!(access_flags(Access::REMOTE), 1 | 2 | 4);
    assert_eq!(access_flags(Access { remote_write: true, ..Access::SEND_ONLY }), 1 | 2);
    assert_eq!(access_flags(Access { remote_read: true, ..Access::SEND_ONLY }), 4);
    assert_eq!(access_flags(Access::BINDABLE), 1 | 16);
}

#[test]
fn connection_events_keep_their_reason() {
    use ffi::rdma_cm_event_type as t;
    let event = |kind, status| {
        cm_event(Event {
            kind,
            status,
            private_data: vec![1, 2],
            offered: ReadDepth { responder_resources: 0, initiator_depth: 0 },
            new_id: std::ptr::null_mut(),
        })
    };
    let private_data = vec![1, 2];
    assert_eq!(event(t::RDMA_CM_EVENT_ADDR_ERROR, -libc::ENODEV), CmEvent::ResolveFailed(19));
    assert_eq!(event(t::RDMA_CM_EVENT_UNREACHABLE, -libc::ETIMEDOUT), CmEvent::Unreachable(110));
    assert_eq!(
        event(t::RDMA_CM_EVENT_REJECTED, 28),
        CmEvent::Rejected { reason: 28, private_data: private_data.clone() }
    );
    assert_eq!(event(t::RDMA_CM_EVENT_ESTABLISHED, 0), CmEvent::Established { private_data });
    assert_eq!(event(t::RDMA_CM_EVENT_ADDR_CHANGE, 0), CmEvent::AddressChanged);
    assert_eq!(event(t::RDMA_CM_EVENT_DEVICE_REMOVAL, 0), CmEvent::DeviceRemoved);
    assert_eq!(event(t::RDMA_CM_EVENT_TIMEWAIT_EXIT, 0), CmEvent::Other(15));
    assert_eq!(event(99, 0), CmEvent::Other(99));
}
