//! Calls about which nothing is special, and that is nearly all of them: an RPC message that goes
//! inline, with one buffer of the mount's pool or none, on a connection that has room.
//!
//! What [`Endpoint::call`](crate::Endpoint::call) decides step by step is decided here by a few
//! comparisons, all of them before anything has changed. Whatever they do not let pass goes the
//! long way, where it is found out what is the matter.

use std::rc::Rc;

use hugepages::{Buffer, Keys};
use reactor::Timestamp;
use verbs::{Provider, Sge};
use wire::rpcrdma::{ReadSegment, Segment, usual};

use crate::connection::{Connection, HEADER_ROOM};
use crate::marshal::{count, put_before_body};
use crate::request::{Role, Shape, Travel};
use crate::state::State;

/// A call about which nothing is special.
#[derive(Clone, Copy, Debug)]
pub struct PlainCall {
    /// As [`Call::token`](crate::Call::token).
    pub token: u64,
    /// What the buffer is for.
    pub payload: PlainPayload,
    /// Bytes of it.
    pub len: u32,
    /// As [`Call::reply_max`](crate::Call::reply_max).
    pub reply_max: u32,
}

/// The bulk data of a plain call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainPayload {
    /// None, and the buffer is not looked at.
    None,
    /// As [`Payload::Send`](crate::Payload::Send).
    Send,
    /// As [`Payload::Receive`](crate::Payload::Receive).
    Receive,
}

/// The RPC message of a plain call. (No closure, of which nobody can ask that it be inlined.)
pub trait PlainMessage {
    /// Writes it with this XID, up to and including the length word of a [`PlainPayload::Send`], and
    /// returns its length. `None`: it takes [`Endpoint::call`](crate::Endpoint::call).
    fn put(self, xid: u32, out: &mut [u8]) -> Option<usize>;
}

impl PlainPayload {
    #[inline(always)]
    fn role(self) -> Role {
        match self {
            Self::None => Role::None,
            Self::Send => Role::Send,
            Self::Receive => Role::Receive,
        }
    }
}

impl<P: Provider> Connection<P> {
    /// Takes a call, if nothing is special about it and there is room; false otherwise, and
    /// nothing has happened. The buffer is taken out where there is payload.
    #[inline(always)]
    pub(crate) fn call_plain(
        &mut self,
        call: PlainCall,
        buffer: &mut Option<Buffer>,
        now: Timestamp,
        rpc: impl PlainMessage,
    ) -> bool {
        let PlainCall { payload, len, reply_max, .. } = call;
        let Self { slots, sender, windows, counters, .. } = self;
        let ready = self.state == State::Established && self.credits.available();
        if !ready || slots.has_resend() {
            return false;
        }
        let (mut addr, mut keys, mut data) = (0, Keys::default(), &[][..]);
        if payload != PlainPayload::None {
            let Some(buffer) = buffer else { return false };
            let Some(bytes) = buffer.get(..len as usize) else { return false };
            // One that needs a pad has another SGE for that.
            let odd = payload == PlainPayload::Send && !len.is_multiple_of(4);
            if odd || !Rc::ptr_eq(buffer.region(), &self.payloads.region) {
                return false;
            }
            (addr, keys, data) = (buffer.addr(), buffer.keys(), bytes);
        }
        let Some((index, request)) = slots.next(now.0) else { return false };
        let (xid, credits) = (request.xid, self.config.max_requests);
        let Some(place) = request.payload.vacant() else { return false };
        let Some(message) = request.send.ours() else { return false };
        let (header_addr, header_lkey) = (message.addr(), message.keys().lkey);
        let Some((header, body)) = message.split_first_chunk_mut::<HEADER_ROOM>() else {
            return false;
        };
        let Some(body_len) = rpc.put(xid, body) else { return false };
        let role = payload.role();
        let pieces = u32::from(payload != PlainPayload::None);
        let shape = Shape { role, payload_len: len, pieces, reply_max, body_len };
        let travel = self.limits.choose(&shape);
        if HEADER_ROOM + body_len > self.limits.inline_send {
            return false;
        }
        let mut message_len = body_len;
        if travel == Travel::Copied {
            let Some(room) = body.get_mut(body_len..body_len + data.len()) else { return false };
            room.copy_from_slice(data);
            message_len += data.len();
        }
        let Some(ctx) = sender.getter.get(windows.wrs_per_call(1)) else { return false };

        // From here on it is on its way.
        let start = match travel.by_chunk() {
            Some(access) => {
                let mut segment = Segment { handle: keys.rkey, length: len, offset: addr };
                let key = &mut request.windows[0];
                if let Some(bind) = windows.bind((index, 0), key, &mut segment, None, access) {
                    ctx.bind = Some(bind);
                    request.windows_bound = 1;
                }
                request.offered.one(travel, segment);
                if travel == Travel::WriteChunk {
                    put_before_body(header, &usual::with_write(xid, credits, segment))
                } else {
                    let read = ReadSegment { position: body_len as u32, segment };
                    put_before_body(header, &usual::with_read(xid, credits, read))
                }
            }
            None => {
                request.offered.begin(travel);
                put_before_body(header, &usual::without_lists(xid, credits))
            }
        };
        ctx.request = index;
        ctx.sge_count = 1;
        ctx.sges[0] = Sge {
            addr: header_addr + start as u64,
            length: (HEADER_ROOM - start + message_len) as u32,
            lkey: header_lkey,
        };
        if travel == Travel::Gathered {
            ctx.sges[1] = Sge { addr, length: len, lkey: keys.lkey };
            (ctx.sge_count, ctx.gathered) = (2, true);
        }
        if payload != PlainPayload::None {
            place.hold_one(buffer, len);
            if travel.lends() {
                place.lend();
            }
        }
        request.send.lend();
        (request.shape, request.token) = (shape, call.token);
        (request.first_sent_ns, request.sent_ns) = (now.0, now.0);
        request.gathered = travel == Travel::Gathered;
        (request.plain, request.pending, request.sending) = (true, true, true);
        count(counters, travel, len);
        counters.sends += 1;
        let alone = ctx.bind.is_none();
        sender.prepared(travel == Travel::Gathered, alone);
        slots.taken();
        self.credits.take();
        self.last_call = now;
        true
    }
}
