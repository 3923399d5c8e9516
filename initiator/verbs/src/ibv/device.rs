//! What devices there are and what they offer.

use std::ffi::{CStr, c_char};
use std::path::Path;
use std::{fs, ptr};

use rdma_sys as ffi;

use super::cm::ReadDepth;
use super::{faults, last_error};
use crate::{DeviceInfo, Error};

/// Where the kernel lists RDMA devices.
const SYSFS_DEVICES: &str = "/sys/class/infiniband";
/// Where libibverbs finds them (module ib_uverbs).
const SYSFS_VERBS: &str = "/sys/class/infiniband_verbs";
/// The connection manager's device (module rdma_ucm).
const CM_DEVICE: &str = "/dev/infiniband/rdma_cm";
/// What rxe answers for the vendor of its devices, whatever their names.
const RXE_VENDOR_ID: u32 = 0xff_ffff;

/// An RDMA device of this machine, for `initiator doctor`.
#[derive(Clone, Debug)]
pub struct DeviceSummary {
    /// Name as the system knows it, `rxe0` or `mlx5_0`.
    pub name: String,
    /// Node GUID, as a number in host order.
    pub node_guid: u64,
    /// `InfiniBand/RoCE`, `iWARP` or `other`.
    pub transport: &'static str,
    /// What the device offers, or why it could not be opened.
    pub info: Result<DeviceInfo, Error>,
    /// Its ports; empty if it could not be opened.
    pub ports: Vec<PortSummary>,
}

/// A port of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSummary {
    /// Its number, from 1.
    pub number: u8,
    /// `active`, `down`, `init`, `armed` or `unknown`.
    pub state: &'static str,
    /// `Ethernet`, `InfiniBand` or `unspecified`.
    pub link_layer: &'static str,
    /// Largest message packet in bytes, 0 if unknown.
    pub mtu_bytes: u32,
    /// The first entry of its GID table, as an IPv6 address is written.
    pub gid: Option<std::net::Ipv6Addr>,
    /// The network interface behind it.
    pub netdev: Option<String>,
}

/// The RDMA devices of this machine, at least one. If there are none the error says what is
/// missing and how to mend it.
pub fn devices() -> Result<Vec<DeviceSummary>, Error> {
    let mut count = 0;
    // SAFETY: `count` is written; the list is ours until it is freed below.
    let list = unsafe { ffi::ibv_get_device_list(&mut count) };
    if list.is_null() {
        return Err(no_device(last_error("ibv_get_device_list")));
    }
    let summaries: Vec<_> = (0..usize::try_from(count).unwrap_or(0))
        // SAFETY: the list has `count` entries and is not freed yet.
        .map(|i| unsafe { summary(*list.add(i)) })
        .collect();
    // SAFETY: nothing of the list is used any more; opened devices were closed.
    unsafe { ffi::ibv_free_device_list(list) };
    if summaries.is_empty() {
        return Err(no_device(Error::Os { call: "ibv_get_device_list", errno: libc::ENODEV }));
    }
    Ok(summaries)
}

/// # Safety
/// `device` is an entry of a device list that is not freed.
unsafe fn summary(device: *mut ffi::ibv_device) -> DeviceSummary {
    // SAFETY: given by the caller; the name is an array ended by a zero byte.
    let name = unsafe { c_name(&(*device).name) };
    // SAFETY: given by the caller.
    let node_guid = u64::from_be(unsafe { ffi::ibv_get_device_guid(device) });
    // SAFETY: given by the caller.
    let transport = match unsafe { (*device).transport_type } {
        ffi::ibv_transport_type::IBV_TRANSPORT_IB => "InfiniBand/RoCE",
        ffi::ibv_transport_type::IBV_TRANSPORT_IWARP => "iWARP",
        _ => "other",
    };
    // SAFETY: given by the caller; null or a context that is ours until closed.
    let context = unsafe { ffi::ibv_open_device(device) };
    if context.is_null() {
        let info = Err(last_error("ibv_open_device"));
        return DeviceSummary { name, node_guid, transport, info, ports: Vec::new() };
    }
    // SAFETY: the context is open.
    let (info, ports) = unsafe {
        match query(context) {
            Ok((attr, limits)) => {
                let ports = (1..=attr.phys_port_cnt).map(|n| port(context, &name, n)).collect();
                (Ok(limits.info), ports)
            }
            Err(error) => (Err(error), Vec::new()),
        }
    };
    // SAFETY: nothing made from the context remains.
    unsafe { ffi::ibv_close_device(context) };
    DeviceSummary { name, node_guid, transport, info, ports }
}

/// # Safety
/// `context` is open.
unsafe fn port(context: *mut ffi::ibv_context, device: &str, number: u8) -> PortSummary {
    // SAFETY: plain data, zeroes are a value.
    let mut attr: ffi::ibv_port_attr = unsafe { std::mem::zeroed() };
    // The exported symbol fills a structure that is a prefix of today's `ibv_port_attr`: it lacks
    // only the last field, which stays zero (C gets there through an inline wrapper that
    // `rdma-sys` cannot follow).
    // SAFETY: the context is open and the structure at least as large as what is written.
    let known = unsafe { ffi::ibv_query_port(context, number, (&raw mut attr).cast()) } == 0;
    // SAFETY: plain data, zeroes are a value.
    let mut gid: ffi::ibv_gid = unsafe { std::mem::zeroed() };
    // SAFETY: the context is open; the GID is written.
    let has_gid = unsafe { ffi::ibv_query_gid(context, number, 0, &mut gid) } == 0;
    // SAFETY: both variants are sixteen plain bytes.
    let gid = has_gid.then(|| std::net::Ipv6Addr::from(unsafe { gid.raw }));
    let netdev =
        Path::new(SYSFS_DEVICES).join(device).join(format!("ports/{number}/gid_attrs/ndevs/0"));
    PortSummary {
        number,
        state: if known { port_state(attr.state) } else { "unknown" },
        link_layer: match attr.link_layer {
            1 => "InfiniBand",
            2 => "Ethernet",
            _ => "unspecified",
        },
        // enum ibv_mtu: 1 is 256, each next one doubles.
        mtu_bytes: if (1..=5).contains(&attr.active_mtu) { 128 << attr.active_mtu } else { 0 },
        gid,
        netdev: fs::read_to_string(netdev).ok().map(|name| name.trim().to_owned()),
    }
}

fn port_state(state: ffi::ibv_port_state::Type) -> &'static str {
    match state {
        ffi::ibv_port_state::IBV_PORT_DOWN => "down",
        ffi::ibv_port_state::IBV_PORT_INIT => "init",
        ffi::ibv_port_state::IBV_PORT_ARMED => "armed",
        ffi::ibv_port_state::IBV_PORT_ACTIVE => "active",
        _ => "unknown",
    }
}

/// A device's limits: the contract's and those only this provider needs.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) info: DeviceInfo,
    /// RDMA Read resources of one connection, either way.
    pub(super) reads: ReadDepth,
    /// Flags of a Receive's completion any of which says that the peer invalidated a key.
    pub(super) invalidated_flags: u32,
}

impl Limits {
    /// Of the device that an id was bound to.
    ///
    /// # Safety
    /// `context` is null or open.
    pub(super) unsafe fn of(context: *mut ffi::ibv_context) -> Result<Self, Error> {
        if context.is_null() {
            return Err(no_device(Error::Os { call: "rdma_resolve_addr", errno: libc::ENODEV }));
        }
        // SAFETY: the context is open.
        unsafe { faults::watch(context)? };
        // SAFETY: the context is open.
        unsafe { query(context) }.map(|(_, limits)| limits)
    }
}

/// # Safety
/// `context` is open.
unsafe fn query(context: *mut ffi::ibv_context) -> Result<(ffi::ibv_device_attr, Limits), Error> {
    // SAFETY: plain data, zeroes are a value.
    let mut attr: ffi::ibv_device_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the context is open; the attributes are written.
    let errno = unsafe { ffi::ibv_query_device(context, &mut attr) };
    if errno != 0 {
        return Err(Error::Os { call: "ibv_query_device", errno });
    }
    let window_2b = ffi::ibv_device_cap_flags::IBV_DEVICE_MEM_WINDOW_TYPE_2B.0;
    let reads = ReadDepth {
        responder_resources: clip(attr.max_qp_rd_atom),
        initiator_depth: clip(attr.max_qp_init_rd_atom),
    };
    let info = DeviceInfo {
        // SAFETY: an open context points to its device; the name ends with a zero byte.
        name: unsafe { c_name(&(*(*context).device).name) },
        key: context as usize as u64,
        max_qp_wr: attr.max_qp_wr.max(0).cast_unsigned(),
        max_sge: attr.max_sge.max(0).cast_unsigned(),
        max_cqe: attr.max_cqe.max(0).cast_unsigned(),
        max_rd_atom: reads.responder_resources,
        memory_window_2b: attr.device_cap_flags & window_2b != 0,
    };
    let invalidated_flags = invalidated_flags(attr.vendor_id);
    Ok((attr, Limits { info, reads, invalidated_flags }))
}

/// rxe hands the kernel's own flags to user space. The kernel's for an invalidated key is bit 2,
/// which in user space says that an IP checksum was good, and never on a reliable connection.
fn invalidated_flags(vendor_id: u32) -> u32 {
    use ffi::ibv_wc_flags as flags;
    let by_the_book = flags::IBV_WC_WITH_INV;
    let kernels = flags::IBV_WC_IP_CSUM_OK;
    if vendor_id == RXE_VENDOR_ID { (by_the_book | kernels).0 } else { by_the_book.0 }
}

fn clip(value: i32) -> u8 {
    u8::try_from(value.max(0)).unwrap_or(u8::MAX)
}

fn c_name(name: &[c_char; 64]) -> String {
    // SAFETY: an array of 64 characters is as many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(ptr::from_ref(name).cast::<u8>(), 64) };
    CStr::from_bytes_until_nul(bytes).unwrap_or_default().to_string_lossy().into_owned()
}

/// Turns the failure of a first call into a line that says what is missing. Errors that have
/// nothing to do with missing devices (no file descriptors, no memory) stay as they are.
pub(super) fn no_device(error: Error) -> Error {
    let Error::Os { call, errno } = error else { return error };
    let text = match errno {
        libc::EACCES | libc::EPERM => format!(
            "{call}: no permission for /dev/infiniband; run as root or add a udev rule for it"
        ),
        libc::ENODEV | libc::ENOENT | libc::ENXIO | libc::ENOSYS => {
            what_is_missing(|path| fs::read_dir(path).is_ok_and(|mut dir| dir.next().is_some()))
        }
        _ => return error,
    };
    Error::NoDevice(text)
}

/// The first thing of the stack that is missing, from the bottom up.
fn what_is_missing(has_entries: impl Fn(&str) -> bool) -> String {
    if !has_entries(SYSFS_DEVICES) {
        "nothing under /sys/class/infiniband; load the network card's RDMA driver, or make a \
         software device: modprobe rdma_rxe && rdma link add rxe0 type rxe netdev <interface>"
            .to_owned()
    } else if !has_entries(SYSFS_VERBS) {
        "the device is there, user access to it is not: modprobe ib_uverbs".to_owned()
    } else if !Path::new(CM_DEVICE).exists() {
        "the device is there, the connection manager is not: modprobe rdma_ucm".to_owned()
    } else {
        "the device went away; see `rdma link` (and modprobe its driver)".to_owned()
    }
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
