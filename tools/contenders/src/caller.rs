//! The calling end of both ceilings: a polled loop that checks nothing.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::resource::UsageWho;
use verbs::{Connection, Op, Provider, SendWr, Sge};

use crate::end::End;
use crate::meter::{Meter, Outcome};
use crate::work::{Way, Work};

/// One Send in so many asks for a completion.
pub(crate) const SIGNAL_EVERY: u32 = 7;
/// Completions with this bit are those of Sends.
pub(crate) const SEND: u64 = 1 << 63;
/// The low bits of an XID are the call's slot.
pub(crate) const SLOT_BITS: u32 = 8;
/// Idle turns between two looks at the clock.
const IDLE_TURNS_PER_LOOK: u32 = 256;
/// What is in flight at the end comes back within this time.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// A prebuilt call, and what differs from one to the next.
pub(crate) struct Prebuilt {
    /// Without gathered payload.
    pub(crate) bytes: Vec<u8>,
    /// Where the XID is.
    pub(crate) xid_at: Vec<usize>,
    /// Where the file offset is, if there is one.
    pub(crate) offset_at: Option<usize>,
}

/// Keeps calls in flight until the time is over.
pub(crate) struct Caller<'a, P: Provider> {
    end: End<P>,
    work: &'a Work,
    /// For each slot: what its Send gathers, and when it began.
    slots: Vec<(Vec<Sge>, Duration)>,
    xid_at: Vec<usize>,
    offset_at: Option<usize>,
    random: fastrand::Rng,
    serial: u64,
    sends: u32,
}

impl<'a, P: Provider> Caller<'a, P> {
    /// Puts the call of each slot in its place; `build` makes it.
    pub(crate) fn new(
        mut end: End<P>,
        work: &'a Work,
        way: Way,
        build: impl Fn(&End<P>, usize) -> Result<Prebuilt>,
    ) -> Result<Self> {
        let mut slots = Vec::new();
        let (mut xid_at, mut offset_at) = (Vec::new(), None);
        for slot in 0..work.depth as usize {
            let call = build(&end, slot)?;
            end.put_header(slot, 0, &call.bytes);
            let mut sges = vec![end.header(slot, call.bytes.len())];
            if way == Way::Gathered {
                sges.push(end.payload(slot));
            }
            slots.push((sges, Duration::ZERO));
            (xid_at, offset_at) = (call.xid_at, call.offset_at);
        }
        let random = fastrand::Rng::new();
        let serial = random.clone().u64(..1 << 20);
        Ok(Self { end, work, slots, xid_at, offset_at, random, serial, sends: 0 })
    }

    /// Runs and measures.
    pub(crate) fn run(mut self) -> Result<Outcome> {
        let mut meter = Meter::start(self.work, UsageWho::RUSAGE_THREAD)?;
        // A server grants one call until it has answered one.
        self.send(&[0], Duration::ZERO)?;
        let mut in_flight = 1;
        let mut fresh: Vec<usize> = (1..self.slots.len()).collect();
        let (mut ready, mut receives) = (Vec::new(), Vec::new());
        let mut idle_turns = 0u32;
        loop {
            ready.clear();
            receives.clear();
            let completions = self.end.poll()?.iter().filter(|done| done.wr_id & SEND == 0);
            receives.extend(completions.map(|done| done.wr_id as usize));
            if receives.is_empty() {
                idle_turns += 1;
                if idle_turns.is_multiple_of(IDLE_TURNS_PER_LOOK)
                    && meter.now() > self.work.times().0 + self.work.times().1 + DRAIN_MAX
                {
                    bail!("{in_flight} calls were never answered");
                }
                std::thread::yield_now();
                continue;
            }
            let now = meter.now();
            for &index in &receives {
                let xid = u32::from_be_bytes(self.end.received(index));
                let slot = (xid & ((1 << SLOT_BITS) - 1)) as usize;
                meter.record(self.slots[slot].1, now);
                ready.push(slot);
            }
            self.end.post_receives(&receives)?;
            in_flight -= ready.len();
            if meter.is_over(now) {
                if in_flight == 0 {
                    break;
                }
                continue;
            }
            ready.append(&mut fresh);
            in_flight += ready.len();
            self.send(&ready, now)?;
        }
        let outcome = meter.outcome(self.work);
        self.end.connection.disconnect();
        Ok(outcome)
    }

    /// Sends the calls of these slots as one chain.
    fn send(&mut self, ready: &[usize], now: Duration) -> Result<()> {
        for &slot in ready {
            self.serial += 1;
            let xid = (self.serial as u32) << SLOT_BITS | slot as u32;
            for &at in &self.xid_at {
                self.end.put_header(slot, at, &xid.to_be_bytes());
            }
            if let Some(at) = self.offset_at {
                let offset = self.work.offset(self.serial, &mut self.random);
                self.end.put_header(slot, at, &offset.to_be_bytes());
            }
            self.slots[slot].1 = now;
        }
        let (slots, sends) = (&self.slots, &mut self.sends);
        let chain = ready.iter().map(|&slot| {
            *sends = sends.wrapping_add(1);
            SendWr {
                wr_id: SEND | slot as u64,
                sges: &slots[slot].0,
                op: Op::Send,
                signaled: sends.is_multiple_of(SIGNAL_EVERY),
                fence: false,
            }
        });
        // SAFETY: the memory is mapped as long as the queue pair is. Headers are written again
        // once the Reply is there, which is what this contender does not check.
        unsafe { self.end.connection.post_send(chain) }.context("posting Sends")?;
        Ok(())
    }
}
