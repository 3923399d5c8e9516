//! What may be done to a ring, and a queue that cannot be wrong to hold it against.
//!
//! One [`Op`] and one oracle serve the property test, the fuzz target and the model checker. The
//! two ends know no more than a sender and a completion handler would ([`Sends`],
//! [`Completions`]), so they may be played on one thread ([`Oracle`]) or on two.

use std::collections::VecDeque;

use super::{Getter, Putter, ring};

/// Something done to a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The sender takes a place for so many work requests.
    Get {
        /// How many.
        wrs: u32,
    },
    /// It gives the last one back, which is not posted.
    Unget,
    /// It posts the chain of those that it has taken.
    Post,
    /// A completion for the n-th Send that is posted.
    Complete {
        /// Which, from 0.
        nth: usize,
    },
    /// A completion for a number that is not posted, or any other.
    CompleteNumber {
        /// The number.
        number: u32,
    },
    /// The queue pair is drained.
    Drain,
}

/// The sender's end. Its requests are numbered from 0, without a gap.
pub struct Sends {
    getter: Getter,
    /// Taken and not posted: number, request.
    chain: Vec<(u32, u32)>,
    next_request: u32,
}

impl Sends {
    /// Takes a place, which has to be empty, and fills it. `None`: the ring is full.
    pub fn get(&mut self, wrs: u32) -> Option<u32> {
        let room = self.getter.has_room(wrs);
        let request = self.next_request;
        let got = self.getter.get(wrs).map(|ctx| {
            let empty = !ctx.gathered && ctx.sge_count == 0 && ctx.bind.is_none();
            assert!(empty && ctx.invalidate.is_none(), "a place comes empty");
            (ctx.request, ctx.gathered, ctx.sge_count) = (request, true, 1);
        });
        // On two threads there may be room by now.
        assert!(got.is_some() || !room, "there was room");
        got?;
        self.next_request += 1;
        self.chain.push((self.getter.head(), request));
        Some(self.getter.head())
    }

    /// Gives the last place back. False: nothing is unposted.
    pub fn unget(&mut self) -> bool {
        let any = self.chain.pop().is_some();
        if any {
            self.getter.unget();
            self.next_request -= 1;
        }
        any
    }

    /// Posts the chain, which has to be what was taken. Returns its numbers.
    pub fn post(&mut self) -> Vec<u32> {
        let chain = self.getter.latest(self.chain.len() as u32);
        let chain: Vec<_> = chain.map(|(number, ctx)| (number, ctx.request)).collect();
        assert_eq!(chain, self.chain, "the chain to post is what was taken last");
        self.chain.drain(..).map(|(number, _)| number).collect()
    }
}

/// The completion handler's end.
pub struct Completions {
    putter: Putter,
    next_request: u32,
}

impl Completions {
    /// A completion: releases the requests up to that of this number, in their order. Returns how
    /// many; 0 for a completion that is stale.
    pub fn complete(&mut self, number: u32) -> u32 {
        let Self { putter, next_request } = self;
        let before = *next_request;
        let walked = putter.put(number, |ctx| {
            assert_eq!(ctx.request, *next_request, "released in the order of the Sends");
            assert!(ctx.gathered && ctx.sge_count == 1, "and as it was filled");
            *next_request += 1;
        });
        assert_eq!(walked.unwrap_or(0), *next_request - before);
        *next_request - before
    }

    /// The queue pair is drained: releases what is left. Returns how many.
    pub fn drain(&mut self) -> u32 {
        let Self { putter, next_request } = self;
        let before = *next_request;
        putter.put_all(|ctx| {
            assert_eq!(ctx.request, *next_request, "released in the order of the Sends");
            *next_request += 1;
        });
        *next_request - before
    }

    /// Places that are taken.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.putter.in_flight()
    }
}

/// A ring of so many places and work requests, by its two ends.
#[must_use]
pub fn ends(slots: u32, send_wr_max: u32) -> (Sends, Completions) {
    let (getter, putter) = ring(slots, send_wr_max);
    let sends = Sends { getter, chain: Vec::new(), next_request: 0 };
    (sends, Completions { putter, next_request: 0 })
}

/// Both ends on one thread, with the queue that says what each must do.
pub struct Oracle {
    sends: Sends,
    completions: Completions,
    slots: usize,
    send_wr_max: u32,
    /// Number and work requests of each Send in flight, oldest first.
    queue: VecDeque<(u32, u32)>,
}

impl Oracle {
    /// A ring of so many places and work requests.
    #[must_use]
    pub fn new(slots: u32, send_wr_max: u32) -> Self {
        let (sends, completions) = ends(slots, send_wr_max);
        Self { sends, completions, slots: slots as usize, send_wr_max, queue: VecDeque::new() }
    }

    /// Lets the numbering begin elsewhere, such as right before it wraps.
    pub fn start_at(&mut self, number: u32) {
        use std::sync::atomic::Ordering::Relaxed;
        let Self { sends: Sends { getter, .. }, completions: Completions { putter, .. }, .. } =
            self;
        getter.head = number;
        putter.tail = number;
        getter.ring.head.store(number, Relaxed);
        getter.ring.tail.store(number, Relaxed);
        getter.limit = getter.look();
    }

    fn posted(&self) -> usize {
        self.queue.len() - self.sends.chain.len()
    }

    /// Does something to the ring. What cannot be done now, such as giving back what is posted, is
    /// left out.
    ///
    /// # Panics
    /// If the ring does not do what the queue does.
    pub fn apply(&mut self, op: Op) {
        match op {
            Op::Get { wrs } => {
                let in_use: u32 = self.queue.iter().map(|(_, wrs)| wrs).sum();
                let fits = self.queue.len() < self.slots && in_use + wrs <= self.send_wr_max;
                let got = self.sends.get(wrs);
                assert_eq!(got.is_some(), fits, "a full ring, and no other, makes the sender wait");
                self.queue.extend(got.map(|number| (number, wrs)));
            }
            Op::Unget => {
                if self.sends.unget() {
                    self.queue.pop_back();
                }
            }
            Op::Post => drop(self.sends.post()),
            Op::Complete { nth } if nth < self.posted() => {
                self.complete(self.queue[nth].0, nth + 1)
            }
            Op::Complete { .. } => {}
            Op::CompleteNumber { number } => {
                let at = self.queue.iter().position(|(other, _)| *other == number);
                // The card completes nothing that was never posted.
                if at.is_none_or(|at| at < self.posted()) {
                    self.complete(number, at.map_or(0, |at| at + 1));
                }
            }
            Op::Drain => {
                assert_eq!(self.completions.drain() as usize, self.queue.len());
                self.sends.chain.clear();
                self.queue.clear();
            }
        }
        assert_eq!(self.completions.in_flight() as usize, self.queue.len());
    }

    fn complete(&mut self, number: u32, walked: usize) {
        assert_eq!(self.completions.complete(number) as usize, walked, "and no other is released");
        self.queue.drain(..walked);
    }
}
