//! The life of one connection to a server: made, used, lost, made again.
//!
//! A state machine: events and the time come in, calls to the provider and upcalls go out. It
//! belongs to one endpoint on one thread. It outlives its queue pairs: when one is lost, its RPCs
//! wait here for the next, if the mount's [`Recovery`] says so.
//!
//! A queue pair ends in one order, whatever began it: stop posting, move it to the error state,
//! drain both queues, destroy it, then release the ring and the Receives. Nothing is released, and
//! nothing sent again, while the old queue pair may read it. What is then unanswered is sent again
//! on the next connection, or fails with its buffers.

mod limits;

use std::rc::Rc;
use std::time::Duration;

use hugepages::{Pool, Region};
use reactor::Timestamp;
use verbs::{
    Access, CmEvent, ConnectParams, Connection as _, DeviceInfo, Op, Provider, QueuePairCaps,
    SendWr,
};
use wire::rpcrdma::private_data::PrivateData;

use crate::backward::{self, Backlog};
use crate::config::{CALL_MAX, Registration, TransportConfig};
use crate::credits::Credits;
use crate::error::{Error, Loss};
use crate::long_call::{self, LongCalls};
use crate::lots::{self, Lots};
use crate::memory::{self, Loan, RegisteredPool};
use crate::payloads::{OnDevice, Payloads};
use crate::planted::planted;
use crate::receives::Receives;
use crate::recovery::{Backoff, Recovery, STALE_ASKS_MAX, expired};
use crate::registrations::Registrations;
use crate::request::Limits;
use crate::sendctx::SGES_MAX;
use crate::sender::Sender;
use crate::slots::Slots;
use crate::source;
use crate::state::State;
use crate::stats::Counters;
use crate::windows::Windows;
use crate::work_id::{Kind, WorkId};
use crate::xid::Xids;
use crate::{ConnectionId, Event, Upcalls};

/// Room for the largest transport header this client builds: the fixed part, the chunk of a long
/// call and that of its payload, of up to [`SEGMENTS_MAX`](crate::SEGMENTS_MAX) segments. The header
/// is written right before the body, so that one SGE carries both.
pub(crate) const HEADER_ROOM: usize = 256;
/// How long a drain may take before the queue pair is destroyed without it.
const DRAIN_NS_MAX: u64 = 2_000_000_000;

/// One connection.
pub(crate) struct Connection<P: Provider> {
    pub(crate) id: ConnectionId,
    /// What the work requests of the present queue pair are known by.
    pub(crate) work_id: WorkId,
    pub(crate) config: TransportConfig,
    pub(crate) state: State,
    since: Timestamp,
    /// Why the present queue pair ends.
    cause: Option<Error>,
    /// Keys are per I/O.
    per_io: bool,
    /// The owner has closed it: there will be no next queue pair.
    closing: bool,
    /// The device of the present queue pair is gone.
    device_lost: bool,
    /// It has worked before, so it is worth waiting for.
    was_established: bool,
    /// How often a first connection that was rejected as stale may still be asked for again.
    stale_asks_left: u32,
    pub(crate) backoff: Backoff,
    retry_at: Timestamp,
    /// When the call was sent that was found unanswered for too long at the last look.
    pub(crate) overdue_ns: Option<u64>,
    /// When the last call was made.
    pub(crate) last_call: Timestamp,
    /// Where keys are per I/O; dropped no later than the queue pair.
    pub(crate) windows: Windows<P::Domain>,
    /// The planted fault: a queue pair that was not drained, until the next one is lost.
    #[cfg(feature = "planted-faults")]
    undrained: Option<P::Connection>,
    /// The planted fault: it ends when so many calls have been sent.
    #[cfg(feature = "planted-faults")]
    pub(crate) disconnect_at: u64,
    /// The queue pair; dropped before anything that its work requests name.
    pub(crate) link: Option<P::Connection>,
    pub(crate) sender: Sender,
    pub(crate) receives: Receives,
    pub(crate) backlog: Backlog,
    pub(crate) slots: Slots,
    pub(crate) credits: Credits,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    /// Somebody was told to wait.
    pub(crate) parked: bool,
    /// There may be more to do for it than to post what is due: it need not be
    /// [calm](Connection::is_calm). Set by whatever makes it so, which is rare, so that not all of
    /// that has to be asked for after each completion.
    pub(crate) restless: bool,
    send_queue_drained: bool,
    /// Completion queue and how many of its entries are set aside for this connection.
    pub(crate) cq: Option<(usize, u32)>,
    pub(crate) long_calls: LongCalls<P::Domain>,
    messages: RegisteredPool<P::Domain>,
    pub(crate) payloads: Rc<Payloads<P::Domain>>,
    /// The payloads' registration, which is the mount's.
    registered: Option<Rc<OnDevice<P::Domain>>>,
    /// Memory of callers' own.
    pub(crate) own: Registrations<P::Domain>,
    /// The protection domain and the key of its device; it outlives queue pairs.
    pub(crate) domain: Option<(u64, P::Domain)>,
}

impl<P: Provider> Connection<P> {
    /// Maps memory and begins to resolve the server's address. The payload buffers are those of the
    /// mount, whose other connections have them, too.
    pub(crate) fn resolve(
        provider: &P,
        config: TransportConfig,
        payloads: Rc<Payloads<P::Domain>>,
        id: ConnectionId,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let link = source::resolve(provider, &config)?;
        let (requests, receives) = (config.requests(), config.recv_wr_max());
        let others = Rc::strong_count(&payloads) as u32 - 1;
        let xids = Xids::new(Lots::new(config.xid_seed, others), requests)?;
        let seed = config.xid_seed.unwrap_or_else(lots::random);
        // Registrations of their own: a key to payload buffers must not open the messages, and one
        // to a long call no other messages.
        let message_max = config.inline_send.max(config.inline_receive).max(CALL_MAX);
        let message_len = memory::aligned(message_max + HEADER_ROOM as u32);
        let count = (requests + receives + config.spare_receives()) as usize;
        let region = memory::map(&config.buffers, message_len * count + long_call::MEMORY_LEN)?;
        let messages = RegisteredPool::carve(region.clone(), 0, message_len, count)?;
        let long_calls = LongCalls::new(region, message_len * count)?;
        let take = || Loan::ours_of(messages.pool.alloc());
        let slots = Slots::new(requests, xids, take);
        let receives = Receives::new(&messages.pool, receives, &config);
        let (pause_min, pause_max) = (config.reconnect_min_ns, config.reconnect_max_ns);
        Ok(Self {
            id,
            work_id: WorkId::default(),
            state: State::Resolving,
            since: now,
            cause: None,
            per_io: false,
            closing: false,
            device_lost: false,
            was_established: false,
            stale_asks_left: STALE_ASKS_MAX,
            backoff: Backoff::new(pause_min, pause_max, seed),
            retry_at: now,
            overdue_ns: None,
            last_call: now,
            windows: Windows::none(),
            #[cfg(feature = "planted-faults")]
            undrained: None,
            #[cfg(feature = "planted-faults")]
            disconnect_at: config.planted.disconnect_every.unwrap_or(0),
            link: Some(link),
            sender: config.sender(),
            receives,
            backlog: backward::backlog(),
            slots,
            credits: Credits::new(config.max_requests),
            limits: config.limits(),
            counters: Counters::default(),
            parked: false,
            restless: true,
            send_queue_drained: false,
            cq: None,
            long_calls,
            messages,
            payloads,
            own: Registrations::new(config.own_regions_max),
            registered: None,
            domain: None,
            config,
        })
    }

    /// The device, once the route is known.
    pub(crate) fn device(&self) -> Option<&DeviceInfo> {
        self.link.as_ref().and_then(|link| link.device())
    }

    /// Payload buffers.
    pub(crate) fn pool(&self) -> &Pool {
        &self.payloads.pool
    }

    /// The payload buffers' memory, for the report.
    pub(crate) fn region(&self) -> &Rc<Region> {
        &self.payloads.region
    }

    /// Completion queue entries that this connection can ever need at once: in an error every
    /// work request may bring one, signaled or not.
    pub(crate) fn cq_entries(&self) -> u32 {
        self.config.send_wr_max() + self.config.recv_wr_max()
    }

    /// The route is known: registers memory, makes the queue pair, posts Receives, asks to
    /// connect.
    pub(crate) fn start(&mut self, cq: &P::Cq, now: Timestamp) -> Result<(), Error> {
        self.register()?;
        self.limits.sges = self.device().map_or(1, |device| SGES_MAX.min(device.max_sge as usize));
        let (Some(link), Some((_, domain))) = (self.link.as_mut(), &self.domain) else {
            return Ok(());
        };
        let caps = QueuePairCaps {
            send_wr_max: self.config.send_wr_max(),
            recv_wr_max: self.config.recv_wr_max(),
            send_sge_max: self.limits.sges as u32,
        };
        link.create_queue_pair(domain, cq, &caps)?;
        if self.per_io
            && let Some(region) = self.registered.as_ref().map(|payloads| payloads.handle())
        {
            self.windows = Windows::new(domain, region, self.slots.len())?;
            self.counters.mrs_allocated += self.windows.len();
            self.counters.mrs_allocated += self.long_calls.open_windows(domain)?;
            self.slots.set_window_keys(self.windows.keys());
        }
        let posted = self.receives.post(link, self.work_id, &mut self.counters);
        posted.map_err(|error| Error::Lost {
            remote: self.config.remote,
            why: Loss::Post(error.errno),
        })?;
        let private_data = PrivateData {
            send_size: self.config.inline_send,
            receive_size: self.config.inline_receive,
            // The server may invalidate keys only where each call has its own (RFC 8797 §4.1).
            remote_invalidation: self.per_io,
        };
        link.connect(&ConnectParams { private_data: &private_data.emit(), ..Default::default() })?;
        self.enter(State::Connecting, now);
        Ok(())
    }

    /// Registers memory with the device behind the route, unless it is there already.
    fn register(&mut self) -> Result<(), Error> {
        let Some(link) = &self.link else { return Ok(()) };
        let Some(device) = link.device() else { return Ok(()) };
        if self.domain.as_ref().is_some_and(|(known, _)| *known == device.key) {
            return Ok(());
        }
        self.per_io = match self.config.registration {
            Some(Registration::Window) if !device.memory_window_2b => {
                return Err(Error::NoWindows { device: device.name.clone() });
            }
            Some(registration) => registration == Registration::Window,
            None => device.memory_window_2b,
        };
        let access = self.payload_access();
        // None is in use: there is no queue pair.
        self.own.clear();
        let registered = self.payloads.register(device.key, || link.new_domain(), access)?;
        let domain = registered.domain.clone();
        self.registered = Some(registered);
        self.domain = Some((device.key, domain.clone()));
        self.messages.register(&domain, Access::LOCAL)?;
        self.long_calls.register(&domain, access)?;
        Ok(())
    }

    /// What a registration of payload permits.
    pub(crate) fn payload_access(&self) -> Access {
        if self.per_io { Access::BINDABLE } else { Access::REMOTE }
    }

    /// One event of the connection manager. `RouteResolved` is the endpoint's to handle, unless it
    /// comes too late.
    #[cold] // Inlined into a turn it would cost that 11 instructions an RPC.
    pub(crate) fn on_event(&mut self, event: CmEvent, now: Timestamp, up: &mut impl Upcalls) {
        let remote = self.config.remote;
        match event {
            CmEvent::Established { private_data } if self.state == State::Connecting => {
                self.established(&private_data, now);
                up.event(self.id, Event::Established);
            }
            CmEvent::ResolveFailed(errno) => self.fail(Error::Resolve { remote, errno }, now),
            CmEvent::Rejected { reason, .. } => self.fail(Error::Refused { remote, reason }, now),
            CmEvent::Unreachable(_) => self.fail(self.unreachable(), now),
            CmEvent::ConnectFailed(errno) => self.fail(Error::Resolve { remote, errno }, now),
            CmEvent::Disconnected => self.lose(Loss::Disconnected, now),
            CmEvent::DeviceRemoved => self.device_removed(now),
            CmEvent::AddressChanged => self.lose(Loss::AddressChanged, now),
            other => tracing::debug!(?other, %remote, "connection event ignored"),
        }
    }

    // req: 8166-3.3.3-3, 8797-4-1, 8797-5.1-1
    /// RFC 8797 §5: each side sends no more than the other receives; without valid private data
    /// the limit is 1024.
    fn established(&mut self, private_data: &[u8], now: Timestamp) {
        let peer = PrivateData::parse(private_data);
        let default = crate::config::INLINE_MIN;
        let (peer_send, peer_receive) =
            peer.map_or((default, default), |peer| (peer.send_size, peer.receive_size));
        let limits = self.config.limits();
        self.limits.inline_send = limits.inline_send.min(peer_receive as usize);
        self.limits.inline_receive = limits.inline_receive.min(peer_send as usize);
        self.counters.connect_count += 1;
        if self.was_established {
            tracing::info!(remote = %self.config.remote, "connected again");
        }
        self.was_established = true;
        self.last_call = now;
        self.enter(State::Established, now);
    }

    fn unreachable(&self) -> Error {
        Error::Unreachable {
            remote: self.config.remote,
            limit: Duration::from_nanos(self.config.connect_timeout_ns),
        }
    }

    /// Time passes: set-up, replies, silence, drain and pause each have a limit.
    pub(crate) fn on_time(&mut self, provider: &P, now: Timestamp, up: &mut impl Upcalls) {
        self.slots.on_time(now.0);
        self.own.sweep();
        let waited = now.0.saturating_sub(self.since.0);
        match self.state {
            State::Resolving | State::Connecting if waited > self.config.connect_timeout_ns => {
                self.fail(self.unreachable(), now);
            }
            State::Established => self.check_silence(now),
            State::Draining if waited > DRAIN_NS_MAX => {
                tracing::warn!(remote = %self.config.remote, "drain timed out: queue pair destroyed");
                self.abort_drain();
            }
            State::Waiting if now >= self.retry_at => self.connect_again(provider, now),
            _ => {}
        }
        if self.slots.has_resend()
            && matches!(self.config.recovery, Recovery::Soft | Recovery::SoftErr)
        {
            self.expire(now, up);
        }
    }

    /// An unanswered call ends its connection, for it must not be sent twice on one; a connection
    /// without calls ends until it is needed again.
    ///
    /// At the second look: if it was we who were away for so long, then what was prepared is only
    /// just on its way, and replies that came in time are still in the completion queue.
    fn check_silence(&mut self, now: Timestamp) {
        let remote = self.config.remote;
        let age = |since: u64| now.0.saturating_sub(since);
        let (limit, idle) = (self.config.rpc_timeout_ns, self.config.idle_timeout_ns);
        let overdue = self.slots.oldest_ns().filter(|&sent| age(sent) >= limit);
        let before = std::mem::replace(&mut self.overdue_ns, overdue);
        if overdue.is_some() && overdue == before {
            self.fail(Error::Timeout { remote, limit: Duration::from_nanos(limit) }, now);
        } else if idle > 0 && age(self.last_call.0) > idle && !self.slots.any_pending() {
            self.lose(Loss::Idle, now);
        }
    }

    fn connect_again(&mut self, provider: &P, now: Timestamp) {
        match source::resolve(provider, &self.config) {
            Ok(link) => {
                self.link = Some(link);
                self.enter(State::Resolving, now);
            }
            Err(error) => {
                tracing::debug!(%error, "cannot connect again yet");
                self.release_device();
                self.retry_at = now.add_ns(self.backoff.pause_ns());
            }
        }
    }

    /// Ends calls of a soft mount that have waited long enough.
    fn expire(&mut self, now: Timestamp, up: &mut impl Upcalls) {
        let limit = self.config.call_limit_ns();
        let error = expired(self.config.recovery, self.config.remote, limit);
        while let Some(index) = self.slots.take_expired(now.0.saturating_sub(limit)) {
            self.release_request(index, &error, up);
        }
    }

    /// A call wants a connection that went away for want of calls.
    pub(crate) fn rouse(&mut self, now: Timestamp) {
        if self.state == State::Idle {
            self.retry_at = now;
            self.enter(State::Waiting, now);
        }
    }

    /// Whether calls that cannot go out now will be able to.
    pub(crate) fn will_recover(&self) -> bool {
        !self.closing && self.was_established && self.config.recovery != Recovery::Never
    }

    /// Whether a connection that has never stood is worth another attempt: the server took the
    /// queue pair for one that it knew and has let go of that one, or is about to.
    fn asks_again(&mut self, cause: &Error) -> bool {
        let again = cause.is_stale_rejection() && self.stale_asks_left > 0;
        self.stale_asks_left -= u32::from(again);
        again
    }

    /// The owner closes the connection for good.
    pub(crate) fn close(&mut self, now: Timestamp) {
        self.closing = true;
        let closed = Error::Closed { remote: self.config.remote };
        match self.state {
            State::Waiting | State::Idle => {
                self.cause = Some(closed);
                self.enter(State::Draining, now);
            }
            State::Draining => self.cause = Some(closed),
            _ => self.fail(closed, now),
        }
    }

    /// Ends a queue pair that the link or the device took.
    pub(crate) fn lose(&mut self, why: Loss, now: Timestamp) {
        self.fail(Error::Lost { remote: self.config.remote, why }, now);
    }

    /// Ends the queue pair: nothing is posted from here on, and the drain begins.
    pub(crate) fn fail(&mut self, cause: Error, now: Timestamp) {
        if matches!(self.state, State::Draining | State::Waiting | State::Idle | State::Closed) {
            return;
        }
        tracing::debug!(%cause, state = ?self.state, "connection ends");
        self.cause = Some(cause);
        self.enter(State::Draining, now);
        let used = self.sender.was_used();
        let marker = self.work_id.with(Kind::Drain, 0);
        #[cfg(feature = "planted-faults")]
        if planted!(self.config, NoDrain) {
            self.undrained = self.link.take();
        }
        let Some(link) = self.link.as_mut() else { return };
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

    /// The queue pair is drained: releases what it held. Then what is unanswered waits for the
    /// next one, or fails, and the connection is closed.
    pub(crate) fn after_drain(&mut self, now: Timestamp, up: &mut impl Upcalls) {
        debug_assert!(self.is_drained());
        self.counters.mrs_recycled += self.windows.len() + self.long_calls.drop_windows();
        let windows = std::mem::replace(&mut self.windows, Windows::none());
        match planted!(self.config, LeakWindows) {
            true => std::mem::forget(windows),
            false => drop(windows),
        }
        self.link = None;
        let cause = self.cause.take().unwrap_or(Error::Closed { remote: self.config.remote });
        let Self { sender, slots, .. } = self;
        sender.putter.put_all(|ctx| {
            // SAFETY: the queue pair is drained and destroyed.
            if let Some(index) = unsafe { slots.passed(ctx) } {
                slots.finish_later(index);
            }
        });
        // SAFETY: so are its windows.
        unsafe { self.slots.keys_ended() };
        while let Some(index) = self.slots.next_finished() {
            self.finish(index, up);
        }
        self.backlog.clear();
        // SAFETY: the queue pair is drained and destroyed, and no Reply holds a Receive any more.
        unsafe { self.receives.reclaim_all() };
        if !self.will_recover() && !self.asks_again(&cause) {
            return self.end(&cause, now, up);
        }
        // SAFETY: the queue pair, and with it every key of this connection, is gone.
        unsafe { self.slots.queue_resends() };
        self.slots.take_long_calls().for_each(|long| self.long_calls.put(Some(long)));
        self.sender = self.config.sender();
        self.credits = Credits::new(self.config.max_requests);
        self.limits = self.config.limits();
        self.send_queue_drained = false;
        self.wait(&cause, now);
    }

    /// Until the next attempt to connect. A device can go only once nothing of it is held, and
    /// without a connection on it nobody is told: nothing is held over a pause.
    fn wait(&mut self, cause: &Error, now: Timestamp) {
        let remote = self.config.remote;
        // A call that came while the idle connection was drained waits for the next one.
        let idle = matches!(cause, Error::Lost { why: Loss::Idle, .. }) && !self.parked;
        let pause_ns = if idle { 0 } else { self.backoff.pause_ns() };
        if idle || pause_ns > 0 || self.device_lost {
            self.release_device();
        }
        if idle {
            tracing::debug!(%remote, "disconnected for want of calls");
            return self.enter(State::Idle, now);
        }
        self.retry_at = now.add_ns(pause_ns);
        tracing::warn!(%cause, pending = self.slots.resends(), "connecting again");
        self.enter(State::Waiting, now);
    }

    /// Lets go of everything that was made on the device; there is no queue pair.
    pub(crate) fn release_device(&mut self) {
        self.messages.deregister();
        self.registered = None;
        self.long_calls.deregister();
        self.own.clear();
        self.domain = None;
        self.device_lost = false;
    }

    /// Whether the route leads to another device than the one that is held.
    pub(crate) fn has_moved(&self) -> bool {
        let held = self.domain.as_ref().map(|(key, _)| *key);
        held.is_some() && held != self.device().map(|device| device.key)
    }

    /// Whether anything of a device is held.
    pub(crate) fn holds_device(&self) -> bool {
        self.domain.is_some()
    }

    /// The device is gone: no completion will come any more.
    pub(crate) fn device_removed(&mut self, now: Timestamp) {
        self.device_lost = true;
        self.lose(Loss::DeviceRemoved, now);
        self.abort_drain();
    }

    /// Fails every RPC and closes.
    fn end(&mut self, cause: &Error, now: Timestamp, up: &mut impl Upcalls) {
        self.enter(State::Closed, now);
        for index in 0..self.slots.len() {
            self.release_request(index, cause, up);
        }
        let counters = Box::new(self.counters);
        up.event(self.id, Event::Closed { cause: cause.clone(), counters });
    }

    fn enter(&mut self, next: State, now: Timestamp) {
        debug_assert!(self.state.may_become(next), "{:?} to {next:?}", self.state);
        self.state = next;
        self.restless = true;
        self.since = now;
        self.overdue_ns = None;
    }
}

impl<P: Provider> Drop for Connection<P> {
    /// An endpoint that is dropped with connections open destroys their queue pairs first; then
    /// the buffers are ours again.
    fn drop(&mut self) {
        if let Some(link) = self.link.as_mut() {
            link.disconnect();
        }
        self.windows = Windows::none();
        self.long_calls.drop_windows();
        self.link = None;
        let Self { sender, slots, receives, .. } = self;
        sender.putter.put_all(|ctx| {
            // SAFETY: the queue pair was destroyed above. Nobody is told what is complete with it.
            let _ = unsafe { slots.passed(ctx) };
        });
        // SAFETY: the queue pair was destroyed above; no peer can reach anything.
        unsafe { slots.reclaim_all() };
        // SAFETY: the queue pair was destroyed above.
        unsafe { receives.reclaim_all() };
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
