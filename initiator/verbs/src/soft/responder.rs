//! What a queue pair does with a message from its peer: check, place, complete.

use std::sync::atomic::Ordering;

use super::link::{LinkState, Qp, Turn};
use super::memory;
use super::struck::Fault;
use crate::{Op, WcStatus};

/// What becomes of a message that arrived.
pub(super) enum Outcome {
    /// Carried out.
    Done,
    /// No Receive is posted.
    NotReady,
    /// Nobody was there to take it.
    Lost,
    /// Refused; the status is what the sender's completion says.
    Refused(WcStatus),
}

impl LinkState {
    /// The peer of side `s` carries out the entry at `pos` of `s`'s Send Queue.
    pub(super) fn respond(&mut self, s: usize, pos: u64, turn: &mut Turn<'_>) -> Outcome {
        let cut_off = self.cut_off(s);
        let Some(qp) = &self.sides[s].qp else { return Outcome::Lost };
        let op = qp.sq.get(pos).op;
        if cut_off && !qp.sq.get(pos).is_local() {
            return Outcome::Lost;
        }
        // Deregistered while under way: the card cannot read what it was to send.
        if !qp.allows_local(pos, &turn.keys) {
            return Outcome::Refused(WcStatus::LocalProtection);
        }
        match op {
            Op::Send => self.place_message(s, pos, None, turn),
            Op::SendWithInvalidate { rkey } => self.place_message(s, pos, Some(rkey), turn),
            Op::RdmaWrite { remote_addr, rkey } => {
                self.direct(s, pos, remote_addr, rkey, turn, true)
            }
            Op::RdmaRead { remote_addr, rkey } => {
                self.direct(s, pos, remote_addr, rkey, turn, false)
            }
            // Carried out when it was transmitted.
            Op::BindWindow(_) | Op::LocalInvalidate { .. } => Outcome::Done,
        }
    }

    fn place_message(
        &mut self,
        s: usize,
        pos: u64,
        invalidate: Option<u32>,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        if self.sides[s].plan.sever_after == Some(0) {
            self.sides[s].plan.sever_after = None;
            turn.fabric.struck.count(Fault::Cut);
            self.sever();
            return Outcome::Lost;
        }
        let (sender, receiver) = self.pair(s);
        let (Some(from), Some(to)) = (&sender.qp, &mut receiver.qp) else { return Outcome::Lost };
        if sender.plan.rnr > 0 {
            sender.plan.rnr -= 1;
            turn.fabric.struck.count(Fault::NoReceive);
            return Outcome::NotReady;
        }
        let Some((_, recv)) = to.rq.front() else {
            turn.fabric.overrun();
            return Outcome::NotReady;
        };
        let len = from.sq.get(pos).len;
        let (here, there) = if len > recv.sge.length {
            (WcStatus::LocalLength, WcStatus::RemoteInvalidRequest)
        } else if !turn.keys.allows_local(to.domain, &recv.sge, true) {
            (WcStatus::LocalProtection, WcStatus::RemoteOperation)
        } else if invalidate.is_some_and(|rkey| !invalidates(turn, to, rkey)) {
            (WcStatus::RemoteInvalidRequest, WcStatus::RemoteInvalidRequest)
        } else {
            // SAFETY: the key table is held and allows both sides' ranges; the posted Send and the
            // posted Receive lend them; `len` fits the Receive.
            unsafe { memory::gather(from.sq.sges(pos), recv.sge.addr) };
            to.complete_recv(WcStatus::Success, len, invalidate);
            if sender.plan.sever_after.is_some() {
                self.count_towards_cut(s, turn);
            }
            return Outcome::Done;
        };
        to.complete_recv(here, 0, None);
        self.refuse_request(s, there)
    }

    /// The message before the cut arrived; its acknowledgement will not.
    fn count_towards_cut(&mut self, s: usize, turn: &Turn<'_>) {
        let left = self.sides[s].plan.sever_after.take().map_or(0, |left| left - 1);
        if left == 0 {
            turn.fabric.struck.count(Fault::Cut);
            self.sever();
        } else {
            self.sides[s].plan.sever_after = Some(left);
        }
    }

    /// RDMA Write and Read: no work request of the receiver takes part.
    fn direct(
        &mut self,
        s: usize,
        pos: u64,
        remote_addr: u64,
        rkey: u32,
        turn: &mut Turn<'_>,
        write: bool,
    ) -> Outcome {
        let (sender, receiver) = self.pair(s);
        let (Some(from), Some(to)) = (&sender.qp, &receiver.qp) else { return Outcome::Lost };
        let len = from.sq.get(pos).len;
        if !turn.keys.allows_remote((to.num, to.domain), rkey, remote_addr, len, write) {
            return self.refuse_request(s, WcStatus::RemoteAccess);
        }
        let sges = from.sq.sges(pos);
        // SAFETY: the key table is held and allows both ranges, of `len` bytes each; the posted
        // request lends the local one, the remote key stands for its owner's consent.
        unsafe {
            if write {
                memory::gather(sges, remote_addr);
            } else {
                memory::scatter(remote_addr, sges);
            }
        }
        Outcome::Done
    }

    /// Both sides go to the error state; the sender's own part is up to the caller.
    fn refuse_request(&mut self, s: usize, status: WcStatus) -> Outcome {
        self.sides[1 - s].enter_error();
        self.tell_disconnected(s);
        Outcome::Refused(status)
    }
}

/// A window that is bound here ends; an ordinary region only where a test asked for that.
fn invalidates(turn: &Turn<'_>, qp: &Qp, rkey: u32) -> bool {
    turn.keys.invalidate_window(qp.num, rkey)
        || (turn.fabric.remote_invalidate.load(Ordering::Acquire)
            && turn.keys.invalidate_remote(qp.domain, rkey))
}
