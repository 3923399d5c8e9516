//! The life of one connection: made, used, drained, released.
//!
//! A state machine: events and the time come in, calls to the provider and upcalls go out. It
//! belongs to one endpoint on one thread.
//!
//! Teardown keeps one order, whatever began it: stop posting, move the queue pair to the error
//! state, drain both queues, destroy the queue pair, then release the ring, the callers' buffers,
//! our own buffers and their registrations. Nothing is released while the old queue pair may read
//! it. An RPC outlives nothing here: those that are unanswered fail, with their buffers.

use std::rc::Rc;

use hugepages::{Pool, Region};
use reactor::Timestamp;
use verbs::{
    Access, CmEvent, ConnectParams, Connection as _, DeviceInfo, Op, Provider, QueuePairCaps,
    SendWr,
};
use wire::rpcrdma::private_data::PrivateData;

use crate::config::{BufferConfig, TransportConfig};
use crate::credits::Credits;
use crate::error::{Error, Loss};
use crate::memory::{Loan, RegisteredPool};
use crate::receives::Receives;
use crate::request::Limits;
use crate::sendctx::SGES_MAX;
use crate::sender::Sender;
use crate::slots::Slots;
use crate::stats::Counters;
use crate::work_id::Kind;
use crate::{ConnectionId, Event, Upcalls};

/// Room for the largest transport header this client builds: the fixed part and one chunk. The
/// header is written right before the body, so that one SGE carries both.
pub(crate) const HEADER_ROOM: usize = 64;
/// How long a drain may take before the queue pair is destroyed without it.
const DRAIN_NS_MAX: u64 = 2_000_000_000;

/// Where a connection is in its life. Allowed: downwards, and from any state to `Draining`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Address and route are being resolved.
    Resolving,
    /// The connection request is out.
    Connecting,
    /// RPCs flow.
    Established,
    /// The queue pair is in the error state; completions are being waited for.
    Draining,
    /// Everything is released.
    Closed,
}

/// One connection.
pub(crate) struct Connection<P: Provider> {
    pub(crate) id: ConnectionId,
    pub(crate) config: TransportConfig,
    pub(crate) state: State,
    since: Timestamp,
    cause: Option<Error>,
    /// The queue pair; dropped before anything that its work requests name.
    pub(crate) link: Option<P::Connection>,
    pub(crate) sender: Sender,
    pub(crate) receives: Receives,
    pub(crate) slots: Slots,
    pub(crate) credits: Credits,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    /// Somebody was told to wait.
    pub(crate) parked: bool,
    send_queue_drained: bool,
    /// Completion queue and how many of its entries are set aside for this connection.
    pub(crate) cq: Option<(usize, u32)>,
    messages: Option<RegisteredPool<P::Domain>>,
    payloads: Option<RegisteredPool<P::Domain>>,
}

impl<P: Provider> Connection<P> {
    /// Begins to resolve the server's address.
    pub(crate) fn resolve(
        provider: &P,
        config: TransportConfig,
        id: ConnectionId,
        now: Timestamp,
    ) -> Result<Self, Error> {
        config.validate()?;
        let link = provider.resolve(config.remote, config.local)?;
        let slots = config.sendctxs();
        Ok(Self {
            id,
            state: State::Resolving,
            since: now,
            cause: None,
            link: Some(link),
            sender: Sender::new(slots, config.signal_every()),
            receives: Receives::new(Box::default(), 0),
            slots: Slots::new(slots, config.xid_seed),
            credits: Credits::new(config.max_requests),
            limits: Limits {
                inline_send: config.inline_send as usize,
                inline_receive: config.inline_receive as usize,
                copy_max: config.copy_max as usize,
            },
            counters: Counters::default(),
            parked: false,
            send_queue_drained: false,
            cq: None,
            messages: None,
            payloads: None,
            config,
        })
    }

    /// The device, once the route is known.
    pub(crate) fn device(&self) -> Option<&DeviceInfo> {
        self.link.as_ref().and_then(|link| link.device())
    }

    /// Payload buffers, once there are some.
    pub(crate) fn pool(&self) -> Option<&Pool> {
        self.payloads.as_ref().map(|memory| &memory.pool)
    }

    /// The payload buffers' memory, for the report.
    pub(crate) fn region(&self) -> Option<&Rc<Region>> {
        self.payloads.as_ref().map(|memory| &memory.region)
    }

    /// Completion queue entries that this connection can ever need at once: in an error every
    /// work request may bring one, signaled or not.
    pub(crate) fn cq_entries(&self) -> u32 {
        self.send_wr_max() + self.recv_wr_max()
    }

    /// One Send Queue entry for each ring slot, and one for the drain marker.
    fn send_wr_max(&self) -> u32 {
        self.config.sendctxs() + 1
    }

    /// A Receive for each call that may be unanswered, and one for each request slot, which may
    /// hold on to a Reply until its Send completes.
    fn recv_wr_max(&self) -> u32 {
        self.config.max_requests + self.config.sendctxs()
    }

    /// The route is known: makes memory and queue pair, posts Receives, asks to connect.
    pub(crate) fn start(&mut self, cq: &P::Cq, now: Timestamp) -> Result<(), Error> {
        let (send_wr_max, recv_wr_max) = (self.send_wr_max(), self.recv_wr_max());
        let Some(link) = self.link.as_mut() else {
            return Ok(());
        };
        let domain = link.new_domain()?;
        let inline = self.config.inline_send.max(self.config.inline_receive);
        let buffers = BufferConfig {
            buffer_len: inline + HEADER_ROOM as u32,
            count: self.slots.len() + recv_wr_max,
            ..self.config.buffers
        };
        // Two registrations: a key to payload buffers must not open the messages.
        let messages = RegisteredPool::new(&domain, &buffers, Access::LOCAL)?;
        let payloads = RegisteredPool::new(&domain, &self.config.buffers, Access::REMOTE)?;
        let mut take = || messages.pool.alloc().map_or(Loan::Vacant, Loan::Ours);
        self.slots.equip(&mut take);
        self.receives =
            Receives::new((0..recv_wr_max).map(|_| take()).collect(), self.config.inline_receive);
        self.messages = Some(messages);
        self.payloads = Some(payloads);

        let send_sge_max = SGES_MAX as u32;
        link.create_queue_pair(
            &domain,
            cq,
            &QueuePairCaps { send_wr_max, recv_wr_max, send_sge_max },
        )?;
        let id = self.id.work_id();
        let posted = self.receives.post(link, id, &mut self.counters);
        posted.map_err(|error| Error::Lost {
            remote: self.config.remote,
            why: Loss::Post(error.errno),
        })?;
        let private_data = PrivateData {
            send_size: self.config.inline_send,
            receive_size: self.config.inline_receive,
            // The server may invalidate keys only where each call has its own (RFC 8797 §4.1).
            remote_invalidation: false,
        };
        link.connect(&ConnectParams { private_data: &private_data.emit(), ..Default::default() })?;
        self.enter(State::Connecting, now);
        Ok(())
    }

    /// One event of the connection manager. `RouteResolved` is the endpoint's to handle.
    pub(crate) fn on_event(&mut self, event: CmEvent, now: Timestamp, up: &mut impl Upcalls) {
        let remote = self.config.remote;
        let lost = |why| Error::Lost { remote, why };
        match event {
            CmEvent::Established { private_data } if self.state == State::Connecting => {
                self.established(&private_data, now);
                up.event(self.id, Event::Established);
            }
            CmEvent::ResolveFailed(errno) => self.fail(Error::Resolve { remote, errno }, now),
            CmEvent::Rejected { reason, .. } => self.fail(Error::Refused { remote, reason }, now),
            CmEvent::Unreachable(_) => self.fail(self.unreachable(), now),
            CmEvent::ConnectFailed(errno) => self.fail(Error::Resolve { remote, errno }, now),
            CmEvent::Disconnected => self.fail(lost(Loss::Disconnected), now),
            CmEvent::DeviceRemoved => self.fail(lost(Loss::DeviceRemoved), now),
            CmEvent::AddressChanged => self.fail(lost(Loss::AddressChanged), now),
            other => tracing::debug!(?other, %remote, "connection event ignored"),
        }
    }

    /// RFC 8797 §5: each side sends no more than the other receives; without valid private data
    /// the limit is 1024.
    fn established(&mut self, private_data: &[u8], now: Timestamp) {
        let peer = PrivateData::parse(private_data);
        let default = crate::config::INLINE_MIN;
        let (peer_send, peer_receive) =
            peer.map_or((default, default), |peer| (peer.send_size, peer.receive_size));
        self.limits.inline_send = self.config.inline_send.min(peer_receive) as usize;
        self.limits.inline_receive = self.config.inline_receive.min(peer_send) as usize;
        self.counters.connect_count += 1;
        self.enter(State::Established, now);
    }

    fn unreachable(&self) -> Error {
        Error::Unreachable {
            remote: self.config.remote,
            seconds: self.config.connect_timeout_ns / 1_000_000_000,
        }
    }

    /// Time passes: set-up, replies and drain each have a limit.
    pub(crate) fn on_time(&mut self, now: Timestamp) {
        let waited = now.0.saturating_sub(self.since.0);
        match self.state {
            State::Resolving | State::Connecting if waited > self.config.connect_timeout_ns => {
                self.fail(self.unreachable(), now);
            }
            State::Established => {
                let limit = self.config.rpc_timeout_ns;
                if self.slots.oldest_ns().is_some_and(|sent| now.0.saturating_sub(sent) > limit) {
                    let seconds = limit / 1_000_000_000;
                    self.fail(Error::Timeout { remote: self.config.remote, seconds }, now);
                }
            }
            State::Draining if waited > DRAIN_NS_MAX => {
                tracing::warn!(remote = %self.config.remote, "drain timed out: queue pair destroyed");
                self.abort_drain();
            }
            _ => {}
        }
    }

    /// Ends the connection: nothing is posted from here on, and the drain begins.
    pub(crate) fn fail(&mut self, cause: Error, now: Timestamp) {
        if matches!(self.state, State::Draining | State::Closed) {
            return;
        }
        tracing::debug!(%cause, state = ?self.state, "connection ends");
        self.cause = Some(cause);
        self.enter(State::Draining, now);
        let used = self.sender.was_used();
        let marker = self.id.work_id().with(Kind::Drain, 0);
        let Some(link) = self.link.as_mut() else {
            return;
        };
        link.disconnect();
        let marker =
            SendWr { wr_id: marker, sges: &[], op: Op::Send, signaled: true, fence: false };
        // SAFETY: the marker names no memory.
        let posted = used && unsafe { link.post_send([marker]) }.is_ok();
        self.send_queue_drained = !used;
        if used && !posted {
            self.abort_drain();
        }
    }

    /// The marker behind the last Send has come back.
    pub(crate) fn on_drained(&mut self) {
        self.send_queue_drained = true;
    }

    /// No completion can be waited for: destroys the queue pair, which ends the NIC's use of
    /// everything that was posted.
    pub(crate) fn abort_drain(&mut self) {
        self.link = None;
    }

    /// Whether the old queue pair can touch nothing any more.
    pub(crate) fn is_drained(&self) -> bool {
        let drained = self.send_queue_drained && self.receives.posted() == 0;
        self.state == State::Draining && (self.link.is_none() || drained)
    }

    /// Releases everything, in order, and tells the callers.
    pub(crate) fn release(&mut self, up: &mut impl Upcalls) {
        debug_assert!(self.is_drained());
        self.state = State::Closed;
        self.link = None;
        let cause = self.cause.take().unwrap_or(Error::Closed { remote: self.config.remote });
        let Self { sender, slots, .. } = self;
        // SAFETY: the queue pair is drained and destroyed.
        sender.putter.put_all(|ctx| unsafe { slots.send_completed(ctx.request) });
        for index in 0..self.slots.len() {
            self.release_request(index, &cause, up);
        }
        // SAFETY: the queue pair is drained and destroyed.
        unsafe { self.receives.reclaim_all() };
        let counters = Box::new(self.counters);
        up.event(self.id, Event::Closed { cause, counters });
    }

    fn enter(&mut self, state: State, now: Timestamp) {
        self.state = state;
        self.since = now;
    }
}

impl<P: Provider> Drop for Connection<P> {
    /// An endpoint that is dropped with connections open destroys their queue pairs first; then
    /// the buffers are ours again.
    fn drop(&mut self) {
        if let Some(mut link) = self.link.take() {
            link.disconnect();
        }
        let Self { sender, slots, receives, .. } = self;
        // SAFETY: the queue pair was destroyed above.
        sender.putter.put_all(|ctx| unsafe { slots.send_completed(ctx.request) });
        // SAFETY: the queue pair was destroyed above; no peer can reach anything.
        unsafe { slots.reclaim_all() };
        // SAFETY: the queue pair was destroyed above.
        unsafe { receives.reclaim_all() };
    }
}
