//! The RDMA contract: what the transport and the embedded target ask of a network card.
//!
//! Two providers keep it: `ibv`, on libibverbs and librdmacm through `rdma-sys`, and [`soft`],
//! an in-process fabric with scripted faults and real or virtual time. Everything above is
//! generic over [`Provider`], so the code that runs on a NIC is the code that runs in simulation.
//!
//! Threading: a [`Provider`] may be cloned into every reactor; whatever it makes (connections,
//! completion queues, domains) stays on the thread that made it. Nothing here blocks: progress
//! of a connection is seen by polling [`Connection::poll_event`], progress of work requests by
//! polling [`CompletionQueue::poll`]. Who has nothing to do may sleep on the descriptors that
//! [`CompletionQueue::arm`], [`Connection::event_fd`] and [`Listener::event_fd`] give.
//!
//! Memory: a work request names memory by address. From the moment it is posted until its
//! completion is polled, or a later completion of the same queue implies it, or the queue pair is
//! drained, that memory belongs to the provider. [`Connection::post_send`] and
//! [`Connection::post_recv`] are `unsafe` for this reason alone.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

mod error;
mod window;
mod work;

#[cfg(feature = "rdma")]
pub mod ibv;
pub mod soft;

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

pub use error::{Error, PostError};
pub use window::{MemoryWindow, RegionHandle, WindowAccess, WindowHandle, next_rkey};
pub use work::{Bind, Completion, Op, RecvWr, SendWr, Sge, WcStatus};

/// A way to reach peers by RDMA. Cloning is cheap; a clone may move to another thread.
pub trait Provider: Clone + Send + 'static {
    /// A queue pair together with the identifier that connects it.
    type Connection: Connection<Domain = Self::Domain, Cq = Self::Cq>;
    /// Accepts connections.
    type Listener: Listener<Connection = Self::Connection>;
    /// A protection domain; clones name the same domain.
    type Domain: ProtectionDomain;
    /// A completion queue; clones name the same queue.
    type Cq: CompletionQueue;

    /// Short name for reports: `ibv` or `soft`.
    fn name(&self) -> &'static str;

    /// Starts to resolve `remote` into a device and a route. Returns at once; the outcome is
    /// [`CmEvent::RouteResolved`] or [`CmEvent::ResolveFailed`].
    fn resolve(
        &self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<Self::Connection, Error>;

    /// Listens on `local`; port 0 lets the provider choose (see [`Listener::local_addr`]).
    fn listen(&self, local: SocketAddr, backlog: u32) -> Result<Self::Listener, Error>;

    /// Lets go of devices that were removed while no connection was on them to be told. Call it now
    /// and then: who removes a device may wait for it.
    fn let_go_of_removed(&self) {}
}

/// A passive endpoint.
pub trait Listener {
    /// What it accepts.
    type Connection;
    /// The address it listens on, with the port that was given.
    fn local_addr(&self) -> SocketAddr;
    /// The next connection request, if one waits. The connection is in the state that
    /// [`CmEvent::RouteResolved`] announces on the active side: its device is known, a queue pair
    /// can be made, then [`Connection::accept`] or [`Connection::reject`].
    fn poll(&mut self) -> Result<Option<Incoming<Self::Connection>>, Error>;
    /// Readable while [`poll`](Self::poll) has something. `None`: it must be polled.
    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A connection request as it arrives at a listener.
#[derive(Debug)]
pub struct Incoming<C> {
    /// The connection to be accepted or rejected.
    pub connection: C,
    /// The peer's private data. The provider may pad it: parse a prefix (RFC 8797 §4).
    pub private_data: Vec<u8>,
}

/// A protection domain: keys from one domain reach no memory of another.
pub trait ProtectionDomain: Clone {
    /// A registration; dropping it deregisters.
    type Region: MemoryRegion;
    /// A type-2B memory window; dropping it ends its key.
    type Window: MemoryWindow;

    /// Registers `len` bytes at `addr`.
    ///
    /// # Safety
    /// The range must stay mapped until the returned region is dropped. While it is registered
    /// with [`Access::remote_write`] a peer that knows the key may change it at any time, so the
    /// caller keeps no Rust reference into any part that a peer may have been told of.
    unsafe fn register(
        &self,
        addr: *mut u8,
        len: usize,
        access: Access,
    ) -> Result<Self::Region, Error>;

    /// A memory window, bound to nothing yet, for queue pairs of this domain. An error where
    /// [`DeviceInfo::memory_window_2b`] is false.
    fn new_window(&self) -> Result<Self::Window, Error>;
}

/// A registered memory region.
pub trait MemoryRegion {
    /// The key for [`Sge::lkey`].
    fn lkey(&self) -> u32;
    /// The key to advertise to the peer.
    fn rkey(&self) -> u32;
    /// Names the region in [`Op::BindWindow`], as long as it lives.
    fn handle(&self) -> RegionHandle;
}

/// What a registration permits besides local reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Receives and RDMA Reads may place data here.
    pub local_write: bool,
    /// The peer may RDMA Read.
    pub remote_read: bool,
    /// The peer may RDMA Write.
    pub remote_write: bool,
    /// Memory windows may be bound here. They grant the peer what the region itself need not:
    /// only a window for RDMA Writes asks for `local_write`.
    pub bind: bool,
}

impl Access {
    /// Only for Sends.
    pub const SEND_ONLY: Self =
        Self { local_write: false, remote_read: false, remote_write: false, bind: false };
    /// Sends and Receives, no remote access.
    pub const LOCAL: Self = Self { local_write: true, ..Self::SEND_ONLY };
    /// Everything by the region's own key: payload buffers under static registration.
    pub const REMOTE: Self = Self { remote_read: true, remote_write: true, ..Self::LOCAL };
    /// Remote access by windows only: payload buffers with a key per I/O.
    pub const BINDABLE: Self = Self { bind: true, ..Self::LOCAL };
}

/// A completion queue, polled by one thread.
pub trait CompletionQueue: Clone {
    /// Fills `out` from its start and returns how many entries were written; 0 means idle.
    /// An `Err` (overflow, device gone) is fatal to the queue and every connection on it. It is boxed
    /// so that what is returned stays in registers.
    fn poll(&self, out: &mut [Completion]) -> Result<usize, Box<Error>>;
    /// How many entries it was made for, at least as many as asked.
    fn depth(&self) -> u32;
    /// Asks to be told once of completions: the descriptor becomes readable when one is added after
    /// this call, and stays so until the next one. Poll once more before sleeping on it: what was
    /// added before is not told. It may become readable without cause. `Ok(None)`: what comes next
    /// is seen only by polling.
    fn arm(&self) -> Result<Option<BorrowedFd<'_>>, Error> {
        Ok(None)
    }
}

/// A queue pair together with the identifier that connects it.
///
/// Active life: resolve → `RouteResolved` → `domain`, `completion_queue`, `create_queue_pair` →
/// `connect` → `Established` → … → `disconnect` → drain → drop. Dropping it destroys the queue
/// pair: everything posted must have completed or been flushed first.
pub trait Connection {
    /// Its protection domain type.
    type Domain: ProtectionDomain;
    /// Its completion queue type.
    type Cq: CompletionQueue;

    /// The next connection event, if any. A system call on `ibv`: poll it on a timer, not in
    /// every turn.
    fn poll_event(&mut self) -> Option<CmEvent>;

    /// Readable while [`poll_event`](Self::poll_event) has something. `None`: what comes next is
    /// seen only by polling.
    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The device behind the route; `None` before `RouteResolved`.
    fn device(&self) -> Option<&DeviceInfo>;

    /// A new protection domain on the connection's device.
    fn new_domain(&self) -> Result<Self::Domain, Error>;

    /// A new completion queue on the connection's device. Completion queues may be shared by all
    /// connections of one thread whose [`DeviceInfo::key`] is the same.
    fn new_completion_queue(&self, depth: u32) -> Result<Self::Cq, Error>;

    /// Makes the queue pair; Sends and Receives complete on `cq`. All Sends are unsignaled unless
    /// they ask ([`SendWr::signaled`]). Receives may be posted from now on, Sends once
    /// established.
    fn create_queue_pair(
        &mut self,
        domain: &Self::Domain,
        cq: &Self::Cq,
        caps: &QueuePairCaps,
    ) -> Result<(), Error>;

    /// Active side: asks the peer to connect.
    fn connect(&mut self, params: &ConnectParams<'_>) -> Result<(), Error>;
    /// Passive side: accepts; `Established` follows.
    fn accept(&mut self, params: &ConnectParams<'_>) -> Result<(), Error>;
    /// Passive side: refuses.
    fn reject(&mut self, private_data: &[u8]) -> Result<(), Error>;

    /// Moves the queue pair to the error state, whatever state the connection is in, and tells
    /// the peer if there is one. Everything posted, and everything posted from now on, is flushed
    /// with [`WcStatus::Flushed`], in order per queue; successful unsignaled Sends before the
    /// failure never get a completion. Idempotent.
    fn disconnect(&mut self);

    /// Posts a chain of Sends with one doorbell. Returns how many were posted.
    ///
    /// # Safety
    /// Until a Send has completed (module documentation), every byte that its SGEs name stays
    /// mapped, is not written, and, for an RDMA Read, is not read either. SGE arrays themselves
    /// are read during the call only.
    ///
    /// The window and the region of an [`Op::BindWindow`] are alive, of this provider and this
    /// device, and stay alive until it has completed. From the post until the key is invalidated,
    /// or the window or the queue pair dropped, the peer may read or change the bytes bound as the
    /// access says; until then the region lives and the caller treats them as lent. A window is
    /// bound at most once in a chain.
    unsafe fn post_send<'a, I>(&mut self, chain: I) -> Result<usize, PostError>
    where
        I: IntoIterator<Item = SendWr<'a>>;

    /// Posts a chain of Receives. Returns how many were posted.
    ///
    /// # Safety
    /// Until a Receive has completed, the bytes that its SGE names stay mapped and are neither
    /// read nor written.
    unsafe fn post_recv<I>(&mut self, chain: I) -> Result<usize, PostError>
    where
        I: IntoIterator<Item = RecvWr>;

    /// The local queue pair number, for logs; 0 before the queue pair exists.
    fn qp_num(&self) -> u32;
    /// The peer, when known.
    fn peer_addr(&self) -> Option<SocketAddr>;
}

/// Why a connection is rejected, by the numbers of the InfiniBand CM (IBTA vol. 1 §12.6.7.2).
pub mod reject_reason {
    /// Nobody listens there.
    pub const NO_LISTENER: i32 = 8;
    /// The peer holds a connection of a queue pair of that number, which is no more
    /// (`IB_CM_REJ_STALE_CONN`).
    pub const STALE_CONNECTION: i32 = 10;
    /// The peer's program said no.
    pub const CONSUMER: i32 = 28;
}

/// What a connection reports of its own life.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CmEvent {
    /// Address and route are known: the device can be used.
    RouteResolved,
    /// No such address, no RDMA device for it, or no route; an errno.
    ResolveFailed(i32),
    /// Data may flow; what the peer sent along (possibly padded).
    Established {
        /// The accepting side's private data; empty on the accepting side itself.
        private_data: Vec<u8>,
    },
    /// The peer, or its stack, said no. `reason` is one of the InfiniBand CM's
    /// ([`reject_reason`]), or an errno on other transports.
    Rejected {
        /// Reason code.
        reason: i32,
        /// The peer's private data.
        private_data: Vec<u8>,
    },
    /// Nobody answered; an errno.
    Unreachable(i32),
    /// Connection set-up failed; an errno.
    ConnectFailed(i32),
    /// The peer left, or the link did.
    Disconnected,
    /// The device is going away.
    DeviceRemoved,
    /// The path moved to another device or address.
    AddressChanged,
    /// An event this crate has no name for, by number.
    Other(u32),
}

/// The device a connection runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Name as the system knows it, `rxe0` or `soft`.
    pub name: String,
    /// Equal for connections that may share completion queues.
    pub key: u64,
    /// Most work requests on one queue.
    pub max_qp_wr: u32,
    /// Most SGEs in one work request.
    pub max_sge: u32,
    /// Most entries in one completion queue.
    pub max_cqe: u32,
    /// Most RDMA Reads in flight towards this side of one connection.
    pub max_rd_atom: u8,
    /// Whether type-2B memory windows exist.
    pub memory_window_2b: bool,
}

/// Sizes of a queue pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePairCaps {
    /// Send Queue entries.
    pub send_wr_max: u32,
    /// Receive Queue entries.
    pub recv_wr_max: u32,
    /// SGEs per Send.
    pub send_sge_max: u32,
}

/// Connection parameters; defaults follow the Linux NFS client.
#[derive(Clone, Copy, Debug)]
pub struct ConnectParams<'a> {
    /// RFC 8797 message or empty; at most 56 bytes on RDMA_PS_TCP.
    pub private_data: &'a [u8],
    /// RDMA Reads this side will serve at once; at least 1 (knfsd rejects 0).
    pub responder_resources: u8,
    /// RDMA Reads this side will have in flight.
    pub initiator_depth: u8,
    /// Transport retries, 0–7.
    pub retry_count: u8,
    /// Receiver-not-ready retries, 0–7; 7 means for ever.
    pub rnr_retry_count: u8,
}

impl Default for ConnectParams<'_> {
    fn default() -> Self {
        Self {
            private_data: &[],
            responder_resources: 16,
            initiator_depth: 0,
            retry_count: 6,
            rnr_retry_count: 0,
        }
    }
}
