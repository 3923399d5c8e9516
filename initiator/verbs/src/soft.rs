//! An RDMA fabric inside the process: the same contract as a network card, on memory copies.
//!
//! What it is faithful to is what a reliable connection promises and what it does not: ordered
//! delivery, unsignaled success without a completion, Send Queue slots that come back only when a
//! later completion has been *polled*, receiver-not-ready with its timer, retransmission that
//! re-reads memory, flushes in order, and a key and bounds check on every access. Where a real
//! card would quietly send whatever a reused buffer holds, this one also keeps a checksum and
//! records a [`Violation`].
//!
//! Memory windows are of type 2B and every access through one is held against what was bound.
//!
//! Where cards differ it takes the side that finds more mistakes: a region's two keys differ, SGE
//! arrays and slots are exact, queue pair numbers and keys do not come again, and completions of a
//! queue pair that is gone stay in the queue, as on rxe. One thing is kinder than a card: an end
//! whose queue pair fails tells its peer `Disconnected` there and then, where a connection manager
//! would wait for its [`disconnect`](crate::Connection::disconnect).
//!
//! Threading: a [`SoftFabric`] is shared; every connection pair ([`link`]) has one lock, every
//! completion queue another. Whoever posts carries the message to the peer's memory and completion
//! queue there and then; whoever polls moves what waits for time to pass. So two reactors may run
//! the two ends, and one thread may run both, deterministically on [`Clock::Virtual`]. Lock order:
//! a completion queue's list of links, link, keys, a window's state, a completion queue's ring.
//!
//! Faults it must survive and can cause: see [`faults`].

mod bell;
mod clock;
mod cm;
mod connection;
mod cq;
mod device;
mod domain;
pub mod faults;
mod keys;
mod link;
mod memory;
mod queues;
mod requester;
mod responder;
mod struck;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use clock::Clock;
pub use cm::SoftListener;
pub use connection::SoftConnection;
pub use cq::SoftCq;
pub use device::RemovedDevice;
pub use domain::{SoftDomain, SoftRegion, SoftWindow};
pub use faults::{FaultPlan, Faults, Scope};

use crate::{Error, Provider};
use clock::Ticker;
use cm::Directory;
use device::Devices;
use keys::KeyTable;
use link::lock;
use struck::Struck;

/// Most work requests on one queue.
const QP_WR_MAX: u32 = 1 << 15;
/// Most SGEs in one work request.
const SGE_MAX: u32 = 32;
/// Most entries in one completion queue.
const CQE_MAX: u32 = 1 << 20;
/// Most RDMA Reads in flight towards one side of a connection.
const RD_ATOM_MAX: u8 = 128;
/// Most violations kept; later ones are only counted.
const VIOLATIONS_MAX: usize = 1024;

/// The in-process fabric, as a [`Provider`]. Clones are the same fabric.
#[derive(Clone)]
pub struct SoftFabric {
    inner: Arc<Fabric>,
}

/// What all connections of a fabric share.
struct Fabric {
    ticker: Ticker,
    devices: Devices,
    keys: RwLock<KeyTable>,
    directory: Mutex<Directory>,
    violations: Mutex<Violations>,
    next_qp_num: AtomicU32,
    next_domain: AtomicU32,
    retransmissions: AtomicU64,
    overruns: AtomicU64,
    /// See [`Faults::allow_remote_invalidate`].
    remote_invalidate: AtomicBool,
    /// See [`Faults::shuffle_completions`]: the state of its random numbers, 0 for never.
    shuffle: AtomicU64,
    struck: Struck,
}

#[derive(Default)]
struct Violations {
    kept: Vec<Violation>,
    dropped: u64,
}

/// Memory lent to a work request was changed before the request completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The queue pair that the request was posted on.
    pub qp_num: u32,
    /// The request.
    pub wr_id: u64,
    /// When it was noticed.
    pub noticed: Noticed,
}

/// When a change of lent memory was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Noticed {
    /// The message was read again, to be transmitted again: a card would have sent the new bytes.
    AtRetransmission,
    /// A message under way for some time arrived with other bytes than it left with.
    AtDelivery,
    /// The acknowledgement came; this time nobody read the new bytes.
    AtCompletion,
}

impl SoftFabric {
    /// A fabric without listeners, on its own address space.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            inner: Arc::new(Fabric {
                ticker: Ticker::new(clock),
                devices: Devices::default(),
                keys: RwLock::default(),
                directory: Mutex::default(),
                violations: Mutex::default(),
                next_qp_num: AtomicU32::new(17),
                next_domain: AtomicU32::new(1),
                retransmissions: AtomicU64::new(0),
                overruns: AtomicU64::new(0),
                remote_invalidate: AtomicBool::new(false),
                shuffle: AtomicU64::new(0),
                struck: Struck::default(),
            }),
        }
    }

    /// The fabric's time in nanoseconds.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.inner.ticker.now_ns()
    }

    /// Lets `ns` pass at once: virtual time moves, real time skips ahead. What became due happens
    /// at the next poll of either end. Returns the new time.
    pub fn advance(&self, ns: u64) -> u64 {
        self.inner.ticker.advance(ns)
    }

    /// Moves time forward to `now_ns`; time never goes back.
    pub fn set_now(&self, now_ns: u64) {
        self.inner.ticker.set_now(now_ns);
    }

    /// The control of scripted faults.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults::new(Arc::clone(&self.inner))
    }

    /// What was noticed so far, oldest first, at most 1,024 of them.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        lock(&self.inner.violations).kept.clone()
    }

    /// How many violations were noticed, kept or not.
    #[must_use]
    pub fn violation_count(&self) -> u64 {
        let violations = lock(&self.inner.violations);
        violations.kept.len() as u64 + violations.dropped
    }

    /// How many work requests were transmitted again, for any reason.
    #[must_use]
    pub fn retransmissions(&self) -> u64 {
        self.inner.retransmissions.load(Ordering::Relaxed)
    }

    /// What is there now.
    #[must_use]
    pub fn in_use(&self) -> InUse {
        let (regions, windows) =
            self.inner.keys.read().unwrap_or_else(PoisonError::into_inner).live();
        let links = lock(&self.inner.directory).live_links();
        let queue_pairs = links.iter().map(|link| link.with(|state| state.queue_pairs())).sum();
        InUse { regions, windows, queue_pairs }
    }

    /// How often a queue was asked for more than it holds: work requests posted to a full queue,
    /// messages that found no Receive, completion queues that overflowed. What a fault plan asked
    /// for does not count.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.inner.overruns.load(Ordering::Relaxed)
    }
}

/// What has been made on a fabric and not yet been given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// Registered regions.
    pub regions: usize,
    /// Memory windows.
    pub windows: usize,
    /// Queue pairs.
    pub queue_pairs: usize,
}

impl std::fmt::Debug for SoftFabric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftFabric").field("now_ns", &self.now_ns()).finish_non_exhaustive()
    }
}

impl Provider for SoftFabric {
    type Connection = SoftConnection;
    type Listener = SoftListener;
    type Domain = SoftDomain;
    type Cq = SoftCq;

    fn name(&self) -> &'static str {
        "soft"
    }

    fn resolve(
        &self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<SoftConnection, Error> {
        Ok(SoftConnection::resolve(&self.inner, remote, local))
    }

    fn listen(&self, local: SocketAddr, backlog: u32) -> Result<SoftListener, Error> {
        SoftListener::bind(&self.inner, local, backlog)
    }
}

impl Fabric {
    fn overrun(&self) {
        self.overruns.fetch_add(1, Ordering::Relaxed);
    }

    fn violation(&self, violation: Violation) {
        let mut all = lock(&self.violations);
        if all.kept.len() < VIOLATIONS_MAX {
            all.kept.push(violation);
        } else {
            all.dropped += 1;
        }
    }
}
