//! Calls in the reverse direction (RFC 8167): the server's, on our connection.
//!
//! They have credits of their own, [`BACKCHANNEL_SLOTS`], granted in each reply; they share the
//! Receives, of which there are as many more, and their replies take places in the ring and request
//! slots like any Send. What comes in excess of the grant is dropped. There are no chunks in this
//! direction: whoever offers some is told so (RFC 8167 §5.3).

use std::collections::VecDeque;

use verbs::Provider;
use wire::rpc::Reply;
use wire::rpcrdma::{Emit, EmitKind, ErrorBody, Header, Kind, emit_error};
use wire::xdr::Writer;

use crate::config::BACKCHANNEL_SLOTS;
use crate::connection::Connection;
use crate::state::State;
use crate::{ConnectionId, Upcalls};

/// Message type of a call (RFC 5531 §9); the second word of an RPC message.
const RPC_CALL: [u8; 4] = 0u32.to_be_bytes();

/// Backward calls that wait to be answered, with their Receives and lengths.
pub(crate) type Backlog = VecDeque<(u32, u32)>;

/// Room for as many as are granted.
pub(crate) fn backlog() -> Backlog {
    VecDeque::with_capacity(BACKCHANNEL_SLOTS as usize)
}

/// Whether a message is a call: by its message type, or because replies have no Read list. That its
/// XID is `known` as that of a call of ours says nothing of its direction (RFC 8167 §2.4.1).
pub(crate) fn is_call(header: &Header<'_>, message: &[u8], known: bool) -> bool {
    match header.kind {
        Kind::Msg => {
            let rpc = message.get(header.len..header.len + 8);
            rpc.is_some_and(|rpc| rpc[..4] == header.xid.to_be_bytes() && rpc[4..] == RPC_CALL)
        }
        // One whose message is in a chunk; with the XID of a call of ours it is a bad reply.
        Kind::NoMsg => !header.reads.is_empty() && !known,
        Kind::Error(_) => false,
    }
}

impl<P: Provider> Connection<P> {
    /// Takes a call that has arrived, if it is within the grant.
    pub(crate) fn on_backward_call(&mut self, receive: u32, len: u32) {
        self.counters.backward_calls += 1;
        if self.backlog.len() >= BACKCHANNEL_SLOTS as usize {
            self.counters.backward_dropped += 1;
            return self.receives.release(receive);
        }
        self.backlog.push_back((receive, len));
        self.restless = true;
    }

    /// Answers calls that wait, as far as there is room for replies.
    pub(crate) fn answer_backward(&mut self, up: &mut impl Upcalls) {
        while self.state == State::Established
            && let Some(&(receive, len)) = self.backlog.front()
            && self.sender.getter.has_room(1)
            && let Some(index) = self.slots.take_for_reply()
        {
            self.backlog.pop_front();
            let request = self.slots.get(index);
            let room = self.limits.inline_send;
            let message = self.receives.message(receive, len);
            let reply_len = request.send.ours().map_or(0, |buffer| {
                let room = room.min(buffer.len());
                answer(self.id, message, &mut buffer[..room], up)
            });
            self.receives.release(receive);
            let ctx = if reply_len > 0 { self.sender.getter.get(1) } else { None };
            let Some(ctx) = ctx else {
                self.slots.put_if_free(index);
                continue;
            };
            ctx.request = index;
            ctx.sges[0] = request.send.sge(0, reply_len);
            ctx.sge_count = 1;
            request.send.lend();
            (request.sending, request.gathered) = (true, false);
            self.counters.sends += 1;
            self.sender.prepared(false, true);
        }
    }
}

// req: 8166-3.3.1-2, 8166-4.3.1-1, 8166-4.5.2-1
/// Writes the reply to a backward call; returns its length.
fn answer(id: ConnectionId, message: &[u8], out: &mut [u8], up: &mut impl Upcalls) -> usize {
    let Ok(header) = Header::parse(message) else { return 0 };
    let (xid, credits) = (header.xid, BACKCHANNEL_SLOTS);
    if !header.reads.is_empty() || !header.writes.is_empty() || header.reply.is_some() {
        return emit_error(xid, credits, ErrorBody::Chunk, out).unwrap_or(0);
    }
    let kind = EmitKind::Msg;
    let emit = Emit { xid, credits, kind, reads: &[], write_chunks: &[], reply_chunk: None };
    let Ok(header_len) = emit.emit(out) else { return 0 };
    let mut body = Writer::new(&mut out[header_len..]);
    let answered = up.backward_call(id, &message[header.len..], &mut body);
    let body_len = match answered {
        Ok(()) => Some(body.position()),
        Err(error) => {
            let mut body = Writer::new(&mut out[header_len..]);
            body.value(&Reply::error(xid, error)).ok().map(|()| body.position())
        }
    };
    body_len.map_or(0, |len| header_len + len)
}

#[cfg(test)]
#[path = "backward_tests.rs"]
mod tests;
