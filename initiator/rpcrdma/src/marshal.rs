//! From a call to a Send: once the RPC message, and for each transmission the transport header.
//!
//! A call that has to be sent again on another connection keeps its RPC message byte for byte,
//! XID and all, so that the server's duplicate-request cache knows it (its key is a checksum of
//! that message). The transport header is written anew: keys and inline thresholds may differ.

use verbs::{Bind, ProtectionDomain, WindowAccess};
use wire::rpcrdma::{Emit, EmitKind, ReadSegment, Segment, usual};
use wire::xdr::{Full, Writer};

use crate::call::{Call, Payload};
use crate::connection::HEADER_ROOM;
use crate::error::Error;
use crate::long_call::LongCalls;
use crate::piece::{Piece, SEGMENTS_MAX};
use crate::request::{Key, Request, Role, Shape, Travel, padded};
use crate::sendctx::Sendctx;
use crate::stats::Counters;
use crate::windows::Windows;

// req: 8166-4.2.1-1
/// Writes the RPC message into the request's header buffer and takes the call's payload over. A
/// call that cannot be made is left as it was.
#[inline(always)]
pub(crate) fn encode(
    request: &mut Request,
    call: &mut Call,
    encode: impl FnOnce(u32, &mut Writer<'_>) -> Result<(), Full>,
) -> Result<Shape, Box<Error>> {
    let xid = request.xid;
    let Some((role, payload_len, pieces)) = call.payload.shape() else {
        return Err(too_large(call));
    };
    let Some(buffer) = request.send.ours() else {
        debug_assert!(false, "a free slot has its header buffer");
        return Err(too_long(0, 0));
    };
    let limit = buffer.len() - HEADER_ROOM;
    let mut body = Writer::new(&mut buffer[HEADER_ROOM..]);
    if let Err(full) = encode(xid, &mut body) {
        return Err(too_long(full.needed, limit));
    }
    let body_len = body.position();
    let shape = Shape { role, payload_len, pieces, reply_max: call.reply_max, body_len };
    request.shape = shape;
    request.token = call.token;
    request.plain = false;
    if role != Role::None {
        request.payload.hold(std::mem::take(&mut call.payload));
    }
    Ok(shape)
}

#[cold]
fn too_long(bytes: usize, limit: usize) -> Box<Error> {
    Error::CallTooLong { bytes, limit }.into()
}

#[cold]
fn too_large(call: &Call) -> Box<Error> {
    let value = match &call.payload {
        Payload::Send { len, .. } | Payload::Receive { len, .. } | Payload::Reply { len, .. } => {
            u64::from(*len)
        }
        Payload::None => 0,
        Payload::SendPieces(pieces)
        | Payload::ReceivePieces(pieces)
        | Payload::ReplyPieces(pieces) => pieces.total_len(),
    };
    let allowed = "up to its buffer's length, in each piece, and less than 4 GiB in all";
    Error::Setting { name: "payload length", value, allowed }.into()
}

/// What a transmission needs to know of its connection.
pub(crate) struct Frame<'a, D: ProtectionDomain> {
    /// What it is of.
    pub(crate) shape: Shape,
    /// How the payload travels.
    pub(crate) travel: Travel,
    /// Credits to ask for.
    pub(crate) credits: u32,
    /// For the payloads of request slots, where keys are per I/O.
    pub(crate) windows: &'a Windows<D>,
    /// What a request's [`Request::long`] is of.
    pub(crate) long_calls: &'a LongCalls<D>,
    /// Where to count.
    pub(crate) counters: &'a mut Counters,
}

impl<D: ProtectionDomain> Frame<'_, D> {
    /// Puts a transport header in front of an encoded message, fills the sendctx, and lends what
    /// the Send or the server will touch.
    #[inline(always)]
    pub(crate) fn frame(self, request: &mut Request, ctx: &mut Sendctx) {
        let travel = self.travel;
        self.payload_chunk(request, ctx);
        let message = match &request.long {
            None => None,
            Some(_) => self.message_chunk(request, ctx),
        };
        let start = self.header(request, message);
        let inline_len = match travel {
            _ if message.is_some() => 0,
            Travel::Copied | Travel::Gathered => inline_body(request, &self.shape, travel),
            _ => self.shape.body_len,
        };

        ctx.sges[0] = request.send.sge(start, HEADER_ROOM - start + inline_len);
        ctx.sge_count = 1;
        if travel == Travel::Gathered {
            gather(request, &self.shape, ctx);
        }
        request.send.lend();
        if travel.lends() {
            request.payload.lend();
        }
        request.gathered = travel == Travel::Gathered;
        request.pending = true;
        request.sending = true;
        count(self.counters, travel, self.shape.payload_len);
    }

    // req: 8166-3.4.5.2-2, 8166-3.4.6-1, 8166-4.3.2.2-2
    /// The payload as the server is to reach it. With a key per I/O that is through the slot's
    /// windows, bound in front of the Send.
    #[inline(always)]
    fn payload_chunk(&self, request: &mut Request, ctx: &mut Sendctx) {
        let Request { offered, payload, windows, windows_bound, .. } = request;
        offered.begin(self.travel);
        let Some(access) = self.travel.by_chunk() else { return };
        match payload.pieces() {
            [piece] => {
                let (segment, bind) = self.offer(ctx.request, 0, piece, &mut windows[0], access);
                *windows_bound += u8::from(bind.is_some());
                ctx.bind = bind;
                offered.push(segment);
            }
            _ => {
                for (place, piece) in payload.filled().enumerate() {
                    let key = &mut windows[place];
                    let (segment, bind) = self.offer(ctx.request, place, piece, key, access);
                    *windows_bound += u8::from(bind.is_some());
                    bind.into_iter().for_each(|bind| ctx.push_bind(bind));
                    offered.push(segment);
                }
            }
        }
    }

    /// A piece as the server is to reach it, and what makes it so.
    #[inline(always)]
    fn offer(
        &self,
        slot: u32,
        place: usize,
        piece: &Piece,
        key: &mut Key,
        access: WindowAccess,
    ) -> (Segment, Option<Bind>) {
        let (mut segment, region) = (piece.segment(), piece.region_handle());
        let bind = self.windows.bind((slot, place), key, &mut segment, region, access);
        (segment, bind)
    }

    // req: 8166-3.5.3-4, 8166-4.2.4-1
    /// The message as a chunk of its own, when it is too long to go inline.
    #[cold]
    fn message_chunk(&self, request: &mut Request, ctx: &mut Sendctx) -> Option<Segment> {
        let (Request { long, send, .. }, body_len) = (request, self.shape.body_len);
        let long = long.as_mut()?;
        let body = HEADER_ROOM..HEADER_ROOM + body_len;
        if let (Some(to), Some(from)) = (long.message.ours(), send.ours()) {
            to[..body_len].copy_from_slice(&from[body]);
        }
        let (chunk, bind) = self.long_calls.chunk(long, body_len as u32);
        bind.into_iter().for_each(|bind| ctx.push_bind(bind));
        long.message.lend();
        Some(chunk)
    }

    // req: 8166-3.4.4.4-1, 8166-3.4.5-1, 8166-3.4.5-2
    /// Writes the transport header so that it ends where the body begins; returns where it starts.
    /// `message` is the chunk with the message, if that is no body but one.
    #[inline(always)]
    fn header(&self, request: &mut Request, message: Option<Segment>) -> usize {
        let segments = request.offered.segments();
        let to_read = if self.travel == Travel::ReadChunk { segments } else { &[] };
        if message.is_some() || to_read.len() > 1 {
            return self.header_of_several(request, message);
        }
        let (xid, credits) = (request.xid, self.credits);
        let position = self.shape.body_len as u32;
        let room = request.send.ours().and_then(|buffer| buffer.first_chunk_mut());
        match (self.travel, segments, room) {
            (Travel::Nothing | Travel::Copied | Travel::Gathered, _, Some(room)) => {
                put_before_body(room, &usual::without_lists(xid, credits))
            }
            (Travel::WriteChunk, [segment], Some(room)) => {
                put_before_body(room, &usual::with_write(xid, credits, *segment))
            }
            (Travel::ReadChunk, [segment], Some(room)) => {
                let read = ReadSegment { position, segment: *segment };
                put_before_body(room, &usual::with_read(xid, credits, read))
            }
            _ => self.emit(request, EmitKind::Msg, &[]),
        }
    }

    // req: 8166-3.5.3-2
    /// With a Read list of more than one entry.
    #[cold]
    fn header_of_several(&self, request: &mut Request, message: Option<Segment>) -> usize {
        let segments = request.offered.segments();
        let to_read = if self.travel == Travel::ReadChunk { segments } else { &[] };
        let position = self.shape.body_len as u32;
        let head = message.map(|segment| ReadSegment { position: 0, segment });
        let payload = to_read.iter().map(|&segment| ReadSegment { position, segment });
        let mut reads = [ReadSegment::default(); 1 + SEGMENTS_MAX];
        let mut count = 0;
        for (place, read) in reads.iter_mut().zip(head.into_iter().chain(payload)) {
            *place = read;
            count += 1;
        }
        let kind = if message.is_some() { EmitKind::NoMsg } else { EmitKind::Msg };
        self.emit(request, kind, &reads[..count])
    }

    #[inline]
    fn emit(&self, request: &mut Request, kind: EmitKind, reads: &[ReadSegment]) -> usize {
        let Request { xid, offered, send, .. } = request;
        let segments = offered.segments();
        let write = [segments];
        let header = Emit {
            xid: *xid,
            credits: self.credits,
            kind,
            reads,
            write_chunks: if self.travel == Travel::WriteChunk { &write } else { &[] },
            reply_chunk: (self.travel == Travel::ReplyChunk).then_some(segments),
        };
        let start = HEADER_ROOM - header.len();
        let emitted = send.ours().map(|buffer| header.emit(&mut buffer[start..HEADER_ROOM]));
        debug_assert!(matches!(emitted, Some(Ok(_))), "there is room for any header");
        start
    }
}

/// Puts a transport header where it ends at the body; returns where it starts.
#[inline]
pub(crate) fn put_before_body<const LEN: usize>(
    room: &mut [u8; HEADER_ROOM],
    header: &[u8; LEN],
) -> usize {
    room[HEADER_ROOM - LEN..].copy_from_slice(header);
    HEADER_ROOM - LEN
}

/// The payload's SGEs, and that of its pad, which lies behind the body.
#[inline]
fn gather(request: &Request, shape: &Shape, ctx: &mut Sendctx) {
    let mut count = 1;
    let mut add = |sge| {
        ctx.sges[count] = sge;
        count += 1;
    };
    request.payload.filled().for_each(|piece| add(piece.sge()));
    let pad = padded(shape.payload_len) - shape.payload_len as usize;
    if pad > 0 {
        add(request.send.sge(HEADER_ROOM + shape.body_len, pad));
    }
    ctx.sge_count = count as u8;
    ctx.gathered = true;
}

// req: 8166-3.4.4.4-2
/// The body's end: copied payload, or at least its pad, which knows no other home. Returns the
/// length of what the first SGE carries behind the header.
#[inline(always)]
fn inline_body(request: &mut Request, shape: &Shape, travel: Travel) -> usize {
    let &Shape { payload_len, body_len, .. } = shape;
    let mut end = HEADER_ROOM + body_len;
    let pad = padded(payload_len) - payload_len as usize;
    if travel == Travel::Gathered && pad == 0 {
        return body_len;
    }
    let Request { send, payload, .. } = request;
    let Some(buffer) = send.ours() else { return body_len };
    match travel {
        Travel::Copied => {
            for piece in payload.pieces() {
                let data = piece.bytes();
                buffer[end..end + data.len()].copy_from_slice(data);
                end += data.len();
            }
            buffer[end..end + pad].fill(0);
            end + pad - HEADER_ROOM
        }
        Travel::Gathered => {
            buffer[end..end + pad].fill(0);
            body_len
        }
        _ => body_len,
    }
}

#[inline]
pub(crate) fn count(counters: &mut Counters, travel: Travel, len: u32) {
    let len = u64::from(len);
    match travel {
        Travel::Nothing => {}
        Travel::Gathered => counters.gathered_sends += 1,
        Travel::Copied => counters.pullup_copy_count += len,
        Travel::ReadChunk => {
            counters.read_chunk_count += 1;
            counters.read_chunk_bytes += len;
        }
        Travel::WriteChunk => {
            counters.write_chunk_count += 1;
            counters.total_rdma_request += len;
        }
        Travel::ReplyChunk => {
            counters.reply_chunk_count += 1;
            counters.total_rdma_request += len;
        }
    }
}

/// Undoes [`encode`]: the call as it was given.
pub(crate) fn give_back(request: &mut Request, call: &mut Call) {
    call.payload =
        Payload::again(request.shape.role, request.shape.payload_len, &mut request.payload);
}
