//! All connections of one reactor: one completion queue per device, polled in batches, and one
//! doorbell per connection and turn.
//!
//! A turn is [`Endpoint::flush`] (post what is to be sent), then [`Endpoint::poll`] (completions);
//! [`Endpoint::poll_events`] runs on a timer, for connection events cost a system call each. The
//! cost of a turn does not depend on how many connections are idle.

mod queues;
mod sleep;

use std::rc::Rc;

use hugepages::{Buffer, Pool, Region};
use reactor::Timestamp;
use verbs::{CmEvent, Completion, CompletionQueue as _, Connection as _, Provider};
use wire::xdr::{Full, Writer};

use self::queues::SharedCq;
use crate::call::{Call, Refusal};
use crate::config::{EndpointConfig, TransportConfig};
use crate::connection::Connection;
use crate::error::Error;
use crate::holdings::Holdings;
use crate::payloads::Payloads;
use crate::plain::{PlainCall, PlainMessage};
use crate::state::State;
use crate::stats::Counters;
use crate::upcalls::Upcalls;
use crate::work_id::WorkId;

/// Connection events taken from one connection in one look.
const EVENTS_MAX: usize = 16;
/// How long who removes a device may wait for an endpoint that is not told of it.
const SWEEP_EVERY_NS: u64 = 1_000_000_000;

/// Names a connection; never reused while anything of it is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    index: u16,
    life: u16,
}

struct Place<P: Provider> {
    life: u16,
    /// Of the work requests of its latest queue pair.
    tag: u16,
    connection: Option<Connection<P>>,
    /// The next on the list of those with something to do, or [`UNLISTED`].
    next: u32,
}

/// No place has this number: the end of the list.
const END: u32 = u32::MAX;
/// Nor this one: not on the list.
const UNLISTED: u32 = u32::MAX - 1;

/// The connections of one reactor.
pub struct Endpoint<P: Provider> {
    provider: P,
    config: EndpointConfig,
    // Connections before completion queues: queue pairs go before what they complete on.
    places: Vec<Place<P>>,
    cqs: Vec<SharedCq<P>>,
    /// The first on the list of places with something to do.
    touched: u32,
    /// Completions have come to one that is restless.
    restless: bool,
    completions: Box<[Completion]>,
    /// Completions of queue pairs that were gone already.
    strays: u64,
    /// When removed devices are looked for again.
    sweep_at: Timestamp,
}

impl<P: Provider> Endpoint<P> {
    /// An endpoint without connections.
    pub fn new(provider: P, config: EndpointConfig) -> Self {
        Self {
            provider,
            config,
            places: Vec::with_capacity(config.connections_max.into()),
            cqs: Vec::new(),
            touched: END,
            restless: false,
            completions: vec![Completion::default(); config.poll_batch.max(1)].into(),
            strays: 0,
            sweep_at: Timestamp(0),
        }
    }

    /// Begins to connect; [`Established`](crate::Event::Established) or
    /// [`Closed`](crate::Event::Closed) follows.
    ///
    /// # Errors
    /// A setting out of range, no RDMA on this host, or too many connections.
    pub fn connect(
        &mut self,
        config: TransportConfig,
        now: Timestamp,
    ) -> Result<ConnectionId, Error> {
        config.validate()?;
        let payloads = Payloads::new(&config.buffers)?;
        self.begin(config, payloads, now)
    }

    /// Begins another connection of the same mount: to the same server, in the same protection
    /// domain, with the same payload buffers. They end each for itself.
    ///
    /// # Errors
    /// As [`Endpoint::connect`], and when there is no such connection.
    pub fn connect_beside(
        &mut self,
        first: ConnectionId,
        now: Timestamp,
    ) -> Result<ConnectionId, Error> {
        let Some(first) = self.get(first) else {
            return Err(verbs::Error::WrongState { call: "connect", state: "closed" }.into());
        };
        let (config, payloads) = (first.config.clone(), first.payloads.clone());
        self.begin(config, payloads, now)
    }

    fn begin(
        &mut self,
        config: TransportConfig,
        payloads: Rc<Payloads<P::Domain>>,
        now: Timestamp,
    ) -> Result<ConnectionId, Error> {
        let index = self.free_place()?;
        let life = self.places[index].life.wrapping_add(1);
        let id = ConnectionId { index: index as u16, life };
        let connection = Connection::resolve(&self.provider, config, payloads, id, now)?;
        self.places[index].life = life;
        self.places[index].connection = Some(connection);
        Ok(id)
    }

    fn free_place(&mut self) -> Result<usize, Error> {
        if let Some(index) = self.places.iter().position(|place| place.connection.is_none()) {
            return Ok(index);
        }
        let index = self.places.len();
        if index >= usize::from(self.config.connections_max) {
            let value = index as u64 + 1;
            let allowed = "up to the endpoint's connections_max";
            return Err(Error::Setting { name: "connections", value, allowed });
        }
        self.places.push(Place { life: 0, tag: 0, connection: None, next: UNLISTED });
        Ok(index)
    }

    /// What a connection holds for calls.
    #[must_use]
    pub fn holdings(&self, id: ConnectionId) -> Option<Holdings> {
        self.get(id).map(Connection::holdings)
    }

    /// Makes a call about which nothing is special, with one buffer of the mount's pool or none, if
    /// there is room for it. False otherwise, and nothing has happened: [`Endpoint::call`] does the
    /// rest, or says why not. `buffer` is taken where there is payload.
    #[inline(always)] // So that it is made for each kind of call anew, with what is known of it.
    pub fn call_plain(
        &mut self,
        id: ConnectionId,
        call: PlainCall,
        buffer: &mut Option<Buffer>,
        now: Timestamp,
        rpc: impl PlainMessage,
    ) -> bool {
        let place = self.places.get_mut(usize::from(id.index)).filter(|it| it.life == id.life);
        let Some(Place { connection: Some(connection), next, .. }) = place else {
            return false;
        };
        let taken = connection.call_plain(call, buffer, now, rpc);
        if taken {
            enlist(id.index, next, &mut self.touched);
        }
        taken
    }

    /// Makes a call. `encode` writes the RPC message with the given XID, up to and including the
    /// length word of a [`Payload::Send`](crate::Payload::Send). The Send goes out with the next
    /// [`Endpoint::flush`]. What the call carries is taken out of it.
    ///
    /// # Errors
    /// The reason why it was not taken; then it is as it was. [`Refusal::Busy`] means to wait for
    /// [`Upcalls::wake`].
    pub fn call(
        &mut self,
        id: ConnectionId,
        call: &mut Call,
        now: Timestamp,
        encode: impl FnOnce(u32, &mut Writer<'_>) -> Result<(), Full>,
    ) -> Result<(), Refusal> {
        let place = self.places.get_mut(usize::from(id.index)).filter(|it| it.life == id.life);
        let Some(Place { connection: Some(connection), next, .. }) = place else {
            return Err(Refusal::NotConnected);
        };
        connection.call(call, now, encode)?;
        enlist(id.index, next, &mut self.touched);
        Ok(())
    }

    /// Posts what was prepared to be sent, with one doorbell a connection.
    pub fn flush(&mut self, now: Timestamp) {
        let mut next = std::mem::replace(&mut self.touched, END);
        while let Some(place) = self.places.get_mut(next as usize) {
            next = std::mem::replace(&mut place.next, UNLISTED);
            if let Some(connection) = &mut place.connection {
                connection.post_sends(now);
            }
        }
    }

    /// Takes one batch of completions from each queue. Returns how many there were.
    #[inline(always)] // Into the turn, of which there is one.
    pub fn poll(&mut self, now: Timestamp, up: &mut impl Upcalls) -> usize {
        let (mut total, mut at) = (0, 0);
        while let Some(shared) = self.cqs.get(at) {
            let polled = shared.cq.poll(&mut self.completions);
            let count = polled.unwrap_or_else(|error| {
                self.cq_failed(at, &error, now);
                0
            });
            at += 1;
            total += count;
            let mut rest = &self.completions[..count];
            while let Some(first) = rest.first() {
                let id = WorkId::of(first.wr_id);
                if let Some(place) = self.places.get_mut(usize::from(id.connection()))
                    && place.tag == id.tag()
                    && let Some(connection) = &mut place.connection
                {
                    enlist(id.connection(), &mut place.next, &mut self.touched);
                    rest = connection.on_completions(id, rest, now, up);
                    debug_assert!(connection.restless || connection.is_calm());
                    self.restless |= connection.restless;
                } else {
                    self.strays += 1;
                    rest = &rest[1..];
                }
            }
        }
        if self.restless {
            self.settle(now, up);
        }
        total
    }

    /// The same outside of a turn.
    #[cold]
    fn poll_again(&mut self, now: Timestamp, up: &mut impl Upcalls) -> usize {
        self.poll(now, up)
    }

    /// Connections with more to do than to post what is due: the server's calls are answered, calls
    /// of a lost connection go before new ones, who waits for room is woken, and drained queue
    /// pairs go. Returns how many of those there were.
    #[inline(never)]
    fn settle(&mut self, now: Timestamp, up: &mut impl Upcalls) -> usize {
        self.restless = false;
        let mut gone = 0;
        let mut next = self.touched;
        while let Some(place) = self.places.get_mut(next as usize) {
            let index = std::mem::replace(&mut next, place.next) as u16;
            let Some(connection) = &mut place.connection else {
                continue;
            };
            if !connection.restless {
                continue;
            }
            connection.answer_backward(up);
            connection.invalidate();
            connection.resend(now, up);
            if connection.take_wake() {
                up.wake(connection.id);
            }
            connection.give_receives_back(now);
            connection.restless = !connection.is_calm();
            gone += usize::from(self.after_drain(index, now, up));
        }
        gone
    }

    /// Looks at connection events and at the clock. Call it every few milliseconds while
    /// connecting, and every few tens of them at other times. Returns how much has happened.
    pub fn poll_events(&mut self, now: Timestamp, up: &mut impl Upcalls) -> usize {
        let (mut count, mut overdue) = (0, false);
        if now >= self.sweep_at {
            self.sweep_at = now.add_ns(SWEEP_EVERY_NS);
            self.provider.let_go_of_removed();
        }
        for index in 0..self.places.len() {
            for _ in 0..EVENTS_MAX {
                let Some(connection) = &mut self.places[index].connection else {
                    break;
                };
                let event = connection.link.as_mut().and_then(|link| link.poll_event());
                match event {
                    None => break,
                    Some(CmEvent::RouteResolved) if connection.state == State::Resolving => {
                        self.start(index, now);
                    }
                    Some(event) => connection.on_event(event, now, up),
                }
                count += 1;
            }
            if let Some(connection) = &mut self.places[index].connection {
                let before = connection.state;
                connection.on_time(&self.provider, now, up);
                count += usize::from(connection.state != before);
                overdue |= connection.overdue_ns.is_some();
                self.touch(index as u16);
            }
        }
        if overdue {
            count += self.catch_up(now, up);
        }
        count + self.settle(now, up)
    }

    /// Takes what is in the completion queues by now, however many batches that is: before a
    /// server is found silent its replies are looked for, behind all that was flushed before them.
    #[cold]
    fn catch_up(&mut self, now: Timestamp, up: &mut impl Upcalls) -> usize {
        let batch = self.completions.len();
        let entries: usize = self.cqs.iter().map(|cq| cq.depth as usize).sum();
        let polls = (0..=entries / batch).map(|_| self.poll_again(now, up));
        polls.take_while(|&taken| taken > 0).sum()
    }

    /// The route is known, so the device is: finds its completion queue and goes on.
    fn start(&mut self, index: usize, now: Timestamp) {
        self.leave_other_device(index);
        let cq = self.reserve_cq(index);
        let place = &mut self.places[index];
        let Some(connection) = &mut place.connection else {
            return;
        };
        connection.work_id = WorkId::new(index as u16, place.tag);
        let started = cq.and_then(|(at, entries)| {
            connection.cq = Some((at, entries));
            connection.start(&self.cqs[at].cq, now)
        });
        if let Err(error) = started {
            connection.fail(error, now);
        }
    }

    /// A queue pair that is drained is let go. Its entries on the completion queue stay set aside
    /// for the connection's next one, unless there is none, or the device or the queue is.
    fn after_drain(&mut self, index: u16, now: Timestamp, up: &mut impl Upcalls) -> bool {
        let place = &mut self.places[usize::from(index)];
        let Some(connection) = place.connection.as_mut().filter(|it| it.is_drained()) else {
            return false;
        };
        connection.after_drain(now, up);
        // What the queue pair may have left on the completion queue is for nobody.
        place.tag = place.tag.wrapping_add(1) & 0xfff;
        let closed = connection.state == State::Closed;
        let released = closed || !connection.holds_device();
        let lost = |&mut (at, _): &mut (usize, u32)| released || self.cqs[at].dead;
        let unused = connection.cq.take_if(lost);
        if closed {
            place.connection = None;
        }
        if let Some((at, entries)) = unused {
            self.return_entries(at, entries);
        }
        true
    }

    /// Begins to close a connection; [`Closed`](crate::Event::Closed) follows once it is drained.
    pub fn close(&mut self, id: ConnectionId, now: Timestamp) {
        if let Some(connection) = self.get_mut(id) {
            connection.close(now);
        }
    }

    /// Where the connection is in its life; [`State::Closed`] if there is no such connection.
    #[must_use]
    pub fn state(&self, id: ConnectionId) -> State {
        self.get(id).map_or(State::Closed, |connection| connection.state)
    }

    /// The connection's payload buffers, from [`Established`](crate::Event::Established) on.
    #[must_use]
    pub fn pool(&self, id: ConnectionId) -> Option<&Pool> {
        Some(self.get(id)?.pool())
    }

    /// The payload buffers' memory, for the report.
    #[must_use]
    pub fn region(&self, id: ConnectionId) -> Option<&Rc<Region>> {
        Some(self.get(id)?.region())
    }

    /// Ends the registration of memory of the caller's own, unless calls use it; memory that is
    /// used again is registered again.
    pub fn deregister(&mut self, id: ConnectionId, memory: &Rc<Region>) -> bool {
        self.get_mut(id).is_some_and(|connection| connection.own.forget(memory))
    }

    /// What the connection has done so far.
    #[must_use]
    pub fn counters(&self, id: ConnectionId) -> Option<&Counters> {
        Some(&self.get(id)?.counters)
    }

    /// The server's present grant.
    #[must_use]
    pub fn credits_granted(&self, id: ConnectionId) -> Option<u32> {
        Some(self.get(id)?.credits.granted())
    }

    /// The local queue pair number, for logs and for faults that are aimed at it.
    #[must_use]
    pub fn qp_num(&self, id: ConnectionId) -> Option<u32> {
        Some(self.get(id)?.link.as_ref()?.qp_num())
    }

    /// Completions that belonged to queue pairs which were gone already.
    #[must_use]
    pub fn strays(&self) -> u64 {
        self.strays
    }

    /// Connections that are not closed.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.places.iter().filter(|place| place.connection.is_some()).count()
    }

    fn get(&self, id: ConnectionId) -> Option<&Connection<P>> {
        let place = self.places.get(usize::from(id.index))?;
        place.connection.as_ref().filter(|_| place.life == id.life)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection<P>> {
        let place = self.places.get_mut(usize::from(id.index))?;
        place.connection.as_mut().filter(|_| place.life == id.life)
    }

    fn touch(&mut self, index: u16) {
        enlist(index, &mut self.places[usize::from(index)].next, &mut self.touched);
    }
}

/// Puts the place of that number on the list, unless it is on it.
#[inline(always)]
fn enlist(number: u16, next: &mut u32, first: &mut u32) {
    if *next == UNLISTED {
        *next = std::mem::replace(first, number.into());
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
