//! What comes in on an established connection: completions, and the replies that they are of.

use std::net::SocketAddr;

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
use crate::reply::{self, Arrival, Offered};
use crate::request::{Matched, Request};
use crate::state::State;
use crate::stats::Counters;
use crate::work_id::Kind;

impl<P: Provider> Connection<P> {
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
        let message = receives.message(receive, len);
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
        let complete = unsafe { request.replied() };
        if complete && hand_over_plain(request, &message[usual.len..], written, up) {
            let (xid, sending) = (request.xid, request.sending);
            return self.done_with(index, xid, receive, sending);
        }
        let outcome = Ok(Arrival::Inline { header_len: usual.len, written });
        self.hand_over_later(index, Matched { receive, len, outcome }, complete, up);
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
        request.reply = Some(matched);
        if request.any_key() {
            self.counters.local_inv_needed += self.slots.invalidate(index);
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
        let Self { slots, receives, .. } = self;
        let request = slots.get(index);
        if let Some(Matched {
            receive,
            len,
            outcome: Ok(Arrival::Inline { header_len, written }),
        }) = request.reply
        {
            let message = receives.message(receive, len);
            let rpc = message.get(header_len..).unwrap_or_default();
            if hand_over_plain(request, rpc, written, up) {
                // Nothing is in it that would have to be dropped.
                std::mem::forget(request.reply.take());
                let (xid, sending) = (request.xid, request.sending);
                return self.done_with(index, xid, receive, sending);
            }
        }
        if let Some(matched) = request.reply.take() {
            self.hand_over(index, matched, up);
        }
    }

    /// An RPC was handed over: its Receive goes back, and its slot, unless its Send has it still.
    #[inline(always)]
    fn done_with(&mut self, index: u32, xid: u32, receive: u32, sending: bool) {
        if !(planted!(self.config, NoRepost) && xid.is_multiple_of(32)) {
            self.receives.release(receive);
        }
        if !sending {
            self.slots.put(index);
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
        self.done_with(index, xid, receive, sending);
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

/// Hands a complete RPC to its caller, if there is nothing special about it and the caller finds
/// it usual; otherwise nothing has happened.
#[inline(always)]
fn hand_over_plain(
    request: &mut Request,
    rpc: &[u8],
    written: Option<u32>,
    up: &mut impl Upcalls,
) -> bool {
    let token = request.token;
    if request.long.is_some() {
        return false;
    }
    let Some(buffer) = request.payload.one() else { return false };
    let taken = up.complete_plain(&PlainReply { token, rpc, written }, buffer);
    request.pending &= !taken;
    taken
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
