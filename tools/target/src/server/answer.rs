//! From a call in its receive slot to a reply on the Send Queue: chunks fetched, results placed
//! where the client wants them (RFC 8166 §4.3), the header written, and lies told where ordered.

use hugepages::Buffer;
use reactor::Timestamp;
use verbs::{Op, Provider, Sge};
use wire::rpcrdma::{Chunk, Emit, EmitKind, ErrorBody, Header, Segment, VERSION, emit_error};

use super::connection::{Connection, Reply, Served, Slot};
use super::falsify::Falsify;
use super::nfs::{Answer, Nfs, Room, Unanswered};
use super::plan::{Plan, Refusal, SEGMENTS_MAX, WRITE_CHUNKS_MAX};
use super::plane::Plane;
use super::replies::Caller;
use super::send_queue::{Held, Wr};
use super::{Service, trespass};
use crate::misbehave::{Every, Misbehaviour};

/// Parts of a staging buffer start on a cache line.
const ALIGN: usize = 64;
/// Sends of one reply, if it is doubled.
const SENDS_MAX: u32 = 2;

/// The returned lists of a reply.
struct Returned {
    segments: [Segment; SEGMENTS_MAX],
    /// Segments in each Write chunk.
    write_counts: [usize; WRITE_CHUNKS_MAX],
    write_chunks: usize,
    /// Where the Reply chunk's segments start, if there is one.
    reply: Option<usize>,
    count: usize,
}

/// A call that has arrived.
pub(super) struct Call {
    slot: u16,
    received: Buffer,
    len: usize,
}

/// A staging buffer with so many bytes of RPC message at its front; none if that came inline.
struct Staged {
    buffer: Buffer,
    message: usize,
}

/// What serving needs besides the connection.
pub(super) struct Context<'a, P: Provider> {
    pub(super) now: Timestamp,
    pub(super) plane: &'a Plane<P>,
    pub(super) service: &'a mut Service,
}

/// Puts together a call that came by Read chunk: what was inline before it, the chunk, its padding
/// and what was inline behind it (RFC 8166 §3.4.5).
pub(super) fn assemble(received: Buffer, len: usize, mut stage: Buffer) -> Slot {
    let parsed = Header::parse(&received[..len]).ok();
    let plan = parsed.and_then(|header| Plan::new(&header, len, stage.len()).ok());
    let Some((plan, fetch)) = plan.and_then(|plan| plan.fetch.map(|fetch| (plan, fetch))) else {
        return Slot::Called(received, len);
    };
    let (before, behind) = received[plan.inline].split_at(fetch.position);
    let chunk_end = fetch.position + fetch.bytes;
    let padded = chunk_end.next_multiple_of(4);
    let end = padded + behind.len();
    stage[..fetch.position].copy_from_slice(before);
    stage[chunk_end..padded].fill(0);
    stage[padded..end].copy_from_slice(behind);
    Slot::Fetched(received, len, stage, end)
}

impl<P: Provider> Connection<P> {
    /// Takes the call in `slot` one step further.
    pub(super) fn serve(&mut self, slot: u16, context: &mut Context<'_, P>) -> Served {
        let place = &mut self.slots[usize::from(slot)];
        let (call, staged) = match std::mem::replace(place, Slot::Vacant) {
            Slot::Called(received, len) => (Call { slot, received, len }, None),
            Slot::Fetched(received, len, buffer, message) => {
                (Call { slot, received, len }, Some(Staged { buffer, message }))
            }
            other => {
                *place = other;
                return Served::Done;
            }
        };
        let header = Header::parse(&call.received[..call.len]).map_err(Refusal::from);
        let stage_bytes_max = context.plane.stage_bytes_max();
        match header.and_then(|header| Plan::new(&header, call.len, stage_bytes_max)) {
            Err(refusal) => self.refuse(call, refusal, context),
            Ok(plan) if plan.fetch.is_some() && staged.is_none() => {
                self.fetch(call, &plan, context)
            }
            Ok(plan) => self.answer(call, &plan, staged, context),
        }
    }

    /// Reads the call's chunk from the client's memory.
    fn fetch(&mut self, call: Call, plan: &Plan, context: &mut Context<'_, P>) -> Served {
        let place = usize::from(call.slot);
        let stage = match (plan.fetch, Header::parse(&call.received[..call.len])) {
            (Some(fetch), Ok(header)) if fetch.segments <= self.send_queue.room() => {
                stage(plan, context.plane).map(|stage| (stage, fetch, header))
            }
            _ => None,
        };
        let Some((stage, fetch, header)) = stage else {
            self.slots[place] = Slot::Called(call.received, call.len);
            return Served::Waits;
        };
        let stage = stage.lend();
        let mut addr = stage.addr() + fetch.position as u64;
        let lkey = stage.keys().lkey;
        let segments = header.reads.iter().map(|read| read.segment);
        let wrs = segments.filter(|segment| segment.length > 0).map(|segment| {
            let sge = Sge { addr, length: segment.length, lkey };
            addr += u64::from(segment.length);
            let op = Op::RdmaRead { remote_addr: segment.offset, rkey: segment.handle };
            Wr { op, sge }
        });
        context.service.nfs.stats.rdma_reads.add(u64::from(fetch.segments));
        self.send_queue.push(Held::Fetch { slot: call.slot, stage }, wrs, true);
        self.slots[place] = Slot::Fetching(call.received, call.len);
        Served::Done
    }

    /// Carries the call out and queues the reply, once everything for it is at hand.
    fn answer(
        &mut self,
        call: Call,
        plan: &Plan,
        mut staged: Option<Staged>,
        context: &mut Context<'_, P>,
    ) -> Served {
        let needs_stage = plan.payload_room.is_some() || plan.reply_room.is_some();
        if staged.is_none() && needs_stage {
            staged = stage(plan, context.plane).map(|buffer| Staged { buffer, message: 0 });
        }
        let ready = staged.is_some() || !needs_stage;
        let room = self.send_queue.room() >= plan.writes + SENDS_MAX;
        let Some(mut inline) = (ready && room).then(|| self.inline()).flatten() else {
            self.slots[usize::from(call.slot)] = match staged {
                Some(Staged { buffer, message }) if message > 0 => {
                    Slot::Fetched(call.received, call.len, buffer, message)
                }
                _ => Slot::Called(call.received, call.len),
            };
            return Served::Waits;
        };
        let service = &mut *context.service;
        let placement = match ordered_refusal(plan.xid, service) {
            Some(refusal) => Err(refusal),
            None => {
                let inline = &mut inline[..self.inline_bytes];
                let caller = Caller { address: self.peer, now: context.now };
                carry_out(&call, plan, staged.as_mut(), inline, (&mut service.nfs, &caller))
            }
        };
        match placement {
            Ok(placement) => {
                self.reply(call, plan, &placement, inline, staged, context);
                Served::Done
            }
            Err(refusal) => {
                // Given back first: the refusal is sure to find one.
                drop((inline, staged));
                self.refuse(call, refusal, context)
            }
        }
    }

    /// Composes the reply's header and work requests.
    fn reply(
        &mut self,
        call: Call,
        plan: &Plan,
        placement: &Placement,
        mut inline: Buffer,
        staged: Option<Staged>,
        context: &mut Context<'_, P>,
    ) {
        let service = &mut *context.service;
        let mut writes = std::mem::take(&mut self.writes);
        let lies = Falsify::take(&service.nfs.switch, plan.writes > 0);
        let credits = lies.credits.unwrap_or(service.credits);
        let header =
            if plan.writes > 0 { Header::parse(&call.received[..call.len]).ok() } else { None };
        let written = match (header, &staged) {
            (Some(header), Some(staged)) => {
                let source = (staged.buffer.addr(), staged.buffer.keys().lkey);
                let mut returned = placement.results(&header, source, &mut writes);
                lies.in_chunks(&mut returned.segments[..returned.count]);
                returned.emit(plan.xid, credits, &mut inline)
            }
            _ => bare_header(plan.xid, credits, &mut inline),
        };
        service.nfs.stats.rdma_writes.add(writes.len() as u64);
        let body = if plan.reply_room.is_some() { 0 } else { placement.answer.message };
        let sent = lies.in_message(&mut inline, written, written + body);
        let invalidate = self.invalidate.then_some(plan.only_key).flatten();
        let op = invalidate.map_or(Op::Send, |rkey| Op::SendWithInvalidate { rkey });
        let send = Wr { op, sge: sge(&inline, sent) };
        let staged = staged.filter(|_| !writes.is_empty()).map(|staged| staged.buffer);
        let mut reply = Reply { inline, staged, writes, send, copies: lies.copies, late: None };
        self.bend(&mut reply, context.service);
        self.call_back(plan.xid, reply.entries(), context.service);
        self.finish(call, credits, &lies, reply, context);
    }

    /// Sends RDMA Writes elsewhere than they belong, if that is ordered.
    fn bend(&mut self, reply: &mut Reply, service: &mut Service) {
        let Some(place) = reply.writes.first().and_then(trespass::place) else { return };
        let seen = service.chunk_seen.replace((self.index, place));
        let elsewhere = seen.filter(|(index, _)| *index != self.index).map(|(_, place)| place);
        let before = self.chunk_before.replace(place);
        let known = trespass::Known { before, elsewhere };
        let bent = trespass::trespass(&service.nfs.switch, reply, known);
        service.nfs.stats.misbehaved.add(u64::from(bent));
    }

    fn finish(
        &mut self,
        call: Call,
        credits: u32,
        lies: &Falsify,
        mut reply: Reply,
        context: &mut Context<'_, P>,
    ) {
        let stats = &context.service.nfs.stats;
        self.recycle(call.slot, call.received);
        stats.misbehaved.add(lies.count);
        if lies.copies == 0 {
            reply.writes.clear();
            self.writes = reply.writes;
            self.credits.finished();
            return;
        }
        stats.replies.add(1);
        self.credits.replied(credits);
        let due = (lies.delay_ns > 0).then(|| context.now.add_ns(lies.delay_ns));
        self.push_or_delay(due, reply);
    }

    /// Answers what cannot be served, or does not.
    fn refuse(&mut self, call: Call, refusal: Refusal, context: &mut Context<'_, P>) -> Served {
        let stats = &context.service.nfs.stats;
        let (xid, body, close) = match refusal {
            Refusal::Error(xid, body) => (xid, body, false),
            Refusal::ErrorAndClose(xid, body) => (xid, body, true),
            Refusal::Ignore => {
                self.credits.finished();
                self.recycle(call.slot, call.received);
                return Served::Done;
            }
            Refusal::Close => {
                stats.malformed.add(1);
                self.recycle(call.slot, call.received);
                self.disconnect(context.now);
                return Served::Done;
            }
        };
        let room = self.send_queue.room() > 0;
        let Some(mut inline) = room.then(|| self.inline()).flatten() else {
            self.slots[usize::from(call.slot)] = Slot::Called(call.received, call.len);
            return Served::Waits;
        };
        stats.malformed.add(1);
        stats.rdma_errors.add(1);
        let credits = context.service.credits;
        let sent = emit_error(xid, credits, body, &mut inline).unwrap_or(0);
        let send = Wr { op: Op::Send, sge: sge(&inline, sent) };
        let writes = std::mem::take(&mut self.writes);
        let reply = Reply { inline, staged: None, writes, send, copies: 1, late: None };
        self.finish(call, credits, &Falsify::nothing(), reply, context);
        if close {
            self.close_when_sent();
        }
        Served::Done
    }
}

pub(super) fn sge(buffer: &Buffer, length: usize) -> Sge {
    Sge { addr: buffer.addr(), length: length as u32, lkey: buffer.keys().lkey }
}

/// A staging buffer with room for all that the plan can make use of.
fn stage<P: Provider>(plan: &Plan, plane: &Plane<P>) -> Option<Buffer> {
    let call = plan.fetch.map_or(0, |fetch| {
        (fetch.bytes.next_multiple_of(4) + plan.inline.len()).next_multiple_of(ALIGN)
    });
    let results = [plan.payload_room, plan.reply_room].map(|room| room.unwrap_or(0));
    let bytes = results.into_iter().fold(call, usize::saturating_add);
    plane.stage(bytes.min(plane.stage_bytes_max()))
}

/// Lets the program answer, with its results where the client wants them.
fn carry_out(
    call: &Call,
    plan: &Plan,
    staged: Option<&mut Staged>,
    inline: &mut [u8],
    (nfs, caller): (&mut Nfs, &Caller),
) -> Result<Placement, Refusal> {
    let (front, rest) = match staged {
        Some(Staged { buffer, message }) => {
            let (front, rest) = buffer.split_at_mut(message.next_multiple_of(ALIGN));
            (&front[..*message], rest)
        }
        None => (&[][..], &mut [][..]),
    };
    let payload_at = front.len().next_multiple_of(ALIGN);
    let message = if front.is_empty() { &call.received[plan.inline.clone()] } else { front };
    let payload_max = rest.len().min(nfs.payload_bytes_max as usize);
    let (payload, rest) = rest.split_at_mut(plan.payload_room.unwrap_or(0).min(payload_max));
    let reply_at = payload_at + payload.len();
    let room = Room {
        message: match plan.reply_room {
            Some(room) => {
                let room = room.min(rest.len());
                &mut rest[..room]
            }
            None => inline.get_mut(plan.reply_header_bytes..).unwrap_or_default(),
        },
        payload: plan.payload_room.is_some().then_some(payload),
    };
    match nfs.answer(message, plan.xid, room, caller) {
        Ok(answer) => Ok(Placement { payload_at, reply_at, answer }),
        Err(Unanswered::NoRoom) => Err(Refusal::Error(plan.xid, ErrorBody::Chunk)),
        Err(Unanswered::PayloadTooShort | Unanswered::NoCall) => Err(Refusal::Close),
    }
}

/// ERR_CHUNK or ERR_VERS by order, or the end of the connection, or of all.
fn ordered_refusal(xid: u32, service: &mut Service) -> Option<Refusal> {
    let Service { nfs, restart, .. } = service;
    let refusal = nfs.switch.consult(|orders| {
        if orders.restart_every.as_mut().is_some_and(Every::is_due) {
            *restart = true;
            return Some(Refusal::Close);
        }
        if let Some(calls) = &mut orders.disconnect_after {
            if *calls == 0 {
                orders.disconnect_after = None;
                return Some(Refusal::Close);
            }
            *calls -= 1;
        }
        if Misbehaviour::take(&mut orders.err_chunk) {
            return Some(Refusal::Error(xid, ErrorBody::Chunk));
        }
        let version = ErrorBody::Version { low: VERSION, high: VERSION };
        Misbehaviour::take(&mut orders.err_vers).then_some(Refusal::Error(xid, version))
    });
    service.nfs.stats.misbehaved.add(u64::from(refusal.is_some()));
    refusal
}

/// Where results lie in the staging buffer.
struct Placement {
    payload_at: usize,
    reply_at: usize,
    answer: Answer,
}

impl Placement {
    /// Spreads payload and reply over the client's segments: what is returned, and the RDMA Writes
    /// that bring it about.
    /// `source` is address and key of the staging buffer.
    fn results(&self, header: &Header<'_>, source: (u64, u32), writes: &mut Vec<Wr>) -> Returned {
        let mut returned = Returned {
            segments: [Segment::default(); SEGMENTS_MAX],
            write_counts: [0; WRITE_CHUNKS_MAX],
            write_chunks: 0,
            reply: None,
            count: 0,
        };
        let at = |offset: usize| (source.0 + offset as u64, source.1);
        for chunk in header.writes.iter() {
            let first = returned.write_chunks == 0;
            let bytes = if first { self.answer.payload } else { 0 };
            let count = returned.spread(&chunk, at(self.payload_at), bytes, writes);
            returned.write_counts[returned.write_chunks] = count;
            returned.write_chunks += 1;
        }
        if let Some(chunk) = header.reply {
            returned.reply = Some(returned.count);
            returned.spread(&chunk, at(self.reply_at), self.answer.message, writes);
        }
        returned
    }
}

impl Returned {
    /// Spreads `bytes` at `source` over a chunk's segments; returns how many segments it has.
    fn spread(
        &mut self,
        chunk: &Chunk<'_>,
        source: (u64, u32),
        bytes: usize,
        writes: &mut Vec<Wr>,
    ) -> usize {
        let ((mut addr, lkey), mut left) = (source, bytes as u64);
        let before = self.count;
        for segment in chunk.iter() {
            let length = left.min(u64::from(segment.length)) as u32;
            self.segments[self.count] = Segment { length, ..segment };
            self.count += 1;
            if length > 0 {
                let op = Op::RdmaWrite { remote_addr: segment.offset, rkey: segment.handle };
                writes.push(Wr { op, sge: Sge { addr, length, lkey } });
                addr += u64::from(length);
                left -= u64::from(length);
            }
        }
        self.count - before
    }

    fn emit(&self, xid: u32, credits: u32, out: &mut [u8]) -> usize {
        let mut chunks = [&[][..]; WRITE_CHUNKS_MAX];
        let mut at = 0;
        for (chunk, count) in chunks.iter_mut().zip(self.write_counts) {
            *chunk = &self.segments[at..at + count];
            at += count;
        }
        let emit = Emit {
            xid,
            credits,
            kind: if self.reply.is_some() { EmitKind::NoMsg } else { EmitKind::Msg },
            reads: &[],
            write_chunks: &chunks[..self.write_chunks],
            reply_chunk: self.reply.map(|at| &self.segments[at..self.count]),
        };
        emit.emit(out).unwrap_or(0)
    }
}

/// The header of a reply without lists, which is what most are.
fn bare_header(xid: u32, credits: u32, out: &mut [u8]) -> usize {
    let (kind, reply_chunk) = (EmitKind::Msg, None);
    let emit = Emit { xid, credits, kind, reads: &[], write_chunks: &[], reply_chunk };
    emit.emit(out).unwrap_or(0)
}
