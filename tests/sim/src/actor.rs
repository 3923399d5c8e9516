//! One client with one mount: what it does, and whether each answer is the right one.
//!
//! It is a poller on a reactor of its own, takes its orders through the reactor's mailbox, and
//! pauses by the reactor's timers. Then the rules that it holds the client to: every operation
//! completes exactly once; its result is what the model says; and memory that has come back is the
//! caller's. To see that last one it scribbles over each buffer the moment it has it: if a Send, a
//! Read chunk or a retransmission still looks at it, the fabric notices or the server's file goes
//! wrong.
//!
//! [`draw`] chooses what to do, [`judge`] and [`names`] hold answers against the model, [`memory`]
//! is where payloads lie.

mod draw;
mod judge;
mod memory;
pub(crate) mod mount;
mod names;
mod ops;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::{Client, MountConfig, MountId, MountState, Received, Submission};
use fastrand::Rng;
use reactor::{LocalHandle, Timestamp};
use rpcrdma::{Counters, State};
use verbs::soft::SoftFabric;

use crate::finding::{Checker, Finding};
use crate::model::{ModelFile, Name};
use crate::shape::{MountShape, log};
use memory::Memory;
use ops::Pending;
pub use ops::{KINDS, Kind};

/// Data that an actor may leave where it arrived, at a time.
const LEFT_MAX: usize = 4;

/// What an answer may be because of the faults of this run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// Operations may fail: the server talks nonsense, or the mount gives up.
    pub errors: bool,
    /// Reads and writes may be short.
    pub short: bool,
    /// A call that is sent again may be carried out again: the server does not remember it.
    pub repeated: bool,
    /// The server restarts and loses what is not durable.
    pub loses: bool,
    /// A mount may fail, and is tried again.
    pub mount_fails: bool,
}

/// Where an actor is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Mounting.
    Mounting,
    /// Making its files.
    Preparing,
    /// At work.
    Working,
    /// Making durable what it has written.
    Settling,
    /// Everything is durable.
    Settled,
    /// Reading everything back.
    Checking,
    /// Nothing is under way.
    Resting,
    /// Unmounting.
    Leaving,
    /// The mount is gone.
    Gone,
}

/// What an actor is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Do so many operations more.
    Work(u32),
    /// That was the last work: make everything durable.
    Settle,
    /// Read everything back.
    Check,
    /// Unmount.
    Leave,
}

/// Where orders arrive, numbered: written by messages to its reactor.
pub type Orders = Arc<Mutex<VecDeque<(u64, Order)>>>;

/// What an actor has lived through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Times that there was no buffer to be had.
    pub dry: u64,
    /// Data left where it arrived.
    pub in_place: u64,
    /// Payloads in pieces.
    pub in_pieces: u64,
    /// Payloads in memory of its own.
    pub own: u64,
    /// Pauses that a timer ended.
    pub pauses: u64,
    /// Mounts that failed.
    pub remounts: u64,
}

impl Seen {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.dry += other.dry;
        self.in_place += other.in_place;
        self.in_pieces += other.in_pieces;
        self.own += other.own;
        self.pauses += other.pauses;
        self.remounts += other.remounts;
    }
}

/// Data left where it arrived, what it was, and for how long.
struct Left {
    received: Received,
    expected: Vec<u8>,
    until: Timestamp,
}

/// See the module documentation.
pub struct Actor {
    client: Client<SoftFabric>,
    config: MountConfig,
    mount: MountId,
    /// Which of the world's mounts it is.
    index: usize,
    shape: MountShape,
    rng: Rng,
    allowed: Allowed,
    phase: Phase,
    orders: Orders,
    orders_taken: u64,
    no_more_work: bool,
    files: Vec<ModelFile>,
    names: Vec<(Name, bool)>,
    pending: BTreeMap<u64, Pending>,
    next_tag: u64,
    left: u32,
    /// Operations that change a file's size, so far.
    sizes: u64,
    /// Where reading back goes on: file and offset.
    unread: Option<(usize, u64)>,
    /// When a mount that has failed may be tried again.
    mount_at: Timestamp,
    memory: Memory,
    in_place: Vec<Left>,
    /// It pauses: until when, and whether the timer has yet to say so.
    pause: (Timestamp, Rc<Cell<bool>>),
    last_turn: Timestamp,
    last: Counters,
    /// What it has lived through.
    pub seen: Seen,
    /// A running digest of everything that was seen.
    pub digest: u64,
}

impl Actor {
    /// Where it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Operations in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Operations it has yet to begin.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left
    }

    /// The transport's counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.client.counters(self.mount).unwrap_or(self.last)
    }

    /// Where its connections are in their lives.
    #[must_use]
    pub fn states(&self) -> Vec<State> {
        self.client.states(self.mount)
    }

    /// What went wrong for it.
    #[must_use]
    pub fn tally(&self) -> [(&'static str, u64); 4] {
        [
            ("pool dry", self.seen.dry),
            ("operation asked again later", self.client.jukebox_waits(self.mount)),
            ("completion of a queue pair that is gone", self.client.strays()),
            ("Reply before its Send had completed", self.counters().replies_before_send),
        ]
    }

    /// Its queue pairs, to aim faults at.
    #[must_use]
    pub fn qp_nums(&self) -> Vec<u32> {
        self.client.qp_nums(self.mount).into_iter().flatten().collect()
    }

    /// One turn of its reactor. Says whether anything happened.
    pub(crate) fn turn(&mut self, now: Timestamp, local: &LocalHandle) -> Result<bool, Finding> {
        let ordered = self.take_orders()?;
        self.check_pause()?;
        self.last_turn = now;
        self.let_go(now)?;
        let begun = self.begin(now, local)?;
        let seen = self.client.turn(now);
        let mut ended = 0;
        while let Some(done) = self.client.next_done(self.mount) {
            ended += 1;
            self.end(done, now)?;
        }
        self.progress(now)?;
        Ok(ordered + begun + seen + ended > 0)
    }

    /// Orders come once, in the order in which they were given.
    fn take_orders(&mut self) -> Result<usize, Finding> {
        let mut taken = 0;
        loop {
            let order = self.orders.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((number, order)) = order else { return Ok(taken) };
            if number != self.orders_taken {
                let expected = self.orders_taken;
                let what = format!("message {number} came instead of {expected}");
                return Err(Checker::Results.says(what));
            }
            self.orders_taken += 1;
            taken += 1;
            match order {
                Order::Work(more) => self.left += more,
                Order::Settle => self.no_more_work = true,
                Order::Check => {
                    self.phase = Phase::Checking;
                    self.unread = Some((0, 0));
                }
                Order::Leave => self.phase = Phase::Leaving,
            }
        }
    }

    /// A turn that ended after the pause must have ended the pause.
    fn check_pause(&self) -> Result<(), Finding> {
        let (until, pausing) = &self.pause;
        if pausing.get() && self.last_turn >= *until {
            return Err(Checker::Liveness.says("a timer did not fire"));
        }
        Ok(())
    }

    fn perhaps_pause(&mut self, now: Timestamp, local: &LocalHandle) -> Result<(), Finding> {
        if self.phase != Phase::Working || self.rng.u32(0..1000) >= self.shape.pause {
            return Ok(());
        }
        let pause = Duration::from_nanos(log(&mut self.rng, 100, 2_000_000));
        // From the turn in which the future is first polled, which is this one.
        self.pause.0 = now + pause;
        self.pause.1.set(true);
        self.seen.pauses += 1;
        let (pausing, local) = (Rc::clone(&self.pause.1), local.clone());
        let sleep = local.clone();
        let slept = local.spawn_local(async move {
            sleep.sleep(pause).await;
            pausing.set(false);
        });
        slept.map(drop).map_err(|error| Checker::Results.says(error.to_string()))
    }

    /// Begins what there is room for.
    fn begin(&mut self, now: Timestamp, local: &LocalHandle) -> Result<usize, Finding> {
        let mut begun = 0;
        while self.pending.len() < self.shape.queue_depth as usize && !self.pause.1.get() {
            let Some(drawn) = self.next() else { break };
            begun += 1;
            let tag = self.next_tag;
            self.next_tag += 1;
            self.claim_names(&drawn.pending);
            self.sizes += u64::from(drawn.pending.changes_size());
            self.pending.insert(tag, drawn.pending);
            let (op, buffer, pieces) = (drawn.op, drawn.buffer, drawn.pieces);
            let submission = Submission { tag, op, buffer, pieces };
            if self.client.submit(self.mount, submission, now).is_err() {
                return Err(Checker::Results.says("the queue is full below its depth"));
            }
            self.perhaps_pause(now, local)?;
        }
        Ok(begun)
    }

    /// Goes on to the next phase when this one is over.
    fn progress(&mut self, now: Timestamp) -> Result<(), Finding> {
        let idle = self.pending.is_empty();
        match (self.phase, self.client.state(self.mount)) {
            (Phase::Mounting, state) => self.mounting(&state, now)?,
            (Phase::Leaving, MountState::Gone(_)) => {
                self.last = self.client.counters(self.mount).unwrap_or(self.last);
                self.phase = Phase::Gone;
            }
            (Phase::Leaving, _) => self.client.unmount(self.mount, now),
            (Phase::Gone, _) => {}
            (phase, MountState::Gone(error)) => {
                return Err(Checker::Results.says(format!("gone while {phase:?}: {error}")));
            }
            (Phase::Preparing, _) if self.files.len() == self.shape.files as usize => {
                self.phase = Phase::Working;
            }
            (Phase::Working, _) if self.left == 0 && idle && self.no_more_work => {
                self.phase = Phase::Settling;
            }
            (Phase::Settling, _) if idle && !self.files.iter().any(ModelFile::is_kept) => {
                self.phase = Phase::Settled;
            }
            (Phase::Checking, _) if idle && self.unread.is_none() => self.phase = Phase::Resting,
            _ => {}
        }
        Ok(())
    }

    /// Gives back data that was left in its Receive; nobody may have touched it.
    fn let_go(&mut self, now: Timestamp) -> Result<(), Finding> {
        let leaving = self.phase >= Phase::Settled;
        for left in self.in_place.extract_if(.., |left| leaving || now >= left.until) {
            if left.received[..] != left.expected[..] {
                return Err(Checker::Memory.says("data left in its Receive was changed"));
            }
        }
        Ok(())
    }

    /// Nothing is under way: nothing may be held for calls.
    pub(crate) fn at_rest(&self) -> Result<(), Finding> {
        let held = self.client.holdings(self.mount);
        let at_rest = rpcrdma::Holdings { sends: held.sends, ..Default::default() };
        if held != at_rest || !self.pending.is_empty() || self.client.in_flight(self.mount) > 0 {
            return Err(Checker::Leaks.says(format!("at rest the mount still holds {held:?}")));
        }
        Ok(())
    }

    /// What is not at home at the end of it all.
    pub(crate) fn leaks(&mut self) -> Result<(), Finding> {
        self.memory.missing().map_or(Ok(()), |what| Err(Checker::Leaks.says(what)))
    }
}
