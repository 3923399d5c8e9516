//! Settings of a connection and of the endpoint that owns it, with the limits they are held to.

use std::net::SocketAddr;

use hugepages::{PageSize, Policy};

use crate::Error;
use crate::piece::SEGMENTS_MAX;
#[cfg(feature = "planted-faults")]
use crate::planted::PlantedFaults;
use crate::planted::planted;
use crate::receives;
use crate::recovery::{Recovery, expired};
use crate::request::Limits;
use crate::sendctx::SGES_MAX;
use crate::sender::Sender;

/// Largest queue of calls on one connection.
pub const REQUESTS_MAX: u32 = 4096;
// req: 8166-3.3.3-2
/// Inline thresholds that RFC 8797 can express.
pub const INLINE_MIN: u32 = 1024;
/// See [`INLINE_MIN`].
pub const INLINE_MAX: u32 = 256 * 1024;
/// Most Sends between two signals, as in the Linux client.
pub const SEND_BATCH_DEFAULT_MAX: u32 = 7;
/// Connections of one mount, as nfs(5) has it.
pub const CONNECTIONS_MAX: u32 = 16;
/// Sends of the reverse direction that the ring keeps room for.
pub const BACKCHANNEL_SLOTS: u32 = 2;
/// Largest RPC call message without its payload, bytes. NFSv3's largest is a SYMLINK of 1856.
pub const CALL_MAX: u32 = 2048;
/// Calls that may be under way at once whose message is too long to go inline.
pub const LONG_CALLS: u32 = 16;

/// How the server gets at payload that does not travel inline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// A key for each I/O: a type-2B memory window, bound in the chain of its Send, and invalidated
    /// by the server or by us before the caller sees the result.
    Window,
    /// The payload region's own key. Fastest, and it lets the server read and change every payload
    /// buffer of the mount at any time, whether or not a call is under way.
    Static,
}

/// How to reach a server and how to talk to it.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// The server.
    pub remote: SocketAddr,
    /// Source address, when it matters.
    pub local: Option<SocketAddr>,
    /// Come from a port below 1024 (`resvport`), which needs CAP_NET_BIND_SERVICE.
    pub resvport: bool,
    /// Connections of a mount, 1 to 16, each with a Send Queue and credits of its own (`nconnect`). A
    /// client makes so many; [`Endpoint::connect`](crate::Endpoint::connect) makes one.
    pub nconnect: u32,
    /// Most calls in flight on a connection; the server may grant fewer credits.
    pub max_requests: u32,
    /// Signal one Send in this many; 0 signals every one; `None` is min(7, max_requests / 4).
    pub send_batch: Option<u32>,
    /// Largest message to send inline, bytes; the server may take less.
    pub inline_send: u32,
    /// Largest message to receive inline, bytes; announced to the server.
    pub inline_receive: u32,
    /// Payloads up to this many bytes are copied into the Send rather than gathered.
    pub copy_max: u32,
    /// Data that comes inline is left in the Receive that it came in, and handed over with it, when
    /// it is longer than this; shorter data is cheaper to copy.
    pub receive_copy_max: u32,
    /// How chunks are registered; `None` is windows where the device has them.
    pub registration: Option<Registration>,
    /// How long a connection may take to be made.
    pub connect_timeout_ns: u64,
    /// How long a call may go unanswered before its connection is dropped (`timeo`).
    pub rpc_timeout_ns: u64,
    /// Retransmissions that a soft mount's call gets (`retrans`).
    pub retrans: u32,
    /// What becomes of RPCs whose connection is lost.
    pub recovery: Recovery,
    /// First pause between attempts to connect again; they double.
    pub reconnect_min_ns: u64,
    /// Longest pause.
    pub reconnect_max_ns: u64,
    /// A connection without calls for so long is closed until the next one; 0 keeps it.
    pub idle_timeout_ns: u64,
    /// Which XIDs, and the jitter of pauses. `None`: XIDs that no other connection of this host
    /// has, and jitter at random. `Some` is for runs that are to be repeated exactly.
    pub xid_seed: Option<u32>,
    /// Payload buffers.
    pub buffers: BufferConfig,
    /// Regions of callers' own memory that stay registered.
    pub own_regions_max: u32,
    /// Test-only builds: deliberate faults that the tests must catch.
    #[cfg(feature = "planted-faults")]
    pub planted: PlantedFaults,
}

/// The pool of payload buffers that a connection registers.
#[derive(Clone, Copy, Debug)]
pub struct BufferConfig {
    /// Bytes in each.
    pub buffer_len: u32,
    /// How many.
    pub count: u32,
    /// What pages to use.
    pub policy: Policy,
    /// Which size of huge page.
    pub page_size: PageSize,
    /// Where the memory should be.
    pub numa_node: Option<u32>,
}

impl TransportConfig {
    /// Defaults as in the Linux NFS client where it has them.
    #[must_use]
    pub fn new(remote: SocketAddr) -> Self {
        Self {
            remote,
            local: None,
            resvport: false,
            nconnect: 1,
            max_requests: 128,
            send_batch: None,
            inline_send: 4096,
            inline_receive: 4096,
            copy_max: 512,
            receive_copy_max: 512,
            registration: None,
            connect_timeout_ns: 5_000_000_000,
            rpc_timeout_ns: 60_000_000_000,
            retrans: 2,
            recovery: Recovery::Hard,
            reconnect_min_ns: 5_000_000_000,
            reconnect_max_ns: 60_000_000_000,
            idle_timeout_ns: 300_000_000_000,
            xid_seed: None,
            buffers: BufferConfig::default(),
            own_regions_max: 64,
            #[cfg(feature = "planted-faults")]
            planted: PlantedFaults::default(),
        }
    }

    /// Sends between two signals: every `n`-th asks for a completion, and 1 means all do.
    pub(crate) fn signal_every(&self) -> u32 {
        let batch = self.send_batch.unwrap_or(SEND_BATCH_DEFAULT_MAX.min(self.max_requests / 4));
        batch.max(1)
    }

    /// Request slots: those that may await a Reply, those of the reverse direction, and slack for
    /// those whose Reply has come while their unsignaled Send still pins the header buffer. A
    /// signal comes at the latest after `signal_every` Sends, moved to the end of a chain by less
    /// than as many again.
    pub(crate) fn requests(&self) -> u32 {
        self.max_requests + BACKCHANNEL_SLOTS + 2 * self.signal_every()
    }

    /// Work requests that the places in the ring, one for each request slot, can come to: where
    /// keys are per I/O there is a bind in front of each Send.
    pub(crate) fn ring_wr_max(&self) -> u32 {
        match self.registration {
            Some(Registration::Static) => self.requests(),
            _ => 2 * self.requests(),
        }
    }

    /// Send Queue entries: those, and one for the drain marker.
    pub(crate) fn send_wr_max(&self) -> u32 {
        let wrs = if planted!(self, BindsUncounted) { self.requests() } else { self.ring_wr_max() };
        wrs + 1
    }

    // req: 8166-3.3.1-4
    /// Receive Queue entries: one for each call that may be unanswered, and one for each request
    /// slot, which may hold on to a Reply until its Send completes; and those that are due for posting
    /// until they are enough.
    pub(crate) fn recv_wr_max(&self) -> u32 {
        self.max_requests + self.requests() + receives::BATCH - 1
    }

    /// Buffers to put in the place of Receives whose data a caller keeps. Without one left, data
    /// is copied.
    pub(crate) fn spare_receives(&self) -> u32 {
        self.max_requests.div_ceil(2)
    }

    /// A fresh send side.
    pub(crate) fn sender(&self) -> Sender {
        Sender::new(self.requests(), self.ring_wr_max(), self.signal_every())
    }

    /// What we would like; the server may allow less.
    pub(crate) fn limits(&self) -> Limits {
        let inline_send = self.inline_send;
        #[cfg(feature = "planted-faults")]
        let inline_send = self.planted.inline_send.unwrap_or(inline_send);
        Limits {
            inline_send: inline_send as usize,
            inline_receive: self.inline_receive as usize,
            copy_max: self.copy_max as usize,
            sges: SGES_MAX,
        }
    }

    /// How long a call of a soft mount may take in all, and what it ends with then. `None` for
    /// mounts that wait.
    #[must_use]
    pub fn patience(&self) -> Option<(u64, Error)> {
        let limit_ns = self.call_limit_ns();
        matches!(self.recovery, Recovery::Soft | Recovery::SoftErr)
            .then(|| (limit_ns, expired(self.recovery, self.remote, limit_ns)))
    }

    /// How long a soft mount's call may take in all.
    pub(crate) fn call_limit_ns(&self) -> u64 {
        self.rpc_timeout_ns.saturating_mul(u64::from(self.retrans) + 1)
    }

    /// Checks every setting against its range.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |name, value: u64, low: u64, high: u64, allowed| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(Error::Setting { name, value, allowed })
            }
        };
        let requests = u64::from(self.max_requests);
        check("max_requests", requests, 1, REQUESTS_MAX.into(), "1 to 4096")?;
        check("nconnect", self.nconnect.into(), 1, CONNECTIONS_MAX.into(), "1 to 16")?;
        let batch = self.send_batch.unwrap_or(0).into();
        check("send_batch", batch, 0, requests, "0 to max_requests")?;
        let inline = "1024 to 262144, a multiple of 1024";
        for (name, bytes) in
            [("inline_send", self.inline_send), ("inline_receive", self.inline_receive)]
        {
            check(name, bytes.into(), INLINE_MIN.into(), INLINE_MAX.into(), inline)?;
            check(name, u64::from(bytes) % 1024, 0, 0, inline).map_err(|_| Error::Setting {
                name,
                value: bytes.into(),
                allowed: inline,
            })?;
        }
        check("buffer_len", self.buffers.buffer_len.into(), 1, 1 << 30, "1 to 1073741824")?;
        check("buffer count", self.buffers.count.into(), 1, 1 << 20, "1 to 1048576")?;
        let own = "8 (the pieces of one payload) to 65536";
        check("own_regions_max", self.own_regions_max.into(), SEGMENTS_MAX as u64, 1 << 16, own)?;
        check("retrans", self.retrans.into(), 0, 1000, "0 to 1000")?;
        check("rpc_timeout_ns", self.rpc_timeout_ns, 1, u64::MAX, "at least 1")?;
        check("connect_timeout_ns", self.connect_timeout_ns, 1, u64::MAX, "at least 1")
    }
}

impl Default for BufferConfig {
    fn default() -> Self {
        Self {
            buffer_len: 128 * 1024,
            count: 64,
            policy: Policy::Preferred,
            page_size: PageSize::Huge2M,
            numa_node: None,
        }
    }
}

/// Limits of a reactor's endpoint.
#[derive(Clone, Copy, Debug)]
pub struct EndpointConfig {
    /// Most connections at once.
    pub connections_max: u16,
    /// Entries of the completion queue; every queue entry of every connection has its place.
    pub cq_depth: u32,
    /// Completions taken in one poll.
    pub poll_batch: usize,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self { connections_max: 64, cq_depth: 16 * 1024, poll_batch: 64 }
    }
}
