//! The two halves of an RPC on an established connection: the call out, the reply in.

use std::net::SocketAddr;

use reactor::Timestamp;
use verbs::{Completion, Provider, WcStatus};
use wire::rpcrdma::{ErrorBody, Header, Kind as HeaderKind};
use wire::xdr::{Full, Writer};

use crate::Upcalls;
use crate::backward::is_call;
use crate::call::{Call, Completed, Refusal, Refused, Reply};
use crate::connection::Connection;
use crate::error::{BadReply, Error, Loss};
use crate::inline::Inline;
use crate::marshal::{self, Frame};
use crate::planted::planted;
use crate::registrations::Terms;
use crate::reply::{self, Arrival, Offered};
use crate::request::{Matched, Request, Travel};
use crate::state::State;
use crate::stats::Counters;
use crate::work_id::Kind;

impl<P: Provider> Connection<P> {
    /// Takes a call: encodes it into a request slot and puts its Send into the next chain.
    ///
    /// `encode` writes the RPC message with the given XID, up to and including the length word of
    /// a [`Payload::Send`].
    pub(crate) fn call(
        &mut self,
        call: Call,
        now: Timestamp,
        encode: impl FnOnce(u32, &mut Writer<'_>) -> Result<(), Full>,
    ) -> Result<(), Refused> {
        if self.state != State::Established {
            if !self.will_recover() {
                return Err(Refused { why: Refusal::NotConnected, call });
            }
            self.rouse(now);
            return Err(self.park(call));
        }
        // req: 8166-3.3.1-1
        if !self.credits.available() || self.slots.has_resend() {
            self.counters.credit_waits += 1;
            return Err(self.park(call));
        }
        if !self.ring_has_room() {
            self.counters.empty_sendctx_q += 1;
            return Err(self.park(call));
        }
        let Some(index) = self.slots.take(now.0) else {
            self.counters.slot_waits += 1;
            return Err(self.park(call));
        };
        let request = self.slots.get(index);
        request.first_sent_ns = now.0;
        if let Err((error, call)) = marshal::encode(request, call, encode) {
            return Err(self.refuse(index, Refusal::Invalid(error), call));
        }
        if let Err(why) = self.transmit(index, now) {
            let call = marshal::give_back(self.slots.get(index));
            return Err(self.refuse(index, why, call));
        }
        self.last_call = now;
        Ok(())
    }

    /// A call that had its slot cannot be sent.
    #[cold]
    fn refuse(&mut self, index: u32, why: Refusal, call: Call) -> Refused {
        self.slots.put_if_free(index);
        self.parked |= why == Refusal::Busy;
        self.counters.failed_marshal_count += u64::from(why != Refusal::Busy);
        Refused { why, call }
    }

    /// Sends calls of the lost connection again, as far as credits and ring allow.
    pub(crate) fn resend(&mut self, now: Timestamp, up: &mut impl Upcalls) {
        while self.state == State::Established
            && self.credits.available()
            && self.ring_has_room()
            && let Some(index) = self.slots.next_resend()
        {
            #[cfg(feature = "planted-faults")]
            if planted!(self.config, FreshXid) {
                self.slots.renew_xid(index, now.0);
            }
            match self.transmit(index, now) {
                Ok(()) => self.counters.retransmissions += 1,
                // The server may take less inline than the one before it did.
                Err(Refusal::Invalid(error)) => self.release_request(index, &error, up),
                Err(_) => return self.slots.resend_later(index),
            }
        }
    }

    /// Puts an encoded request into the next chain; there is a credit. A request that cannot be
    /// sent now, or ever, leaves everything as it was.
    fn transmit(&mut self, index: u32, now: Timestamp) -> Result<(), Refusal> {
        let travel = self.limits.choose(self.slots.get(index));
        let ready = if travel.lends() { self.attach(index) } else { Ok(()) };
        let sent = ready.and_then(|()| self.put_into_chain(index, travel, now));
        if sent.is_err() {
            self.slots.get(index).payload.unregister();
        }
        sent
    }

    /// Fills the next place in the ring.
    #[inline]
    fn put_into_chain(
        &mut self,
        index: u32,
        travel: Travel,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let request = self.slots.get(index);
        let long = self.limits.is_long(request, travel);
        let segments = request.payload.pieces().len() + usize::from(long);
        let Some(ctx) = self.sender.getter.get(self.windows.wrs_per_call(segments)) else {
            self.counters.empty_sendctx_q += 1;
            return Err(Refusal::Busy);
        };
        ctx.request = index;
        if long && let Err(why) = self.long_calls.lend_to(request, &mut self.counters) {
            self.sender.getter.unget();
            return Err(why);
        }
        let Self { windows, long_calls, counters, .. } = self;
        let credits = self.config.max_requests;
        Frame { travel, credits, windows, long_calls, counters }.frame(request, ctx);
        if planted!(self.config, PieceOffset) {
            ctx.sges[2].addr += 1;
        }
        request.sent_ns = now.0;
        self.credits.take();
        self.sender.prepared();
        Ok(())
    }

    /// Sees to it that the NIC can get at the payload: memory that is not of the pool is
    /// registered, and there is a window for each segment.
    #[inline]
    fn attach(&mut self, index: u32) -> Result<(), Refusal> {
        let pool = &self.payloads.region;
        match self.slots.get(index).payload.pieces() {
            [piece] if piece.unregistered(pool).is_none() => Ok(()),
            _ => self.attach_rare(index),
        }
    }

    #[cold]
    fn attach_rare(&mut self, index: u32) -> Result<(), Refusal> {
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

    #[cold]
    fn park(&mut self, call: Call) -> Refused {
        self.parked = true;
        Refused { why: Refusal::Busy, call }
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

    /// Posts what was prepared, with one doorbell.
    pub(crate) fn ring_doorbell(&mut self, now: Timestamp) {
        let Some(link) = self.link.as_mut().filter(|_| self.sender.has_chain()) else {
            return;
        };
        if let Err(error) = self.sender.ring_doorbell(link, self.work_id, &mut self.counters) {
            self.lose(Loss::Post(error.errno), now);
        }
    }

    /// Gives Receives that were dealt with back to the NIC.
    pub(crate) fn repost(&mut self, now: Timestamp) {
        let Some(link) = self.link.as_mut().filter(|_| self.state == State::Established) else {
            return;
        };
        let posted = self.receives.post(link, self.work_id, &mut self.counters);
        if let Err(error) = posted {
            self.lose(Loss::Post(error.errno), now);
        }
    }

    /// A completion of one of this connection's work requests.
    pub(crate) fn on_completion(
        &mut self,
        kind: Kind,
        entry: u32,
        completion: &Completion,
        now: Timestamp,
        up: &mut impl Upcalls,
    ) {
        self.counters.cqes += 1;
        match kind {
            Kind::Send if completion.status == WcStatus::Success => self.on_send(entry, up),
            // What an error leaves in the ring is released after the drain.
            Kind::Send => {}
            Kind::Drain => self.on_drained(),
            Kind::Receive => {
                // SAFETY: its completion is the one at hand.
                unsafe { self.receives.arrived(entry) };
                if completion.status == WcStatus::Success {
                    self.on_receive(entry, completion, now, up);
                } else {
                    self.receives.release(entry);
                }
            }
        }
        // req: 8166-4.5.4-1
        if completion.status != WcStatus::Success {
            self.lose(Loss::Completion(completion.status), now);
        }
    }

    /// A signaled Send has completed: walks the ring up to it, then hands over the replies that
    /// waited for it.
    fn on_send(&mut self, number: u32, up: &mut impl Upcalls) {
        let Self { sender, slots, .. } = self;
        let too_far = planted!(self.config, WalkTooFar) && number != sender.getter.head();
        let number = number.wrapping_add(u32::from(too_far));
        // SAFETY: the walk passes exactly the Sends that this completion stands for.
        let walked = sender.putter.put(number, |ctx| unsafe { slots.passed(ctx) });
        if let Err(stale) = walked {
            self.counters.stale_completions += 1;
            tracing::warn!(%stale, remote = %self.config.remote, "ignored");
        }
        while let Some(index) = self.slots.next_finished() {
            self.finish(index, up);
        }
    }

    /// A message has arrived: length, version, direction, XID, then its shape.
    fn on_receive(
        &mut self,
        receive: u32,
        completion: &Completion,
        now: Timestamp,
        up: &mut impl Upcalls,
    ) {
        let (len, invalidated) = (completion.byte_len, completion.invalidated_rkey);
        let message = self.receives.message(receive, len);
        let remote = self.config.remote;
        // req: 8166-4.5-1, 8166-4.5-3, 8166-4.5-7, 8166-4.6.1-2, 8166-4.6.2-2
        // What makes no sense answers no call: not even its XID is to be trusted, by which memory
        // would be given back (RFC 8166 §4.5). Its call is left to the time limit.
        let header = Header::parse(message).ok().filter(|header| reply::is_sound(header, message));
        let awaiting = header.as_ref().and_then(|header| self.slots.awaiting(header.xid));
        #[cfg(feature = "planted-faults")]
        let awaiting = awaiting.or_else(|| {
            let xid = header.as_ref()?.xid;
            self.slots.awaiting_any(xid).filter(|_| planted!(self.config, StaleXid))
        });
        let known = awaiting.is_some();
        let backward = header.as_ref().is_some_and(|header| is_call(header, message, known));
        let awaiting = awaiting.filter(|_| !backward);
        self.counters.bad_reply_count += u64::from(header.is_none());
        self.counters.bad_xids += u64::from(awaiting.is_none() && !backward && header.is_some());
        if let Some(rkey) = invalidated
            && !awaiting.is_some_and(|index| self.slots.get(index).end_key(rkey))
        {
            // Whose key that was cannot be told any more: nothing bound is as we think it is.
            self.receives.release(receive);
            let what = BadReply::ForeignInvalidation(rkey);
            return self.fail(Error::BadReply { remote, what }, now);
        }
        let (header, index) = match (header, awaiting) {
            (Some(header), Some(index)) => (header, index),
            _ if backward => return self.on_backward_call(receive, len),
            _ => return self.receives.release(receive),
        };
        let request = self.slots.get(index);
        let outcome = outcome(&header, &request.offered, remote, &mut self.counters);
        let grant = header.credits.saturating_add(u32::from(planted!(self.config, CreditOverUse)));
        if !(planted!(self.config, LeakCredit) && header.xid % 64 == 40) {
            self.credits.replied(grant);
        }
        self.counters.recvs += 1;
        self.backoff.reset();
        request.reply = Some(Matched { receive, len, outcome });
        if request.any_key() {
            self.counters.local_inv_needed += self.slots.invalidate(index);
            return;
        }
        // SAFETY: the Reply has matched this call, and the server has invalidated its key with it,
        // if the call had one.
        unsafe { request.chunks_released() };
        if request.is_complete() {
            self.finish(index, up);
        } else {
            self.counters.replies_before_send += 1;
            #[cfg(feature = "planted-faults")]
            self.finish_early(index, up);
        }
    }

    /// Invalidates keys that the server left to us, as far as the ring has room.
    pub(crate) fn invalidate(&mut self) {
        while self.state == State::Established
            && self.slots.any_to_invalidate()
            && let Some(ctx) = self.sender.getter.get(1)
        {
            let Some((index, rkey)) = self.slots.next_to_invalidate() else { return };
            ctx.request = index;
            ctx.invalidate = Some(rkey);
            self.sender.prepared();
        }
    }

    /// Hands a complete RPC to its caller.
    pub(crate) fn finish(&mut self, index: u32, up: &mut impl Upcalls) {
        let request = self.slots.get(index);
        let Some(Matched { receive, len, outcome }) = request.reply.take() else {
            return;
        };
        request.pending = false;
        let (xid, token) = (request.xid, request.token);
        let (buffer, pieces) = request.payload.take();
        self.long_calls.put(request.long.take());
        let (mut start, len) = (len as usize, len as usize);
        let result = match (outcome, &buffer) {
            (Ok(Arrival::Inline { header_len, written }), _) => {
                start = header_len;
                Ok(Reply { in_buffer: None, written })
            }
            (Ok(Arrival::InReplyChunk { .. }), Some(buffer)) if !reply::answers(xid, buffer) => {
                self.counters.bad_reply_count += 1;
                Err(bad_reply(self.config.remote, BadReply::ForeignMessage(xid)))
            }
            (Ok(Arrival::InReplyChunk { len }), _) => {
                Ok(Reply { in_buffer: Some(len), written: None })
            }
            (Err(error), _) => Err(error),
        };
        let inline = Inline::new(&mut self.receives, receive, start..len);
        let copied = up.complete(self.id, Completed { token, result, buffer, pieces, inline });
        self.counters.fixup_copy_count += copied as u64;
        self.counters.kept_receives = self.receives.kept;
        if !(planted!(self.config, NoRepost) && xid.is_multiple_of(32)) {
            self.receives.release(receive);
        }
        self.slots.put_if_free(index);
    }

    /// Ends one request of a connection that is gone: as it stood, or with the cause.
    pub(crate) fn release_request(&mut self, index: u32, cause: &Error, up: &mut impl Upcalls) {
        let request = self.slots.get(index);
        if !request.pending {
            return;
        }
        if request.is_complete() {
            return self.finish(index, up);
        }
        // SAFETY: the queue pair is destroyed, and with it every way to the payload.
        unsafe { request.chunks_released() };
        request.pending = false;
        request.reply = None;
        let (token, (buffer, pieces)) = (request.token, request.payload.take());
        self.long_calls.put(request.long.take());
        let (result, inline) = (Err(Box::new(cause.clone())), Inline::NONE);
        up.complete(self.id, Completed { token, result, buffer, pieces, inline });
        self.slots.put_if_free(index);
    }

    /// The planted fault: the kernel initiators' mistake, made on purpose.
    #[cfg(feature = "planted-faults")]
    fn finish_early(&mut self, index: u32, up: &mut impl Upcalls) {
        if planted!(self.config, ReleaseOnReply) {
            // SAFETY: none. This is the fault that the test must catch: the Send may still be
            // read. The memory stays mapped, so what breaks is the data, not the process.
            unsafe { self.slots.get(index).payload.reclaim() };
            self.finish(index, up);
        }
    }
}

/// What a sound header means for the call that it answers.
fn outcome(
    header: &Header<'_>,
    offered: &Offered,
    remote: SocketAddr,
    counters: &mut Counters,
) -> Result<Arrival, Box<Error>> {
    match header.kind {
        HeaderKind::Error(body) => {
            counters.rdma_errors += 1;
            Err(Box::new(match body {
                ErrorBody::Version { low, high } => Error::Version { remote, low, high },
                // No other code is sound.
                ErrorBody::Chunk | ErrorBody::Unknown(_) => Error::Chunk { remote },
            }))
        }
        HeaderKind::Msg | HeaderKind::NoMsg => match reply::check(header, offered) {
            Ok(arrival) => {
                counters.total_rdma_reply += match arrival {
                    Arrival::Inline { written, .. } => u64::from(written.unwrap_or(0)),
                    Arrival::InReplyChunk { len } => u64::from(len),
                };
                Ok(arrival)
            }
            Err(what) => {
                counters.bad_reply_count += 1;
                Err(bad_reply(remote, what))
            }
        },
    }
}

#[cold]
fn bad_reply(remote: SocketAddr, what: BadReply) -> Box<Error> {
    Box::new(Error::BadReply { remote, what })
}
