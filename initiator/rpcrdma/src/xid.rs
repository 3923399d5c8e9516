//! XIDs: which number a call gets, and which request slot a Reply is for.
//!
//! A connection numbers its calls one after the other through a [`Lot`] that is its own, so that no
//! other connection of this host, of this process or another, makes a call with the same XID. The
//! low bits of a number are a place in a table that says which slot has it; a number whose place is
//! still taken by a call that waits is passed over. A late or duplicate Reply finds a slot with
//! another XID.
//!
//! A lot that is used up rests until servers have forgotten its calls ([`REST_NS`]), and the
//! connection goes on in another, which was claimed when half of the first was used. Without one to
//! be had it goes through its own once more.

use std::collections::VecDeque;

use crate::Error;
use crate::lots::{LOT_BITS, Lot, Lots, random};
use crate::table::Table;

/// How long servers may remember a call: knfsd's duplicate-request cache keeps 120 s.
const REST_NS: u64 = 120_000_000_000;
/// Most lots that rest; beyond it the first goes back early. At 4 million calls each it takes two
/// million calls a second to come here.
const RESTING_MAX: usize = 64;
/// How long it takes to ask again when every lot of the host was taken.
const ASK_AGAIN_NS: u64 = 10_000_000_000;
/// XIDs of a lot.
const LOT_LEN: u32 = 1 << LOT_BITS;

/// The XIDs of one connection, through all its queue pairs.
#[derive(Debug)]
pub(crate) struct Xids {
    lots: Lots,
    lot: Lot,
    /// The next number, and how many there are before the lot is used up.
    next: u32,
    left: u32,
    /// For when it is.
    spare: Option<Lot>,
    /// Used up, and since when.
    resting: VecDeque<(Lot, u64)>,
    /// Not before: no lot was to be had the last time.
    ask_at_ns: u64,
    /// By the low bits of a number, the slot that had it last.
    slots: Table<u32>,
}

impl Xids {
    /// For `slots` request slots. The start within the lot is random, unless the lots are seeded.
    pub(crate) fn new(mut lots: Lots, slots: u32) -> Result<Self, Error> {
        let lot = lots.claim()?;
        let start = if matches!(lots, Lots::Host { .. }) { random() } else { 0 };
        Ok(Self {
            lots,
            lot,
            next: start,
            left: LOT_LEN,
            spare: None,
            resting: VecDeque::with_capacity(RESTING_MAX),
            ask_at_ns: 0,
            // Twice as many places as calls can wait: there is always a free one.
            slots: Table::new(2 * slots, |_| 0),
        })
    }

    /// The XID of the next call, which is made in `slot`. `waiting` is the XID that a slot's call
    /// waits under, if it has one that waits.
    #[inline(always)]
    pub(crate) fn take(
        &mut self,
        slot: u32,
        now_ns: u64,
        waiting: impl Fn(u32) -> Option<u32>,
    ) -> u32 {
        loop {
            if self.left == 0 {
                self.turn_over(now_ns);
            }
            let xid = self.lot.base() | self.next & (LOT_LEN - 1);
            self.next = self.next.wrapping_add(1);
            self.left -= 1;
            let (place, before) = (self.slots.place(xid), self.slots[xid]);
            let taken = waiting(before).is_some_and(|xid| self.slots.place(xid) == place);
            if !taken {
                self.slots[xid] = slot;
                return xid;
            }
        }
    }

    /// The slot that a Reply with this XID can only be for; its call may be another by now.
    #[inline]
    pub(crate) fn slot(&self, xid: u32) -> u32 {
        self.slots[xid]
    }

    #[cold]
    fn turn_over(&mut self, now_ns: u64) {
        self.left = LOT_LEN;
        let Some(spare) = self.spare.take() else { return };
        let used = std::mem::replace(&mut self.lot, spare);
        if self.resting.len() == RESTING_MAX {
            self.resting.pop_front();
        }
        self.resting.push_back((used, now_ns));
    }

    /// Now and then: claims the next lot in time, and gives back those that have rested.
    pub(crate) fn on_time(&mut self, now_ns: u64) {
        let rested = |since: u64| now_ns.saturating_sub(since) >= REST_NS;
        while self.resting.pop_front_if(|(_, since)| rested(*since)).is_some() {}
        if self.left > LOT_LEN / 2 || self.spare.is_some() || now_ns < self.ask_at_ns {
            return;
        }
        match self.lots.claim() {
            Ok(lot) => self.spare = Some(lot),
            Err(error) => {
                self.ask_at_ns = now_ns + ASK_AGAIN_NS;
                tracing::warn!(%error, "XIDs may come again sooner than servers forget them");
            }
        }
    }
}

#[cfg(test)]
#[path = "xid_tests.rs"]
mod tests;
