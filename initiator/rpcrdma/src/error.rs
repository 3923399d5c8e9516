//! Why an RPC or a connection failed, split by who is at fault: the link, the peer, or the caller.
//! (What the server *answered* is no error here: an NFS status is a successful RPC.)

use std::net::SocketAddr;
use std::time::Duration;

use verbs::WcStatus;
use verbs::reject_reason::STALE_CONNECTION;

/// A failure of the transport. A link error never says whether the operation ran.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address leads to no RDMA device or no route.
    #[error("cannot reach {remote} by RDMA: {}", os(*errno))]
    Resolve {
        /// The server.
        remote: SocketAddr,
        /// From the connection manager.
        errno: i32,
    },
    /// The host is there, but does not take the connection.
    #[error("{remote} refused the RDMA connection (reason {reason}): {}", why_refused(*reason))]
    Refused {
        /// The server.
        remote: SocketAddr,
        /// InfiniBand CM reject reason or errno.
        reason: i32,
    },
    /// Nobody answered the connection request.
    #[error("{remote} did not answer the RDMA connection request within {limit:?}")]
    Unreachable {
        /// The server.
        remote: SocketAddr,
        /// How long it was given.
        limit: Duration,
    },
    /// A call went unanswered for too long; the connection was dropped for it (an RPC is never
    /// sent twice on one connection).
    #[error("{remote} did not answer an RPC within {limit:?}")]
    Timeout {
        /// The server.
        remote: SocketAddr,
        /// The limit.
        limit: Duration,
    },
    /// A soft mount's RPC ran out of retransmissions.
    #[error("gave up after {limit:?} without an answer from {remote} (soft mount)")]
    GaveUp {
        /// The server.
        remote: SocketAddr,
        /// All the time it was given.
        limit: Duration,
    },
    /// An established connection ended.
    #[error("connection to {remote} lost: {why}")]
    Lost {
        /// The server.
        remote: SocketAddr,
        /// What was seen.
        why: Loss,
    },
    /// The connection was closed by its owner.
    #[error("connection to {remote} closed")]
    Closed {
        /// The server.
        remote: SocketAddr,
    },
    /// A key per I/O was asked for, and the device has none to give.
    #[error("device {device} has no type-2B memory windows: use registration = \"static\"")]
    NoWindows {
        /// Its name.
        device: String,
    },
    /// The connections of a mount share their memory's registration, which is with one device.
    #[error("other connections of the mount are still on another RDMA device")]
    TwoDevices,
    /// The device or its driver refused a request.
    #[error(transparent)]
    Verbs(#[from] verbs::Error),
    /// Memory for buffers could not be had.
    #[error("{0}")]
    Memory(String),
    /// The server's Reply breaks RFC 8166 or answers something else than was asked.
    #[error("bad reply from {remote}: {what}")]
    BadReply {
        /// The server.
        remote: SocketAddr,
        /// Which rule it breaks.
        what: BadReply,
    },
    /// The server does not speak RPC-over-RDMA version 1.
    #[error("{remote} speaks RPC-over-RDMA versions {low} to {high}, this client speaks 1")]
    Version {
        /// The server.
        remote: SocketAddr,
        /// Lowest it speaks.
        low: u32,
        /// Highest it speaks.
        high: u32,
    },
    /// The server could not use the chunks of a call (ERR_CHUNK).
    #[error("{remote} could not parse the call's chunks (ERR_CHUNK)")]
    Chunk {
        /// The server.
        remote: SocketAddr,
    },
    /// The call's message is too long, even for a chunk.
    #[error("call of {bytes} bytes is longer than any of NFSv3: {limit} bytes is the most")]
    CallTooLong {
        /// Of its message, without payload.
        bytes: usize,
        /// The most that a connection takes.
        limit: usize,
    },
    /// Every XID of this host is some connection's already.
    #[error(
        "no XIDs left: all {lots} lots of them are claimed on this host (see `ss -xa | grep \
         nfs-rdma-xids`); close connections, or lower nconnect"
    )]
    NoXids {
        /// How many lots there are.
        lots: u32,
    },
    /// XIDs could not be claimed.
    #[error("cannot claim XIDs by an abstract unix socket: {why}")]
    XidClaim {
        /// From the operating system.
        why: String,
    },
    /// There is no port below 1024 to come from.
    #[error("resvport: no source port below 1024: {why}")]
    ReservedPort {
        /// Why, and what would help.
        why: &'static str,
    },
    /// A setting is out of its range.
    #[error("{name} = {value}: allowed is {allowed}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What was given.
        value: u64,
        /// What would be right.
        allowed: &'static str,
    },
}

/// What ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// The peer, or the fabric, disconnected.
    #[error("disconnected by the peer")]
    Disconnected,
    /// There were no calls for a while.
    #[error("no calls for a while")]
    Idle,
    /// The device went away.
    #[error("the RDMA device was removed")]
    DeviceRemoved,
    /// The address moved.
    #[error("the local address changed")]
    AddressChanged,
    /// A Send or Receive failed.
    #[error("{}", describe(*.0))]
    Completion(WcStatus),
    /// The queue refused a work request.
    #[error("posting failed: {}", os(*.0))]
    Post(i32),
    /// The completion queue is dead.
    #[error("the completion queue overflowed or failed")]
    CompletionQueue,
    /// A test asked for it.
    #[cfg(feature = "planted-faults")]
    #[error("ended on purpose")]
    Planted,
}

/// Which rule a Reply breaks (RFC 8166).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadReply {
    /// A Reply carries a Read list.
    #[error("it has a Read list")]
    ReadList,
    /// Chunks came back that were not offered, or not those that were.
    #[error("its {0} is not the one that was offered")]
    ForeignChunk(&'static str),
    /// More bytes came back than were offered.
    #[error("it returns {returned} bytes in a chunk of {offered}")]
    TooLong {
        /// Claimed.
        returned: u64,
        /// Offered.
        offered: u32,
    },
    /// A segment was used before the one ahead of it was full.
    #[error("its {0} uses a segment before the one ahead of it is full")]
    Gap(&'static str),
    /// RDMA_NOMSG without a Reply chunk that holds anything.
    #[error("RDMA_NOMSG without a Reply chunk")]
    EmptyReplyChunk,
    /// RDMA_MSG with a Reply chunk that holds something as well.
    #[error("RDMA_MSG with a Reply chunk that is used as well")]
    MsgWithReplyChunk,
    /// The server invalidated a key that is not this call's.
    #[error("it invalidates key {0:#x}, which is not that of its call")]
    ForeignInvalidation(u32),
    /// The RPC message in its Reply chunk is the answer to another call than its header says.
    #[error("its RPC message is not the answer to call {0:#x}")]
    ForeignMessage(u32),
}

impl From<hugepages::Error> for Error {
    fn from(error: hugepages::Error) -> Self {
        Self::Memory(error.to_string())
    }
}

impl Error {
    /// Whether the server holds a connection of a client that is no more, by the number of which
    /// it knows the queue pair that wanted to connect.
    pub(crate) fn is_stale_rejection(&self) -> bool {
        matches!(self, Self::Refused { reason: STALE_CONNECTION, .. })
    }
}

fn why_refused(reason: i32) -> &'static str {
    match reason {
        STALE_CONNECTION => "it still holds an earlier connection of this host; try again later",
        _ => "is NFS/RDMA enabled on that port?",
    }
}

fn os(errno: i32) -> std::io::Error {
    std::io::Error::from_raw_os_error(errno)
}

fn describe(status: WcStatus) -> String {
    let reason = match status {
        WcStatus::RetryExceeded => "no acknowledgement after all retries",
        WcStatus::RnrRetryExceeded => {
            "the server had no Receive posted (more calls in flight than it granted credits?)"
        }
        WcStatus::Flushed => "its queue pair was flushed",
        WcStatus::RemoteAccess => "the server refused a memory key or range",
        WcStatus::RemoteInvalidRequest => "the server could not take a message of that length",
        WcStatus::LocalLength => "the server sent more than the Receive buffer holds",
        WcStatus::LocalProtection => "a local memory key or range is wrong",
        other => return format!("work request failed: {other:?}"),
    };
    reason.to_owned()
}
