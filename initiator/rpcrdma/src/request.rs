//! Request slots: one RPC each, from the call to the point where nothing of it is in use.
//!
//! The rule that everything hangs on lives here. An RPC completes to its caller when its Reply has
//! arrived **and**, where its Send gathered the caller's payload, that Send has completed. And the
//! slot's header buffer has two owners, the RPC and the Send: neither alone recycles it.

use hugepages::Buffer;
use verbs::WindowAccess;
use wire::rpcrdma::{HEADER_MIN, UsualReply};

use crate::Error;
use crate::connection::HEADER_ROOM;
use crate::long_call::LongCall;
use crate::memory::Loan;
use crate::piece::{Held, SEGMENTS_MAX};
use crate::reply::{Arrival, Offered};

/// A matched Reply that waits to be handed over.
#[derive(Debug)]
pub(crate) struct Matched {
    /// Index of its Receive.
    pub(crate) receive: u32,
    /// Message length in the Receive.
    pub(crate) len: u32,
    /// What its transport header said.
    pub(crate) outcome: Result<Arrival, Box<Error>>,
}

/// One slot.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// The XID of the present call.
    pub(crate) xid: u32,
    /// The caller's.
    pub(crate) token: u64,
    /// Header and inline body.
    pub(crate) send: Loan,
    /// The caller's payload.
    pub(crate) payload: Held,
    /// What the Reply may return.
    pub(crate) offered: Offered,
    /// What decides how it travels.
    pub(crate) shape: Shape,
    /// Its place in the order of calls, for sending again.
    pub(crate) order: u64,
    /// When it was handed over for sending the first time.
    pub(crate) first_sent_ns: u64,
    /// When it was handed over for sending on this connection.
    pub(crate) sent_ns: u64,
    /// The Reply, between its arrival and the second condition.
    pub(crate) reply: Option<Matched>,
    /// Nothing is special about it: its payload is one buffer of the mount's pool or none, and its
    /// message goes inline.
    pub(crate) plain: bool,
    /// The caller waits for this RPC.
    pub(crate) pending: bool,
    /// The Send has not completed.
    pub(crate) sending: bool,
    /// The Send reads the caller's payload.
    pub(crate) gathered: bool,
    /// Of the slot's windows, in the order of the chunk's segments: the server can reach the
    /// caller's payload by those that are bound.
    pub(crate) windows: [Key; SEGMENTS_MAX],
    /// How many of them are.
    pub(crate) windows_bound: u8,
    /// The message where the server can fetch it, when it was too long to go inline.
    pub(crate) long: Option<LongCall>,
}

/// What decides how a call travels.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape {
    /// What the payload is for.
    pub(crate) role: Role,
    /// Bytes of payload.
    pub(crate) payload_len: u32,
    /// In how many pieces.
    pub(crate) pieces: u32,
    /// Largest RPC reply, without payload.
    pub(crate) reply_max: u32,
    /// Bytes of the encoded RPC message, without payload.
    pub(crate) body_len: usize,
}

/// A key per I/O: of the last bind of its window, or before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) rkey: u32,
    /// The window is bound.
    pub(crate) bound: bool,
}

impl Key {
    /// It is this key that has ended; says whether it is.
    fn end(&mut self, rkey: u32) -> bool {
        let is_this = self.bound && self.rkey == rkey;
        self.bound &= !is_this;
        is_this
    }
}

impl Request {
    /// Whether the Reply with this XID is awaited here.
    #[inline]
    pub(crate) fn awaits(&self, xid: u32) -> bool {
        self.pending && self.reply.is_none() && self.xid == xid
    }

    /// The bytes that came by Write chunk with this Reply, if it returns what the call offered; the
    /// call's key, if one was invalidated with it, has ended. `Err`: something is not as it should
    /// be, and nothing has changed.
    #[inline(always)]
    pub(crate) fn answered_by(
        &mut self,
        reply: &UsualReply,
        invalidated: Option<u32>,
    ) -> Result<Option<u32>, ()> {
        let written = match &reply.write {
            None => self.offered.none_returned(),
            Some(segment) => Some(self.offered.returned_one(segment).ok_or(())?),
        };
        match invalidated {
            Some(rkey) if !self.end_key(rkey) => Err(()),
            _ => Ok(written),
        }
    }

    /// Keeps the Reply until the call is complete.
    #[inline(always)]
    pub(crate) fn keep_reply(&mut self, matched: Matched) {
        debug_assert!(self.reply.is_none(), "it was awaited");
        // Nothing is in the place that would have to be dropped.
        std::mem::forget(self.reply.replace(matched));
    }

    /// The Reply is here: takes back what the server alone could reach. Says whether the call is
    /// complete; its keys are to be invalidated, or its Send is to complete, otherwise.
    ///
    /// # Safety
    /// As [`Request::chunks_released`], but that keys may be valid.
    #[inline(always)]
    pub(crate) unsafe fn replied(&mut self) -> bool {
        if self.any_key() {
            return false;
        }
        // SAFETY: the caller's promise, and no key is left.
        unsafe { self.chunks_released() };
        !self.is_read_by_send()
    }

    /// The same for a plain call: its caller's buffer, or the place for one, if the call is complete.
    /// `None`: it is not, or it is no plain one, and what of it may be taken back is left to
    /// [`Request::replied`].
    ///
    /// # Safety
    /// As [`Request::replied`].
    #[inline(always)]
    pub(crate) unsafe fn replied_plain(&mut self) -> Option<&mut Option<Buffer>> {
        let complete = self.windows_bound == 0 && !self.is_read_by_send();
        debug_assert!(!self.plain || self.long.is_none(), "a long call is no plain one");
        if !(self.plain && complete) {
            return None;
        }
        // SAFETY: the caller's promise for the server, and no Send reads it.
        unsafe { self.payload.reclaim_one() }
    }

    /// Whether a plain call that has its Reply waits for nothing but its Send.
    #[inline(always)]
    pub(crate) fn waits_for_send(&self) -> bool {
        self.plain && self.windows_bound == 0 && self.is_read_by_send()
    }

    /// Both conditions: the Reply is here, with the call's keys invalidated, and no Send reads the
    /// caller's payload any more.
    #[inline]
    pub(crate) fn is_complete(&self) -> bool {
        let waits = self.reply.is_none() || self.any_key() || self.is_read_by_send();
        self.pending && !waits
    }

    /// Whether a Send may still read the caller's payload.
    #[inline]
    pub(crate) fn is_read_by_send(&self) -> bool {
        self.gathered && self.sending
    }

    /// Keys that the server holds.
    pub(crate) fn keys(&self) -> impl Iterator<Item = u32> {
        let long = self.long.as_ref().map(|long| long.key);
        self.windows.iter().copied().chain(long).filter(|key| key.bound).map(|key| key.rkey)
    }

    /// Whether the server holds any.
    #[inline]
    pub(crate) fn any_key(&self) -> bool {
        self.windows_bound > 0 || self.long.as_ref().is_some_and(|long| long.key.bound)
    }

    /// A key has been invalidated; says whether it was one of this call's.
    #[inline(always)]
    pub(crate) fn end_key(&mut self, rkey: u32) -> bool {
        // The first is nearly always the only one.
        let [first, more @ ..] = &mut self.windows;
        let is_first = first.end(rkey);
        if is_first || more.iter_mut().any(|key| key.end(rkey)) {
            self.windows_bound -= 1;
            return true;
        }
        self.long.as_mut().is_some_and(|long| long.key.end(rkey))
    }

    #[cold]
    fn forget_keys(&mut self) {
        self.windows_bound = 0;
        self.windows.iter_mut().for_each(|key| key.bound = false);
    }

    /// Nothing of the slot is in use: neither the RPC nor the Send owns its header buffer.
    pub(crate) fn is_free(&self) -> bool {
        !self.pending && !self.sending
    }

    /// The Send is over: its header buffer is ours, and so is payload that it gathered.
    ///
    /// # Safety
    /// The Send's completion was implied by a completion of its queue, or the queue is drained.
    #[inline]
    pub(crate) unsafe fn send_completed(&mut self) {
        self.sending = false;
        // SAFETY: only the Send named the header buffer, and it has completed.
        unsafe { self.send.reclaim() };
        if self.gathered {
            // SAFETY: gathered payload is named by the Send alone; no key to it was advertised.
            unsafe { self.payload.reclaim() };
        }
    }

    /// The server is done with the chunks of this call.
    ///
    /// # Safety
    /// The keys of the call's windows are invalidated; or there are none, and the Reply has matched
    /// this call, which ends the server's use of its chunks (RFC 8166 §3.4); or the connection is
    /// gone. Gathered payload is left to the Send.
    #[inline]
    pub(crate) unsafe fn chunks_released(&mut self) {
        if self.windows_bound > 0 {
            self.forget_keys();
        }
        if let Some(long) = &mut self.long {
            long.key.bound = false;
            // SAFETY: only the peer reads it, by a key which the caller says is over.
            unsafe { long.message.reclaim() };
        }
        if !self.gathered {
            // SAFETY: payload that no Send gathers is reached by the peer's key alone, which the
            // caller says is over.
            unsafe { self.payload.reclaim() };
        }
    }
}

/// What the payload of a call is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// There is none.
    #[default]
    None,
    /// The last argument.
    Send,
    /// Room for a result.
    Receive,
    /// Room for the whole reply.
    Reply,
}

/// How a payload travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Travel {
    /// There is none, or the reply is expected inline.
    #[default]
    Nothing,
    /// Copied into the Send, with its pad.
    Copied,
    /// Gathered into the Send by an SGE of its own.
    Gathered,
    /// Fetched by the server from a Read chunk at this XDR position.
    ReadChunk,
    /// Placed by the server into a Write chunk.
    WriteChunk,
    /// The whole reply placed by the server into a Reply chunk.
    ReplyChunk,
}

impl Travel {
    /// What the server may do to the caller's memory, if it is told where that is.
    #[inline]
    pub(crate) fn by_chunk(self) -> Option<WindowAccess> {
        match self {
            Self::ReadChunk => Some(WindowAccess::READ),
            Self::WriteChunk | Self::ReplyChunk => Some(WindowAccess::WRITE),
            Self::Nothing | Self::Copied | Self::Gathered => None,
        }
    }

    /// Whether the NIC gets at the caller's memory.
    #[inline]
    pub(crate) fn lends(self) -> bool {
        !matches!(self, Self::Nothing | Self::Copied)
    }
}

/// Inline limits of a connection, as negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Largest message we may send.
    pub(crate) inline_send: usize,
    /// Largest message the server may send.
    pub(crate) inline_receive: usize,
    /// Largest payload that is copied rather than gathered.
    pub(crate) copy_max: usize,
    /// SGEs that the device takes in a Send.
    pub(crate) sges: usize,
}

impl Limits {
    // req: 8166-4.3.3-1
    /// Chooses the cheapest way for a call's payload that the limits allow (RFC 8166 §3.3,
    /// §3.4). Chunks are offered only where the data may not fit inline: a server uses what it is
    /// offered.
    #[inline(always)]
    pub(crate) fn choose(&self, shape: &Shape) -> Travel {
        let (len, data) = (shape.payload_len as usize, padded(shape.payload_len));
        let call = HEADER_MIN + shape.body_len;
        let reply = HEADER_MIN + shape.reply_max as usize;
        match shape.role {
            Role::None => Travel::Nothing,
            // A chunk of nothing is none: then the head alone is too long.
            Role::Send if call + data > self.inline_send && len == 0 => Travel::Nothing,
            Role::Send if call + data > self.inline_send => Travel::ReadChunk,
            Role::Send if len <= self.copy_max => Travel::Copied,
            Role::Send if shape.pieces as usize + 2 > self.sges => Travel::ReadChunk,
            Role::Send => Travel::Gathered,
            Role::Receive if reply + data <= self.inline_receive => Travel::Nothing,
            // Nor is there one for no result.
            Role::Receive if len == 0 => Travel::Nothing,
            Role::Receive => Travel::WriteChunk,
            Role::Reply if reply + len <= self.inline_receive => Travel::Nothing,
            Role::Reply => Travel::ReplyChunk,
        }
    }

    // req: 8166-3.5.3-1
    /// Whether what is left of the call, with the header that it takes, is still too long to go
    /// inline: then the message becomes a chunk as well.
    #[inline]
    pub(crate) fn is_long(&self, shape: &Shape, travel: Travel) -> bool {
        HEADER_ROOM + shape.body_len > self.inline_send && self.is_too_long(shape, travel)
    }

    #[cold]
    fn is_too_long(&self, shape: &Shape, travel: Travel) -> bool {
        travel.header_len(shape.pieces as usize) + shape.body_len > self.inline_send
    }
}

impl Travel {
    /// Most bytes of the transport header with this chunk, of so many segments, and no other.
    fn header_len(self, segments: usize) -> usize {
        let chunk = match self {
            Self::Nothing | Self::Copied | Self::Gathered => 0,
            Self::ReadChunk => 24 * segments,
            Self::WriteChunk => 8 + 16 * segments,
            Self::ReplyChunk => 4 + 16 * segments,
        };
        HEADER_MIN + chunk
    }
}

/// Length with XDR padding.
#[inline]
pub(crate) fn padded(len: u32) -> usize {
    (len as usize + 3) & !3
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
