//! An RPC on its way out: the call, its place in the ring, and the doorbell.

use reactor::Timestamp;
use verbs::Provider;
use wire::xdr::{Full, Writer};

use crate::Upcalls;
use crate::call::{Call, Refusal};
use crate::connection::Connection;
use crate::error::Loss;
use crate::marshal::{self, Frame};
use crate::planted::planted;
use crate::registrations::Terms;
use crate::request::{Request, Shape, Travel};
use crate::state::State;

impl<P: Provider> Connection<P> {
    /// Takes a call: encodes it into a request slot and puts its Send into the next chain.
    ///
    /// `encode` writes the RPC message with the given XID, up to and including the length word of
    /// a [`Payload::Send`](crate::Payload::Send). A call that is refused is as it was.
    #[inline(always)]
    pub(crate) fn call(
        &mut self,
        call: &mut Call,
        now: Timestamp,
        encode: impl FnOnce(u32, &mut Writer<'_>) -> Result<(), Full>,
    ) -> Result<(), Refusal> {
        if !self.can_call() {
            return Err(self.not_now(now));
        }
        let Some((index, request)) = self.slots.take(now.0) else {
            return Err(self.not_now(now));
        };
        request.first_sent_ns = now.0;
        let shape = match marshal::encode(request, call, encode) {
            Ok(shape) => shape,
            Err(error) => return Err(self.refuse(index, Refusal::Invalid(error))),
        };
        if let Err(why) = self.transmit(index, shape, now) {
            marshal::give_back(self.slots.get(index), call);
            return Err(self.refuse(index, why));
        }
        self.last_call = now;
        Ok(())
    }

    // req: 8166-3.3.1-1
    /// Whether there is room for a call, but for a slot and a place in the ring.
    #[inline]
    fn can_call(&self) -> bool {
        self.state == State::Established && self.credits.available() && !self.slots.has_resend()
    }

    /// Why there is no room for a call.
    #[cold]
    fn not_now(&mut self, now: Timestamp) -> Refusal {
        if self.state != State::Established {
            if !self.will_recover() {
                return Refusal::NotConnected;
            }
            self.rouse(now);
        } else if !self.credits.available() || self.slots.has_resend() {
            self.counters.credit_waits += 1;
        } else if !self.ring_has_room() {
            self.counters.empty_sendctx_q += 1;
        } else {
            self.counters.slot_waits += 1;
        }
        self.park();
        Refusal::Busy
    }

    /// A call that had its slot cannot be sent.
    #[cold]
    fn refuse(&mut self, index: u32, why: Refusal) -> Refusal {
        self.slots.put_if_free(index);
        match why {
            Refusal::Busy => self.park(),
            _ => self.counters.failed_marshal_count += 1,
        }
        why
    }

    /// A caller waits for room.
    fn park(&mut self) {
        (self.parked, self.restless) = (true, true);
    }

    /// Sends calls of the lost connection again, as far as credits and ring allow.
    #[inline]
    pub(crate) fn resend(&mut self, now: Timestamp, up: &mut impl Upcalls) {
        if self.slots.has_resend() {
            self.resend_some(now, up);
        }
    }

    #[cold]
    fn resend_some(&mut self, now: Timestamp, up: &mut impl Upcalls) {
        while self.state == State::Established
            && self.credits.available()
            && self.ring_has_room()
            && let Some(index) = self.slots.next_resend()
        {
            #[cfg(feature = "planted-faults")]
            if planted!(self.config, FreshXid) {
                self.slots.renew_xid(index, now.0);
            }
            let shape = self.slots.get(index).shape;
            match self.transmit(index, shape, now) {
                Ok(()) => self.counters.retransmissions += 1,
                // The server may take less inline than the one before it did.
                Err(Refusal::Invalid(error)) => self.release_request(index, &error, up),
                Err(_) => return self.slots.resend_later(index),
            }
        }
    }

    /// Puts an encoded request into the next chain; there is a credit. A request that cannot be
    /// sent now, or ever, leaves everything as it was.
    #[inline(always)]
    fn transmit(&mut self, index: u32, shape: Shape, now: Timestamp) -> Result<(), Refusal> {
        let travel = self.limits.choose(&shape);
        let payload = &self.slots.get(index).payload;
        let ready = !travel.lends() || payload.is_of(&self.payloads.region);
        if ready && !self.limits.is_long(&shape, travel) {
            self.put_into_chain(index, shape, travel, false, now)
        } else {
            self.transmit_rare(index, shape, travel, now)
        }
    }

    /// The same for a long call, and for payload of more than one buffer of the pool.
    #[cold]
    fn transmit_rare(
        &mut self,
        index: u32,
        shape: Shape,
        travel: Travel,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let long = self.limits.is_long(&shape, travel);
        // A plain one may be sent again where it is no plain one any more.
        self.slots.get(index).plain = false;
        let ready = if travel.lends() { self.attach(index) } else { Ok(()) };
        let sent = ready.and_then(|()| self.put_into_chain(index, shape, travel, long, now));
        if sent.is_err() {
            self.slots.get(index).payload.unregister();
        }
        sent
    }

    /// Fills the next place in the ring. `long`: the message is to be a chunk.
    #[inline(always)]
    fn put_into_chain(
        &mut self,
        index: u32,
        shape: Shape,
        travel: Travel,
        long: bool,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        // What goes inline is offered by no segment and takes no bind. Entries set aside for one would be
        // kept from other calls for ever, where no Send behind it asks for a completion.
        let offered = if travel.by_chunk().is_some() { shape.pieces as usize } else { 0 };
        let segments = offered + usize::from(long);
        let Some(ctx) = self.sender.getter.get(self.windows.wrs_per_call(segments)) else {
            self.counters.empty_sendctx_q += 1;
            return Err(Refusal::Busy);
        };
        ctx.request = index;
        let request = self.slots.get(index);
        if long && let Err(why) = self.long_calls.lend_to(request, &mut self.counters) {
            self.sender.getter.unget();
            return Err(why);
        }
        let Self { windows, long_calls, counters, .. } = self;
        let credits = self.config.max_requests;
        Frame { shape, travel, credits, windows, long_calls, counters }.frame(request, ctx);
        let alone = ctx.bind.is_none();
        if planted!(self.config, PieceOffset) {
            ctx.sges[2].addr += 1;
        }
        request.sent_ns = now.0;
        self.credits.take();
        self.counters.sends += 1;
        self.sender.prepared(travel == Travel::Gathered, alone);
        Ok(())
    }

    /// Sees to it that the NIC can get at the payload: memory that is not of the pool is
    /// registered, and there is a window for each segment.
    #[cold]
    fn attach(&mut self, index: u32) -> Result<(), Refusal> {
        let Some((_, domain)) = &self.domain else { return Err(Refusal::NotConnected) };
        let access = self.payload_access();
        let Request { payload, windows: keys, .. } = self.slots.get(index);
        let terms = Terms { domain, access, bindable: self.windows.exist() };
        for piece in payload.pieces_mut() {
            if let Some(memory) = piece.unregistered(&self.payloads.region) {
                let registered = self.own.get(memory, &terms, &mut self.counters)?;
                piece.set_registered(registered);
            }
        }
        let segments = payload.filled().count();
        let made = self.windows.extend(domain, index, segments, keys);
        let made = made.map_err(|error| Refusal::Invalid(error.into()))?;
        self.counters.mrs_allocated += made;
        Ok(())
    }

    fn ring_has_room(&self) -> bool {
        self.sender.getter.has_room(self.windows.wrs_per_call(1))
    }

    /// Whether it is established, and nobody and nothing on it waits for room.
    #[inline]
    pub(crate) fn is_calm(&self) -> bool {
        let waits = self.parked || !self.backlog.is_empty() || self.slots.any_to_invalidate();
        self.state == State::Established && !waits && !self.slots.has_resend()
    }

    /// Whether a caller that was told to wait may try again.
    pub(crate) fn take_wake(&mut self) -> bool {
        let room = self.credits.available()
            && self.ring_has_room()
            && self.slots.has_free()
            && self.long_calls.any_free();
        // Calls to be sent again go first: who is woken before them is sent away once more.
        let room = room && !self.slots.has_resend();
        let wake = self.parked && room && self.state == State::Established;
        self.parked &= !wake;
        wake && !planted!(self.config, ForgetWake)
    }

    /// Posts the Receives that were dealt with, if they are enough. Not only in front of Sends: a
    /// server that says things twice must not find fewer of them for it.
    #[inline(always)]
    pub(crate) fn give_receives_back(&mut self, now: Timestamp) {
        if self.receives.is_due() {
            self.post_receives(now);
        }
    }

    #[inline(never)]
    fn post_receives(&mut self, now: Timestamp) {
        let Some(link) = self.link.as_mut().filter(|_| self.state == State::Established) else {
            return;
        };
        if let Err(error) = self.receives.post(link, self.work_id, &mut self.counters) {
            self.lose(Loss::Post(error.errno), now);
        }
    }

    /// Posts what was prepared to be sent.
    pub(crate) fn post_sends(&mut self, now: Timestamp) {
        let Some(link) = self.link.as_mut().filter(|_| self.state == State::Established) else {
            return;
        };
        let Self { sender, work_id, counters, .. } = self;
        if let Err(error) = sender.ring_doorbell(link, *work_id, counters) {
            self.lose(Loss::Post(error.errno), now);
        }
        #[cfg(feature = "planted-faults")]
        if let Some(every) = self.config.planted.disconnect_every
            && self.counters.sends >= self.disconnect_at
        {
            self.disconnect_at = self.counters.sends + every.max(1);
            self.lose(Loss::Planted, now);
        }
    }
}
