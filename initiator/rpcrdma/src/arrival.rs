//! What comes in on an established connection: completions, and the replies that they are of.

use std::net::SocketAddr;
use std::ops::Range;

use reactor::Timestamp;
use verbs::{Completion, Provider, WcStatus};
use wire::rpcrdma::{ErrorBody, Header, Kind as HeaderKind, UsualReply};

use crate::Upcalls;
use crate::backward::is_call;
use crate::call::{Completed, PlainReply, Reply};
use crate::config::TransportConfig;
use crate::connection::Connection;
use crate::credits::Credits;
use crate::error::{BadReply, Error, Loss};
use crate::inline::Inline;
use crate::planted::planted;
use crate::receives::Receives;
use crate::reply::{self, Arrival, Offered};
use crate::request::{Matched, Request};
use crate::slots::Slots;
use crate::state::State;
use crate::stats::Counters;
use crate::work_id::{Kind, WorkId};

impl<P: Provider> Connection<P> {
    /// Completions of this connection's work requests, as many as come first in the batch: those of
    /// the queue pair that is known by `id`. Returns the others.
    #[inline(always)]
    pub(crate) fn on_completions<'b>(
        &mut self,
        id: WorkId,
        batch: &'b [Completion],
        now: Timestamp,
        up: &mut impl Upcalls,
    ) -> &'b [Completion] {
        let mut rest = batch;
        while let Some((completion, behind)) = rest.split_first()
            && WorkId::of(completion.wr_id) == id
        {
            self.counters.cqes += 1;
            self.on_completion(completion, now, up);
            rest = behind;
        }
        self.give_receives_back(now);
        rest
    }

    #[inline(always)]
    fn on_completion(&mut self, completion: &Completion, now: Timestamp, up: &mut impl Upcalls) {
        let Some((kind, entry)) = WorkId::entry(completion.wr_id) else { return };
        match kind {
            Kind::Receive if completion.status == WcStatus::Success => {
                return self.on_receive(entry, completion, now, up);
            }
            Kind::Send if completion.status == WcStatus::Success => return self.on_send(entry, up),
            Kind::Receive => {
                // SAFETY: its completion is the one at hand.
                unsafe { self.receives.arrived(entry, 0) };
                self.receives.release(entry);
            }
            // What an error leaves in the ring is released after the drain.
            Kind::Send => {}
            Kind::Drain => self.on_drained(),
        }
        // req: 8166-4.5.4-1
        if completion.status != WcStatus::Success {
            self.lose(Loss::Completion(completion.status), now);
        }
    }

    /// A signaled Send has completed: walks the ring up to it, then hands over the replies that
    /// waited for it.
    fn on_send(&mut self, number: u32, up: &mut impl Upcalls) {
        let Self { sender, slots, receives, config, .. } = self;
        let too_far = planted!(config, WalkTooFar) && number != sender.getter.head();
        let number = number.wrapping_add(u32::from(too_far));
        let walked = sender.putter.put(number, |ctx| {
            // SAFETY: the walk passes exactly the Sends that this completion stands for.
            if let Some(index) = unsafe { slots.passed(ctx) }
                && !finish_plain(slots, receives, config, index, up)
            {
                slots.finish_later(index);
            }
        });
        if let Err(stale) = walked {
            self.counters.stale_completions += 1;
            tracing::warn!(%stale, remote = %self.config.remote, "ignored");
        }
        while let Some(index) = self.slots.next_finished() {
            self.finish(index, up);
        }
    }

    /// A message has arrived. Nearly always it is the usual reply to a call that waits for it, and
    /// nothing is special about that; then it takes no more than this function.
    #[inline(always)]
    fn on_receive(
        &mut self,
        receive: u32,
        completion: &Completion,
        now: Timestamp,
        up: &mut impl Upcalls,
    ) {
        let Self { receives, slots, credits, counters, backoff, config, .. } = self;
        let len = completion.byte_len;
        // SAFETY: the Receive's completion is the one at hand.
        let message = unsafe { receives.arrived(receive, len) };
        let usual = UsualReply::recognise(message);
        let Some(usual) = usual else { return self.on_message(receive, completion, now, up) };
        let Some((index, request)) = slots.awaiting(usual.xid) else {
            return self.on_message(receive, completion, now, up);
        };
        let Ok(written) = request.answered_by(&usual, completion.invalidated_rkey) else {
            return self.on_message(receive, completion, now, up);
        };
        counters.total_rdma_reply += u64::from(written.unwrap_or(0));
        counters.recvs += 1;
        refill(config, credits, usual.xid, usual.credits);
        backoff.reset();
        // SAFETY: the Reply has matched this call, and the server has invalidated its key with it,
        // if the call had one.
        if unsafe { hand_over_plain(request, &message[usual.len..], written, up) } {
            let (xid, sending) = (request.xid, request.sending);
            return done_with(slots, receives, config, (index, xid, sending), receive);
        }
        let outcome = Ok(Arrival::Inline { header_len: usual.len, written });
        let matched = Matched { receive, len, outcome };
        if request.waits_for_send() && !planted!(config, ReleaseOnReply) {
            counters.replies_before_send += 1;
            return request.keep_reply(matched);
        }
        let place = (receive, usual.len..len as usize);
        // Where a Write chunk was offered data must not come inline (RFC 8166 §6.1).
        // SAFETY: likewise.
        let taken = unsafe { hand_over_inline(request, receives, place, written, counters, up) };
        if taken {
            let (xid, sending) = (request.xid, request.sending);
            return done_with(slots, receives, config, (index, xid, sending), receive);
        }
        // SAFETY: likewise.
        let complete = unsafe { request.replied() };
        self.hand_over_later(index, matched, complete, up);
    }

    /// Any message: length, version, direction, XID, then its shape.
    #[cold]
    fn on_message(
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
        let awaiting = awaiting.map(|(index, _)| index);
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
        let offered = &self.slots.get(index).offered;
        let outcome = outcome(&header, offered, remote, &mut self.counters);
        refill(&self.config, &mut self.credits, header.xid, header.credits);
        self.counters.recvs += 1;
        self.backoff.reset();
        // SAFETY: as above: the Reply has matched this call.
        let complete = unsafe { self.slots.get(index).replied() };
        self.hand_over_later(index, Matched { receive, len, outcome }, complete, up);
    }

    /// A call has its Reply, and the long way is left, or something to wait for: its keys are to be
    /// invalidated, or its Send is to complete.
    #[inline(never)]
    fn hand_over_later(
        &mut self,
        index: u32,
        matched: Matched,
        complete: bool,
        up: &mut impl Upcalls,
    ) {
        if complete {
            return self.hand_over(index, matched, up);
        }
        let request = self.slots.get(index);
        request.keep_reply(matched);
        if request.any_key() {
            self.counters.local_inv_needed += self.slots.invalidate(index);
            self.restless = true;
            return;
        }
        self.counters.replies_before_send += 1;
        #[cfg(feature = "planted-faults")]
        if planted!(self.config, ReleaseOnReply) {
            // SAFETY: none. This is the kernel initiators' mistake, made on purpose, that the test
            // must catch: the Send may still be read. The memory stays mapped, so what breaks is
            // the data, not the process.
            unsafe { self.slots.get(index).payload.reclaim() };
            self.finish(index, up);
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
            self.sender.prepared(true, false);
        }
    }

    /// Hands an RPC to its caller that is complete since its Reply waits.
    #[inline(never)]
    pub(crate) fn finish(&mut self, index: u32, up: &mut impl Upcalls) {
        let Self { slots, receives, config, .. } = self;
        if finish_plain(slots, receives, config, index, up) {
            return;
        }
        if let Some(matched) = self.slots.get(index).reply.take() {
            self.hand_over(index, matched, up);
        }
    }

    /// Hands a complete RPC to its caller.
    #[inline(never)]
    fn hand_over(&mut self, index: u32, matched: Matched, up: &mut impl Upcalls) {
        let Matched { receive, len, outcome } = matched;
        let request = self.slots.get(index);
        request.pending = false;
        let (xid, token, sending) = (request.xid, request.token, request.sending);
        let (buffer, pieces) = request.payload.take();
        if request.long.is_some() {
            self.long_calls.put(request.long.take());
        }
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
        let Self { slots, receives, config, .. } = self;
        done_with(slots, receives, config, (index, xid, sending), receive);
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
}

/// Hands an RPC to its caller that is complete since its Reply waits, if it is a plain one and the
/// caller finds its reply usual; otherwise nothing has happened.
#[inline(always)]
fn finish_plain(
    slots: &mut Slots,
    receives: &mut Receives,
    config: &TransportConfig,
    index: u32,
    up: &mut impl Upcalls,
) -> bool {
    let request = slots.get(index);
    let Some(Matched { receive, len, outcome: Ok(Arrival::Inline { header_len, written }) }) =
        request.reply
    else {
        return false;
    };
    let rpc = receives.message(receive, len).get(header_len..).unwrap_or_default();
    // SAFETY: the Reply has matched this call, and its Send has completed since.
    if !unsafe { hand_over_plain(request, rpc, written, up) } {
        return false;
    }
    // Nothing is in it that would have to be dropped.
    std::mem::forget(request.reply.take());
    let (xid, sending) = (request.xid, request.sending);
    done_with(slots, receives, config, (index, xid, sending), receive);
    true
}

/// An RPC was handed over: its Receive goes back, and its slot, unless its Send has it still.
#[inline(always)]
fn done_with(
    slots: &mut Slots,
    receives: &mut Receives,
    config: &TransportConfig,
    (index, xid, sending): (u32, u32, bool),
    receive: u32,
) {
    let _ = (config, xid); // Of test-only builds.
    if !(planted!(config, NoRepost) && xid.is_multiple_of(32)) {
        receives.release(receive);
    }
    if !sending {
        slots.put(index);
    }
}

/// Hands a plain RPC to its caller, if it is complete and the caller finds its reply usual; otherwise
/// nothing has happened that [`Request::replied`] would not do.
///
/// # Safety
/// As [`Request::replied_plain`].
#[inline(always)]
unsafe fn hand_over_plain(
    request: &mut Request,
    rpc: &[u8],
    written: Option<u32>,
    up: &mut impl Upcalls,
) -> bool {
    let token = request.token;
    // SAFETY: the caller's promise.
    let Some(buffer) = (unsafe { request.replied_plain() }) else { return false };
    let taken = up.complete_plain(&PlainReply { token, rpc, written }, buffer);
    request.pending &= !taken;
    taken
}

/// The same for a call that had room for data, where that came in the message: it is left there, or
/// copied into the buffer.
///
/// # Safety
/// As [`Request::replied_plain`].
#[inline(never)]
unsafe fn hand_over_inline(
    request: &mut Request,
    receives: &mut Receives,
    (receive, rpc): (u32, Range<usize>),
    written: Option<u32>,
    counters: &mut Counters,
    up: &mut impl Upcalls,
) -> bool {
    if written.is_some() {
        return false;
    }
    let mut inline = Inline::new(receives, receive, rpc);
    let token = request.token;
    // SAFETY: the caller's promise.
    let Some(buffer) = (unsafe { request.replied_plain() }) else { return false };
    let room = buffer.as_ref().map_or(0, |buffer| buffer.len());
    let Some(data) = up.inline_data(token, inline.bytes(), room) else { return false };
    let received = inline.keep(data.clone());
    if received.is_some() {
        counters.kept_receives += 1;
    } else if let Some(buffer) = buffer {
        counters.fixup_copy_count += data.len() as u64;
        buffer[..data.len()].copy_from_slice(&inline.bytes()[data]);
    }
    up.complete_inline(token, buffer, received);
    request.pending = false;
    true
}

/// A Reply brings a new grant.
#[inline(always)]
fn refill(config: &TransportConfig, credits: &mut Credits, xid: u32, grant: u32) {
    let _ = config; // Of test-only builds.
    let grant = grant.saturating_add(u32::from(planted!(config, CreditOverUse)));
    if !(planted!(config, LeakCredit) && xid % 64 == 40) {
        credits.replied(grant);
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

#[cfg(test)]
#[path = "arrival_tests.rs"]
mod tests;
