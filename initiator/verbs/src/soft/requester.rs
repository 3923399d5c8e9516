//! What a queue pair does with its own Send Queue: transmit, wait, transmit again, complete.
//!
//! A message has no copy in flight. It is carried from the sender's memory to the receiver's in
//! one step when it arrives, and the checksum of the moment it left shows whether the sender kept
//! its hands off in between; so each retransmission reads memory anew, as a card does.

use std::sync::atomic::Ordering;

use super::clock::NEVER;
use super::faults::{FaultPlan, strikes};
use super::link::{LinkState, Qp, QpState, Side, Turn};
use super::responder::Outcome;
use super::struck::Fault;
use super::{Noticed, Violation};
use crate::{Op, WcStatus};

/// `IBV_WC_LOC_QP_OP_ERR`: the queue pair was not made for this request, or, as rxe says it, the
/// key to be invalidated is none.
const LOCAL_QP_OPERATION: WcStatus = WcStatus::Other(2);
/// A retry count that never runs out.
const FOR_EVER: u8 = 7;

impl LinkState {
    /// Moves everything of side `s` that can move.
    pub(super) fn send_all(&mut self, s: usize, turn: &mut Turn<'_>) {
        while self.sides[s].has_sends()
            && (self.transmit(s, turn)
                | self.arrive(s, turn)
                | self.acknowledge(s, turn)
                | self.expire(s, turn))
        {}
        self.arm_retry(s, turn);
    }

    /// First transmissions, in order, as far as fences and Read limits allow.
    fn transmit(&mut self, s: usize, turn: &mut Turn<'_>) -> bool {
        let depth = self.read_depth(s);
        let cut_off = self.cut_off(s);
        let Side { qp: Some(qp), plan, .. } = &mut self.sides[s] else { return false };
        let before = qp.sq.sent;
        while qp.may_transmit(depth) {
            let pos = qp.sq.sent;
            qp.sq.sent += 1;
            let scripted = strikes(&mut plan.fail_wr);
            if scripted.is_some() {
                turn.fabric.struck.count(Fault::Request);
            }
            let failure = scripted.or_else(|| qp.local_failure(pos, depth, turn));
            if failure.is_some() {
                qp.sq.get_mut(pos).failure = failure;
                break;
            }
            if qp.sq.get(pos).is_local() {
                qp.sq.get_mut(pos).arrive_at = 0;
                continue;
            }
            qp.reads_in_flight += u32::from(qp.sq.get(pos).is_read());
            let lost = cut_off || spend(&mut plan.drop_messages, Fault::MessageLost, turn);
            let arrive_at = if lost { NEVER } else { qp.arrival(plan.message_delay_ns, turn) };
            qp.sq.get_mut(pos).arrive_at = arrive_at;
            if arrive_at != 0 {
                qp.remember_sum(pos, turn);
            }
        }
        qp.sq.sent > before
    }

    /// Messages reach the peer, in order.
    fn arrive(&mut self, s: usize, turn: &mut Turn<'_>) -> bool {
        let mut moved = false;
        while let Some(pos) = self.next_arrival(s, turn) {
            moved = true;
            let arrived_at = self.sides[s].qp.as_ref().map_or(0, |qp| qp.sq.get(pos).arrive_at);
            if let Some(qp) = &self.sides[s].qp {
                qp.check_sum(pos, Noticed::AtDelivery, turn);
            }
            match self.respond(s, pos, turn) {
                Outcome::Done => {
                    let ack_at = self.answer(s, pos, arrived_at, turn);
                    if let Some(qp) = &mut self.sides[s].qp {
                        qp.sq.delivered = pos + 1;
                        qp.rnr_retries = 0;
                        if ack_at != 0 {
                            qp.remember_sum(pos, turn);
                        }
                    }
                }
                Outcome::NotReady => self.not_ready(s, pos, turn),
                Outcome::Lost => {
                    if let Some(qp) = &mut self.sides[s].qp {
                        qp.sq.get_mut(pos).arrive_at = NEVER;
                        qp.remember_sum(pos, turn);
                    }
                }
                Outcome::Refused(status) => self.fail(s, pos, status, turn),
            }
        }
        moved
    }

    fn next_arrival(&self, s: usize, turn: &mut Turn<'_>) -> Option<u64> {
        let side = &self.sides[s];
        let qp = side.qp.as_ref().filter(|_| side.state == QpState::Rts)?;
        let pos = qp.sq.delivered;
        if pos == qp.sq.sent || qp.rnr_until != NEVER {
            return None;
        }
        let wqe = qp.sq.get(pos);
        (wqe.failure.is_none() && turn.due(wqe.arrive_at)).then_some(pos)
    }

    /// The peer's acknowledgement of `pos` sets out; when it will be here.
    fn answer(&mut self, s: usize, pos: u64, arrived_at: u64, turn: &mut Turn<'_>) -> u64 {
        let silent = self.cut_off(s);
        let side = &mut self.sides[s];
        let Some(qp) = &mut side.qp else { return NEVER };
        let wqe = qp.sq.get_mut(pos);
        // Done as soon as everything before it is: `acknowledge` sees to that.
        if wqe.is_local() {
            return 0;
        }
        let is_ack = !wqe.is_read();
        wqe.ack_held = is_ack && side.plan.hold_acks && !silent;
        if wqe.ack_held {
            turn.fabric.struck.count(Fault::AckHeld);
        }
        let dropped =
            |plan: &mut FaultPlan| is_ack && spend(&mut plan.drop_acks, Fault::AckLost, turn);
        let lost = silent || wqe.ack_held || dropped(&mut side.plan);
        let ack_at = if lost { NEVER } else { turn.after(arrived_at, side.plan.ack_delay_ns) };
        qp.sq.get_mut(pos).ack_at = ack_at;
        ack_at
    }

    fn not_ready(&mut self, s: usize, pos: u64, turn: &mut Turn<'_>) {
        // The count that a side names is for what its peer sends to it (InfiniBand CM REQ, REP).
        let limit = self.sides[1 - s].params.rnr_retry_count;
        let side = &mut self.sides[s];
        let Some(qp) = &mut side.qp else { return };
        if limit < FOR_EVER && qp.rnr_retries >= limit {
            return self.fail(s, pos, WcStatus::RnrRetryExceeded, turn);
        }
        qp.rnr_retries = qp.rnr_retries.saturating_add(1);
        qp.rnr_until = turn.now_ns().saturating_add(side.plan.rnr_timer_ns);
        qp.remember_sum(pos, turn);
    }

    /// Acknowledgements reach the sender: each stands for everything before it. What the own card
    /// did stands for itself alone.
    fn acknowledge(&mut self, s: usize, turn: &mut Turn<'_>) -> bool {
        let Some(qp) = &mut self.sides[s].qp else { return false };
        let mut reach = qp.sq.acked;
        for pos in qp.sq.acked..qp.sq.delivered {
            let wqe = qp.sq.get(pos);
            if turn.due(wqe.ack_at) || (wqe.is_local() && reach == pos) {
                reach = pos + 1;
            }
        }
        let moved = reach > qp.sq.acked;
        while qp.sq.acked < reach {
            qp.complete_next(turn);
        }
        if moved {
            (qp.retries, qp.retry_at) = (0, NEVER);
        }
        let refused = qp.sq.get(qp.sq.acked).failure.filter(|_| qp.sq.acked < qp.sq.sent);
        if let Some(status) = refused {
            let pos = qp.sq.acked;
            self.fail(s, pos, status, turn);
            return true;
        }
        moved
    }

    /// Timers: receiver not ready, and no acknowledgement.
    fn expire(&mut self, s: usize, turn: &mut Turn<'_>) -> bool {
        let Some(qp) = &mut self.sides[s].qp else { return false };
        if qp.rnr_until != NEVER {
            let over = turn.due(qp.rnr_until);
            if over {
                qp.rnr_until = NEVER;
                let pos = qp.sq.delivered;
                self.resend_one(s, pos, turn);
            }
            return over;
        }
        let over = turn.due(qp.retry_at);
        if over {
            self.resend_all(s, turn);
        }
        over
    }

    fn resend_all(&mut self, s: usize, turn: &mut Turn<'_>) {
        let limit = self.sides[s].plan.retry_count.unwrap_or(self.sides[s].params.retry_count);
        let Some(qp) = &mut self.sides[s].qp else { return };
        let (first, end) = (qp.sq.acked, qp.sq.sent);
        let held = (first..qp.sq.delivered).any(|pos| qp.sq.get(pos).ack_held);
        if !held {
            if qp.retries >= limit {
                return self.fail(s, first, WcStatus::RetryExceeded, turn);
            }
            qp.retries += 1;
        }
        qp.retry_at = NEVER;
        for pos in first..end {
            if !self.resend_one(s, pos, turn) {
                break;
            }
        }
    }

    /// Transmits `pos` again, from memory as it is now. The peer drops what it has had, and
    /// acknowledges it again.
    fn resend_one(&mut self, s: usize, pos: u64, turn: &mut Turn<'_>) -> bool {
        let cut_off = self.cut_off(s);
        let side = &mut self.sides[s];
        let Some(qp) = &mut side.qp else { return false };
        if pos >= qp.sq.sent || qp.sq.get(pos).failure.is_some() {
            return false;
        }
        if qp.sq.get(pos).is_local() {
            return true;
        }
        turn.fabric.retransmissions.fetch_add(1, Ordering::Relaxed);
        if !qp.allows_local(pos, &turn.keys) {
            qp.sq.get_mut(pos).failure = Some(WcStatus::LocalProtection);
            return false;
        }
        qp.check_sum(pos, Noticed::AtRetransmission, turn);
        let drops = &mut side.plan.drop_messages;
        let arrive_at = if cut_off || spend(drops, Fault::MessageLost, turn) {
            NEVER
        } else {
            let now_ns = turn.now_ns();
            now_ns.saturating_add(side.plan.message_delay_ns)
        };
        if pos >= qp.sq.delivered {
            qp.sq.get_mut(pos).arrive_at = arrive_at;
            qp.last_arrival = if arrive_at == NEVER { qp.last_arrival } else { arrive_at };
        } else if arrive_at != NEVER {
            self.answer(s, pos, arrive_at, turn);
        }
        true
    }

    /// Starts the retransmission timer if something is unacknowledged and it does not run.
    fn arm_retry(&mut self, s: usize, turn: &mut Turn<'_>) {
        let side = &mut self.sides[s];
        let Some(qp) = side.qp.as_mut().filter(|_| side.state == QpState::Rts) else { return };
        let waits = qp.sq.acked < qp.sq.sent && qp.rnr_until == NEVER;
        if waits && qp.retry_at == NEVER {
            qp.retry_at = turn.now_ns().saturating_add(side.plan.retransmit_timeout_ns);
        }
    }

    /// How many RDMA Reads side `s` may have in flight: what it asked, if the peer agreed.
    fn read_depth(&self, s: usize) -> u32 {
        let (own, peer) = (self.sides[s].params, self.sides[1 - s].params);
        u32::from(own.initiator_depth.min(peer.responder_resources))
    }
}

impl Qp {
    /// Whether the next entry may leave: nothing failed before it, and no Read stands in its way.
    fn may_transmit(&self, depth: u32) -> bool {
        let pos = self.sq.sent;
        let after_failure = pos > self.sq.acked && self.sq.get(pos - 1).failure.is_some();
        if pos == self.sq.posted || after_failure {
            return false;
        }
        let wqe = self.sq.get(pos);
        let fenced = wqe.fence && self.reads_in_flight > 0;
        let crowded = wqe.is_read() && depth > 0 && self.reads_in_flight >= depth;
        !fenced && !crowded
    }

    /// What the own card finds wrong with an entry before anything leaves. Operations on windows
    /// are carried out here.
    fn local_failure(&self, pos: u64, depth: u32, turn: &Turn<'_>) -> Option<WcStatus> {
        match self.sq.get(pos).op {
            Op::BindWindow(bind) => {
                let bound = turn.keys.bind(self.num, self.domain, &bind);
                return (!bound).then_some(WcStatus::MwBind);
            }
            Op::LocalInvalidate { rkey } => {
                let ended = turn.keys.invalidate_window(self.num, rkey);
                return (!ended).then_some(LOCAL_QP_OPERATION);
            }
            Op::Send
            | Op::SendWithInvalidate { .. }
            | Op::RdmaWrite { .. }
            | Op::RdmaRead { .. } => {}
        }
        if self.sq.get(pos).is_read() && depth == 0 {
            return Some(LOCAL_QP_OPERATION);
        }
        (!self.allows_local(pos, &turn.keys)).then_some(WcStatus::LocalProtection)
    }

    /// Success for the oldest entry.
    pub(super) fn complete_next(&mut self, turn: &Turn<'_>) {
        let pos = self.sq.acked;
        let wqe = self.sq.get(pos);
        let (signaled, reads) = (wqe.signaled, wqe.is_read());
        self.check_sum(pos, Noticed::AtCompletion, turn);
        self.reads_in_flight -= u32::from(reads);
        if signaled {
            self.complete_send(pos, WcStatus::Success);
        }
        self.sq.acked += 1;
    }

    /// When a message that leaves now arrives: not before the one ahead of it.
    fn arrival(&mut self, delay_ns: u64, turn: &mut Turn<'_>) -> u64 {
        let ahead = if self.sq.delivered + 1 < self.sq.sent { self.last_arrival } else { 0 };
        self.last_arrival = turn.after(0, delay_ns).max(ahead);
        self.last_arrival
    }

    /// Keeps the checksum of an entry that may have to be read again.
    fn remember_sum(&mut self, pos: u64, turn: &Turn<'_>) {
        if self.sq.get(pos).sum.is_none() {
            self.sq.get_mut(pos).sum = self.sum(pos, &turn.keys);
        }
    }

    fn check_sum(&self, pos: u64, noticed: Noticed, turn: &Turn<'_>) {
        let wqe = self.sq.get(pos);
        let Some(first) = wqe.sum else { return };
        if self.sum(pos, &turn.keys).is_some_and(|now| now != first) {
            let violation = Violation { qp_num: self.num, wr_id: wqe.wr_id, noticed };
            turn.fabric.violation(violation);
        }
    }
}

/// Takes one from a countdown of faults.
fn spend(count: &mut u32, fault: Fault, turn: &Turn<'_>) -> bool {
    let struck = *count > 0;
    *count -= u32::from(struck);
    if struck {
        turn.fabric.struck.count(fault);
    }
    struck
}
