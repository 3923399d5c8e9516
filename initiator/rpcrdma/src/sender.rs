//! The Send Queue of a connection: the sendctx ring, which Sends ask for a completion, and the
//! doorbell.
//!
//! One Send in N is signaled. A mark that would fall within the last N of a chain moves to the
//! chain's end, where one completion then speaks for the whole chain. And the end of a chain is
//! marked whenever payload of a caller's would otherwise wait for a later Send, gathered payload or
//! a key to be invalidated: its RPC cannot complete before. Other unsignaled Sends pin nothing but their own request slots,
//! of which there are 2 N more than calls in flight, so a queue that falls silent loses nothing.

use std::slice;

use verbs::{Connection, Op, PostError, SendWr};

use crate::sendctx::{self, Bind, Getter, Putter, Sendctx};
use crate::stats::Counters;
use crate::work_id::{Kind, WorkId};

/// Send side of one connection; rebuilt with it.
pub(crate) struct Sender {
    pub(crate) getter: Getter,
    pub(crate) putter: Putter,
    signals: Signals,
    /// Slots taken whose Sends are not posted yet: the next chain.
    prepared: u32,
    /// Something was posted on this queue pair.
    used: bool,
}

impl Sender {
    /// A ring of `slots`, together of at most `send_wr_max` work requests.
    pub(crate) fn new(slots: u32, send_wr_max: u32, signal_every: u32) -> Self {
        let (getter, putter) = sendctx::ring(slots, send_wr_max);
        Self { getter, putter, signals: Signals::new(signal_every), prepared: 0, used: false }
    }

    /// The slot taken last will be part of the next chain.
    pub(crate) fn prepared(&mut self) {
        self.prepared += 1;
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
        self.used = true;
        let Self { getter, signals, .. } = self;
        let mut behind = count;
        let places = getter.latest(count).map(|(number, ctx)| {
            behind -= 1;
            let signaled = signals.next(ctx, behind);
            counters.signaled_sends += u64::from(signaled);
            counters.gathered_sends += u64::from(ctx.gathered);
            counters.sends += u64::from(ctx.invalidate.is_none());
            (ctx, main_request(ctx, id.with(Kind::Send, number), signaled))
        });
        let chain = WorkRequests { places, binds: None };
        // SAFETY: every SGE names a buffer that its request has lent (`Loan::lend`); it is
        // reclaimed only by the walk up to this Send's completion, or after the drain. A window
        // and its region live as long as the queue pair; the bytes bound are lent until the key is
        // invalidated or the queue pair destroyed.
        let posted = unsafe { link.post_send(chain) }?;
        counters.send_wrs += posted as u64;
        counters.send_doorbells += 1;
        Ok(())
    }
}

/// The work requests of places in the ring, in order: windows are bound right before their Send.
/// Most places have one work request and no more.
struct WorkRequests<'a, I> {
    /// Places, each with its last work request.
    places: I,
    /// Those of the present place that are left, after its first.
    binds: Option<(slice::Iter<'a, Bind>, SendWr<'a>)>,
}

impl<'a, I: Iterator<Item = (&'a Sendctx, SendWr<'a>)>> Iterator for WorkRequests<'a, I> {
    type Item = SendWr<'a>;

    #[inline]
    fn next(&mut self) -> Option<SendWr<'a>> {
        if let Some((binds, main)) = &mut self.binds {
            let (next, main) = (binds.next(), *main);
            return match next {
                Some(bind) => Some(bind_request(bind, main.wr_id)),
                None => {
                    self.binds = None;
                    Some(main)
                }
            };
        }
        let (ctx, main) = self.places.next()?;
        let Some(bind) = &ctx.bind else { return Some(main) };
        self.binds = Some((ctx.more_binds.iter(), main));
        Some(bind_request(bind, main.wr_id))
    }
}

/// The Send of a place, or the invalidation that goes through it.
#[inline]
fn main_request(ctx: &Sendctx, wr_id: u64, signaled: bool) -> SendWr<'_> {
    let op = ctx.invalidate.map_or(Op::Send, |rkey| Op::LocalInvalidate { rkey });
    SendWr { wr_id, sges: ctx.sges(), op, signaled, fence: false }
}

#[inline]
fn bind_request<'a>(bind: &Bind, wr_id: u64) -> SendWr<'a> {
    let op = Op::BindWindow {
        window: bind.window,
        region: bind.region,
        new_rkey: bind.rkey,
        addr: bind.addr,
        length: bind.length,
        access: bind.access,
    };
    SendWr { wr_id, sges: &[], op, signaled: false, fence: false }
}

/// Decides which Sends of a chain are signaled.
#[derive(Debug)]
struct Signals {
    every: u32,
    since: u32,
    payload_waits: bool,
}

impl Signals {
    fn new(every: u32) -> Self {
        Self { every, since: 0, payload_waits: false }
    }

    /// Whether this Send, with `behind` more after it in its chain, asks for a completion.
    #[inline]
    fn next(&mut self, ctx: &Sendctx, behind: u32) -> bool {
        self.since += 1;
        self.payload_waits |= ctx.gathered || ctx.invalidate.is_some();
        let due = self.since >= self.every;
        let signaled =
            if behind == 0 { due || self.payload_waits } else { due && behind >= self.every };
        if signaled {
            self.since = 0;
            self.payload_waits = false;
        }
        signaled
    }
}

#[cfg(test)]
mod tests {
    use super::{Sendctx, Signals};

    fn chain(signals: &mut Signals, gathered: &[bool]) -> Vec<bool> {
        let mut ctx = Sendctx::default();
        let behind = (0..gathered.len() as u32).rev();
        let sends = gathered.iter().zip(behind);
        sends
            .map(|(&gathered, behind)| {
                ctx.gathered = gathered;
                signals.next(&ctx, behind)
            })
            .collect()
    }

    #[test]
    fn single_sends_are_signaled_every_nth() {
        let mut signals = Signals::new(7);
        let marks: Vec<bool> = (0..21).flat_map(|_| chain(&mut signals, &[false])).collect();
        let at: Vec<usize> = (0..21).filter(|&i| marks[i]).collect();
        assert_eq!(at, [6, 13, 20], "the count reloads to the full batch");
    }

    #[test]
    fn gathered_payload_never_waits_for_a_later_send() {
        let mut signals = Signals::new(7);
        assert_eq!(chain(&mut signals, &[true]), [true]);
        assert_eq!(chain(&mut signals, &[true, false, false]), [false, false, true]);
        assert_eq!(chain(&mut signals, &[false]), [false]);
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
    fn batch_zero_or_one_signals_every_send() {
        let mut signals = Signals::new(1);
        assert_eq!(chain(&mut signals, &[false; 5]), [true; 5]);
    }
}
