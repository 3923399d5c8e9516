//! The table of request slots of a connection.

use std::collections::VecDeque;

use crate::long_call::LongCall;
use crate::memory::Loan;
use crate::piece::SEGMENTS_MAX;
use crate::request::{Key, Request};
use crate::sendctx::Sendctx;
use crate::table::Table;
use crate::xid::Xids;

/// Time of sending of a call that waits to be sent again.
const UNSENT: u64 = u64::MAX;

/// All request slots, and those that are free. The last one freed is used next: its header buffer
/// is warm.
pub(crate) struct Slots {
    slots: Table<Request>,
    /// How many are used; the table may have more.
    count: u32,
    free: Vec<u32>,
    xids: Xids,
    /// Requests that became complete during a walk of the ring and are not handed over yet.
    finished: VecDeque<u32>,
    /// Requests whose Reply is here while this key of theirs is still valid.
    to_invalidate: VecDeque<(u32, u32)>,
    /// Unanswered calls of lost connections, to be sent again, oldest first.
    resend: VecDeque<u32>,
    /// Calls so far.
    calls: u64,
}

impl Slots {
    /// `count` slots with their header buffers.
    pub(crate) fn new(count: u32, xids: Xids, mut take: impl FnMut() -> Loan) -> Self {
        let slot = |number| {
            let send = if number < count { take() } else { Loan::default() };
            Request { send, ..Request::default() }
        };
        Self {
            slots: Table::new(count, slot),
            count,
            free: (0..count).rev().collect(),
            xids,
            finished: VecDeque::with_capacity(count as usize),
            to_invalidate: VecDeque::with_capacity((1 + SEGMENTS_MAX) * count as usize),
            resend: VecDeque::with_capacity(count as usize),
            calls: 0,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    #[inline(always)]
    pub(crate) fn get(&mut self, index: u32) -> &mut Request {
        &mut self.slots[index]
    }

    /// A free slot for a new call, with its XID.
    #[inline]
    pub(crate) fn take(&mut self, now_ns: u64) -> Option<(u32, &mut Request)> {
        self.next(now_ns)?;
        let index = self.free.pop()?;
        Some((index, &mut self.slots[index]))
    }

    /// The one that [`Slots::next`] has shown is taken.
    #[inline]
    pub(crate) fn taken(&mut self) {
        self.free.pop();
    }

    /// The slot that will be taken next, with an XID.
    #[inline(always)]
    pub(crate) fn next(&mut self, now_ns: u64) -> Option<(u32, &mut Request)> {
        let index = *self.free.last()?;
        let slots = &self.slots;
        let waiting = |index: u32| {
            let request = &slots[index];
            request.pending.then_some(request.xid)
        };
        let xid = self.xids.take(index, now_ns, waiting);
        let request = &mut self.slots[index];
        self.calls += 1;
        request.order = self.calls;
        request.xid = xid;
        Some((index, request))
    }

    /// A free slot for the reply to a backward call, which brings its XID along.
    pub(crate) fn take_for_reply(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// Sees to it that the XIDs do not run out.
    pub(crate) fn on_time(&mut self, now_ns: u64) {
        self.xids.on_time(now_ns);
    }

    /// Puts a slot back that is free.
    #[inline]
    pub(crate) fn put(&mut self, index: u32) {
        debug_assert!(self.slots[index].is_free(), "nothing of it is in use");
        self.free.push(index);
    }

    /// Puts a slot back, if nothing of it is in use.
    #[inline]
    pub(crate) fn put_if_free(&mut self, index: u32) {
        if self.slots[index].is_free() {
            self.free.push(index);
        }
    }

    #[inline]
    pub(crate) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// The slot whose call awaits this XID, on the connection that there is now: nothing answers a
    /// call that has yet to be sent on it.
    #[inline(always)]
    pub(crate) fn awaiting(&mut self, xid: u32) -> Option<(u32, &mut Request)> {
        let index = self.xids.slot(xid);
        let request = &mut self.slots[index];
        (request.awaits(xid) && request.sent_ns != UNSENT).then_some((index, request))
    }

    /// The planted fault: the slot whose call has the place of this XID, under whatever XID.
    #[cfg(feature = "planted-faults")]
    pub(crate) fn awaiting_any(&self, xid: u32) -> Option<u32> {
        let index = self.xids.slot(xid);
        let request = &self.slots[index];
        request.awaits(request.xid).then_some(index)
    }

    /// The planted fault: another XID for a call that is sent again.
    #[cfg(feature = "planted-faults")]
    pub(crate) fn renew_xid(&mut self, index: u32, now_ns: u64) {
        let xid = self.xids.take(index, now_ns, |_| None);
        let request = self.get(index);
        request.xid = xid;
        if let Some(buffer) = request.send.ours() {
            let at = crate::connection::HEADER_ROOM;
            buffer[at..at + 4].copy_from_slice(&xid.to_be_bytes());
        }
    }

    /// The walk has passed a place in the ring. Returns the request that is complete with it, if one
    /// is.
    ///
    /// # Safety
    /// Its work requests have completed, or the queue is drained.
    #[inline(always)]
    pub(crate) unsafe fn passed(&mut self, ctx: &Sendctx) -> Option<u32> {
        // SAFETY: the caller's promise, for the Send or for the invalidation.
        unsafe {
            match ctx.invalidate {
                None => self.send_completed(ctx.request),
                Some(rkey) => self.key_invalidated(ctx.request, rkey),
            }
        }
    }

    /// The walk has passed this request's Send.
    ///
    /// # Safety
    /// As [`Request::send_completed`].
    #[inline(always)]
    unsafe fn send_completed(&mut self, index: u32) -> Option<u32> {
        let request = &mut self.slots[index];
        // SAFETY: the caller's promise.
        unsafe { request.send_completed() };
        if request.is_complete() {
            return Some(index);
        }
        self.put_if_free(index);
        None
    }

    /// The walk has passed the invalidation of a key of this request's.
    ///
    /// # Safety
    /// The key opens nothing any more.
    #[cold]
    unsafe fn key_invalidated(&mut self, index: u32, rkey: u32) -> Option<u32> {
        let request = &mut self.slots[index];
        if !request.end_key(rkey) || request.any_key() {
            return None;
        }
        // SAFETY: the last key that the server had for this call has ended.
        unsafe { request.chunks_released() };
        request.is_complete().then_some(index)
    }

    /// Queues the invalidation of a request's keys, for when there is room for it. Returns how
    /// many there are.
    pub(crate) fn invalidate(&mut self, index: u32) -> u64 {
        let before = self.to_invalidate.len();
        let keys = self.slots[index].keys();
        self.to_invalidate.extend(keys.map(|rkey| (index, rkey)));
        (self.to_invalidate.len() - before) as u64
    }

    /// The next key to be invalidated, behind its request.
    pub(crate) fn next_to_invalidate(&mut self) -> Option<(u32, u32)> {
        self.to_invalidate.pop_front()
    }

    /// Whether keys wait to be invalidated.
    pub(crate) fn any_to_invalidate(&self) -> bool {
        !self.to_invalidate.is_empty()
    }

    /// The slots get new windows, whose keys are these.
    pub(crate) fn set_window_keys(&mut self, keys: impl Iterator<Item = u32>) {
        for (request, key) in self.slots.iter_mut().zip(keys) {
            request.windows[0] = Key { rkey: key, bound: false };
        }
    }

    /// A request is complete, and to be handed to its caller after the walk.
    pub(crate) fn finish_later(&mut self, index: u32) {
        self.finished.push_back(index);
    }

    /// The next of those, in Send order.
    pub(crate) fn next_finished(&mut self) -> Option<u32> {
        self.finished.pop_front()
    }

    /// When the oldest call that this connection owes an answer was sent.
    pub(crate) fn oldest_ns(&self) -> Option<u64> {
        let pending = self.slots.iter().filter(|request| request.pending);
        pending.map(|request| request.sent_ns).min().filter(|&sent_ns| sent_ns != UNSENT)
    }

    /// Slots that are in use for more than a Send that has yet to complete.
    pub(crate) fn in_calls(&self) -> u32 {
        let sending = self.slots.iter().filter(|request| request.sending && !request.pending);
        self.len() - self.free.len() as u32 - sending.count() as u32
    }

    /// Whether any caller waits.
    pub(crate) fn any_pending(&self) -> bool {
        self.slots.iter().any(|request| request.pending)
    }

    /// All keys ended with their queue pair. Replies that waited for that are complete.
    ///
    /// # Safety
    /// The queue pair and its windows are destroyed.
    pub(crate) unsafe fn keys_ended(&mut self) {
        self.to_invalidate.clear();
        for index in 0..self.len() {
            let request = &mut self.slots[index];
            if request.any_key() {
                // SAFETY: the caller says that no key is valid any more.
                unsafe { request.chunks_released() };
                if request.is_complete() {
                    self.finished.push_back(index);
                }
            }
        }
    }

    /// Puts every unanswered call into the queue of those to be sent again, in their order.
    ///
    /// # Safety
    /// The queue pair is destroyed: no Send and no key reaches the callers' buffers any more.
    pub(crate) unsafe fn queue_resends(&mut self) {
        self.resend.clear();
        for (index, request) in self.slots.iter_mut().enumerate() {
            if request.pending {
                // SAFETY: the caller says that the connection is gone.
                unsafe { request.chunks_released() };
                request.sent_ns = UNSENT;
                self.resend.push_back(index as u32);
            }
        }
        let slots = &self.slots;
        let order = |&index: &u32| slots[index].order;
        self.resend.make_contiguous().sort_unstable_by_key(order);
    }

    /// Whether calls wait to be sent again; new ones queue behind them.
    pub(crate) fn has_resend(&self) -> bool {
        !self.resend.is_empty()
    }

    /// How many there are.
    pub(crate) fn resends(&self) -> usize {
        self.resend.len()
    }

    /// The buffers of long calls that wait to be sent again: each transmission takes its own.
    pub(crate) fn take_long_calls(&mut self) -> impl Iterator<Item = LongCall> {
        self.slots.iter_mut().filter_map(|request| request.long.take())
    }

    /// A call that could not be sent again yet stays the next one.
    pub(crate) fn resend_later(&mut self, index: u32) {
        self.resend.push_front(index);
    }

    /// When the first of them was first sent.
    pub(crate) fn oldest_resend_ns(&self) -> Option<u64> {
        let index = self.resend.front()?;
        Some(self.slots[*index].first_sent_ns)
    }

    /// The next call to be sent again.
    pub(crate) fn next_resend(&mut self) -> Option<u32> {
        self.resend.pop_front()
    }

    /// Takes the oldest call out of the queue if it was first sent at `since_ns` or before.
    pub(crate) fn take_expired(&mut self, since_ns: u64) -> Option<u32> {
        let slots = &self.slots;
        let expired = |&index: &u32| slots[index].first_sent_ns <= since_ns;
        self.resend.pop_front_if(|index| expired(index))
    }

    /// Takes every buffer back.
    ///
    /// # Safety
    /// The queue pair is destroyed.
    pub(crate) unsafe fn reclaim_all(&mut self) {
        for request in self.slots.iter_mut() {
            // SAFETY: the caller says that neither NIC nor peer can reach these any more.
            unsafe {
                request.send.reclaim();
                request.chunks_released();
                request.payload.reclaim();
            }
        }
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
