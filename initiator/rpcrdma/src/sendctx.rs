//! The sendctx ring: who may touch what a Send names, and until when.
//!
//! A Send is not over when its Reply arrives. The NIC may still be retrying it, and reads its
//! memory again each time it does. So everything a Send names is held in a slot of this ring from
//! the moment the Send is prepared until the Send itself is known to have completed.
//!
//! - **get**: the sender takes the slot at the head and fills it with the Send's SGEs. No slot, or
//!   no room for its work requests, means that the Send Queue is as full as it may get: the caller
//!   waits. That is the whole of Send Queue accounting.
//! - **unget**: a Send that could not be prepared gives its slot back as if it had never asked.
//! - **put**: Sends complete in order, and only one in N asks for a completion. Each completion
//!   therefore stands for every Send up to it: the walk goes from the tail to that Send and
//!   releases each slot it passes.
//!
//! Why that is safe: a reliable queue pair completes its Sends in the order in which they were
//! posted, so a completion for number k says that the NIC is done with 1..=k. Slots are numbered,
//! not indexed: a completion that is stale or reported twice names a number outside
//! (tail, head] and releases nothing.
//!
//! Threading: lock-free and wait-free, one [`Getter`] and one [`Putter`], on one thread or two.
//! `head` is written by the getter alone and `tail` by the putter alone; the Release store of
//! each pairs with the other's Acquire load and hands the slots over.
//!
//! Faults survived: completions held back for any time, lost (an error drains with
//! [`Putter::put_all`]), repeated, or of a queue pair that is gone; numbers that wrap.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use verbs::{Bind, Sge};

use crate::sync::{Arc, AtomicU32, Cell, hand_over};
use crate::table::Table;

/// SGEs in one Send: header and inline body together, gathered payload, its XDR pad.
pub const SGES_MAX: usize = 2 + crate::SEGMENTS_MAX;

/// What one Send names, from get to put.
#[derive(Debug, Default)]
pub struct Sendctx {
    /// The message. The first SGE is the request's own header buffer, mapped for the life of the
    /// connection; the others are payload, released by the walk.
    pub sges: [Sge; SGES_MAX],
    /// How many of them are used.
    pub sge_count: u8,
    /// Whether payload of the caller's is among them.
    pub gathered: bool,
    /// The window that is bound right before the Send, for the chunk that it offers.
    pub bind: Option<Bind>,
    /// Those of the chunk's other segments, and of the chunk of a long call. Their memory stays
    /// with the slot.
    pub more_binds: Vec<Bind>,
    /// No Send, but the invalidation of this key; it goes through the ring like one.
    pub invalidate: Option<u32>,
    /// The request that this Send carries.
    pub request: u32,
    /// Send Queue entries: the Send and whatever is chained in front of it.
    wrs: u32,
    /// And those of all Sends before, wrapping.
    wrs_end: u32,
}

impl Sendctx {
    /// The SGEs to post.
    #[must_use]
    pub fn sges(&self) -> &[Sge] {
        &self.sges[..usize::from(self.sge_count)]
    }

    /// Adds a window to be bound.
    #[inline]
    pub(crate) fn push_bind(&mut self, bind: Bind) {
        if self.bind.is_none() {
            self.bind = Some(bind);
        } else {
            self.more_binds.push(bind);
        }
    }

    /// Ends the Send's claim on everything but its place in the ring.
    fn clear(&mut self) {
        self.sge_count = 0;
        self.gathered = false;
        self.bind = None;
        self.more_binds.clear();
        self.invalidate = None;
    }
}

struct Ring {
    /// A slot's number leads to it. There may be more than are ever handed out at a time.
    slots: Table<Cell<Sendctx>>,
    /// How many are.
    len: u32,
    /// Number of the last slot handed out; the getter's.
    head: AtomicU32,
    /// Number of the last slot released; the putter's.
    tail: AtomicU32,
    /// Work requests released so far, wrapping; the putter's.
    wrs_released: AtomicU32,
}

// SAFETY: a slot is reached by the getter while its number is above `head` or not yet posted, and
// by the putter once its number is in (tail, head] and the NIC has completed it. The Release and
// Acquire pairs on `head` and `tail` order the two, so no slot is ever reached from both.
unsafe impl Sync for Ring {}

/// Makes a ring of `slots` places whose Sends may together occupy `send_wr_max` work requests.
///
/// # Panics
/// If either is zero, or `slots` does not fit the numbering (2³¹).
#[must_use]
pub fn ring(slots: u32, send_wr_max: u32) -> (Getter, Putter) {
    assert!(slots > 0 && slots < 1 << 31 && send_wr_max > 0, "a ring needs slots and a queue");
    let ring = Arc::new(Ring {
        slots: Table::new(slots, |_| Cell::default()),
        len: slots,
        head: AtomicU32::new(0),
        tail: AtomicU32::new(0),
        wrs_released: AtomicU32::new(0),
    });
    let limit = Limit { number: slots, wrs: send_wr_max };
    let getter = Getter { ring: ring.clone(), head: 0, wrs_taken: 0, send_wr_max, limit };
    (getter, Putter { ring, tail: 0 })
}

/// The sender's end.
pub struct Getter {
    ring: Arc<Ring>,
    /// The number of the last slot taken.
    head: u32,
    wrs_taken: u32,
    send_wr_max: u32,
    /// As of when the putter's side was last looked at, which is not before it is needed.
    limit: Limit,
}

/// How far the getter may go, wrapping as what it is compared with.
#[derive(Clone, Copy, Debug)]
struct Limit {
    /// The number of the last slot that is free.
    number: u32,
    /// Work requests taken in all.
    wrs: u32,
}

impl Getter {
    /// Takes the next slot, which is empty, for a Send of `wrs` work requests. `None`: the queue is
    /// full, wait for a completion.
    #[inline(always)]
    pub fn get(&mut self, wrs: u32) -> Option<&mut Sendctx> {
        if !self.is_within(self.limit, wrs) {
            self.limit = self.look();
            if !self.is_within(self.limit, wrs) {
                return None;
            }
        }
        self.head = self.head.wrapping_add(1);
        self.wrs_taken = self.wrs_taken.wrapping_add(wrs);
        // SAFETY: the slot was free (its number is above what the putter has seen as head), so
        // neither the putter nor the NIC reaches it until the head is published below and the
        // Send posted; `&mut self` keeps the reference unique on this side.
        let slot = unsafe { &mut *self.ring.slots[self.head].get() };
        (slot.wrs, slot.wrs_end) = (wrs, self.wrs_taken);
        // The putter looks at this slot only after a completion of its Send, which is posted
        // after the caller is done with the reference.
        self.ring.head.store(self.head, hand_over());
        Some(slot)
    }

    /// Whether [`Getter::get`] would succeed.
    #[must_use]
    pub fn has_room(&self, wrs: u32) -> bool {
        self.is_within(self.limit, wrs) || self.is_within(self.look(), wrs)
    }

    #[inline]
    fn is_within(&self, limit: Limit, wrs: u32) -> bool {
        limit.number != self.head && limit.wrs.wrapping_sub(self.wrs_taken) >= wrs
    }

    /// The limit now. The putter only ever moves it on, so an earlier one is safe too.
    #[cold]
    fn look(&self) -> Limit {
        Limit {
            number: self.ring.tail.load(Acquire).wrapping_add(self.ring.len),
            wrs: self.ring.wrs_released.load(Relaxed).wrapping_add(self.send_wr_max),
        }
    }

    /// Gives back the slot of the latest [`Getter::get`], whose Send was never posted.
    pub fn unget(&mut self) {
        debug_assert_ne!(self.head, self.ring.tail.load(Relaxed), "unget without get");
        // SAFETY: the slot is the one that `get` handed out last and nothing was posted from it:
        // it is still the getter's.
        let slot = unsafe { &mut *self.ring.slots[self.head].get() };
        slot.clear();
        self.wrs_taken = self.wrs_taken.wrapping_sub(slot.wrs);
        self.head = self.head.wrapping_sub(1);
        self.ring.head.store(self.head, hand_over());
    }

    /// The number of the slot taken last; it goes into the Send's work request id.
    #[inline]
    #[must_use]
    pub fn head(&self) -> u32 {
        self.head
    }

    /// The `count` slots taken last, oldest first, with their numbers: the chain to post.
    ///
    /// None of them may have been posted yet.
    #[inline]
    pub fn latest(&self, count: u32) -> impl Iterator<Item = (u32, &Sendctx)> {
        assert!(count <= self.ring.len, "a chain is no longer than the ring");
        let mut number = self.head.wrapping_sub(count);
        std::iter::from_fn(move || {
            if number == self.head {
                return None;
            }
            number = number.wrapping_add(1);
            // SAFETY: taken and not yet posted, so no completion can name it and the putter does
            // not reach it; shared access from `&self` excludes `get` and `unget`.
            Some((number, unsafe { &*self.ring.slots[number].shared() }))
        })
    }
}

/// The completion handler's end.
pub struct Putter {
    ring: Arc<Ring>,
    /// The number of the last slot released.
    tail: u32,
}

/// A completion for a Send that is not in flight: of an earlier life, or reported twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("completion of Send {number}, but only {tail}+1..={head} are in flight")]
pub struct StaleCompletion {
    /// What the completion named.
    pub number: u32,
    /// Last released.
    pub tail: u32,
    /// Last handed out.
    pub head: u32,
}

impl Putter {
    /// Send `number` has completed, and with it every Send before it: walks up to it and releases
    /// each slot in order. Returns how many.
    pub fn put(
        &mut self,
        number: u32,
        release: impl FnMut(&Sendctx),
    ) -> Result<u32, StaleCompletion> {
        let head = self.ring.head.load(Acquire);
        let tail = self.tail;
        let in_flight = head.wrapping_sub(tail);
        let count = number.wrapping_sub(tail);
        if count == 0 || count > in_flight {
            return Err(StaleCompletion { number, tail, head });
        }
        self.walk(count, release);
        Ok(count)
    }

    /// The queue pair is drained: whatever is still in the ring will never see a completion of its
    /// own. Releases it all.
    pub fn put_all(&mut self, release: impl FnMut(&Sendctx)) -> u32 {
        let count = self.in_flight();
        self.walk(count, release);
        count
    }

    /// Slots handed out and not released.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.ring.head.load(Acquire).wrapping_sub(self.tail)
    }

    #[inline]
    fn walk(&mut self, count: u32, mut release: impl FnMut(&Sendctx)) {
        let end = self.tail.wrapping_add(count);
        let (mut number, mut wrs) = (self.tail, self.ring.wrs_released.load(Relaxed));
        while number != end {
            number = number.wrapping_add(1);
            // SAFETY: the number is in (tail, head] and its Send has completed, so the NIC is done
            // with it and the getter will not reach it before the tail is published below.
            let slot = unsafe { &mut *self.ring.slots[number].get() };
            release(slot);
            wrs = slot.wrs_end;
            slot.clear();
        }
        self.tail = end;
        // One Release for the batch. The getter's Acquire of the tail also covers the work
        // request count, which is stored before it.
        self.ring.wrs_released.store(wrs, Relaxed);
        self.ring.tail.store(end, hand_over());
    }
}

#[cfg(any(test, feature = "ring-ops"))]
#[path = "sendctx_ops.rs"]
pub mod ops;

#[cfg(all(test, not(feature = "loom")))]
#[path = "sendctx_tests.rs"]
mod tests;

#[cfg(all(test, feature = "loom"))]
#[path = "sendctx_loom.rs"]
mod model;
