//! A bounded ring of messages from many senders to one receiver, made so that a message crosses
//! from core to core in one cache line.
//!
//! Places are numbered from 0 and never start again; the low bits of a number lead to the slot. A
//! sender claims the next number, writes the message into its slot and then the number behind it,
//! into the same line. The receiver knows the number that it waits for and looks at nothing but
//! that slot; so an empty ring costs it a line that it has already, and a message one transfer.
//!
//! It frees places by counting how many it has taken, on a line of its own. Senders look there only
//! when all places that they know of are claimed, and share what they saw, so that they need no
//! word from the receiver for as many messages as the ring holds. No slot is ever written by the
//! receiver, and the ring holds exactly what it was made for, however many slots that takes.
//!
//! Threading: any number of [`Sender`]s and one [`Receiver`], each on any thread. Senders never
//! block, but for the loser's second try where two claim at once. A sender that stops between
//! claim and publication holds up what was sent after it, as it would behind a lock.
//!
//! Faults survived: a receiver that goes away, which refuses what comes later and drops what came
//! before, whatever that owns, this ring's senders included; a sender that is in the middle of it
//! then is waited for.

use std::mem::MaybeUninit;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::sync::{Arc, AtomicU64, Handover, UnsafeCell, hand_over, yield_now};

/// In the tail: no more messages. A closed tail is beyond every limit.
const CLOSED: u64 = 1 << 63;

/// Why a message was not taken. It is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
}

/// A ring for `capacity` messages, at least one. Every sender may look at `about`.
pub(super) fn ring<T, A>(capacity: usize, about: A) -> (Sender<T, A>, Receiver<T, A>) {
    let slots = (0..capacity.next_power_of_two()).map(|_| Slot::new()).collect();
    let ring = Arc::new(Ring {
        claims: Line(Claims { tail: AtomicU64::new(0), limit: AtomicU64::new(capacity as u64) }),
        taken: Line(AtomicU64::new(0)),
        slots,
        capacity: capacity as u64,
        about,
    });
    (Sender(ring.clone()), Receiver { ring, head: 0 })
}

struct Ring<T, A> {
    claims: Line<Claims>,
    /// How many messages the receiver has moved out. Only it writes.
    taken: Line<AtomicU64>,
    /// As many as a power of two. What follows is never written again.
    slots: Box<[Slot<T>]>,
    capacity: u64,
    about: A,
}

/// What senders share.
struct Claims {
    /// The number to be claimed next.
    tail: AtomicU64,
    /// The first number that was not free when a sender last looked. It may be behind, never ahead.
    limit: AtomicU64,
}

/// Shares no cache line with anything else, nor the neighbour that is fetched along with it.
#[repr(align(128))]
struct Line<T>(T);

/// One cache line, as long as the message leaves room for the number.
#[repr(align(64))]
struct Slot<T> {
    /// One more than the number of the message that lies here, or lay here last; 0 at first.
    published: AtomicU64,
    message: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: a slot's message is reached by the sender that claimed its number until that is
// published, then by the receiver until it has counted it as taken, then by the next to claim. The
// Release stores of `published`, `taken` and `limit` and their Acquire loads order these, so no two
// threads reach it at once; the message goes from one to the other, hence `Send`. `about` is shared.
unsafe impl<T: Send, A: Sync> Sync for Ring<T, A> {}

impl<T> Slot<T> {
    fn new() -> Slot<T> {
        Slot { published: AtomicU64::new(0), message: UnsafeCell::new(MaybeUninit::uninit()) }
    }
}

impl<T, A> Ring<T, A> {
    #[inline]
    fn slot(&self, number: u64) -> &Slot<T> {
        &self.slots[number as usize & (self.slots.len() - 1)]
    }

    /// The number of a place that is the caller's alone until it publishes it.
    #[inline]
    fn claim(&self) -> Result<u64, Refused> {
        let Claims { tail, limit } = &self.claims.0;
        let mut number = tail.load(Relaxed);
        loop {
            if number >= limit.load(Acquire) {
                self.look_for_room(number)?;
            }
            match tail.compare_exchange_weak(number, number + 1, Relaxed, Relaxed) {
                Ok(_) => return Ok(number),
                Err(now) => number = now,
            }
        }
    }

    /// Whether a number is free after all. An older limit that overwrites a newer one only makes
    /// somebody look again.
    #[cold]
    fn look_for_room(&self, number: u64) -> Result<(), Refused> {
        if number & CLOSED != 0 {
            return Err(Refused::Closed);
        }
        let limit = self.taken.0.load(Acquire) + self.capacity;
        self.claims.0.limit.store(limit, hand_over(Handover::Limit));
        if number < limit { Ok(()) } else { Err(Refused::Full) }
    }
}

/// Where messages are put in.
pub(super) struct Sender<T, A>(Arc<Ring<T, A>>);

impl<T, A> Clone for Sender<T, A> {
    fn clone(&self) -> Self {
        Sender(self.0.clone())
    }
}

impl<T: Send, A> Sender<T, A> {
    /// Leaves a message, unless the ring is full or closed.
    #[inline]
    pub(super) fn send(&self, message: T) -> Result<(), Refused> {
        let number = self.0.claim()?;
        let slot = self.0.slot(number);
        slot.message.with_mut(|place| {
            // SAFETY: the number was below the limit, so what its slot held before was moved out,
            // and it was claimed by this thread alone: the place is empty, and nobody else's
            // until the number is published below.
            unsafe { (*place).write(message) };
        });
        slot.published.store(number + 1, hand_over(Handover::Message));
        Ok(())
    }

    #[inline]
    pub(super) fn about(&self) -> &A {
        &self.0.about
    }

    pub(super) fn capacity(&self) -> usize {
        self.0.capacity as usize
    }
}

/// Where they are taken out, in the order in which they were claimed.
pub(crate) struct Receiver<T, A> {
    ring: Arc<Ring<T, A>>,
    /// The number of the message that is to be taken next.
    head: u64,
}

impl<T, A> Receiver<T, A> {
    /// Whether no message can be taken now.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.ring.slot(self.head).published.load(Acquire) != self.head + 1
    }

    /// The next message. Its place is free when this returns.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let message = self.ring.slot(self.head).message.with_mut(|place| {
            // SAFETY: the number is published, so its sender is done with the place and the
            // message is there; it is read once, for the head moves on, and no sender claims the
            // place before it is counted as taken below.
            unsafe { (*place).assume_init_read() }
        });
        self.head += 1;
        self.ring.taken.0.store(self.head, hand_over(Handover::Place));
        Some(message)
    }
}

impl<T, A> Drop for Receiver<T, A> {
    /// What was claimed before the end is taken, however long its sender needs: a message may own a
    /// sender of this very ring, and the two would keep each other for ever.
    fn drop(&mut self) {
        let end = self.ring.claims.0.tail.fetch_or(CLOSED, Relaxed);
        while self.head < end {
            match self.take() {
                Some(message) => drop(message),
                None => yield_now(),
            }
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests;

#[cfg(all(test, feature = "loom"))]
mod model;
