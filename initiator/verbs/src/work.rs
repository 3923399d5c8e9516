//! Work requests and completions: plain values, shared by both providers.

use crate::{RegionHandle, WindowAccess, WindowHandle};

/// One scatter/gather element, laid out as `struct ibv_sge` so that `ibv` posts arrays of it as
/// they are (pinned by a test there).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sge {
    /// Virtual address of the first byte.
    pub addr: u64,
    /// Bytes.
    pub length: u32,
    /// Local key of the registration that covers the range.
    pub lkey: u32,
}

/// What a Send Queue entry does. `B` is how it has its [`Bind`], which is longer than all the rest: by
/// reference until it is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op<B> {
    /// Carries its SGEs into the peer's next Receive.
    Send,
    /// The same, and invalidates the peer's key.
    SendWithInvalidate {
        /// The peer's key.
        rkey: u32,
    },
    /// Places its SGEs at the peer's address.
    RdmaWrite {
        /// Where.
        remote_addr: u64,
        /// The peer's key for it.
        rkey: u32,
    },
    /// Fetches from the peer's address into its SGEs.
    RdmaRead {
        /// From where.
        remote_addr: u64,
        /// The peer's key for it.
        rkey: u32,
    },
    /// Opens a part of a region to the peer; has no SGEs. Whatever is posted after it on this
    /// queue finds the window bound. See [`MemoryWindow`](crate::MemoryWindow).
    BindWindow(B),
    /// Ends the key of a bound window of ours; has no SGEs. Once it has completed the peer reaches
    /// nothing by it. Never post it for a key that the peer may have invalidated or may yet: wait
    /// for what the Receive says (rxe's kernel crashes on the second invalidation of a key).
    LocalInvalidate {
        /// The key.
        rkey: u32,
    },
}

impl Op<&Bind> {
    /// What outlives the post.
    #[inline]
    #[must_use]
    pub(crate) fn cloned(self) -> Op<Bind> {
        match self {
            Self::Send => Op::Send,
            Self::SendWithInvalidate { rkey } => Op::SendWithInvalidate { rkey },
            Self::RdmaWrite { remote_addr, rkey } => Op::RdmaWrite { remote_addr, rkey },
            Self::RdmaRead { remote_addr, rkey } => Op::RdmaRead { remote_addr, rkey },
            Self::BindWindow(bind) => Op::BindWindow(*bind),
            Self::LocalInvalidate { rkey } => Op::LocalInvalidate { rkey },
        }
    }
}

/// Which part of which region a window opens, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    /// A window that is not bound now.
    pub window: WindowHandle,
    /// A region of the same domain, registered with [`Access::bind`](crate::Access).
    pub region: RegionHandle,
    /// The key from now on: [`next_rkey`](crate::next_rkey) of the window's last.
    pub new_rkey: u32,
    /// First byte.
    pub addr: u64,
    /// Bytes, at least one.
    pub length: u32,
    /// What the peer may do.
    pub access: WindowAccess,
}

/// A Send Queue work request.
#[derive(Clone, Copy, Debug)]
pub struct SendWr<'a> {
    /// Comes back in [`Completion::wr_id`].
    pub wr_id: u64,
    /// Local memory; read during the post call only. Empty for operations on windows.
    pub sges: &'a [Sge],
    /// What to do.
    pub op: Op<&'a Bind>,
    /// Ask for a completion entry. Errors produce one regardless.
    pub signaled: bool,
    /// Wait for earlier RDMA Reads of this queue first.
    pub fence: bool,
}

/// A Receive Queue work request: one buffer for one message.
#[derive(Clone, Copy, Debug)]
pub struct RecvWr {
    /// Comes back in [`Completion::wr_id`].
    pub wr_id: u64,
    /// Where the message goes.
    pub sge: Sge,
}

/// A completion queue entry.
///
/// Only `wr_id`, `status` and `qp_num` mean anything unless `status` is [`WcStatus::Success`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// From the work request.
    pub wr_id: u64,
    /// Outcome.
    pub status: WcStatus,
    /// Message length, for Receives.
    pub byte_len: u32,
    /// The key of ours that the peer invalidated along with this message.
    pub invalidated_rkey: Option<u32>,
    /// Local queue pair number.
    pub qp_num: u32,
}

impl Default for Completion {
    fn default() -> Self {
        Self { wr_id: 0, status: WcStatus::Success, byte_len: 0, invalidated_rkey: None, qp_num: 0 }
    }
}

/// Completion status; the names are those of `enum ibv_wc_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WcStatus {
    /// Done.
    Success,
    /// The queue pair went to the error state before this entry was executed.
    Flushed,
    /// A message did not fit its Receive, or an SGE list is too long.
    LocalLength,
    /// A local key or range is wrong.
    LocalProtection,
    /// A memory window could not be bound.
    MwBind,
    /// The peer's key, range or permission is wrong.
    RemoteAccess,
    /// The peer could not take the request (message too long for its Receive).
    RemoteInvalidRequest,
    /// The peer failed to carry it out.
    RemoteOperation,
    /// No acknowledgement after all retries.
    RetryExceeded,
    /// The peer had no Receive posted after all retries.
    RnrRetryExceeded,
    /// Anything else, by number.
    Other(u32),
}
