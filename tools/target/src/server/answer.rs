//! From a call in its receive slot to a reply on the Send Queue: chunks fetched, results placed
//! where the client wants them (RFC 8166 §4.3), the header written, and lies told where ordered.

use hugepages::Buffer;
use reactor::Timestamp;
use verbs::{Op, Provider, Sge};
use wire::rpcrdma::{Chunk, Emit, EmitKind, ErrorBody, Header, Segment, VERSION, emit_error};

use super::Service;
use super::connection::{Connection, Reply, Served, Slot};
use super::falsify::Falsify;
use super::nfs::{Answer, Room, Unanswered};
use super::plan::{Plan, Refusal, SEGMENTS_MAX, WRITE_CHUNKS_MAX};
use super::plane::Plane;
use super::send_queue::{Held, Wr};
use crate::misbehave::Misbehaviour;

/// Parts of a staging buffer start on a cache line.
const ALIGN: usize = 64;
/// Room for the longest RDMA_ERROR.
const ERROR_WRS: u32 = 2;

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

/// The part of a call's buffers that its RPC message occupies.
enum Message {
    Inline,
    Staged(usize),
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
    pub(super) fn serve(
        &mut self,
        slot: u16,
        now: Timestamp,
        plane: &Plane<P>,
        service: &mut Service,
    ) -> Served {
        let place = &mut self.slots[usize::from(slot)];
        match std::mem::replace(place, Slot::Vacant) {
            Slot::Called(received, len) => {
                let planned = Header::parse(&received[..len]).map_err(Refusal::from);
                let planned = planned.and_then(|header| {
                    Plan::new(&header, len, plane.stage_bytes_max()).map(|plan| (header, plan))
                });
                match planned {
                    Err(refusal) => self.refuse(slot, received, len, refusal, now, service),
                    Ok((_, plan)) if plan.fetch.is_some() => {
                        self.fetch(slot, received, len, &plan, plane, service)
                    }
                    Ok(_) => self.answer(slot, received, len, None, now, plane, service),
                }
            }
            Slot::Fetched(received, len, stage, message) => {
                let stage = Some((stage, message));
                self.answer(slot, received, len, stage, now, plane, service)
            }
            other => {
                *place = other;
                Served::Done
            }
        }
    }

    /// Reads the call's chunk from the client's memory.
    fn fetch(
        &mut self,
        slot: u16,
        received: Buffer,
        len: usize,
        plan: &Plan,
        plane: &Plane<P>,
        service: &mut Service,
    ) -> Served {
        let place = usize::from(slot);
        let bytes = stage_bytes(plan);
        let stage = match (plan.fetch, Header::parse(&received[..len])) {
            (Some(fetch), Ok(header)) if fetch.segments <= self.send_queue.room() => {
                plane.stage(bytes.min(plane.stage_bytes_max())).map(|stage| (stage, fetch, header))
            }
            _ => None,
        };
        let Some((stage, fetch, header)) = stage else {
            self.slots[place] = Slot::Called(received, len);
            return Served::Waits;
        };
        let stage = stage.lend();
        let mut addr = stage.addr() + fetch.position as u64;
        let lkey = stage.keys().lkey;
        let reads = header.reads.iter().map(|read| read.segment).filter(|s| s.length > 0);
        let wrs = reads.map(|segment| {
            let sge = Sge { addr, length: segment.length, lkey };
            addr += u64::from(segment.length);
            let op = Op::RdmaRead { remote_addr: segment.offset, rkey: segment.handle };
            Wr { op, sge }
        });
        service.nfs.stats.rdma_reads.add(u64::from(fetch.segments));
        self.send_queue.push(Held::Fetch { slot, stage }, wrs, true);
        self.slots[place] = Slot::Fetching(received, len);
        Served::Done
    }

    /// Carries the call out and queues the reply, once everything for it is at hand.
    #[allow(clippy::too_many_arguments)]
    fn answer(
        &mut self,
        slot: u16,
        received: Buffer,
        len: usize,
        stage: Option<(Buffer, usize)>,
        now: Timestamp,
        plane: &Plane<P>,
        service: &mut Service,
    ) -> Served {
        let (header, plan) = match Header::parse(&received[..len]).map_err(Refusal::from) {
            Ok(header) => match Plan::new(&header, len, plane.stage_bytes_max()) {
                Ok(plan) => (header, plan),
                Err(refusal) => return self.refuse(slot, received, len, refusal, now, service),
            },
            Err(refusal) => return self.refuse(slot, received, len, refusal, now, service),
        };
        let (mut stage, message) = match stage {
            Some((stage, message)) => (Some(stage), Message::Staged(message)),
            None => (None, Message::Inline),
        };
        let needs_stage = plan.payload_room.is_some() || plan.reply_room.is_some();
        if stage.is_none() && needs_stage {
            stage = plane.stage(stage_bytes(&plan).min(plane.stage_bytes_max()));
        }
        let room = self.send_queue.room() >= plan.writes + ERROR_WRS;
        let inline = if room && (stage.is_some() || !needs_stage) { self.inline() } else { None };
        let Some(mut inline) = inline else {
            self.slots[usize::from(slot)] = match (message, stage) {
                (Message::Staged(end), Some(stage)) => Slot::Fetched(received, len, stage, end),
                _ => Slot::Called(received, len),
            };
            return Served::Waits;
        };

        if let Some(refusal) = ordered_refusal(plan.xid, service) {
            drop((inline, stage));
            return self.refuse(slot, received, len, refusal, now, service);
        }
        let mut no_stage = [];
        let staged = stage.as_deref_mut().unwrap_or(&mut no_stage);
        let (call, rest_at) = match message {
            Message::Inline => (&received[plan.inline.clone()], 0),
            Message::Staged(end) => (&[][..], end.next_multiple_of(ALIGN)),
        };
        let (front, rest) = staged.split_at_mut(rest_at.min(staged.len()));
        let call = match message {
            Message::Inline => call,
            Message::Staged(end) => &front[..end],
        };
        let payload_max = service.nfs.payload_bytes_max as usize;
        let payload_bytes = plan.payload_room.map_or(0, |room| room.min(payload_max));
        let payload_at = rest_at;
        let (payload, rest) = rest.split_at_mut(payload_bytes.min(rest.len()));
        let reply_at = payload_at + payload.len();
        let header_bytes = plan.reply_header_bytes.min(self.inline_bytes);
        let room = Room {
            message: match plan.reply_room {
                Some(room) => {
                    let room = room.min(rest.len());
                    &mut rest[..room]
                }
                None => &mut inline[header_bytes..self.inline_bytes],
            },
            payload: plan.payload_room.is_some().then_some(payload),
        };
        let answer = match service.nfs.answer(call, plan.xid, room) {
            Ok(answer) => answer,
            Err(why) => {
                // Given back first: the refusal is sure to find one.
                drop((inline, stage));
                let refusal = match why {
                    Unanswered::NoRoom => Refusal::Error(plan.xid, ErrorBody::Chunk),
                    Unanswered::PayloadTooShort | Unanswered::NoCall => Refusal::Close,
                };
                return self.refuse(slot, received, len, refusal, now, service);
            }
        };

        let source = stage.as_ref().map_or((0, 0), |stage| (stage.addr(), stage.keys().lkey));
        let mut writes = std::mem::take(&mut self.writes);
        let place = Placement { payload_at, reply_at, source, answer };
        let mut returned = place.results(&header, &mut writes);
        service.nfs.stats.rdma_writes.add(writes.len() as u64);
        let lies = Falsify::take(&service.nfs.switch, returned.count > 0);
        lies.in_chunks(&mut returned.segments[..returned.count]);
        let credits = lies.credits.unwrap_or(service.credits);
        let written = returned.emit(plan.xid, credits, &mut inline[..]).unwrap_or(0);
        let invalidate = self.invalidate.then_some(plan.only_key).flatten();
        let sent = if plan.reply_room.is_some() { written } else { written + answer.message };
        let sent = lies.in_message(&mut inline[..], sent);

        let op = invalidate.map_or(Op::Send, |rkey| Op::SendWithInvalidate { rkey });
        let sge = Sge { addr: inline.addr(), length: sent as u32, lkey: inline.keys().lkey };
        let staged = if writes.is_empty() { None } else { stage };
        let send = Wr { op, sge };
        let reply = Reply { inline, staged, writes, send, copies: lies.copies };
        self.finish(slot, received, credits, &lies, reply, now, service);
        Served::Done
    }

    #[allow(clippy::too_many_arguments)]
    fn finish(
        &mut self,
        slot: u16,
        received: Buffer,
        credits: u32,
        lies: &Falsify,
        mut reply: Reply,
        now: Timestamp,
        service: &mut Service,
    ) {
        self.recycle(slot, received);
        service.nfs.stats.misbehaved.add(lies.count);
        if lies.copies == 0 {
            reply.writes.clear();
            self.writes = reply.writes;
            self.credits.finished();
            return;
        }
        service.nfs.stats.replies.add(1);
        self.credits.replied(credits);
        let due = (lies.delay_ns > 0).then(|| now.add_ns(lies.delay_ns));
        self.push_or_delay(due, reply);
    }

    /// Answers what cannot be served, or does not.
    fn refuse(
        &mut self,
        slot: u16,
        received: Buffer,
        len: usize,
        refusal: Refusal,
        now: Timestamp,
        service: &mut Service,
    ) -> Served {
        let (xid, body, close) = match refusal {
            Refusal::Error(xid, body) => (xid, body, false),
            Refusal::ErrorAndClose(xid, body) => (xid, body, true),
            Refusal::Ignore => {
                self.credits.finished();
                self.recycle(slot, received);
                return Served::Done;
            }
            Refusal::Close => {
                service.nfs.stats.malformed.add(1);
                self.recycle(slot, received);
                self.disconnect(now);
                return Served::Done;
            }
        };
        let inline = if self.send_queue.room() > 0 { self.inline() } else { None };
        let Some(mut inline) = inline else {
            self.slots[usize::from(slot)] = Slot::Called(received, len);
            return Served::Waits;
        };
        service.nfs.stats.malformed.add(1);
        service.nfs.stats.rdma_errors.add(1);
        let sent = emit_error(xid, service.credits, body, &mut inline).unwrap_or(0);
        let sge = Sge { addr: inline.addr(), length: sent as u32, lkey: inline.keys().lkey };
        let send = Wr { op: Op::Send, sge };
        let writes = std::mem::take(&mut self.writes);
        let reply = Reply { inline, staged: None, writes, send, copies: 1 };
        let honest = Falsify::nothing();
        self.finish(slot, received, service.credits, &honest, reply, now, service);
        if close {
            self.close_when_sent();
        }
        Served::Done
    }
}

/// ERR_CHUNK or ERR_VERS by order, or the end of the connection.
fn ordered_refusal(xid: u32, service: &Service) -> Option<Refusal> {
    let refusal = service.nfs.switch.consult(|orders| {
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

/// Bytes of staging that a call can make use of.
fn stage_bytes(plan: &Plan) -> usize {
    let call = plan.fetch.map_or(0, |fetch| {
        (fetch.bytes.next_multiple_of(4) + plan.inline.len()).next_multiple_of(ALIGN)
    });
    call.saturating_add(plan.payload_room.unwrap_or(0)).saturating_add(plan.reply_room.unwrap_or(0))
}

/// Where results lie in the staging buffer.
struct Placement {
    payload_at: usize,
    reply_at: usize,
    /// Address and key of the staging buffer.
    source: (u64, u32),
    answer: Answer,
}

impl Placement {
    /// Spreads payload and reply over the client's segments: what is returned, and the RDMA Writes
    /// that bring it about.
    fn results(&self, header: &Header<'_>, writes: &mut Vec<Wr>) -> Returned {
        let mut returned = Returned {
            segments: [Segment::default(); SEGMENTS_MAX],
            write_counts: [0; WRITE_CHUNKS_MAX],
            write_chunks: 0,
            reply: None,
            count: 0,
        };
        for chunk in header.writes.iter() {
            let first = returned.write_chunks == 0;
            let bytes = if first { self.answer.payload } else { 0 };
            let count = self.spread(&chunk, self.payload_at, bytes, &mut returned, writes);
            returned.write_counts[returned.write_chunks] = count;
            returned.write_chunks += 1;
        }
        if let Some(chunk) = header.reply {
            returned.reply = Some(returned.count);
            self.spread(&chunk, self.reply_at, self.answer.message, &mut returned, writes);
        }
        returned
    }

    fn spread(
        &self,
        chunk: &Chunk<'_>,
        at: usize,
        bytes: usize,
        returned: &mut Returned,
        writes: &mut Vec<Wr>,
    ) -> usize {
        let (mut addr, mut left) = (self.source.0 + at as u64, bytes as u64);
        let before = returned.count;
        for segment in chunk.iter() {
            let length = left.min(u64::from(segment.length)) as u32;
            returned.segments[returned.count] = Segment { length, ..segment };
            returned.count += 1;
            if length > 0 {
                let op = Op::RdmaWrite { remote_addr: segment.offset, rkey: segment.handle };
                writes.push(Wr { op, sge: Sge { addr, length, lkey: self.source.1 } });
                addr += u64::from(length);
                left -= u64::from(length);
            }
        }
        returned.count - before
    }
}

impl Returned {
    fn emit(&self, xid: u32, credits: u32, out: &mut [u8]) -> Option<usize> {
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
        emit.emit(out).ok()
    }
}
