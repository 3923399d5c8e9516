//! The server as a caller (RFC 8167), by order: NFSv3 has no use for it, so the calls are such as a
//! client has to refuse, and made to look as much like a reply as they can: their XIDs are those of
//! calls that the client awaits replies to.

use hugepages::Buffer;
use verbs::{Op, Provider};
use wire::rpc::{self, CallHeader, OpaqueAuth, Reply as RpcReply, RpcError};
use wire::rpcrdma::{Emit, EmitKind, Header, Kind, ReadSegment, Segment};
use wire::xdr::{Decode, Reader, Writer};

use super::Service;
use super::answer::sge;
use super::connection::Connection;
use super::send_queue::{Held, Wr};
use crate::misbehave::Misbehaviour;
use crate::stats::Stats;

/// A program that nobody serves.
const PROGRAM: u32 = 0x2000_0167;
/// Calls that are asked to be taken at once.
const CREDITS: u32 = 32;

/// What the orders say about the next call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    None,
    Call,
    CallWithChunk,
}

impl<P: Provider> Connection<P> {
    /// Makes the calls that are ordered, while there is room beyond `kept` entries.
    pub(super) fn call_back(&mut self, xid: u32, kept: u32, service: &Service) {
        while self.send_queue.room() > kept {
            let Some(mut buffer) = self.inline() else { return };
            let order = service.nfs.switch.consult(|orders| {
                if Misbehaviour::take(&mut orders.backward_calls) {
                    Order::Call
                } else if Misbehaviour::take(&mut orders.backward_chunks) {
                    Order::CallWithChunk
                } else {
                    Order::None
                }
            });
            if order == Order::None {
                return;
            }
            let Some(len) = compose(xid, order, &mut buffer) else { return };
            service.nfs.stats.backward_calls.add(1);
            self.backward_open += 1;
            let send = Wr { op: Op::Send, sge: sge(&buffer, len) };
            let held = Held::Reply { inline: buffer.lend(), staged: None };
            self.send_queue.push(held, [send], false);
        }
    }
}

fn compose(xid: u32, order: Order, buffer: &mut Buffer) -> Option<usize> {
    let segment = Segment { handle: 1, length: 64, offset: 0 };
    let read = [ReadSegment { position: 40, segment }];
    let header = Emit {
        xid,
        credits: CREDITS,
        kind: EmitKind::Msg,
        reads: if order == Order::CallWithChunk { &read } else { &[] },
        write_chunks: &[],
        reply_chunk: None,
    };
    let len = header.emit(buffer).ok()?;
    let mut body = Writer::new(&mut buffer[len..]);
    let none = OpaqueAuth::NONE;
    let (rpc_vers, prog, vers, procedure) = (rpc::VERSION, PROGRAM, 1, 0);
    let call = CallHeader { xid, rpc_vers, prog, vers, procedure, cred: none, verf: none };
    body.value(&call).ok()?;
    Some(len + body.position())
}

/// Whether a message answers a call of the server's; what it says is counted.
pub(super) fn is_answer(message: &[u8], stats: &Stats) -> bool {
    let Ok(header) = Header::parse(message) else { return false };
    if let Kind::Error(_) = header.kind {
        stats.backward_errors.add(1);
        return true;
    }
    let reply = RpcReply::decode(&mut Reader::new(&message[header.len..]));
    let Ok(reply) = reply else { return false };
    stats.backward_replies.add(1);
    stats.backward_refused.add(u64::from(reply.outcome == Err(RpcError::ProgUnavail)));
    true
}
