//! From a call to a Send: once the RPC message, and for each transmission the transport header.
//!
//! A call that has to be sent again on another connection keeps its RPC message byte for byte,
//! XID and all, so that the server's duplicate-request cache knows it (its key is a checksum of
//! that message). The transport header is written anew: keys and inline thresholds may differ.

use verbs::ProtectionDomain;
use wire::rpcrdma::{Emit, EmitKind, ReadSegment, Segment};
use wire::xdr::{Full, Writer};

use crate::call::{Call, Payload};
use crate::connection::HEADER_ROOM;
use crate::error::Error;
use crate::long_call::LongCalls;
use crate::piece::{Piece, SEGMENTS_MAX};
use crate::request::{Key, Request, Role, Travel, padded};
use crate::sendctx::Sendctx;
use crate::stats::Counters;
use crate::windows::Windows;

// req: 8166-4.2.1-1
/// Writes the RPC message into the request's header buffer and takes the call's payload over.
/// On failure the call comes back untouched.
#[inline]
pub(crate) fn encode(
    request: &mut Request,
    call: Call,
    encode: impl FnOnce(u32, &mut Writer<'_>) -> Result<(), Full>,
) -> Result<(), (Box<Error>, Call)> {
    let xid = request.xid;
    let Some((role, len)) = call.payload.shape() else {
        return Err((too_large(&call).into(), call));
    };
    let Some(buffer) = request.send.ours() else {
        debug_assert!(false, "a free slot has its header buffer");
        return Err((Error::CallTooLong { bytes: 0, limit: 0 }.into(), call));
    };
    let limit = buffer.len() - HEADER_ROOM;
    let mut body = Writer::new(&mut buffer[HEADER_ROOM..]);
    if let Err(full) = encode(xid, &mut body) {
        return Err((Error::CallTooLong { bytes: full.needed, limit }.into(), call));
    }
    request.body_len = body.position();
    request.token = call.token;
    request.role = role;
    request.payload_len = len;
    request.reply_max = call.reply_max;
    if role != Role::None {
        request.payload = call.payload.into_held();
    }
    Ok(())
}

#[cold]
fn too_large(call: &Call) -> Error {
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
    Error::Setting { name: "payload length", value, allowed }
}

/// What a transmission needs to know of its connection.
pub(crate) struct Frame<'a, D: ProtectionDomain> {
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
    #[inline]
    pub(crate) fn frame(self, request: &mut Request, ctx: &mut Sendctx) {
        let travel = self.travel;
        self.payload_chunk(request, ctx);
        let message = self.message_chunk(request, ctx);
        let start = self.header(request, message);
        let inline_len = match travel {
            _ if message.is_some() => 0,
            Travel::Copied | Travel::Gathered => inline_body(request, travel),
            _ => request.body_len,
        };

        ctx.sges[0] = request.send.sge(start, HEADER_ROOM - start + inline_len);
        ctx.sge_count = 1;
        if travel == Travel::Gathered {
            gather(request, ctx);
        }
        request.send.lend();
        if travel.lends() {
            request.payload.lend();
        }
        request.gathered = ctx.gathered;
        request.pending = true;
        request.sending = true;
        count(self.counters, travel, request.payload_len);
    }

    // req: 8166-3.4.5.2-2, 8166-3.4.6-1, 8166-4.3.2.2-2
    /// The payload as the server is to reach it. With a key per I/O that is through the slot's
    /// windows, bound in front of the Send.
    #[inline]
    fn payload_chunk(&self, request: &mut Request, ctx: &mut Sendctx) {
        let Request { offered, payload, windows, windows_bound, .. } = request;
        offered.begin(self.travel);
        let Some(access) = self.travel.by_chunk() else { return };
        let mut offer = |place: usize, piece: &Piece| {
            let (segment, region) = (piece.segment(), piece.region_handle());
            let (at, key) = ((ctx.request, place), &mut windows[place]);
            let (segment, bind) = self.windows.bind(at, *key, segment, region, access);
            if let Some(bind) = bind {
                *key = Key { rkey: bind.rkey, bound: true };
                *windows_bound += 1;
                ctx.push_bind(bind);
            }
            offered.push(segment);
        };
        match payload.pieces() {
            [piece] => offer(0, piece),
            _ => payload.filled().enumerate().for_each(|(place, piece)| offer(place, piece)),
        }
    }

    // req: 8166-3.5.3-4, 8166-4.2.4-1
    /// The message as a chunk of its own, when it is too long to go inline.
    #[inline]
    fn message_chunk(&self, request: &mut Request, ctx: &mut Sendctx) -> Option<Segment> {
        let Request { long, send, body_len, .. } = request;
        let long = long.as_mut()?;
        let body = HEADER_ROOM..HEADER_ROOM + *body_len;
        if let (Some(to), Some(from)) = (long.message.ours(), send.ours()) {
            to[..*body_len].copy_from_slice(&from[body]);
        }
        let (chunk, bind) = self.long_calls.chunk(long, *body_len as u32);
        if let Some(bind) = bind {
            long.key = Key { rkey: bind.rkey, bound: true };
            ctx.push_bind(bind);
        }
        long.message.lend();
        Some(chunk)
    }

    // req: 8166-3.4.4.4-1, 8166-3.4.5-1, 8166-3.4.5-2
    /// Writes the transport header so that it ends where the body begins; returns where it starts.
    /// `message` is the chunk with the message, if that is no body but one.
    #[inline]
    fn header(&self, request: &mut Request, message: Option<Segment>) -> usize {
        let segments = request.offered.segments();
        let to_read = if self.travel == Travel::ReadChunk { segments } else { &[] };
        if message.is_some() || to_read.len() > 1 {
            return self.header_of_several(request, message);
        }
        let position = request.body_len as u32;
        let segment = to_read.first().copied().unwrap_or_default();
        let count = to_read.len();
        self.emit(request, EmitKind::Msg, &[ReadSegment { position, segment }][..count])
    }

    // req: 8166-3.5.3-2
    /// With a Read list of more than one entry.
    #[cold]
    fn header_of_several(&self, request: &mut Request, message: Option<Segment>) -> usize {
        let segments = request.offered.segments();
        let to_read = if self.travel == Travel::ReadChunk { segments } else { &[] };
        let position = request.body_len as u32;
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

/// The payload's SGEs, and that of its pad, which lies behind the body.
fn gather(request: &Request, ctx: &mut Sendctx) {
    let pad = padded(request.payload_len) - request.payload_len as usize;
    let pad = (pad > 0).then(|| request.send.sge(HEADER_ROOM + request.body_len, pad));
    let mut count = 1;
    for (place, sge) in ctx.sges[1..].iter_mut().zip(request.payload.sges().chain(pad)) {
        *place = sge;
        count += 1;
    }
    ctx.sge_count = count;
    ctx.gathered = true;
}

// req: 8166-3.4.4.4-2
/// The body's end: copied payload, or at least its pad, which knows no other home. Returns the
/// length of what the first SGE carries behind the header.
fn inline_body(request: &mut Request, travel: Travel) -> usize {
    let mut end = HEADER_ROOM + request.body_len;
    let pad = padded(request.payload_len) - request.payload_len as usize;
    let Request { send, payload, body_len, .. } = request;
    let Some(buffer) = send.ours() else { return *body_len };
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
            *body_len
        }
        _ => *body_len,
    }
}

fn count(counters: &mut Counters, travel: Travel, len: u32) {
    let len = u64::from(len);
    match travel {
        Travel::Nothing | Travel::Gathered => {}
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
pub(crate) fn give_back(request: &mut Request) -> Call {
    let payload = Payload::again(request.role, request.payload_len, &mut request.payload);
    Call { token: request.token, payload, reply_max: request.reply_max }
}
