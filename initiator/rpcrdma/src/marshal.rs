//! From a call to a Send: once the RPC message, and for each transmission the transport header.
//!
//! A call that has to be sent again on another connection keeps its RPC message byte for byte,
//! XID and all, so that the server's duplicate-request cache knows it (its key is a checksum of
//! that message). The transport header is written anew: keys and inline thresholds may differ.

use verbs::{RegionHandle, WindowAccess, WindowHandle};
use wire::rpcrdma::{Emit, EmitKind, ReadSegment, Segment};
use wire::xdr::{Full, Writer};

use crate::call::Call;
use crate::connection::HEADER_ROOM;
use crate::error::Error;
use crate::memory::Loan;
use crate::reply::Offered;
use crate::request::{Limits, Request, Role, Travel, padded, segment};
use crate::sendctx::{Bind, Sendctx};
use crate::stats::Counters;

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
pub(crate) struct Frame<'a> {
    /// Inline limits, as negotiated.
    pub(crate) limits: Limits,
    /// Credits to ask for.
    pub(crate) credits: u32,
    /// The request's window and the region of its payload, where keys are per I/O.
    pub(crate) window: Option<(WindowHandle, RegionHandle)>,
    /// Where to count.
    pub(crate) counters: &'a mut Counters,
}

impl Frame<'_> {
    /// Puts a transport header in front of an encoded message, fills the sendctx, and lends what
    /// the Send or the server will touch. On failure nothing is lent.
    #[inline]
    pub(crate) fn frame(self, request: &mut Request, ctx: &mut Sendctx) -> Result<(), Error> {
        let limit = self.limits.inline_send;
        let travel = self.limits.choose(request);
        let mut chunk = match travel {
            Travel::ReadChunk | Travel::WriteChunk | Travel::ReplyChunk => {
                segment(&request.payload, request.payload_len)
            }
            _ => Segment::default(),
        };
        let bind = self.bind(request, travel, &mut chunk);
        let start = self.header(request, travel, chunk, limit)?;
        let inline_len = inline_body(request, travel);

        if let Some(bind) = bind {
            request.window_key = bind.rkey;
            request.bound = true;
            ctx.bind = Some(bind);
        }
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
        Ok(())
    }

    /// With a key per I/O the chunk is reached through the request's window, under its next key.
    fn bind(&self, request: &Request, travel: Travel, chunk: &mut Segment) -> Option<Bind> {
        let access = match travel {
            Travel::ReadChunk => WindowAccess::READ,
            Travel::WriteChunk | Travel::ReplyChunk => WindowAccess::WRITE,
            _ => return None,
        };
        let (window, region) = self.window?;
        chunk.handle = verbs::next_rkey(request.window_key);
        let (rkey, addr, length) = (chunk.handle, chunk.offset, chunk.length);
        Some(Bind { window, region, rkey, addr, length, access })
    }

    /// Writes the transport header so that it ends where the body begins; returns where it starts.
    fn header(
        &self,
        request: &mut Request,
        travel: Travel,
        chunk: Segment,
        limit: usize,
    ) -> Result<usize, Error> {
        let read = [ReadSegment { position: request.body_len as u32, segment: chunk }];
        let segments = [chunk];
        let write: [&[_]; 1] = [&segments];
        let header = Emit {
            xid: request.xid,
            credits: self.credits,
            kind: EmitKind::Msg,
            reads: if travel == Travel::ReadChunk { &read } else { &[] },
            write_chunks: if travel == Travel::WriteChunk { &write } else { &[] },
            reply_chunk: (travel == Travel::ReplyChunk).then_some(&segments),
        };
        let bytes = header.len() + request.body_len;
        let too_long = Error::CallTooLong { bytes, limit };
        let start = HEADER_ROOM - header.len();
        let buffer = request.send.ours().filter(|_| bytes <= limit);
        let emitted = buffer.map(|buffer| header.emit(&mut buffer[start..HEADER_ROOM]));
        if matches!(emitted, Some(Ok(_))) { Ok(start) } else { Err(too_long) }
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
