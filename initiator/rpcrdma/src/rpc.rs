//! The two halves of an RPC on an established connection: the call out, the reply in.

use reactor::Timestamp;
use verbs::{Completion, Provider, WcStatus};
use wire::rpcrdma::{Emit, EmitKind, ErrorBody, Header, Kind as HeaderKind, ReadSegment};
use wire::xdr::{Full, Writer};

use crate::Upcalls;
use crate::call::{Call, Completed, Payload, Refusal, Refused, Reply};
use crate::connection::{Connection, HEADER_ROOM, State};
use crate::error::{BadReply, Error, Loss};
use crate::memory::Loan;
use crate::reply::{self, Arrival, Offered};
use crate::request::{Limits, Matched, Request, Travel, padded, segment};
use crate::sendctx::Sendctx;
use crate::stats::Counters;
use crate::work_id::Kind;

/// Message type of a call (RFC 5531 §9); the second word of an RPC message.
const RPC_CALL: [u8; 4] = 0u32.to_be_bytes();

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
            return Err(Refused { why: Refusal::NotConnected, call });
        }
        if !self.credits.available() {
            self.counters.credit_waits += 1;
            return Err(self.park(call));
        }
        let Some(ctx) = self.sender.getter.get(1) else {
            self.counters.empty_sendctx_q += 1;
            return Err(self.park(call));
        };
        let Some(index) = self.slots.take() else {
            self.sender.getter.unget();
            self.counters.slot_waits += 1;
            return Err(self.park(call));
        };
        ctx.request = index;
        let request = self.slots.get(index);
        let credits = self.config.max_requests;
        let marshal = Marshal { limits: self.limits, credits, counters: &mut self.counters };
        if let Err((why, call)) = marshal.prepare(request, ctx, call, encode) {
            self.sender.getter.unget();
            self.slots.put_if_free(index);
            self.counters.failed_marshal_count += 1;
            return Err(Refused { why: Refusal::Invalid(why), call });
        }
        request.sent_ns = now.0;
        self.credits.take();
        self.sender.prepared();
        Ok(())
    }

    fn park(&mut self, call: Call) -> Refused {
        self.parked = true;
        Refused { why: Refusal::Busy, call }
    }

    /// Whether a caller that was told to wait may try again.
    pub(crate) fn take_wake(&mut self) -> bool {
        let room =
            self.credits.available() && self.sender.getter.has_room(1) && self.slots.has_free();
        let wake = self.parked && room && self.state == State::Established;
        self.parked &= !wake;
        wake
    }

    /// Posts what was prepared, with one doorbell.
    pub(crate) fn ring_doorbell(&mut self, now: Timestamp) {
        let Some(link) = self.link.as_mut().filter(|_| self.sender.has_chain()) else {
            return;
        };
        let id = self.id.work_id();
        if let Err(error) = self.sender.ring_doorbell(link, id, &mut self.counters) {
            let remote = self.config.remote;
            self.fail(Error::Lost { remote, why: Loss::Post(error.errno) }, now);
        }
    }

    /// Gives Receives that were dealt with back to the NIC.
    pub(crate) fn repost(&mut self, now: Timestamp) {
        let Some(link) = self.link.as_mut().filter(|_| self.state == State::Established) else {
            return;
        };
        let posted = self.receives.post(link, self.id.work_id(), &mut self.counters);
        if let Err(error) = posted {
            let remote = self.config.remote;
            self.fail(Error::Lost { remote, why: Loss::Post(error.errno) }, now);
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
                    self.on_receive(entry, completion.byte_len, up);
                } else {
                    self.receives.release(entry);
                }
            }
        }
        if completion.status != WcStatus::Success {
            let why = Loss::Completion(completion.status);
            self.fail(Error::Lost { remote: self.config.remote, why }, now);
        }
    }

    /// A signaled Send has completed: walks the ring up to it, then hands over the replies that
    /// waited for it.
    fn on_send(&mut self, number: u32, up: &mut impl Upcalls) {
        let Self { sender, slots, .. } = self;
        // SAFETY: the walk passes exactly the Sends that this completion stands for.
        let walked = sender.putter.put(number, |ctx| unsafe { slots.send_completed(ctx.request) });
        if let Err(stale) = walked {
            self.counters.stale_completions += 1;
            tracing::warn!(%stale, remote = %self.config.remote, "ignored");
        }
        while let Some(index) = self.slots.next_finished() {
            self.finish(index, up);
        }
    }

    /// A message has arrived: length, version, direction, XID, then its shape.
    fn on_receive(&mut self, receive: u32, len: u32, up: &mut impl Upcalls) {
        let message = self.receives.message(receive, len);
        let remote = self.config.remote;
        let (xid, header) = match Header::parse(message) {
            Ok(header) => (header.xid, Ok(header)),
            Err(error) => {
                self.counters.bad_reply_count += 1;
                let xid = error.xid().unwrap_or_default();
                (xid, Err(Error::BadReply { remote, what: BadReply::Header(error) }))
            }
        };
        if header.as_ref().is_ok_and(|header| is_call(header, message)) {
            self.counters.backward_calls += 1;
            return self.receives.release(receive);
        }
        let Some(index) = self.slots.awaiting(xid) else {
            self.counters.bad_xids += u64::from(header.is_ok());
            return self.receives.release(receive);
        };
        let request = self.slots.get(index);
        let grant = header.as_ref().ok().map(|header| header.credits);
        let outcome =
            header.and_then(|header| outcome(&header, request.offered, remote, &mut self.counters));
        self.credits.replied(grant);
        self.counters.recvs += 1;
        // SAFETY: the Reply has matched this call.
        unsafe { request.chunks_released() };
        request.reply = Some(Matched { receive, len, outcome });
        if request.is_complete() {
            self.finish(index, up);
        } else {
            self.counters.replies_before_send += 1;
            #[cfg(feature = "planted-faults")]
            self.finish_early(index, up);
        }
    }

    /// Hands a complete RPC to its caller.
    fn finish(&mut self, index: u32, up: &mut impl Upcalls) {
        let request = self.slots.get(index);
        let Some(Matched { receive, len, outcome }) = request.reply.take() else {
            return;
        };
        request.pending = false;
        let (token, buffer) = (request.token, request.payload.take());
        let message = self.receives.message(receive, len);
        let result = outcome.map(|arrival| match arrival {
            Arrival::Inline { header_len, written } => {
                Reply { inline: &message[header_len..], in_buffer: None, written }
            }
            Arrival::InReplyChunk { len } => {
                Reply { inline: &[], in_buffer: Some(len), written: None }
            }
        });
        let copied = up.complete(self.id, Completed { token, result, buffer });
        self.counters.fixup_copy_count += copied as u64;
        self.receives.release(receive);
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
        let (token, buffer) = (request.token, request.payload.take());
        up.complete(self.id, Completed { token, result: Err(cause.clone()), buffer });
        self.slots.put_if_free(index);
    }

    /// The planted fault: the kernel initiators' mistake, made on purpose.
    #[cfg(feature = "planted-faults")]
    fn finish_early(&mut self, index: u32, up: &mut impl Upcalls) {
        if self.config.planted.release_on_reply_alone {
            // SAFETY: none. This is the fault that the test must catch: the Send may still be
            // read. The memory stays mapped, so what breaks is the data, not the process.
            unsafe { self.slots.get(index).payload.reclaim() };
            self.finish(index, up);
        }
    }
}

/// RFC 8167 §4: a call in the backward direction has no chunks and is a call by its message type.
fn is_call(header: &Header<'_>, message: &[u8]) -> bool {
    matches!(header.kind, HeaderKind::Msg)
        && message.get(header.len + 4..header.len + 8) == Some(&RPC_CALL)
}

/// What a parsed header means for the call that it answers.
fn outcome(
    header: &Header<'_>,
    offered: Offered,
    remote: std::net::SocketAddr,
    counters: &mut Counters,
) -> Result<Arrival, Error> {
    match header.kind {
        HeaderKind::Error(body) => {
            counters.rdma_errors += 1;
            Err(match body {
                ErrorBody::Version { low, high } => Error::Version { remote, low, high },
                ErrorBody::Chunk => Error::Chunk { remote },
                ErrorBody::Unknown(code) => {
                    Error::BadReply { remote, what: BadReply::ErrorCode(code) }
                }
            })
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
                Err(Error::BadReply { remote, what })
            }
        },
    }
}

/// Everything that turns a call into a Send, but for the slot it goes into.
struct Marshal<'a> {
    limits: Limits,
    credits: u32,
    counters: &'a mut Counters,
}

impl Marshal<'_> {
    /// Writes the call into the request's header buffer, fills the sendctx and lends what the Send
    /// or the server will touch. On failure nothing is lent and the call comes back.
    fn prepare(
        self,
        request: &mut Request,
        ctx: &mut Sendctx,
        call: Call,
        encode: impl FnOnce(u32, &mut Writer<'_>) -> Result<(), Full>,
    ) -> Result<(), (Error, Call)> {
        let limit = self.limits.inline_send;
        let too_long = |bytes| Error::CallTooLong { bytes, limit };
        let xid = request.xid;
        let Some(buffer) = request.send.ours() else {
            debug_assert!(false, "a free slot has its header buffer");
            return Err((too_long(0), call));
        };
        if let Err(error) = check_room(&call.payload) {
            return Err((error, call));
        }
        let mut body = Writer::new(&mut buffer[HEADER_ROOM..HEADER_ROOM + limit]);
        if let Err(full) = encode(xid, &mut body) {
            return Err((too_long(full.needed), call));
        }
        let body_len = body.position();
        let travel = self.limits.choose(&call.payload, body_len, call.reply_max);
        let payload_len = payload_len(&call.payload);

        let chunk = chunk(&call.payload, travel);
        let read = [ReadSegment { position: body_len as u32, segment: chunk }];
        let segments = [chunk];
        let write: [&[_]; 1] = [&segments];
        let header = Emit {
            xid,
            credits: self.credits,
            kind: EmitKind::Msg,
            reads: if travel == Travel::ReadChunk { &read } else { &[] },
            write_chunks: if travel == Travel::WriteChunk { &write } else { &[] },
            reply_chunk: (travel == Travel::ReplyChunk).then_some(&segments),
        };
        let header_len = header.len();
        let start = HEADER_ROOM - header_len;
        if header_len + body_len > limit || header.emit(&mut buffer[start..HEADER_ROOM]).is_err() {
            return Err((too_long(header_len + body_len), call));
        }

        // The body's end: copied payload, or at least its pad, which knows no other home.
        let end = HEADER_ROOM + body_len;
        let pad = padded(payload_len) - payload_len as usize;
        let mut inline_len = header_len + body_len;
        if let (Travel::Copied, Payload::Send { buffer: data, len }) = (travel, &call.payload) {
            let len = *len as usize;
            buffer[end..end + len].copy_from_slice(&data[..len]);
            buffer[end + len..end + len + pad].fill(0);
            inline_len += len + pad;
        } else if travel == Travel::Gathered {
            buffer[end..end + pad].fill(0);
        }

        request.token = call.token;
        request.payload = call.payload.into_buffer().map_or(Loan::Vacant, Loan::Ours);
        ctx.sges[0] = request.send.sge(start, inline_len);
        ctx.sge_count = 1;
        if travel == Travel::Gathered {
            ctx.gathered = true;
            ctx.sges[1] = request.payload.sge(0, payload_len as usize);
            ctx.sge_count = 2;
            if pad > 0 {
                ctx.sges[2] = request.send.sge(end, pad);
                ctx.sge_count = 3;
            }
        }
        request.send.lend();
        if !matches!(travel, Travel::Nothing | Travel::Copied) {
            request.payload.lend();
        }
        request.gathered = ctx.gathered;
        request.offered = match travel {
            Travel::WriteChunk => Offered::Write(chunk),
            Travel::ReplyChunk => Offered::Reply(chunk),
            _ => Offered::Nothing,
        };
        request.pending = true;
        request.sending = true;
        count(self.counters, travel, payload_len);
        Ok(())
    }
}

fn payload_len(payload: &Payload) -> u32 {
    match payload {
        Payload::None => 0,
        Payload::Send { len, .. } | Payload::Receive { len, .. } | Payload::Reply { len, .. } => {
            *len
        }
    }
}

fn check_room(payload: &Payload) -> Result<(), Error> {
    let room = match payload {
        Payload::None => return Ok(()),
        Payload::Send { buffer, .. }
        | Payload::Receive { buffer, .. }
        | Payload::Reply { buffer, .. } => buffer.len(),
    };
    let value = payload_len(payload).into();
    if value <= room as u64 {
        Ok(())
    } else {
        Err(Error::Setting { name: "payload length", value, allowed: "up to its buffer's length" })
    }
}

/// The chunk that covers the payload, where one is offered.
fn chunk(payload: &Payload, travel: Travel) -> wire::rpcrdma::Segment {
    match (travel, payload) {
        (
            Travel::ReadChunk | Travel::WriteChunk | Travel::ReplyChunk,
            Payload::Send { buffer, len }
            | Payload::Receive { buffer, len }
            | Payload::Reply { buffer, len },
        ) => segment(buffer, *len),
        _ => wire::rpcrdma::Segment { handle: 0, length: 0, offset: 0 },
    }
}

fn count(counters: &mut Counters, travel: Travel, len: u32) {
    let len = u64::from(len);
    match travel {
        Travel::Nothing | Travel::Gathered => {}
        Travel::Copied => counters.pullup_copy_count += len,
        Travel::ReadChunk => {
            counters.read_chunk_count += 1;
            counters.total_rdma_request += len;
        }
        Travel::WriteChunk => counters.write_chunk_count += 1,
        Travel::ReplyChunk => counters.reply_chunk_count += 1,
    }
}
