//! The table of request slots of a connection.

use std::collections::VecDeque;

use crate::memory::Loan;
use crate::request::Request;
use crate::xid::XidSpace;

/// All request slots, and those that are free. The last one freed is used next: its header buffer
/// is warm.
pub(crate) struct Slots {
    slots: Box<[Request]>,
    free: Vec<u32>,
    xids: XidSpace,
    /// Requests that became complete during a walk of the ring.
    finished: VecDeque<u32>,
}

impl Slots {
    /// `count` slots without header buffers.
    pub(crate) fn new(count: u32, xid_seed: u32) -> Self {
        Self {
            slots: (0..count).map(|_| Request::default()).collect(),
            free: (0..count).rev().collect(),
            xids: XidSpace::new(count, xid_seed),
            finished: VecDeque::with_capacity(count as usize),
        }
    }

    /// Gives every slot its header buffer.
    pub(crate) fn equip(&mut self, mut take: impl FnMut() -> Loan) {
        self.slots.iter_mut().for_each(|request| request.send = take());
    }

    pub(crate) fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn get(&mut self, index: u32) -> &mut Request {
        &mut self.slots[index as usize]
    }

    /// A free slot in a new life, with its XID.
    pub(crate) fn take(&mut self) -> Option<u32> {
        let index = self.free.pop()?;
        let request = &mut self.slots[index as usize];
        request.life = request.life.wrapping_add(1);
        request.xid = self.xids.xid(index, request.life);
        Some(index)
    }

    /// Puts a slot back, if nothing of it is in use.
    pub(crate) fn put_if_free(&mut self, index: u32) {
        if self.slots[index as usize].is_free() {
            self.free.push(index);
        }
    }

    pub(crate) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// The slot whose call awaits this XID.
    pub(crate) fn awaiting(&self, xid: u32) -> Option<u32> {
        let index = self.xids.slot(xid);
        self.slots.get(index as usize)?.awaits(xid).then_some(index)
    }

    /// The walk has passed this request's Send.
    ///
    /// # Safety
    /// As [`Request::send_completed`].
    pub(crate) unsafe fn send_completed(&mut self, index: u32) {
        let request = &mut self.slots[index as usize];
        // SAFETY: the caller's promise.
        unsafe { request.send_completed() };
        if request.is_complete() {
            self.finished.push_back(index);
        } else {
            self.put_if_free(index);
        }
    }

    /// Requests whose second condition the last walk fulfilled, one at a time, in Send order.
    pub(crate) fn next_finished(&mut self) -> Option<u32> {
        self.finished.pop_front()
    }

    /// When the oldest unanswered call was sent.
    pub(crate) fn oldest_ns(&self) -> Option<u64> {
        self.slots.iter().filter(|request| request.pending).map(|request| request.sent_ns).min()
    }

    /// Takes every buffer back.
    ///
    /// # Safety
    /// The queue pair is destroyed.
    pub(crate) unsafe fn reclaim_all(&mut self) {
        for request in &mut self.slots {
            // SAFETY: the caller says that neither NIC nor peer can reach these any more.
            unsafe {
                request.send.reclaim();
                request.payload.reclaim();
            }
        }
    }
}
