//! Send and Receive Queues: rings made once, indexed by positions that only grow.

use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::NEVER;
use crate::{Bind, Op, RecvWr, SendWr, Sge, WcStatus};

/// What the completion queue knows of a queue pair: how far its polled completions reach.
#[derive(Default)]
pub(super) struct Reclaimed {
    /// Send Queue positions below this may be used again.
    pub(super) sends: AtomicU64,
    /// Receive Queue positions below this may be used again.
    pub(super) recvs: AtomicU64,
}

/// Entries on their way: `acked <= delivered <= sent <= posted`.
pub(super) struct SendQueue {
    ring: Box<[Wqe]>,
    sges: Box<[Sge]>,
    sge_max: usize,
    capacity: u64,
    pub(super) posted: u64,
    /// Below: transmitted at least once (or refused locally, see [`Wqe::failure`]).
    pub(super) sent: u64,
    /// Below: carried out by the peer.
    pub(super) delivered: u64,
    /// Below: completed.
    pub(super) acked: u64,
}

/// A Send Queue entry. Times are 0 for "at once": the usual message never needs a clock.
#[derive(Clone, Copy)]
pub(super) struct Wqe {
    pub(super) wr_id: u64,
    pub(super) op: Op<Bind>,
    pub(super) signaled: bool,
    pub(super) fence: bool,
    pub(super) len: u32,
    sge_count: u32,
    /// When the message reaches the peer; [`NEVER`]: lost.
    pub(super) arrive_at: u64,
    /// When its acknowledgement is here; [`NEVER`]: lost.
    pub(super) ack_at: u64,
    /// The acknowledgement is held back by a fault; it is not lost.
    pub(super) ack_held: bool,
    /// Checksum of the bytes as first transmitted; taken only when they may be read again.
    pub(super) sum: Option<u64>,
    /// Refused locally: becomes the completion when everything before it is done.
    pub(super) failure: Option<WcStatus>,
}

const BLANK: Wqe = Wqe {
    wr_id: 0,
    op: Op::Send,
    signaled: false,
    fence: false,
    len: 0,
    sge_count: 0,
    arrive_at: NEVER,
    ack_at: NEVER,
    ack_held: false,
    sum: None,
    failure: None,
};

impl Wqe {
    pub(super) fn is_read(&self) -> bool {
        matches!(self.op, Op::RdmaRead { .. })
    }

    /// Carried out by the own card, when its turn to be transmitted comes; nothing leaves.
    pub(super) fn is_local(&self) -> bool {
        is_local(&self.op)
    }
}

fn is_local<B>(op: &Op<B>) -> bool {
    matches!(op, Op::BindWindow(_) | Op::LocalInvalidate { .. })
}

impl SendQueue {
    pub(super) fn new(capacity: u32, sge_max: u32) -> Self {
        let slots = capacity.next_power_of_two() as usize;
        let sge_max = sge_max as usize;
        Self {
            ring: vec![BLANK; slots].into(),
            sges: vec![Sge::default(); slots * sge_max].into(),
            sge_max,
            capacity: u64::from(capacity),
            posted: 0,
            sent: 0,
            delivered: 0,
            acked: 0,
        }
    }

    fn slot(&self, pos: u64) -> usize {
        pos as usize & (self.ring.len() - 1)
    }

    pub(super) fn get(&self, pos: u64) -> &Wqe {
        &self.ring[self.slot(pos)]
    }

    pub(super) fn get_mut(&mut self, pos: u64) -> &mut Wqe {
        let slot = self.slot(pos);
        &mut self.ring[slot]
    }

    pub(super) fn sges(&self, pos: u64) -> &[Sge] {
        let slot = self.slot(pos);
        let start = slot * self.sge_max;
        &self.sges[start..start + self.ring[slot].sge_count as usize]
    }

    /// Takes a work request, or says with which errno not.
    pub(super) fn push(&mut self, wr: &SendWr<'_>, reclaimed: &Reclaimed) -> Result<(), i32> {
        if wr.sges.len() > self.sge_max || (is_local(&wr.op) && !wr.sges.is_empty()) {
            return Err(libc::EINVAL);
        }
        if self.posted - reclaimed.sends.load(Ordering::Acquire) >= self.capacity {
            return Err(libc::ENOMEM);
        }
        let len = wr.sges.iter().try_fold(0_u32, |sum, sge| sum.checked_add(sge.length));
        let len = len.ok_or(libc::EINVAL)?;
        let slot = self.slot(self.posted);
        let start = slot * self.sge_max;
        self.sges[start..start + wr.sges.len()].copy_from_slice(wr.sges);
        self.ring[slot] = Wqe {
            wr_id: wr.wr_id,
            op: wr.op.cloned(),
            signaled: wr.signaled,
            fence: wr.fence,
            len,
            sge_count: wr.sges.len() as u32,
            ..BLANK
        };
        self.posted += 1;
        Ok(())
    }
}

/// Posted Receives: `consumed <= posted`.
pub(super) struct RecvQueue {
    ring: Box<[RecvWr]>,
    capacity: u64,
    posted: u64,
    pub(super) consumed: u64,
}

impl RecvQueue {
    pub(super) fn new(capacity: u32) -> Self {
        let slots = capacity.next_power_of_two() as usize;
        let blank = RecvWr { wr_id: 0, sge: Sge::default() };
        Self {
            ring: vec![blank; slots].into(),
            capacity: u64::from(capacity),
            posted: 0,
            consumed: 0,
        }
    }

    pub(super) fn push(&mut self, wr: RecvWr, reclaimed: &Reclaimed) -> Result<(), i32> {
        if self.posted - reclaimed.recvs.load(Ordering::Acquire) >= self.capacity {
            return Err(libc::ENOMEM);
        }
        let slot = self.posted as usize & (self.ring.len() - 1);
        self.ring[slot] = wr;
        self.posted += 1;
        Ok(())
    }

    /// The oldest Receive that waits for a message, with its position.
    pub(super) fn front(&self) -> Option<(u64, RecvWr)> {
        let slot = self.consumed as usize & (self.ring.len() - 1);
        (self.consumed < self.posted).then(|| (self.consumed, self.ring[slot]))
    }
}
