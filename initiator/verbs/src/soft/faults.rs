//! Faults on demand: what a test, or `initiator target --misbehave`, makes go wrong.
//!
//! A [`FaultPlan`] belongs to one direction of one connection, named by the queue pair that sends
//! ([`Scope::Qp`]), or to every direction, also of connections yet to come ([`Scope::All`]; a count
//! then counts in each direction for itself). The control may be used from any thread at any time;
//! what it changes takes effect at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::link::{ACTIVE, Link, lock};
use super::{Fabric, RemovedDevice};
use crate::{CmEvent, WcStatus};

/// 4.096 µs × 2^14, the timeout that the Linux connection manager ends up with on a short path.
const RETRANSMIT_TIMEOUT_NS: u64 = 67_108_864;
const RNR_TIMER_NS: u64 = 100_000;

/// What goes wrong with what one queue pair sends. Made by chaining, from [`FaultPlan::new`].
#[derive(Clone, Debug)]
#[must_use]
pub struct FaultPlan {
    pub(super) hold_acks: bool,
    pub(super) drop_acks: u32,
    pub(super) drop_messages: u32,
    pub(super) message_delay_ns: u64,
    pub(super) ack_delay_ns: u64,
    pub(super) rnr: u32,
    pub(super) silent: bool,
    pub(super) fail_post: Option<(u64, i32)>,
    pub(super) fail_recv_post: Option<(u64, i32)>,
    pub(super) fail_wr: Option<(u64, WcStatus)>,
    pub(super) sever_after: Option<u64>,
    pub(super) retransmit_timeout_ns: u64,
    pub(super) retry_count: Option<u8>,
    pub(super) rnr_timer_ns: u64,
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self {
            hold_acks: false,
            drop_acks: 0,
            drop_messages: 0,
            message_delay_ns: 0,
            ack_delay_ns: 0,
            rnr: 0,
            silent: false,
            fail_post: None,
            fail_recv_post: None,
            fail_wr: None,
            sever_after: None,
            retransmit_timeout_ns: RETRANSMIT_TIMEOUT_NS,
            retry_count: None,
            rnr_timer_ns: RNR_TIMER_NS,
        }
    }
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub fn new() -> Self {
        Self::default()
    }

    /// Acknowledgements are held back until [`Faults::release_acks`]: Sends do not complete while
    /// the peer has long received them and its messages keep arriving. The retransmission timer
    /// runs, without a limit on its retries.
    pub fn hold_acks(mut self) -> Self {
        self.hold_acks = true;
        self
    }

    /// The next `count` acknowledgements are lost. A later one stands for them; without one the
    /// message is transmitted again after the retransmission timeout.
    pub fn drop_acks(mut self, count: u32) -> Self {
        self.drop_acks = count;
        self
    }

    /// The next `count` messages are lost, and arrive by retransmission.
    pub fn drop_messages(mut self, count: u32) -> Self {
        self.drop_messages = count;
        self
    }

    /// How long a message takes to the peer. Longer than the retransmission timeout: sent twice.
    pub fn message_delay_ns(mut self, delay_ns: u64) -> Self {
        self.message_delay_ns = delay_ns;
        self
    }

    /// How long an acknowledgement, or what an RDMA Read fetched, takes back.
    pub fn ack_delay_ns(mut self, delay_ns: u64) -> Self {
        self.ack_delay_ns = delay_ns;
        self
    }

    /// The next `count` arrivals of Sends find no Receive, whatever was posted.
    pub fn rnr(mut self, count: u32) -> Self {
        self.rnr = count;
        self
    }

    /// The network card is dead: nothing leaves it, nothing reaches it, nobody is told.
    pub fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    /// Posting the `nth` Send work request from now (1 is the next) fails with `errno`; those
    /// before it in its chain are posted.
    pub fn fail_post(mut self, nth: u64, errno: i32) -> Self {
        self.fail_post = Some((nth.max(1), errno));
        self
    }

    /// The same for Receives posted by the queue pair.
    pub fn fail_recv_post(mut self, nth: u64, errno: i32) -> Self {
        self.fail_recv_post = Some((nth.max(1), errno));
        self
    }

    /// The `nth` Send work request from now (1 is the next) fails with `status` when its turn
    /// comes, and takes the queue pair to the error state.
    pub fn fail_wr(mut self, nth: u64, status: WcStatus) -> Self {
        self.fail_wr = Some((nth.max(1), status));
        self
    }

    /// When `count` more Sends have arrived the link is cut: both ends see `Disconnected`, and
    /// nothing gets through any more, not even the acknowledgement of the last. 0 cuts when the
    /// next one would arrive.
    pub fn disconnect_after(mut self, count: u64) -> Self {
        self.sever_after = Some(count);
        self
    }

    /// How long to wait for an acknowledgement before transmitting again.
    pub fn retransmit_timeout_ns(mut self, timeout_ns: u64) -> Self {
        self.retransmit_timeout_ns = timeout_ns.max(1);
        self
    }

    /// Transport retries, instead of what the connection was made with.
    pub fn retry_count(mut self, count: u8) -> Self {
        self.retry_count = Some(count);
        self
    }

    /// How long to wait after the peer had no Receive.
    pub fn rnr_timer_ns(mut self, timer_ns: u64) -> Self {
        self.rnr_timer_ns = timer_ns.max(1);
        self
    }
}

/// Counts a countdown fault down; its payload when this is the one.
pub(super) fn strikes<T: Copy>(fault: &mut Option<(u64, T)>) -> Option<T> {
    let (left, what) = fault.as_mut()?;
    *left -= 1;
    if *left > 0 {
        return None;
    }
    let what = *what;
    *fault = None;
    Some(what)
}

/// Whose faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every connection, both directions, present and future.
    All,
    /// What the queue pair of this number sends.
    Qp(u32),
    /// What the peer of this queue pair sends.
    PeerOf(u32),
}

impl From<u32> for Scope {
    fn from(qp_num: u32) -> Self {
        Self::Qp(qp_num)
    }
}

/// What becomes of the next connection requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectFault {
    ResolveFails(i32),
    Rejected(i32),
    Unanswered,
}

/// The control of a fabric's faults.
#[derive(Clone)]
pub struct Faults {
    fabric: Arc<Fabric>,
}

impl Faults {
    pub(super) fn new(fabric: Arc<Fabric>) -> Self {
        Self { fabric }
    }

    /// Replaces the plan. A queue pair that no longer exists has no faults. [`FaultPlan::new`] mends everything, except a link already cut.
    pub fn set(&self, scope: impl Into<Scope>, plan: FaultPlan) {
        self.change(scope, |old| *old = plan.clone());
    }

    /// Changes some of the plan: `faults.amend(qp, |plan| plan.drop_acks(1))`.
    pub fn amend(&self, scope: impl Into<Scope>, change: impl Fn(FaultPlan) -> FaultPlan) {
        self.change(scope, |old| *old = change(old.clone()));
    }

    /// See [`FaultPlan::hold_acks`].
    pub fn hold_acks(&self, scope: impl Into<Scope>) {
        self.amend(scope, FaultPlan::hold_acks);
    }

    /// Lets the acknowledgements that were held arrive, and all later ones.
    pub fn release_acks(&self, scope: impl Into<Scope>) {
        self.change(scope, |plan| plan.hold_acks = false);
    }

    /// See [`FaultPlan::drop_acks`].
    pub fn drop_acks(&self, scope: impl Into<Scope>, count: u32) {
        self.amend(scope, |plan| plan.drop_acks(count));
    }

    /// See [`FaultPlan::silent`].
    pub fn silence(&self, scope: impl Into<Scope>) {
        self.amend(scope, FaultPlan::silent);
    }

    /// The delay of a hop for messages and acknowledgements alike.
    pub fn latency_ns(&self, scope: impl Into<Scope>, delay_ns: u64) {
        self.amend(scope, |plan| plan.message_delay_ns(delay_ns).ack_delay_ns(delay_ns));
    }

    /// The next `count` connection requests are rejected with `reason`.
    pub fn reject_connects(&self, count: u32, reason: i32) {
        lock(&self.fabric.directory).connect_fault = Some((count, ConnectFault::Rejected(reason)));
    }

    /// The next `count` connection requests are never answered: `Unreachable` after the time that
    /// [`Faults::connect_timeout_ns`] sets.
    pub fn ignore_connects(&self, count: u32) {
        lock(&self.fabric.directory).connect_fault = Some((count, ConnectFault::Unanswered));
    }

    /// The next `count` addresses do not resolve.
    pub fn fail_resolves(&self, count: u32, errno: i32) {
        lock(&self.fabric.directory).connect_fault =
            Some((count, ConnectFault::ResolveFails(errno)));
    }

    /// From here on completions of different queues come in an order that `seed` decides: a Send's
    /// and a Receive's, of one queue pair or of several. Those of one queue stay in order.
    pub fn shuffle_completions(&self, seed: u64) {
        self.fabric.shuffle.store(seed | 1, Ordering::Relaxed);
    }

    /// How often each fault has struck so far.
    #[must_use]
    pub fn struck(&self) -> Vec<(&'static str, u64)> {
        self.fabric.struck.all()
    }

    /// How long a connection request waits for its answer. 2 s unless told.
    pub fn connect_timeout_ns(&self, timeout_ns: u64) {
        lock(&self.fabric.directory).connect_timeout_ns = timeout_ns;
    }

    /// Whether a peer may invalidate the remote key of an ordinary region, as fast-registered
    /// memory allows and rxe's ordinary memory does not. Off unless told.
    pub fn allow_remote_invalidate(&self, allow: bool) {
        self.fabric.remote_invalidate.store(allow, Ordering::Release);
    }

    /// The device of those who connect is removed: nothing of it completes any more, every
    /// connection on it is told, and no address resolves until [`Faults::add_device`]. `None` if
    /// there is none.
    pub fn remove_device(&self) -> Option<RemovedDevice> {
        let removed = self.fabric.devices.remove()?;
        let links = lock(&self.fabric.directory).live_links();
        links.iter().for_each(|link| link.with(|state| state.device_removed()));
        Some(removed)
    }

    /// A device for those who connect, another than before, if there is none.
    pub fn add_device(&self) {
        self.fabric.devices.add(true);
    }

    /// The same, of a device that has no memory windows.
    pub fn add_device_without_windows(&self) {
        self.fabric.devices.add(false);
    }

    /// Those who connected learn that the address which they did it from has moved. Nothing else
    /// happens to them.
    pub fn change_address(&self) {
        for link in lock(&self.fabric.directory).live_links() {
            link.with(|state| state.sides[ACTIVE].events.push_back(CmEvent::AddressChanged));
        }
    }

    fn change(&self, scope: impl Into<Scope>, change: impl Fn(&mut FaultPlan)) {
        let scope = scope.into();
        let links: Vec<Arc<Link>> = {
            let mut directory = lock(&self.fabric.directory);
            if scope == Scope::All {
                change(&mut directory.default_plan);
            }
            directory.live_links()
        };
        for link in links {
            link.change_plans(scope, &change);
        }
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}
