//! Connection identifiers and their event channels: the thin, owning layer over librdmacm.
//!
//! `rdma_destroy_id` and `rdma_migrate_id` wait until every event that was read for the id has
//! been acknowledged. [`CmId::next_event`] copies an event and acknowledges it in one breath, so
//! neither ever waits.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rdma_sys as ffi;

use super::addr::{CAddr, socket_addr};
use super::context::Bound;
use super::device::no_device;
use super::last_error;
use crate::{ConnectParams, Error};

/// How long the kernel may look for an address, and then for a route (Linux NFS client: 5 s).
const RESOLVE_TIMEOUT_MS: i32 = 5000;
/// Most private data on a connect or accept of `RDMA_PS_TCP`: 92 bytes of the CM request less the
/// 36 that the IP addressing service puts there.
const PRIVATE_DATA_MAX: usize = 56;
/// Most private data in a CM rejection.
const REJECT_DATA_MAX: usize = 148;

/// An `rdma_cm_id` with an event channel of its own. Dropping it destroys both.
pub(super) struct CmId {
    // Declared before the channel: `Drop` destroys the id, then the field drops the channel.
    id: NonNull<ffi::rdma_cm_id>,
    channel: Channel,
    /// Its share in its device's context, once it is bound to one.
    bound: OnceCell<Bound>,
}

/// A connection manager event, copied and acknowledged.
pub(super) struct Event {
    /// `rdma_cm_event_type`.
    pub(super) kind: ffi::rdma_cm_event_type::Type,
    /// 0, a negative errno, or a positive CM reason.
    pub(super) status: i32,
    /// What the peer sent along, as long as the transport's field (padded).
    pub(super) private_data: Vec<u8>,
    /// RDMA Reads the peer wants us to serve, or to have in flight, at most.
    pub(super) offered: ReadDepth,
    /// On a connection request: the new id, still on the listener's channel.
    pub(super) new_id: *mut ffi::rdma_cm_id,
}

/// RDMA Read resources of one side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadDepth {
    /// Reads served at once.
    pub(super) responder_resources: u8,
    /// Reads in flight.
    pub(super) initiator_depth: u8,
}

impl ReadDepth {
    /// The lesser of both, field by field.
    pub(super) fn min(self, other: Self) -> Self {
        Self {
            responder_resources: self.responder_resources.min(other.responder_resources),
            initiator_depth: self.initiator_depth.min(other.initiator_depth),
        }
    }
}

impl CmId {
    /// A new id for reliable connections over IP addresses.
    pub(super) fn new() -> Result<Self, Error> {
        let channel = Channel::open()?;
        let mut id = ptr::null_mut();
        // SAFETY: the channel is open and outlives the id; `id` is written on success.
        let rc = unsafe {
            ffi::rdma_create_id(
                channel.as_ptr(),
                &mut id,
                ptr::null_mut(),
                ffi::rdma_port_space::RDMA_PS_TCP,
            )
        };
        match NonNull::new(id) {
            Some(id) if rc == 0 => Ok(Self { id, channel, bound: OnceCell::new() }),
            _ => Err(last_error("rdma_create_id")),
        }
    }

    /// Takes over the id of a connection request and gives it a channel of its own. On failure
    /// the request is refused and the id destroyed.
    pub(super) fn adopt(id: *mut ffi::rdma_cm_id) -> Result<Self, Error> {
        let id =
            NonNull::new(id).ok_or(Error::Os { call: "rdma_get_cm_event", errno: libc::EIO })?;
        let moved = Channel::open().and_then(|channel| {
            // SAFETY: the request's event has been acknowledged and no other event of this id
            // has been read, so the call does not wait; both channels are open.
            match unsafe { ffi::rdma_migrate_id(id.as_ptr(), channel.as_ptr()) } {
                0 => Ok(channel),
                _ => Err(last_error("rdma_migrate_id")),
            }
        });
        match moved {
            Ok(channel) => Ok(Self { id, channel, bound: OnceCell::new() }),
            Err(error) => {
                // SAFETY: nobody else has seen this id; destroying it also refuses the request.
                unsafe { ffi::rdma_destroy_id(id.as_ptr()) };
                Err(error)
            }
        }
    }

    /// The raw id; valid while `self` is.
    pub(super) fn as_ptr(&self) -> *mut ffi::rdma_cm_id {
        self.id.as_ptr()
    }

    /// The device context that the id was bound to; null before its address is resolved.
    pub(super) fn verbs(&self) -> *mut ffi::ibv_context {
        // SAFETY: the id is alive; librdmacm writes the field only inside calls made by us.
        unsafe { (*self.id.as_ptr()).verbs }
    }

    /// The id has a device from now on.
    pub(super) fn bind(&self) {
        debug_assert!(!self.verbs().is_null(), "bound ids have a context");
        // SAFETY: the id keeps its context open, and `Drop` gives the share back before the id.
        self.bound.get_or_init(|| unsafe { Bound::new(self.verbs()) });
    }

    /// The id's device is being removed.
    pub(super) fn device_removed(&self) {
        if let Some(bound) = self.bound.get() {
            bound.device_removed();
        }
    }

    /// Readable while an event waits.
    pub(super) fn event_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the channel is open, and with it its descriptor, as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw((*self.channel.as_ptr()).fd) }
    }

    /// The next event, if one waits.
    pub(super) fn next_event(&self) -> Result<Option<Event>, Error> {
        let mut event = ptr::null_mut();
        // SAFETY: the channel is open and non-blocking; `event` is written on success.
        let rc = unsafe { ffi::rdma_get_cm_event(self.channel.as_ptr(), &mut event) };
        if rc != 0 {
            return match last_error("rdma_get_cm_event") {
                Error::Os { errno: libc::EAGAIN | libc::EINTR, .. } => Ok(None),
                error => Err(error),
            };
        }
        // SAFETY: librdmacm returned an event that is ours until it is acknowledged. All events
        // of a reliable connection carry the `conn` variant, zeroed where there is nothing.
        let copy = unsafe {
            let conn = &(*event).param.conn;
            Event {
                kind: (*event).event,
                status: cm_status((*event).status),
                private_data: copy_bytes(conn.private_data.cast(), conn.private_data_len.into()),
                offered: ReadDepth {
                    responder_resources: conn.responder_resources,
                    initiator_depth: conn.initiator_depth,
                },
                new_id: (*event).id,
            }
        };
        // SAFETY: the event is acknowledged exactly once and not touched again.
        unsafe { ffi::rdma_ack_cm_event(event) };
        Ok(Some(copy))
    }

    /// Starts the search for the device and address of `remote`.
    pub(super) fn resolve_addr(&self, remote: SocketAddr) -> Result<(), Error> {
        let remote = CAddr::from(remote);
        let bound = ptr::null_mut();
        // SAFETY: the address outlives the call, which copies it.
        let rc = unsafe {
            ffi::rdma_resolve_addr(self.as_ptr(), bound, remote.as_ptr(), RESOLVE_TIMEOUT_MS)
        };
        check(rc, "rdma_resolve_addr")
    }

    /// Starts the search for a route; the address is resolved.
    pub(super) fn resolve_route(&self) -> Result<(), Error> {
        // SAFETY: the id is alive and bound to a device.
        check(
            unsafe { ffi::rdma_resolve_route(self.as_ptr(), RESOLVE_TIMEOUT_MS) },
            "rdma_resolve_route",
        )
    }

    /// Takes an address, or a port on any address.
    pub(super) fn bind_addr(&self, local: SocketAddr) -> Result<(), Error> {
        let local = CAddr::from(local);
        // SAFETY: the address outlives the call, which copies it.
        check(unsafe { ffi::rdma_bind_addr(self.as_ptr(), local.as_ptr()) }, "rdma_bind_addr")
    }

    /// Binds and listens.
    pub(super) fn listen(&self, local: SocketAddr, backlog: u32) -> Result<(), Error> {
        self.bind_addr(local)?;
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        // SAFETY: the id is alive and bound.
        check(unsafe { ffi::rdma_listen(self.as_ptr(), backlog) }, "rdma_listen")
    }

    /// Asks the peer to connect.
    pub(super) fn connect(
        &self,
        params: &ConnectParams<'_>,
        depth: ReadDepth,
    ) -> Result<(), Error> {
        let mut param = conn_param(params, depth)?;
        // SAFETY: the parameters and the private data they point to outlive the call.
        check(unsafe { ffi::rdma_connect(self.as_ptr(), &mut param) }, "rdma_connect")
    }

    /// Accepts the peer's request.
    pub(super) fn accept(&self, params: &ConnectParams<'_>, depth: ReadDepth) -> Result<(), Error> {
        let mut param = conn_param(params, depth)?;
        // SAFETY: as in `connect`.
        check(unsafe { ffi::rdma_accept(self.as_ptr(), &mut param) }, "rdma_accept")
    }

    /// Refuses the peer's request.
    pub(super) fn reject(&self, private_data: &[u8]) -> Result<(), Error> {
        let len = data_len("private data of a rejection", private_data, REJECT_DATA_MAX)?;
        // SAFETY: the private data outlives the call, which copies it.
        check(
            unsafe { ffi::rdma_reject(self.as_ptr(), private_data.as_ptr().cast(), len) },
            "rdma_reject",
        )
    }

    /// Tells the peer that we leave, or that we saw it leave.
    pub(super) fn disconnect(&self) -> Result<(), Error> {
        // SAFETY: the id is alive and bound to a device.
        check(unsafe { ffi::rdma_disconnect(self.as_ptr()) }, "rdma_disconnect")
    }

    /// Our end's address, once bound.
    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        // SAFETY: the id is alive; sockaddr_storage is plain data, any bytes are a value.
        socket_addr(unsafe { &(*self.id.as_ptr()).route.addr.src_addr_union.src_storage })
    }

    /// The peer's address, once known.
    pub(super) fn peer_addr(&self) -> Option<SocketAddr> {
        // SAFETY: as above.
        socket_addr(unsafe { &(*self.id.as_ptr()).route.addr.dst_addr_union.dst_storage })
    }
}

impl Drop for CmId {
    fn drop(&mut self) {
        drop(self.bound.take());
        // SAFETY: the id is ours, its queue pair is gone (`QueuePair` holds this id), and all its
        // events are acknowledged, so the call does not wait.
        unsafe { ffi::rdma_destroy_id(self.id.as_ptr()) };
    }
}

/// A non-blocking event channel.
struct Channel(NonNull<ffi::rdma_event_channel>);

impl Channel {
    fn open() -> Result<Self, Error> {
        // SAFETY: takes nothing; returns null or a channel that is ours.
        let raw = unsafe { ffi::rdma_create_event_channel() };
        let Some(channel) = NonNull::new(raw).map(Self) else {
            return Err(no_device(last_error("rdma_create_event_channel")));
        };
        // SAFETY: the channel is open.
        set_nonblocking(unsafe { (*raw).fd })?;
        Ok(channel)
    }

    fn as_ptr(&self) -> *mut ffi::rdma_event_channel {
        self.0.as_ptr()
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: every id on the channel is destroyed before its channel (see `CmId`).
        unsafe { ffi::rdma_destroy_event_channel(self.0.as_ptr()) };
    }
}

/// Makes reads of `fd` return `EAGAIN` where they would wait.
pub(super) fn set_nonblocking(fd: i32) -> Result<(), Error> {
    // SAFETY: fcntl with these commands touches no memory of ours.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: as above.
    if flags < 0 || unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) } < 0 {
        return Err(last_error("fcntl(O_NONBLOCK)"));
    }
    Ok(())
}

fn check(rc: i32, call: &'static str) -> Result<(), Error> {
    if rc == 0 { Ok(()) } else { Err(last_error(call)) }
}

/// librdmacm puts -1 into the status of an event whose processing failed on our side; the reason
/// is then in `errno`, which nothing has touched since.
fn cm_status(status: i32) -> i32 {
    match status {
        -1 => -std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO),
        status => status,
    }
}

fn conn_param(params: &ConnectParams<'_>, depth: ReadDepth) -> Result<ffi::rdma_conn_param, Error> {
    Ok(ffi::rdma_conn_param {
        private_data: params.private_data.as_ptr().cast(),
        private_data_len: data_len("private data", params.private_data, PRIVATE_DATA_MAX)?,
        responder_resources: depth.responder_resources,
        initiator_depth: depth.initiator_depth,
        flow_control: 1,
        retry_count: params.retry_count.min(7),
        rnr_retry_count: params.rnr_retry_count.min(7),
        srq: 0,
        qp_num: 0,
    })
}

fn data_len(what: &'static str, data: &[u8], limit: usize) -> Result<u8, Error> {
    match u8::try_from(data.len()) {
        Ok(len) if data.len() <= limit => Ok(len),
        _ => Err(Error::Limit { what, asked: data.len() as u64, limit: limit as u64 }),
    }
}

/// # Safety
/// `from` is null or points to `len` readable bytes.
unsafe fn copy_bytes(from: *const u8, len: usize) -> Vec<u8> {
    if from.is_null() || len == 0 {
        return Vec::new();
    }
    // SAFETY: given by the caller.
    unsafe { std::slice::from_raw_parts(from, len) }.to_vec()
}

#[cfg(test)]
#[path = "cm_tests.rs"]
mod tests;
