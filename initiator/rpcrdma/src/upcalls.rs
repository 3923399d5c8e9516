//! What an endpoint tells whoever uses it: results, room, and the life of its connections.

use std::ops::Range;

use hugepages::Buffer;
use wire::rpc::RpcError;
use wire::xdr::Writer;

use crate::ConnectionId;
use crate::call::{Completed, PlainReply};
use crate::error::Error;
use crate::inline::Received;
use crate::stats::Counters;

/// What happens to a connection as a whole.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// RPCs can be made.
    Established,
    /// It is gone: every RPC has completed and every buffer is back with its owner.
    Closed {
        /// Why.
        cause: Error,
        /// What it had done by then.
        counters: Box<Counters>,
    },
}

/// Where results go. One value serves all connections of an endpoint.
pub trait Upcalls {
    /// An RPC has completed with a reply that nothing is special about, and `buffer` is its
    /// caller's again, to be taken. False: it was not looked at, or not found usual; then
    /// nothing has happened, and it comes by [`Upcalls::complete`].
    #[inline]
    fn complete_plain(&mut self, plain: &PlainReply<'_>, buffer: &mut Option<Buffer>) -> bool {
        let _ = (plain, buffer);
        false
    }
    /// What [`Upcalls::complete_plain`] did not take may be usual but for data that comes with it,
    /// for which the call has `room` bytes and offered no chunk: where in the RPC message that is. It
    /// is put into that room, or kept, and the RPC completes by [`Upcalls::complete_inline`]. `None`:
    /// nothing has happened, and it comes by [`Upcalls::complete`].
    #[inline]
    fn inline_data(&mut self, token: u64, rpc: &[u8], room: usize) -> Option<Range<usize>> {
        let _ = (token, rpc, room);
        None
    }
    /// An RPC has completed whose data was found by [`Upcalls::inline_data`]; `received` has it, or
    /// the buffer does, which is its caller's again, to be taken.
    #[inline]
    fn complete_inline(
        &mut self,
        token: u64,
        buffer: &mut Option<Buffer>,
        received: Option<Received>,
    ) {
        let _ = (token, buffer, received);
    }
    /// An RPC has completed, on both conditions. Returns how many payload bytes were copied out of
    /// the reply message.
    fn complete(&mut self, connection: ConnectionId, completed: Completed<'_>) -> usize;
    /// The server makes a call of its own (RFC 8167): the RPC message of the call is here, that of
    /// the reply goes to `reply`. Whoever serves no such calls says so.
    ///
    /// # Errors
    /// The error to reply with.
    fn backward_call(
        &mut self,
        connection: ConnectionId,
        call: &[u8],
        reply: &mut Writer<'_>,
    ) -> Result<(), RpcError> {
        let _ = (connection, call, reply);
        Err(RpcError::ProgUnavail)
    }
    /// There is room again after a [`Refusal::Busy`](crate::Refusal::Busy).
    fn wake(&mut self, connection: ConnectionId);
    /// The connection came up or went away.
    fn event(&mut self, connection: ConnectionId, event: Event);
}
