//! One connection: its buffers, its queues and the way of a call through them.
//!
//! A call stays in its receive slot from arrival to reply:
//! posted → called → (fetching → fetched, when part of it comes by Read chunk) → answered → posted.
//! What it waits for (a buffer, Send Queue room) it waits for in arrival order in `ready`; nothing
//! that a later call needs is held by one that waits. Each turn posts one chain of Receives and
//! then one chain of Sends.

use std::collections::VecDeque;
use std::mem;
use std::net::IpAddr;

use hugepages::{Buffer, Lent};
use reactor::{Timestamp, WakeSources};
use verbs::{
    CmEvent, Completion, ConnectParams, Connection as _, DeviceInfo, Provider, QueuePairCaps,
    RecvWr, Sge, WcStatus,
};
use wire::rpcrdma::private_data::{INLINE_DEFAULT, PrivateData};

use super::answer::{self, Context};
use super::credits::Credits;
use super::plan::SEGMENTS_MAX;
use super::plane::{Plane, Registered};
use super::send_queue::{GROUP_BITS, Held, SendQueue, Wr};
use super::{Service, StartError, backward, trespass};
use crate::config::Config;

/// Receives posted beyond the credits, so that a client that oversteps is seen before it is cut
/// off by the lack of a Receive.
const RECEIVE_SLACK: u32 = 16;
/// Send Queue entries beyond one for each reply: RDMA Reads and Writes.
const CHUNK_WRS: u32 = 4 * SEGMENTS_MAX as u32;
/// Inline buffers beyond one for each call: replies whose Send has not completed.
const INLINE_SLACK: u32 = 32;
/// How long a queue pair in the error state may take to give everything back.
const DRAIN_NS_MAX: u64 = 5_000_000_000;
/// How long a client that was accepted may take to agree.
const ACCEPTING_NS_MAX: u64 = 10_000_000_000;
/// Marks the work request numbers of Receives.
const RECEIVE_BIT: u64 = 1 << 63;

/// Where a call is.
pub(super) enum Slot {
    /// Between two states.
    Vacant,
    /// A Receive waits for it.
    Posted(Lent),
    /// Ready to be posted.
    Idle(Buffer),
    /// It has arrived: so many bytes.
    Called(Buffer, usize),
    /// Its chunk is being fetched.
    Fetching(Buffer, usize),
    /// Its chunk has come: the RPC message is so many bytes at the front of the second buffer.
    Fetched(Buffer, usize, Buffer, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Accepted; data may flow when the peer agrees.
    Accepting,
    Open,
    /// In the error state until everything posted is back.
    Draining {
        since: Timestamp,
    },
}

/// A composed reply, on its way to the Send Queue.
pub(super) struct Reply {
    pub(super) inline: Buffer,
    pub(super) staged: Option<Buffer>,
    /// RDMA Writes of results, before the Send.
    pub(super) writes: Vec<Wr>,
    pub(super) send: Wr,
    pub(super) copies: usize,
    /// Posted behind the Send, by order.
    pub(super) late: Option<Wr>,
}

/// See the module documentation.
pub(super) struct Connection<P: Provider> {
    /// First, so that the queue pair is gone before its memory.
    id: P::Connection,
    pub(super) index: u16,
    state: State,
    /// When the client was last heard of.
    heard: Timestamp,
    pub(super) slots: Vec<Slot>,
    posted: usize,
    repost: Vec<u16>,
    /// Slots whose calls wait to be served, in the order of their arrival.
    ready: VecDeque<u16>,
    delayed: VecDeque<(Timestamp, Reply)>,
    pub(super) send_queue: SendQueue,
    pub(super) credits: Credits,
    /// Calls to the client that it has not answered.
    pub(super) backward_open: u32,
    /// Where the last chunk was that was written to.
    pub(super) chunk_before: Option<trespass::Place>,
    /// Closes as soon as everything sent has arrived.
    closing: bool,
    /// The client's address, whatever its port.
    pub(super) peer: Option<IpAddr>,
    /// Largest inline reply.
    pub(super) inline_bytes: usize,
    /// The client lets its keys be invalidated.
    pub(super) invalidate: bool,
    /// Kept to be used again: RDMA Writes being composed.
    pub(super) writes: Vec<Wr>,
    memory: Registered<P>,
}

/// Sizes that follow from the configuration.
pub(super) struct Sizes {
    receives: u32,
    sends: u32,
}

impl Sizes {
    pub(super) fn new(config: &Config, device: &DeviceInfo) -> Self {
        let receives = (config.credits + RECEIVE_SLACK).min(device.max_qp_wr);
        let sends = (2 * receives + CHUNK_WRS).min(device.max_qp_wr);
        Self { receives, sends }
    }

    /// Completion queue entries: after a failure every work request may have one.
    pub(super) fn cqe(&self) -> u32 {
        self.receives + self.sends
    }
}

impl<P: Provider> Connection<P> {
    /// Takes everything a connection needs, posts its Receives and accepts it.
    pub(super) fn accept(
        mut id: P::Connection,
        index: u16,
        private_data: &[u8],
        sizes: &Sizes,
        plane: &Plane<P>,
        config: &Config,
        now: Timestamp,
    ) -> Result<Self, StartError> {
        let memory = match Self::prepare(&mut id, sizes, plane, config) {
            Ok(memory) => memory,
            Err(error) => {
                let _ = id.reject(&[]);
                return Err(error);
            }
        };
        let (receives, sends) = (sizes.receives as usize, sizes.sends);
        let peer = PrivateData::parse(private_data);
        let inline_bytes = peer.map_or(INLINE_DEFAULT, |peer| peer.receive_size);
        let slots = std::iter::from_fn(|| memory.pools[0].alloc()).map(Slot::Idle).collect();
        let tag = u64::from(index) << GROUP_BITS;
        let mut connection = Self {
            peer: id.peer_addr().map(|peer| peer.ip()),
            id,
            index,
            state: State::Accepting,
            heard: now,
            slots,
            posted: 0,
            repost: (0..receives as u16).collect(),
            ready: VecDeque::with_capacity(receives),
            delayed: VecDeque::new(),
            send_queue: SendQueue::new(tag, sends),
            credits: Credits::new(),
            backward_open: 0,
            chunk_before: None,
            closing: false,
            inline_bytes: inline_bytes.min(config.inline_send_bytes) as usize,
            invalidate: peer.is_some_and(|peer| peer.remote_invalidation),
            writes: Vec::with_capacity(SEGMENTS_MAX),
            memory,
        };
        connection.post_receives(now);
        let ours = PrivateData {
            send_size: config.inline_send_bytes,
            receive_size: config.inline_receive_bytes,
            remote_invalidation: false,
        };
        let depth = connection.id.device().map_or(1, |device| device.max_rd_atom.clamp(1, 16));
        let params = ConnectParams {
            private_data: &ours.emit(),
            responder_resources: 1,
            initiator_depth: depth,
            ..ConnectParams::default()
        };
        if let Err(error) = connection.id.accept(&params) {
            connection.disconnect(now);
            connection.give_up();
            return Err(error.into());
        }
        Ok(connection)
    }

    /// Buffers and queue pair.
    fn prepare(
        id: &mut P::Connection,
        sizes: &Sizes,
        plane: &Plane<P>,
        config: &Config,
    ) -> Result<Registered<P>, StartError> {
        let (receives, sends) = (sizes.receives as usize, sizes.sends);
        let inline = receives + INLINE_SLACK as usize;
        let pools = [
            (config.inline_receive_bytes as usize, receives),
            (config.inline_send_bytes as usize, inline),
        ];
        let memory = Registered::<P>::new(&plane.domain, pools, config.hugepages)?;
        let caps =
            QueuePairCaps { send_wr_max: sends, recv_wr_max: sizes.receives, send_sge_max: 1 };
        id.create_queue_pair(&plane.domain, &plane.cq, &caps)?;
        Ok(memory)
    }

    /// Looks at connection events and at the time: on a timer, for it may cost a system call. Says
    /// whether there were any.
    pub(super) fn control(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while let Some(event) = self.id.poll_event() {
            any = true;
            match event {
                CmEvent::Established { .. } if self.state == State::Accepting => {
                    self.state = State::Open;
                    self.heard = now;
                }
                CmEvent::Established { .. } | CmEvent::Other(_) => {}
                _ => self.disconnect(now),
            }
        }
        if self.state == State::Accepting && now.ns_since(self.heard) > ACCEPTING_NS_MAX {
            tracing::debug!(peer = ?self.peer, "accepted, and never heard of again");
            self.disconnect(now);
        }
        if matches!(self.state, State::Draining { .. }) {
            // Where the first was refused, which has been told: until it is posted, or overdue.
            let _ = self.send_queue.drain(&mut self.id);
        }
        any
    }

    /// Says what is to wake a target that sleeps, besides its completion queue.
    pub(super) fn arm(&self, sources: &mut WakeSources, interval_ns: u64) -> bool {
        let Some(fd) = self.id.event_fd() else { return false };
        sources.watch(fd);
        if matches!(self.state, State::Draining { .. }) {
            sources.no_later_than(sources.now().add_ns(interval_ns));
        }
        if let Some((due, _)) = self.delayed.front() {
            sources.no_later_than(*due);
        }
        true
    }

    /// Ends the connection; its buffers come back as the queues drain.
    pub(super) fn disconnect(&mut self, now: Timestamp) {
        if matches!(self.state, State::Draining { .. }) {
            return;
        }
        self.state = State::Draining { since: now };
        self.id.disconnect();
        if let Err(error) = self.send_queue.drain(&mut self.id) {
            tracing::warn!(%error, peer = ?self.peer, "no drain yet after disconnect");
        }
        self.delayed.clear();
        self.ready.clear();
    }

    /// When its client was last heard of; `None` if it is ending already.
    pub(super) fn heard(&self) -> Option<Timestamp> {
        (!matches!(self.state, State::Draining { .. })).then_some(self.heard)
    }

    /// Whether everything is back.
    pub(super) fn drained(&self) -> bool {
        matches!(self.state, State::Draining { .. })
            && self.posted == 0
            && self.send_queue.is_empty()
    }

    /// Whether the device has had long enough to give everything back.
    pub(super) fn overdue(&self, now: Timestamp) -> bool {
        matches!(self.state, State::Draining { since } if now.ns_since(since) > DRAIN_NS_MAX)
    }

    /// Leaves what is still posted to the device for ever: its memory stays mapped.
    pub(super) fn give_up(&mut self) {
        self.send_queue.abandon();
        for slot in &mut self.slots {
            if let Slot::Posted(lent) = mem::replace(slot, Slot::Vacant) {
                lent.abandon();
            }
        }
        self.posted = 0;
    }

    /// One completion of this connection.
    pub(super) fn completed(&mut self, done: &Completion, now: Timestamp, service: &mut Service) {
        let ok = done.status == WcStatus::Success;
        if !ok && done.status != WcStatus::Flushed {
            service.nfs.stats.wr_errors.add(1);
            tracing::debug!(status = ?done.status, peer = ?self.id.peer_addr(), "work request");
        }
        if done.wr_id & RECEIVE_BIT != 0 {
            self.heard = now;
            self.received(done, ok, service);
        } else {
            self.sent(done.wr_id, ok);
        }
        if !ok {
            self.disconnect(now);
        }
    }

    fn received(&mut self, done: &Completion, ok: bool, service: &mut Service) {
        let slot = (done.wr_id & 0xffff) as u16;
        let Some(place) = self.slots.get_mut(usize::from(slot)) else { return };
        let Slot::Posted(lent) = mem::replace(place, Slot::Vacant) else { return };
        self.posted -= 1;
        // SAFETY: the one Receive posted on this buffer has completed.
        let buffer = unsafe { lent.reclaim() };
        if !ok || matches!(self.state, State::Draining { .. }) {
            *place = Slot::Idle(buffer);
            return;
        }
        let len = (done.byte_len as usize).min(buffer.len());
        service.nfs.stats.receives.add(1);
        if self.backward_open > 0 && backward::is_answer(&buffer[..len], &service.nfs.stats) {
            self.backward_open -= 1;
            return self.recycle(slot, buffer);
        }
        *place = Slot::Called(buffer, len);
        if self.credits.called() {
            service.nfs.stats.credit_overruns.add(1);
        }
        self.ready.push_back(slot);
    }

    fn sent(&mut self, wr_id: u64, ok: bool) {
        let open = ok && !matches!(self.state, State::Draining { .. });
        for held in self.send_queue.completed(wr_id, ok) {
            match held {
                Held::Reply { inline, staged } => {
                    // SAFETY: every work request on these buffers has completed.
                    drop(unsafe { inline.reclaim() });
                    // SAFETY: the same.
                    drop(staged.map(|staged| unsafe { staged.reclaim() }));
                }
                Held::Fetch { slot, stage } => {
                    // SAFETY: every RDMA Read into this buffer has completed.
                    let stage = unsafe { stage.reclaim() };
                    let place = &mut self.slots[usize::from(slot)];
                    if let Slot::Fetching(buffer, len) = mem::replace(place, Slot::Vacant) {
                        *place = answer::assemble(buffer, len, stage);
                        if open {
                            // Before calls that have yet to begin: those may wait for the very
                            // staging buffer that this one gives back.
                            self.ready.push_front(slot);
                        }
                    }
                }
                Held::Drain => {}
            }
        }
    }

    /// Serves what is ready and posts what came of it. Says whether there was anything to do.
    pub(super) fn turn(&mut self, now: Timestamp, plane: &Plane<P>, service: &mut Service) -> bool {
        if self.state == State::Accepting && !self.ready.is_empty() {
            self.control(now);
        }
        if self.state != State::Open {
            return false;
        }
        let mut busy = self.send_delayed(now);
        let mut context = Context { now, plane, service };
        while let Some(&slot) = self.ready.front() {
            busy = true;
            match self.serve(slot, &mut context) {
                Served::Done => drop(self.ready.pop_front()),
                Served::Waits => {
                    context.service.nfs.stats.calls_parked.add(1);
                    break;
                }
            }
        }
        // Receives first: a reply invites the next call.
        self.post_receives(now);
        self.ring(now, context.service);
        if self.closing && self.send_queue.is_empty() {
            self.disconnect(now);
        }
        busy
    }

    fn ring(&mut self, now: Timestamp, service: &mut Service) {
        match self.send_queue.ring(&mut self.id) {
            Ok(0) => {}
            Ok(wrs) => {
                service.nfs.stats.doorbells.add(1);
                service.nfs.stats.send_wrs.add(wrs as u64);
            }
            Err(error) => {
                tracing::warn!(%error, peer = ?self.id.peer_addr(), "replies could not be posted");
                self.disconnect(now);
            }
        }
    }

    fn send_delayed(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while self
            .delayed
            .front()
            .is_some_and(|(due, reply)| *due <= now && reply.entries() <= self.send_queue.room())
        {
            if let Some((_, reply)) = self.delayed.pop_front() {
                self.push(reply);
                any = true;
            }
        }
        any
    }

    /// Hands a reply to the Send Queue, or keeps it until `due`.
    pub(super) fn push_or_delay(&mut self, due: Option<Timestamp>, reply: Reply) {
        match due {
            Some(due) => self.delayed.push_back((due, reply)),
            None => self.push(reply),
        }
    }

    fn push(&mut self, mut reply: Reply) {
        let sends = std::iter::repeat_n(reply.send, reply.copies);
        let wrs = reply.writes.drain(..).chain(sends).chain(reply.late);
        let inline = reply.inline.lend();
        let staged = reply.staged.map(Buffer::lend);
        self.send_queue.push(Held::Reply { inline, staged }, wrs, false);
        // Its capacity is worth keeping.
        self.writes = reply.writes;
    }

    /// A buffer for the header and inline part of a reply.
    pub(super) fn inline(&self) -> Option<Buffer> {
        self.memory.pools[1].alloc()
    }

    /// Makes the slot's buffer ready to be posted again.
    pub(super) fn recycle(&mut self, slot: u16, buffer: Buffer) {
        self.slots[usize::from(slot)] = Slot::Idle(buffer);
        self.repost.push(slot);
    }

    /// The rest of what was sent may still arrive; then the connection ends.
    pub(super) fn close_when_sent(&mut self) {
        self.closing = true;
    }

    fn post_receives(&mut self, now: Timestamp) {
        if self.repost.is_empty() {
            return;
        }
        for &slot in &self.repost {
            let place = &mut self.slots[usize::from(slot)];
            *place = match mem::replace(place, Slot::Vacant) {
                Slot::Idle(buffer) => Slot::Posted(buffer.lend()),
                other => other,
            };
        }
        let slots = &self.slots;
        let tag = RECEIVE_BIT | (u64::from(self.index) << GROUP_BITS);
        let chain = self.repost.iter().filter_map(|&slot| match &slots[usize::from(slot)] {
            Slot::Posted(lent) => Some(RecvWr {
                wr_id: tag | u64::from(slot),
                sge: Sge { addr: lent.addr(), length: lent.len() as u32, lkey: lent.keys().lkey },
            }),
            _ => None,
        });
        // SAFETY: each buffer was lent just now for this Receive and is held as `Posted` until the
        // completion is seen.
        let posted = match unsafe { self.id.post_recv(chain) } {
            Ok(posted) => posted,
            Err(error) => {
                tracing::warn!(%error, peer = ?self.id.peer_addr(), "no Receives");
                for &slot in &self.repost[error.posted..] {
                    let place = &mut self.slots[usize::from(slot)];
                    if let Slot::Posted(lent) = mem::replace(place, Slot::Vacant) {
                        // SAFETY: this one was refused.
                        *place = Slot::Idle(unsafe { lent.reclaim() });
                    }
                }
                self.disconnect(now);
                error.posted
            }
        };
        self.posted += posted;
        self.repost.clear();
    }
}

/// Whether a call was dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    Done,
    /// It needs something that other calls will give back.
    Waits,
}

impl Reply {
    /// Send Queue entries that it takes.
    pub(super) fn entries(&self) -> u32 {
        (self.writes.len() + self.copies + usize::from(self.late.is_some())) as u32
    }
}

impl<P: Provider> Drop for Connection<P> {
    fn drop(&mut self) {
        // Whoever drops a connection has drained it or given it up; this is the last resort.
        self.give_up();
    }
}
