//! From a call to a Send: once the RPC message, and for each transmission the transport header.
//!
//! A call that has to be sent again on another connection keeps its RPC message byte for byte,
//! XID and all, so that the server's duplicate-request cache knows it (its key is a checksum of
//! that message). The transport header is written anew: keys and inline thresholds may differ.

use verbs::{ProtectionDomain, WindowAccess};
use wire::rpcrdma::{Emit, EmitKind, ReadSegment, Segment};
use wire::xdr::{Full, Writer};

use crate::call::Call;
use crate::connection::HEADER_ROOM;
use crate::error::Error;
use crate::long_call::LongCalls;
use crate::memory::Loan;
use crate::reply::Offered;
use crate::request::{Key, Request, Role, Travel, padded, segment};
use crate::sendctx::Sendctx;
use crate::stats::Counters;
use crate::windows::Windows;

/// Writes the RPC message into the request's header buffer and takes the call's payload over.
/// On failure the call comes back untouched.
#[inline]
pub(crate) fn encode(
    request: &mut Request,
    call: Call,
    encode: impl FnOnce(u32, &mut Writer<'_>) -> Result<(), Full>,
) -> Result<(), (Error, Call)> {
    let xid = request.xid;
    let (role, len, room) = call.payload.shape();
    if len as usize > room {
        let (name, value) = ("payload length", len.into());
        let allowed = "up to its buffer's length";
        return Err((Error::Setting { name, value, allowed }, call));
    }
    let Some(buffer) = request.send.ours() else {
        debug_assert!(false, "a free slot has its header buffer");
        return Err((Error::CallTooLong { bytes: 0, limit: 0 }, call));
    };
    let limit = buffer.len() - HEADER_ROOM;
    let mut body = Writer::new(&mut buffer[HEADER_ROOM..]);
    if let Err(full) = encode(xid, &mut body) {
        return Err((Error::CallTooLong { bytes: full.needed, limit }, call));
    }
    request.body_len = body.position();
    request.token = call.token;
    request.role = role;
    request.payload_len = len;
    request.reply_max = call.reply_max;
    request.payload = call.payload.into_buffer().map_or(Loan::Vacant, Loan::Ours);
    Ok(())
}

/// What a transmission needs to know of its connection.
pub(crate) struct Frame<'a, D: ProtectionDomain> {
    /// How the payload travels.
    pub(crate) travel: Travel,
    /// Credits to ask for.
    pub(crate) credits: u32,
    /// One for the payload of each request slot, where keys are per I/O.
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
        let chunk = self.payload_chunk(request, ctx);
        let message = self.message_chunk(request, ctx);
        let start = self.header(request, chunk, message);
        let inline_len = if message.is_some() { 0 } else { inline_body(request, travel) };

        ctx.sges[0] = request.send.sge(start, HEADER_ROOM - start + inline_len);
        ctx.sge_count = 1;
        if travel == Travel::Gathered {
            let (len, end) = (request.payload_len as usize, HEADER_ROOM + request.body_len);
            ctx.gathered = true;
            ctx.sges[1] = request.payload.sge(0, len);
            ctx.sge_count = 2;
            let pad = padded(request.payload_len) - len;
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
        count(self.counters, travel, request.payload_len);
    }

    /// The payload as the server is to reach it. With a key per I/O that is through the request's
    /// window, bound in front of the Send.
    #[inline]
    fn payload_chunk(&self, request: &mut Request, ctx: &mut Sendctx) -> Segment {
        let access = match self.travel {
            Travel::ReadChunk => WindowAccess::READ,
            Travel::WriteChunk | Travel::ReplyChunk => WindowAccess::WRITE,
            _ => return Segment::default(),
        };
        let chunk = segment(&request.payload, request.payload_len);
        let (chunk, bind) = self.windows.bind(ctx.request, request.window, chunk, access);
        if let Some(bind) = bind {
            request.window = Key { rkey: bind.rkey, bound: true };
            ctx.binds[0] = Some(bind);
        }
        chunk
    }

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
            ctx.binds[1] = Some(bind);
        }
        long.message.lend();
        Some(chunk)
    }

    /// Writes the transport header so that it ends where the body begins; returns where it starts.
    /// `message` is the chunk with the message, if that is no body but one.
    fn header(&self, request: &mut Request, chunk: Segment, message: Option<Segment>) -> usize {
        let travel = self.travel;
        let reads = [
            ReadSegment { position: 0, segment: message.unwrap_or_default() },
            ReadSegment { position: request.body_len as u32, segment: chunk },
        ];
        let first = usize::from(message.is_none());
        let last = 1 + usize::from(travel == Travel::ReadChunk);
        let segments = [chunk];
        let write: [&[_]; 1] = [&segments];
        let header = Emit {
            xid: request.xid,
            credits: self.credits,
            kind: if message.is_none() { EmitKind::Msg } else { EmitKind::NoMsg },
            reads: &reads[first..last],
            write_chunks: if travel == Travel::WriteChunk { &write } else { &[] },
            reply_chunk: (travel == Travel::ReplyChunk).then_some(&segments),
        };
        let start = HEADER_ROOM - header.len();
        let emitted =
            request.send.ours().map(|buffer| header.emit(&mut buffer[start..HEADER_ROOM]));
        debug_assert!(matches!(emitted, Some(Ok(_))), "there is room for any header");
        start
    }
}

/// The body's end: copied payload, or at least its pad, which knows no other home. Returns the
/// length of what the first SGE carries behind the header.
fn inline_body(request: &mut Request, travel: Travel) -> usize {
    let end = HEADER_ROOM + request.body_len;
    let len = request.payload_len as usize;
    let pad = padded(request.payload_len) - len;
    let Request { send, payload, body_len, .. } = request;
    let Some(buffer) = send.ours() else { return *body_len };
    match (travel, payload.ours()) {
        (Travel::Copied, Some(data)) => {
            buffer[end..end + len].copy_from_slice(&data[..len]);
            buffer[end + len..end + len + pad].fill(0);
            *body_len + len + pad
        }
        (Travel::Gathered, _) => {
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
            counters.total_rdma_request += len;
        }
        Travel::WriteChunk => counters.write_chunk_count += 1,
        Travel::ReplyChunk => counters.reply_chunk_count += 1,
    }
}

/// Undoes [`encode`]: the call as it was given.
pub(crate) fn give_back(request: &mut Request) -> Call {
    let len = request.payload_len;
    let payload = request.role.payload(request.payload.take(), len);
    Call { token: request.token, payload, reply_max: request.reply_max }
}

impl Role {
    fn payload(self, buffer: Option<hugepages::Buffer>, len: u32) -> crate::Payload {
        match (self, buffer) {
            (Self::Send, Some(buffer)) => crate::Payload::Send { buffer, len },
            (Self::Receive, Some(buffer)) => crate::Payload::Receive { buffer, len },
            (Self::Reply, Some(buffer)) => crate::Payload::Reply { buffer, len },
            _ => crate::Payload::None,
        }
    }
}
