//! A hierarchical timing wheel: arm and cancel in constant time, no allocation after `new`.
//!
//! Time is written in base 64, one level of 64 slots a digit. A timer sits at the level of the
//! highest digit in which its deadline differs from the present, in the slot of that digit. When
//! the present reaches a slot, its timers move down a level; at level 0 a slot is one nanosecond
//! and its timers fire. A timer that is cancelled early, as most are, is never moved.
//!
//! Because level and slot follow from deadline and present alone, timers fire exactly in the
//! order of their deadlines, equal ones in the order they were armed: a simulation repeats.
//!
//! Threading: none; it belongs to one state machine.

use crate::time::Timestamp;

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// Digits in 64 bits.
const LEVELS: usize = 64_usize.div_ceil(DIGIT_BITS as usize);
/// No entry.
const NIL: u32 = u32::MAX;

/// Names one arming of one timer. Once it fired or was cancelled the name is void, though the
/// entry may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

/// Timers that each carry a `T` (by default a `u64` token) and give it back when they fire.
#[derive(Debug)]
pub struct TimerWheel<T = u64> {
    /// Nothing that is armed is due before this.
    elapsed: u64,
    /// The first slot in use begins no earlier: until then `advance` has nothing to do. A timer that
    /// is cancelled leaves it as it is, so it may be early; `advance` finds that out.
    next_event: u64,
    len: usize,
    /// Bit L: level L has a slot in use.
    levels: u16,
    /// Bit S of word L: slot S of level L is in use.
    occupied: [u64; LEVELS],
    /// First entry of each slot's circular list.
    heads: Box<[u32]>,
    entries: Box<[Entry<T>]>,
    free: u32,
}

#[derive(Debug)]
struct Entry<T> {
    deadline: u64,
    next: u32,
    prev: u32,
    generation: u32,
    /// Level × 64 + slot.
    place: u16,
    /// Present while armed.
    payload: Option<T>,
}

impl<T> TimerWheel<T> {
    /// A wheel for up to `capacity` timers armed at one time.
    ///
    /// # Panics
    /// If `capacity` does not fit in 32 bits.
    #[must_use]
    pub fn new(capacity: usize, now: Timestamp) -> TimerWheel<T> {
        let capacity = u32::try_from(capacity).expect("a timer wheel's capacity fits in 32 bits");
        assert!(capacity < NIL, "a timer wheel's capacity fits in 32 bits");
        let entry = |index: u32| Entry {
            deadline: 0,
            next: if index + 1 < capacity { index + 1 } else { NIL },
            prev: NIL,
            generation: 0,
            place: 0,
            payload: None,
        };
        TimerWheel {
            elapsed: now.0,
            next_event: u64::MAX,
            len: 0,
            levels: 0,
            occupied: [0; LEVELS],
            heads: vec![NIL; LEVELS * SLOTS].into_boxed_slice(),
            entries: (0..capacity).map(entry).collect(),
            free: if capacity > 0 { 0 } else { NIL },
        }
    }

    /// Has `payload` delivered by the first [`advance`](Self::advance) to `deadline` or later. A
    /// deadline already past is due at once. `None` when all timers are in use.
    pub fn arm(&mut self, deadline: Timestamp, payload: T) -> Option<TimerId> {
        let index = self.free;
        if index == NIL {
            return None;
        }
        let entry = &mut self.entries[index as usize];
        self.free = entry.next;
        entry.deadline = deadline.0.max(self.elapsed);
        entry.payload = Some(payload);
        let generation = entry.generation;
        self.len += 1;
        let place = self.link(index);
        self.next_event = self.next_event.min(self.start_of(place));
        Some(TimerId { index, generation })
    }

    /// Disarms a timer. `false` if it has fired or was cancelled before.
    pub fn cancel(&mut self, id: TimerId) -> bool {
        self.remove(id).is_some()
    }

    /// Disarms a timer and gives back what it carried.
    pub fn remove(&mut self, id: TimerId) -> Option<T> {
        self.get_mut(id)?;
        self.unlink(id.index);
        Some(self.release(id.index))
    }

    /// What an armed timer carries. `None` if it has fired or was cancelled.
    pub fn get_mut(&mut self, id: TimerId) -> Option<&mut T> {
        let entry = self.entries.get_mut(id.index as usize)?;
        match entry.generation == id.generation {
            true => entry.payload.as_mut(),
            false => None,
        }
    }

    /// Moves the present to `now` and hands out the payload of every timer due by then, in order
    /// of deadline. A `now` before the last one changes nothing.
    #[inline]
    pub fn advance(&mut self, now: Timestamp, mut expired: impl FnMut(T)) {
        if self.next_event <= now.0 {
            self.open_slots(now, &mut expired);
        }
        self.elapsed = self.elapsed.max(now.0);
    }

    /// Opens the slots that begin by `now`.
    #[inline(never)]
    fn open_slots(&mut self, now: Timestamp, expired: &mut impl FnMut(T)) {
        while let Some(place) = self.first_place() {
            self.next_event = self.start_of(place);
            if self.next_event > now.0 {
                return;
            }
            self.elapsed = self.next_event;
            self.open(place, expired);
        }
        self.next_event = u64::MAX;
    }

    /// The earliest deadline. It looks through one slot's list: for simulations and idle
    /// reactors, not for every turn.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let place = self.first_place()?;
        let head = self.heads[place];
        let mut earliest = self.entries[head as usize].deadline;
        let mut index = self.entries[head as usize].next;
        while index != head {
            earliest = earliest.min(self.entries[index as usize].deadline);
            index = self.entries[index as usize].next;
        }
        Some(Timestamp(earliest))
    }

    /// Timers armed now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Timers that can be armed at one time.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Level 0: fires the slot's timers. Above: moves them to the levels below.
    fn open(&mut self, place: usize, expired: &mut impl FnMut(T)) {
        // The list's length is fixed at the start: no timer comes back to the slot it leaves,
        // since the slot's digit is now the present's.
        loop {
            let index = self.heads[place];
            if index == NIL {
                return;
            }
            self.unlink(index);
            if place < SLOTS {
                let payload = self.release(index);
                expired(payload);
            } else {
                self.link(index);
            }
        }
    }

    /// The first slot in use. Lower levels come first: all their slots lie within the present
    /// slot of the level above.
    #[inline]
    fn first_place(&self) -> Option<usize> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        Some(level * SLOTS + self.occupied[level].trailing_zeros() as usize)
    }

    /// When a slot that lies ahead begins.
    #[inline]
    fn start_of(&self, place: usize) -> u64 {
        let shift = (place / SLOTS) as u32 * DIGIT_BITS;
        // The digits above this level are the present's; a shift past the top leaves none.
        let above = u64::MAX.checked_shl(shift + DIGIT_BITS).unwrap_or(0);
        (self.elapsed & above) | ((place % SLOTS) as u64) << shift
    }

    /// Puts an entry where its deadline belongs, and says where that is.
    #[inline]
    fn link(&mut self, index: u32) -> usize {
        let deadline = self.entries[index as usize].deadline;
        let place = place_of(self.elapsed, deadline);
        let head = self.heads[place];
        let (prev, next) = if head == NIL {
            self.heads[place] = index;
            self.occupied[place / SLOTS] |= 1 << (place % SLOTS);
            self.levels |= 1 << (place / SLOTS);
            (index, index)
        } else {
            let tail = self.entries[head as usize].prev;
            self.entries[tail as usize].next = index;
            self.entries[head as usize].prev = index;
            (tail, head)
        };
        let entry = &mut self.entries[index as usize];
        entry.place = place as u16;
        entry.prev = prev;
        entry.next = next;
        place
    }

    #[inline]
    fn unlink(&mut self, index: u32) {
        let Entry { prev, next, place, .. } = self.entries[index as usize];
        let place = place as usize;
        if next == index {
            self.heads[place] = NIL;
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
            if self.occupied[place / SLOTS] == 0 {
                self.levels &= !(1 << (place / SLOTS));
            }
            return;
        }
        self.entries[prev as usize].next = next;
        self.entries[next as usize].prev = prev;
        if self.heads[place] == index {
            self.heads[place] = next;
        }
    }

    /// Returns an unlinked entry to the free list and voids its name.
    #[inline]
    fn release(&mut self, index: u32) -> T {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.free;
        self.free = index;
        self.len -= 1;
        entry.payload.take().expect("an armed timer has a payload")
    }
}

/// Where a deadline belongs, seen from the present.
#[inline]
fn place_of(elapsed: u64, deadline: u64) -> usize {
    let differing = (elapsed ^ deadline) | 1;
    let level = (differing.ilog2() / DIGIT_BITS) as usize;
    let digit = (deadline >> (level as u32 * DIGIT_BITS)) as usize % SLOTS;
    level * SLOTS + digit
}

#[cfg(test)]
mod tests;
