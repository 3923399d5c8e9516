//! A connection pair: both ends under one lock.
//!
//! Whoever holds the lock moves the link: [`requester`](super::requester) is what a queue pair
//! does with its own Send Queue, [`responder`](super::responder) what it does with the peer's
//! messages. This file has the state that both share, and the ways into the error state.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLockReadGuard};

use super::bell::Belled;
use super::clock::NEVER;
use super::cq::{Frees, SharedCq};
use super::faults::{FaultPlan, Scope};
use super::keys::KeyTable;
use super::queues::{Reclaimed, RecvQueue, SendQueue};
use super::struck::Fault;
use super::{Fabric, memory};
use crate::{CmEvent, Completion, QueuePairCaps, WcStatus};

/// The side that called `resolve`.
pub(super) const ACTIVE: usize = 0;
/// The side that a listener handed out.
pub(super) const PASSIVE: usize = 1;

/// Locks; a panic of another holder (a caller's iterator) leaves the state as consistent as it
/// was between two work requests.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection pair.
pub(super) struct Link {
    fabric: Arc<Fabric>,
    state: Mutex<LinkState>,
}

pub(super) struct LinkState {
    pub(super) sides: [Side; 2],
    pub(super) phase: Phase,
    /// Cut by a fault: nothing gets through any more.
    pub(super) severed: bool,
}

/// How far the two ends have come with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody was asked.
    Idle,
    /// The active side asked; the answer is out.
    Requested,
    /// The passive side accepted; the active side has yet to look.
    Accepted,
    /// Both know. It stays so when they part: each side's own state tells that.
    Established,
    /// Refused or abandoned before it came to anything.
    Over,
}

/// One end.
pub(super) struct Side {
    pub(super) state: QpState,
    pub(super) qp: Option<Qp>,
    pub(super) plan: FaultPlan,
    pub(super) events: Belled<CmEvent>,
    pub(super) params: Params,
    pub(super) peer_addr: SocketAddr,
    /// A `Disconnected` is, or was, among the events.
    told: bool,
}

/// The states of a queue pair, as far as they differ here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QpState {
    /// There is none, or none any more.
    Reset,
    /// Receives may be posted.
    Init,
    /// Receives messages.
    Rtr,
    /// Receives and sends.
    Rts,
    /// Everything is flushed.
    Error,
}

/// What one side said at connect or accept, as plain numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Params {
    pub(super) responder_resources: u8,
    pub(super) initiator_depth: u8,
    pub(super) retry_count: u8,
    pub(super) rnr_retry_count: u8,
}

/// A queue pair.
pub(super) struct Qp {
    pub(super) num: u32,
    pub(super) domain: u32,
    pub(super) cq: Arc<SharedCq>,
    pub(super) reclaimed: Arc<Reclaimed>,
    slot: usize,
    pub(super) sq: SendQueue,
    pub(super) rq: RecvQueue,
    pub(super) reads_in_flight: u32,
    pub(super) retries: u8,
    pub(super) retry_at: u64,
    pub(super) rnr_retries: u8,
    pub(super) rnr_until: u64,
    /// The last arrival time given out: messages do not overtake each other.
    pub(super) last_arrival: u64,
}

/// What moving a link needs: the key table held for reading, and the time if somebody asks.
pub(super) struct Turn<'a> {
    pub(super) fabric: &'a Fabric,
    pub(super) keys: RwLockReadGuard<'a, KeyTable>,
    now_ns: Option<u64>,
}

impl<'a> Turn<'a> {
    fn new(fabric: &'a Fabric) -> Self {
        let keys = fabric.keys.read().unwrap_or_else(PoisonError::into_inner);
        Self { fabric, keys, now_ns: None }
    }

    pub(super) fn now_ns(&mut self) -> u64 {
        *self.now_ns.get_or_insert_with(|| self.fabric.ticker.now_ns())
    }

    /// Whether that time has come. 0 always has: the clock is not read for it.
    pub(super) fn due(&mut self, at: u64) -> bool {
        at == 0 || (at != NEVER && at <= self.now_ns())
    }

    /// `delay_ns` after `at`, where 0 stands for now.
    pub(super) fn after(&mut self, at: u64, delay_ns: u64) -> u64 {
        match (at, delay_ns) {
            (_, 0) => at,
            (0, _) => self.now_ns().saturating_add(delay_ns),
            _ => at.saturating_add(delay_ns),
        }
    }
}

impl Link {
    pub(super) fn new(
        fabric: &Arc<Fabric>,
        plan: &FaultPlan,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Self {
        let side = |peer_addr| Side {
            state: QpState::Reset,
            qp: None,
            plan: plan.clone(),
            events: Belled::default(),
            params: Params::default(),
            peer_addr,
            told: false,
        };
        let sides = [side(remote), side(local)];
        let state = LinkState { sides, phase: Phase::Idle, severed: false };
        Self { fabric: Arc::clone(fabric), state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LinkState> {
        lock(&self.state)
    }

    /// Does with the state what `act` does, then lets everything move that can.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut LinkState) -> R) -> R {
        let mut state = self.lock();
        let result = act(&mut state);
        state.pump(&mut Turn::new(&self.fabric));
        result
    }

    /// Moves what waited for time to pass.
    pub(super) fn drive(&self) {
        self.with(|_| ());
    }

    pub(super) fn change_plans(&self, scope: Scope, change: impl Fn(&mut FaultPlan)) {
        self.with(|state| {
            let nums = [0, 1].map(|s| state.sides[s].qp.as_ref().map(|qp| qp.num));
            for (s, side) in state.sides.iter_mut().enumerate() {
                let meant = match scope {
                    Scope::All => true,
                    Scope::Qp(num) => nums[s] == Some(num),
                    Scope::PeerOf(num) => nums[1 - s] == Some(num),
                };
                if meant {
                    change(&mut side.plan);
                    side.release_held_acks();
                }
            }
        });
    }
}

impl LinkState {
    /// A side and its peer.
    pub(super) fn pair(&mut self, s: usize) -> (&mut Side, &mut Side) {
        let [active, passive] = &mut self.sides;
        if s == ACTIVE { (active, passive) } else { (passive, active) }
    }

    /// How many of the two ends have one.
    pub(super) fn queue_pairs(&self) -> usize {
        self.sides.iter().filter(|side| side.qp.is_some()).count()
    }

    /// Moves both directions, then says when there is more to do.
    fn pump(&mut self, turn: &mut Turn<'_>) {
        self.send_all(ACTIVE, turn);
        self.send_all(PASSIVE, turn);
        for s in [ACTIVE, PASSIVE] {
            self.bury_if_overflowed(s);
        }
        let due_at = self.sides.iter().map(Side::due_at).min().unwrap_or(NEVER);
        if due_at != NEVER {
            for qp in self.sides.iter().filter_map(|side| side.qp.as_ref()) {
                qp.cq.wake_at(due_at);
            }
        }
    }

    /// Whether nothing that side `s` sends can get through.
    pub(super) fn cut_off(&self, s: usize) -> bool {
        let receives = matches!(self.sides[1 - s].state, QpState::Rtr | QpState::Rts);
        self.silent() || !receives
    }

    fn silent(&self) -> bool {
        self.severed || self.sides.iter().any(|side| side.plan.silent)
    }

    /// The end of an established connection, as side `s` learns of it from afar.
    pub(super) fn tell_disconnected(&mut self, s: usize) {
        let established = self.phase == Phase::Established;
        let side = &mut self.sides[s];
        if established && !side.told {
            side.told = true;
            side.events.push_back(CmEvent::Disconnected);
        }
    }

    /// A fault cuts the link: both ends learn it, nothing else happens.
    pub(super) fn sever(&mut self) {
        self.tell_disconnected(ACTIVE);
        self.tell_disconnected(PASSIVE);
        self.severed = true;
    }

    /// The device of the active side is gone, and everything under way with it.
    pub(super) fn device_removed(&mut self) {
        self.sever();
        self.phase = if self.phase == Phase::Established { self.phase } else { Phase::Over };
        self.sides[ACTIVE].events.clear();
        self.sides[ACTIVE].events.push_back(CmEvent::DeviceRemoved);
    }

    /// A request of side `s` fails with `status`: what came before it is done, what came after is
    /// flushed, and the peer learns that the connection ended.
    pub(super) fn fail(&mut self, s: usize, pos: u64, status: WcStatus, turn: &mut Turn<'_>) {
        let side = &mut self.sides[s];
        if let Some(qp) = &mut side.qp {
            while qp.sq.acked < pos {
                qp.complete_next(turn);
            }
            qp.complete_send(pos, status);
            qp.sq.acked = pos + 1;
        }
        side.enter_error();
        if !self.silent() {
            self.tell_disconnected(1 - s);
        }
    }

    /// A lost completion is the end of every queue pair on its queue.
    fn bury_if_overflowed(&mut self, s: usize) {
        let side = &mut self.sides[s];
        let dead = side.qp.as_ref().is_some_and(|qp| qp.cq.overflowed());
        if dead && side.state != QpState::Error {
            side.enter_error();
            if !self.silent() {
                self.tell_disconnected(1 - s);
            }
        }
    }

    /// Leaves: the own queue pair is flushed and both ends are told.
    pub(super) fn disconnect(&mut self, s: usize) {
        self.sides[s].enter_error();
        match self.phase {
            Phase::Established => {
                self.tell_disconnected(s);
                if !self.silent() {
                    self.tell_disconnected(1 - s);
                }
            }
            Phase::Requested | Phase::Accepted if s == PASSIVE => {
                self.sides[ACTIVE].events.clear();
                self.refuse(crate::reject_reason::CONSUMER, &[]);
            }
            phase => {
                if phase == Phase::Accepted {
                    let failed = CmEvent::ConnectFailed(libc::ECONNRESET);
                    self.sides[PASSIVE].events.push_back(failed);
                }
                self.phase = Phase::Over;
            }
        }
    }
}

impl Side {
    /// To the error state: everything is flushed, in order per queue. Idempotent.
    pub(super) fn enter_error(&mut self) {
        let Some(qp) = &mut self.qp else { return };
        self.state = QpState::Error;
        qp.flush();
    }

    /// Whether its Send Queue has entries to move; mostly it has not, and nothing else is looked at.
    pub(super) fn has_sends(&self) -> bool {
        let unfinished = self.qp.as_ref().is_some_and(|qp| qp.sq.acked < qp.sq.posted);
        unfinished && self.state == QpState::Rts
    }

    fn release_held_acks(&mut self) {
        let Some(qp) = &mut self.qp else { return };
        if self.plan.hold_acks {
            return;
        }
        for pos in qp.sq.acked..qp.sq.delivered {
            let wqe = qp.sq.get_mut(pos);
            if wqe.ack_held {
                wqe.ack_held = false;
                wqe.ack_at = 0;
            }
        }
    }

    /// When this side next has something to do that only time brings.
    fn due_at(&self) -> u64 {
        let Some(qp) = self.qp.as_ref().filter(|_| self.state == QpState::Rts) else {
            return NEVER;
        };
        let sq = &qp.sq;
        if sq.acked == sq.sent {
            return NEVER;
        }
        let arrival = if sq.delivered < sq.sent && qp.rnr_until == NEVER {
            sq.get(sq.delivered).arrive_at
        } else {
            NEVER
        };
        let acks = (sq.acked..sq.delivered).map(|pos| sq.get(pos).ack_at);
        let ack = acks.min().unwrap_or(NEVER);
        arrival.min(ack).min(qp.rnr_until).min(qp.retry_at)
    }
}

impl Qp {
    pub(super) fn new(num: u32, domain: u32, cq: Arc<SharedCq>, caps: &QueuePairCaps) -> Self {
        Self {
            num,
            domain,
            cq,
            reclaimed: Arc::default(),
            slot: 0,
            sq: SendQueue::new(caps.send_wr_max, caps.send_sge_max),
            rq: RecvQueue::new(caps.recv_wr_max),
            reads_in_flight: 0,
            retries: 0,
            retry_at: NEVER,
            rnr_retries: 0,
            rnr_until: NEVER,
            last_arrival: 0,
        }
    }

    /// Registers with the completion queue.
    pub(super) fn attach(&mut self, link: &Arc<Link>) {
        self.slot = self.cq.attach(self.num, link, &self.reclaimed);
    }

    /// A completion of the Send Queue entry at `pos`, whether it asked for one or not.
    pub(super) fn complete_send(&self, pos: u64, status: WcStatus) {
        let wqe = self.sq.get(pos);
        let completion = Completion {
            wr_id: wqe.wr_id,
            status,
            byte_len: wqe.len,
            invalidated_rkey: None,
            qp_num: self.num,
        };
        self.cq.push(completion, self.slot, Frees::Send(pos));
    }

    /// The oldest Receive is done.
    pub(super) fn complete_recv(
        &mut self,
        status: WcStatus,
        byte_len: u32,
        invalidated_rkey: Option<u32>,
    ) {
        if let Some((pos, wr)) = self.rq.front() {
            self.rq.consumed += 1;
            let (wr_id, qp_num) = (wr.wr_id, self.num);
            let completion = Completion { wr_id, status, byte_len, invalidated_rkey, qp_num };
            self.cq.push(completion, self.slot, Frees::Recv(pos));
        }
    }

    pub(super) fn flush(&mut self) {
        while self.sq.acked < self.sq.posted {
            if !self.sq.get(self.sq.acked).signaled {
                self.cq.fabric.struck.count(Fault::Flushed);
            }
            self.complete_send(self.sq.acked, WcStatus::Flushed);
            self.sq.acked += 1;
        }
        (self.rnr_until, self.retry_at) = (NEVER, NEVER);
        self.sq.sent = self.sq.posted;
        self.sq.delivered = self.sq.posted;
        while self.rq.front().is_some() {
            self.complete_recv(WcStatus::Flushed, 0, None);
        }
    }

    /// The checksum of what an entry sends. `None` for a Read, which sends nothing, and when a
    /// key is no longer good.
    pub(super) fn sum(&self, pos: u64, keys: &KeyTable) -> Option<u64> {
        if self.sq.get(pos).is_read() || !self.allows_local(pos, keys) {
            return None;
        }
        // SAFETY: the key table is held and allows these ranges; the posted entry lends them.
        Some(unsafe { memory::checksum(self.sq.sges(pos)) })
    }

    /// Whether the local keys of an entry are good for what it does.
    pub(super) fn allows_local(&self, pos: u64, keys: &KeyTable) -> bool {
        let write = self.sq.get(pos).is_read();
        self.sq.sges(pos).iter().all(|sge| keys.allows_local(self.domain, sge, write))
    }
}
