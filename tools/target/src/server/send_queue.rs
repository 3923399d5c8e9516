//! The Send Queue of one connection: strict accounting, and who owns what until when.
//!
//! Work requests are queued in groups; a group holds the buffers its work requests touch. One
//! turn's groups are posted as one chain, its last entry signaled. A completion tells that its
//! group and all groups before it are done: their buffers come back then and not earlier, and
//! with them their entries. Groups are numbered from the start of the connection, so a completion
//! that makes no sense releases nothing.

use std::collections::VecDeque;

use hugepages::Lent;
use verbs::{Bind, Connection, Op, PostError, SendWr, Sge};

/// Most groups posted without a signaled one among them.
const SIGNAL_EVERY: u32 = 16;

/// What a group owns while it is posted.
pub(super) enum Held {
    /// A reply: its header and inline part, and what its RDMA Writes read from.
    Reply {
        /// In the inline buffer.
        inline: Lent,
        /// In the staging buffer.
        staged: Option<Lent>,
    },
    /// An RDMA Read of a call's chunk, for the call in this receive slot.
    Fetch {
        /// The slot.
        slot: u16,
        /// Where the data goes.
        stage: Lent,
    },
    /// The last entry before the queue pair is destroyed.
    Drain,
}

/// One work request to be posted.
#[derive(Clone, Copy)]
pub(super) struct Wr {
    pub(super) op: Op<&'static Bind>,
    pub(super) sge: Sge,
}

struct Queued {
    wr: Wr,
    group: u64,
    signaled: bool,
}

struct Group {
    held: Held,
    wrs: u32,
}

/// See the module documentation.
pub(super) struct SendQueue {
    /// Marks completions of this queue, with the group's number in the bits below.
    tag: u64,
    free: u32,
    groups: VecDeque<Group>,
    /// Number of the oldest group.
    first: u64,
    chain: Vec<Queued>,
    unsignaled: u32,
}

/// Bits of a work request's number that carry the group.
pub(super) const GROUP_BITS: u32 = 47;
const GROUP_MASK: u64 = (1 << GROUP_BITS) - 1;

impl SendQueue {
    /// `depth` entries, of which one is kept for [`drain`](Self::drain).
    pub(super) fn new(tag: u64, depth: u32) -> Self {
        let capacity = depth as usize;
        Self {
            tag,
            free: depth - 1,
            groups: VecDeque::with_capacity(capacity),
            first: 0,
            chain: Vec::with_capacity(capacity),
            unsignaled: 0,
        }
    }

    /// Entries that may still be queued.
    pub(super) fn room(&self) -> u32 {
        self.free
    }

    /// Nothing is posted or waits to be.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Queues one group; `signaled` asks for its completion at once. There must be
    /// [`room`](Self::room).
    pub(super) fn push(&mut self, held: Held, wrs: impl IntoIterator<Item = Wr>, signaled: bool) {
        let group = self.first + self.groups.len() as u64;
        let before = self.chain.len();
        self.chain.extend(wrs.into_iter().map(|wr| Queued { wr, group, signaled: false }));
        let wrs = (self.chain.len() - before) as u32;
        assert!(wrs > 0 && wrs <= self.free, "{wrs} entries queued, {} free", self.free);
        self.free -= wrs;
        self.unsignaled += 1;
        if (signaled || self.unsignaled == SIGNAL_EVERY)
            && let Some(last) = self.chain.last_mut()
        {
            last.signaled = true;
            self.unsignaled = 0;
        }
        self.groups.push_back(Group { held, wrs });
    }

    /// Posts what was queued, with one doorbell. Returns how many entries that were.
    pub(super) fn ring<C: Connection>(&mut self, id: &mut C) -> Result<usize, PostError> {
        let Some(last) = self.chain.last_mut() else { return Ok(0) };
        // Nothing unsignaled is left behind: its buffers would be pinned until the next reply.
        last.signaled = true;
        self.unsignaled = 0;
        let tag = self.tag;
        let chain = self.chain.iter().map(|queued| SendWr {
            wr_id: tag | (queued.group & GROUP_MASK),
            sges: std::slice::from_ref(&queued.wr.sge),
            op: queued.wr.op,
            signaled: queued.signaled,
            fence: false,
        });
        // SAFETY: every byte named by the chain lies in a buffer that its group holds as `Lent`
        // until its completion is seen; a drain names none.
        let posted = unsafe { id.post_send(chain) };
        self.chain.clear();
        posted
    }

    /// A completion: returns what is no longer touched. Without error that is its group and all
    /// before it. With an error what came before it was carried out, but it and what follows may
    /// have entries that have not been flushed yet, unless it is the drain.
    pub(super) fn completed(&mut self, wr_id: u64, ok: bool) -> impl Iterator<Item = Held> + '_ {
        let done = self.position(wr_id).map_or(0, |position| {
            let last = matches!(self.groups[position].held, Held::Drain);
            position + usize::from(ok || last)
        });
        self.release(done)
    }

    /// Posts the last entry, which touches no memory: when it completes, all has. One that is posted
    /// already is enough, and so is a queue with nothing on it; after an error it may be tried again.
    pub(super) fn drain<C: Connection>(&mut self, id: &mut C) -> Result<(), PostError> {
        if self.is_empty() || matches!(self.groups.back(), Some(Group { held: Held::Drain, .. })) {
            return Ok(());
        }
        self.push_drain();
        let posted = self.ring(id);
        if posted.is_err() {
            self.groups.pop_back();
        }
        posted.map(drop)
    }

    /// Into the entry that was kept for it.
    fn push_drain(&mut self) {
        self.free += 1;
        self.push(Held::Drain, [Wr { op: Op::Send, sge: Sge::default() }], true);
    }

    /// Gives up what is still posted, when the device will not say that it is done.
    pub(super) fn abandon(&mut self) {
        let all = self.groups.len();
        for held in self.release(all) {
            match held {
                Held::Reply { inline, staged } => {
                    inline.abandon();
                    staged.into_iter().for_each(Lent::abandon);
                }
                Held::Fetch { stage, .. } => stage.abandon(),
                Held::Drain => {}
            }
        }
    }

    fn position(&self, wr_id: u64) -> Option<usize> {
        let position = (wr_id & GROUP_MASK).wrapping_sub(self.first & GROUP_MASK) & GROUP_MASK;
        usize::try_from(position).ok().filter(|position| *position < self.groups.len())
    }

    fn release(&mut self, count: usize) -> impl Iterator<Item = Held> {
        self.first += count as u64;
        let wrs: u32 = self.groups.iter().take(count).map(|group| group.wrs).sum();
        self.free += wrs;
        self.groups.drain(..count).map(|group| group.held)
    }
}

#[cfg(test)]
#[path = "send_queue_tests.rs"]
mod tests;
