//! The Send Queue of a connection: the sendctx ring, which Sends ask for a completion, and the
//! doorbell.
//!
//! One Send in N is signaled. A mark that would fall within the last N of a chain moves to the
//! chain's end, where one completion then speaks for the whole chain. And the end of a chain is
//! marked whenever payload of a caller's would otherwise wait for a later Send, gathered payload or
//! a key to be invalidated: its RPC cannot complete before. Other unsignaled Sends pin nothing but their own request slots,
//! of which there are 2 N more than calls in flight, so a queue that falls silent loses nothing.

use verbs::{Bind, Connection, Op, PostError, SendWr};

use crate::sendctx::{self, Getter, Putter, Sendctx};
use crate::stats::Counters;
use crate::work_id::{Kind, WorkId};

/// Send side of one connection; rebuilt with it.
pub(crate) struct Sender {
    pub(crate) getter: Getter,
    pub(crate) putter: Putter,
    signals: Signals,
    /// Slots taken whose Sends are not posted yet: the next chain.
    prepared: u32,
    /// It consists of nothing but Sends.
    all_alone: bool,
    /// Something was posted on this queue pair.
    used: bool,
}

impl Sender {
    /// A ring of `slots`, together of at most `send_wr_max` work requests.
    pub(crate) fn new(slots: u32, send_wr_max: u32, signal_every: u32) -> Self {
        let (getter, putter) = sendctx::ring(slots, send_wr_max);
        Self {
            getter,
            putter,
            signals: Signals::new(signal_every),
            prepared: 0,
            all_alone: true,
            used: false,
        }
    }

    /// The slot taken last will be part of the next chain. `payload_waits`: a caller's payload is
    /// not given back before its work request has completed. `alone`: that is a Send, and there is
    /// no other.
    #[inline]
    pub(crate) fn prepared(&mut self, payload_waits: bool, alone: bool) {
        self.prepared += 1;
        self.all_alone &= alone;
        if payload_waits {
            self.signals.payload = self.getter.head();
        }
    }

    /// Whether there is a chain to post.
    pub(crate) fn has_chain(&self) -> bool {
        self.prepared > 0
    }

    /// Whether the queue pair may still hold Sends.
    pub(crate) fn was_used(&self) -> bool {
        self.used
    }

    /// Posts everything prepared as one chain. After an error the connection is to be closed: the
    /// chain's slots stay taken until the drain, whether or not they were posted.
    pub(crate) fn ring_doorbell<C: Connection>(
        &mut self,
        link: &mut C,
        id: WorkId,
        counters: &mut Counters,
    ) -> Result<(), PostError> {
        let count = std::mem::take(&mut self.prepared);
        if count == 0 {
            return Ok(());
        }
        self.used = true;
        let all_alone = std::mem::replace(&mut self.all_alone, true);
        let Self { getter, signals, .. } = self;
        let (last, id) = (getter.head(), id.with(Kind::Send, 0));
        let signaled = &mut counters.signaled_sends;
        let marks = Marks { last, next: signals.next(last), signals, signaled };
        let places = getter.latest(count);
        // SAFETY: every SGE names a buffer that its request has lent (`Loan::lend`); it is
        // reclaimed only by the walk up to this Send's completion, or after the drain. A window
        // and its region live as long as the queue pair; the bytes bound are lent until the key is
        // invalidated or the queue pair destroyed.
        let posted = unsafe {
            match all_alone {
                true => link.post_send(Sends { places, id, marks }),
                false => link.post_send(Chain { places, id, marks, bound: None }),
            }
        }?;
        counters.send_wrs += posted as u64;
        counters.send_doorbells += 1;
        Ok(())
    }
}

/// A chain of nothing but Sends, as most are.
struct Sends<'s, I> {
    places: I,
    /// Of the work requests, but for the number of the place.
    id: u64,
    marks: Marks<'s>,
}

impl<'a, I: Iterator<Item = (u32, &'a Sendctx)>> Iterator for Sends<'_, I> {
    type Item = SendWr<'a>;

    #[inline]
    fn next(&mut self) -> Option<SendWr<'a>> {
        let (number, ctx) = self.places.next()?;
        let signaled = self.marks.take(number);
        let wr_id = self.id | u64::from(number);
        Some(SendWr { wr_id, sges: ctx.sges(), op: Op::Send, signaled, fence: false })
    }
}

/// The work requests of any places in the ring, in order: windows are bound right before their
/// Send.
struct Chain<'a, 's, I> {
    places: I,
    /// As for [`Sends`].
    id: u64,
    marks: Marks<'s>,
    /// The present place, of whose windows the first is bound, and how many of the others are.
    bound: Option<(u32, &'a Sendctx, usize)>,
}

impl<'a, I: Iterator<Item = (u32, &'a Sendctx)>> Iterator for Chain<'a, '_, I> {
    type Item = SendWr<'a>;

    #[inline]
    fn next(&mut self) -> Option<SendWr<'a>> {
        let (number, ctx) = match &mut self.bound {
            None => {
                let (number, ctx) = self.places.next()?;
                if let Some(bind) = &ctx.bind {
                    self.bound = Some((number, ctx, 0));
                    return Some(bind_request(bind, self.id | u64::from(number)));
                }
                (number, ctx)
            }
            Some((number, ctx, more)) => {
                if let Some(bind) = ctx.more_binds.get(*more) {
                    *more += 1;
                    return Some(bind_request(bind, self.id | u64::from(*number)));
                }
                let place = (*number, *ctx);
                self.bound = None;
                place
            }
        };
        let signaled = self.marks.take(number);
        let op = ctx.invalidate.map_or(Op::Send, |rkey| Op::LocalInvalidate { rkey });
        let wr_id = self.id | u64::from(number);
        Some(SendWr { wr_id, sges: ctx.sges(), op, signaled, fence: false })
    }
}

/// The Sends of a chain that ask for a completion.
struct Marks<'s> {
    /// The number of the chain's last.
    last: u32,
    /// The next one that does; behind the last one if there is none.
    next: u32,
    signals: &'s mut Signals,
    signaled: &'s mut u64,
}

impl Marks<'_> {
    /// Whether this one does.
    #[inline]
    fn take(&mut self, number: u32) -> bool {
        let signaled = number == self.next;
        if signaled {
            self.signals.marked(number);
            self.next = self.signals.next(self.last);
            *self.signaled += 1;
        }
        signaled
    }
}

#[inline(always)]
fn bind_request(bind: &Bind, wr_id: u64) -> SendWr<'_> {
    SendWr { wr_id, sges: &[], op: Op::BindWindow(bind), signaled: false, fence: false }
}

/// Decides which Sends of a chain are signaled.
#[derive(Debug)]
struct Signals {
    every: u32,
    /// The last one that was.
    marked: u32,
    /// The last one whose completion a caller's payload waits for, or the last one that was
    /// signaled, if that came later.
    payload: u32,
}

impl Signals {
    fn new(every: u32) -> Self {
        Self { every, marked: 0, payload: 0 }
    }

    /// The next Send that asks for a completion, of a chain that ends with `last`; `last` + 1 where
    /// there is none.
    #[inline]
    fn next(&self, last: u32) -> u32 {
        match last.wrapping_sub(self.marked).checked_sub(self.every) {
            None if self.payload == self.marked => last.wrapping_add(1),
            Some(past) if past >= self.every => self.marked.wrapping_add(self.every),
            _ => last,
        }
    }

    #[inline]
    fn marked(&mut self, number: u32) {
        // Sends complete in order: payload of those up to it waits no longer than for it.
        if self.payload.wrapping_sub(self.marked) <= number.wrapping_sub(self.marked) {
            self.payload = number;
        }
        self.marked = number;
    }
}

#[cfg(test)]
mod tests {
    use verbs::{Bind, RegionHandle, WindowAccess, WindowHandle};

    use super::{Chain, Marks, Signals};
    use crate::sendctx::Sendctx;

    /// Which Sends of a chain are marked, that comes behind `number`.
    fn chain_behind(number: &mut u32, signals: &mut Signals, gathered: &[bool]) -> Vec<bool> {
        let (first, last) = (*number, number.wrapping_add(gathered.len() as u32));
        let numbers = (0..gathered.len() as u32).map(|at| first.wrapping_add(1 + at));
        for (number, _) in numbers.clone().zip(gathered).filter(|(_, gathered)| **gathered) {
            signals.payload = number;
        }
        *number = last;
        let mut mark = signals.next(last);
        numbers
            .map(|number| {
                let signaled = number == mark;
                if signaled {
                    signals.marked(number);
                    mark = signals.next(last);
                }
                signaled
            })
            .collect()
    }

    fn chain(signals: &mut Signals, gathered: &[bool]) -> Vec<bool> {
        chain_behind(&mut 0, signals, gathered)
    }

    #[test]
    fn single_sends_are_signaled_every_nth() {
        let (mut signals, mut number) = (Signals::new(7), 0);
        let mut one = || chain_behind(&mut number, &mut signals, &[false]);
        let marks: Vec<bool> = (0..21).flat_map(|_| one()).collect();
        let at: Vec<usize> = (0..21).filter(|&i| marks[i]).collect();
        assert_eq!(at, [6, 13, 20], "the count reloads to the full batch");
    }

    #[test]
    fn gathered_payload_never_waits_for_a_later_send() {
        let (mut signals, mut number) = (Signals::new(7), 0);
        let mut chain = |gathered: &[bool]| chain_behind(&mut number, &mut signals, gathered);
        assert_eq!(chain(&[true]), [true]);
        assert_eq!(chain(&[true, false, false]), [false, false, true]);
        assert_eq!(chain(&[false]), [false]);
    }

    #[test]
    fn one_completion_speaks_for_a_short_chain() {
        let mut signals = Signals::new(7);
        let marks = chain(&mut signals, &[true; 9]);
        assert_eq!(marks.iter().filter(|&&mark| mark).count(), 1);
        assert!(marks[8]);
    }

    #[test]
    fn a_long_chain_is_marked_on_its_way() {
        let mut signals = Signals::new(7);
        let marks = chain(&mut signals, &[false; 32]);
        let at: Vec<usize> = (0..32).filter(|&i| marks[i]).collect();
        assert_eq!(at, [6, 13, 20, 31]);
    }

    #[test]
    fn payload_behind_a_mark_still_waits() {
        let mut signals = Signals::new(7);
        let mut gathered = [false; 16];
        gathered[10] = true;
        let marks = chain(&mut signals, &gathered);
        let at: Vec<usize> = (0..16).filter(|&i| marks[i]).collect();
        assert_eq!(at, [6, 15], "the second mark is for the payload");
    }

    #[test]
    fn numbers_that_wrap_change_nothing() {
        let mut number = u32::MAX - 3;
        let mut signals = Signals { every: 7, marked: number, payload: number };
        let marks = chain_behind(&mut number, &mut signals, &[false; 32]);
        let at: Vec<usize> = (0..32).filter(|&i| marks[i]).collect();
        assert_eq!(at, [6, 13, 20, 31]);
        assert_eq!(chain_behind(&mut number, &mut signals, &[true, false]), [false, true]);
    }

    #[test]
    fn batch_zero_or_one_signals_every_send() {
        let mut signals = Signals::new(1);
        assert_eq!(chain(&mut signals, &[false; 5]), [true; 5]);
    }

    /// An error of any of them has to be known as this connection's, and as that of this place.
    #[test]
    fn all_work_requests_of_a_place_have_its_id() {
        let bind = |new_rkey| Bind {
            window: WindowHandle::new(0),
            region: RegionHandle::new(0),
            new_rkey,
            addr: 0,
            length: 1,
            access: WindowAccess::READ,
        };
        let mut ctx = Sendctx::default();
        (ctx.bind, ctx.more_binds) = (Some(bind(1)), vec![bind(2), bind(3)]);
        let (mut signals, mut signaled) = (Signals::new(1), 0);
        let marks = Marks { last: 5, next: 5, signals: &mut signals, signaled: &mut signaled };
        let places = [(5, &ctx)].into_iter();
        let chain = Chain { places, id: 0x1230_0000_0000_0000, marks, bound: None };
        let all: Vec<_> = chain.map(|wr| (wr.wr_id, wr.signaled)).collect();
        let id = 0x1230_0000_0000_0005;
        assert_eq!(all, [(id, false), (id, false), (id, false), (id, true)]);
    }
}
