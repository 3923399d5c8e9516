//! The parts of the path by themselves: what each costs when nothing else does.

use std::hint::black_box;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use hugepages::{Keys, PageSize, Policy, Pool, Region, RegionSpec};
use reactor::{
    Clock, Mailbox, Poller, Progress, Reactor, ReactorConfig, TimerWheel, Timestamp, Turn,
};

/// Pollers of the turn that is measured.
const IDLE_POLLERS: usize = 8;
/// Sends that one completion releases.
const RING_BATCH: u32 = 7;
/// Messages that are taken in one turn, where one thread sends and takes them.
const MESSAGE_BATCH: u64 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The sendctx ring: get and put, one put for seven.
    Ring,
    /// A buffer of the pool, taken and given back.
    Buffer,
    /// A turn of a reactor with eight pollers that have nothing to do, clock read included.
    Turn,
    /// A timer, armed and cancelled.
    Timer,
    /// A message to a reactor, sent and taken by one thread.
    Message,
    /// A message from one core's reactor to another's while both poll: half of there and back.
    CrossCore,
}

/// Does it so many times; the time that took.
pub(crate) fn run(part: Part, count: u64) -> Result<Duration> {
    // The process's clock calibrates itself once, which takes millions of instructions more on
    // one machine than on another.
    let _ = Clock::new();
    counted(part, count)
}

/// Never inlined: the profiler counts in here only (`tools/bench/instructions`).
#[inline(never)]
fn counted(part: Part, count: u64) -> Result<Duration> {
    match part {
        Part::Ring => Ok(ring(count)),
        Part::Buffer => buffer(count),
        Part::Turn => turn(count),
        Part::Timer => timer(count),
        Part::Message => message(count),
        Part::CrossCore => cross_core(count),
    }
}

fn ring(count: u64) -> Duration {
    let (mut getter, mut putter) = rpcrdma::sendctx::ring(64, 256);
    let start = Instant::now();
    for _ in 0..count.div_ceil(RING_BATCH.into()) {
        for request in 0..RING_BATCH {
            if let Some(sendctx) = getter.get(1) {
                sendctx.sge_count = 1;
                sendctx.request = request;
            }
        }
        let released = putter.put(black_box(getter.head()), |sendctx| {
            black_box(sendctx.request);
        });
        assert_eq!(released, Ok(RING_BATCH));
    }
    start.elapsed()
}

fn buffer(count: u64) -> Result<Duration> {
    let region = Region::map(&RegionSpec {
        len: 1 << 20,
        policy: Policy::Off,
        page_size: PageSize::Huge2M,
        numa_node: None,
        lock: false,
    })?;
    let pool = Pool::new(Rc::new(region), 0, 4096, 64, Keys::default())?;
    let start = Instant::now();
    for _ in 0..count {
        drop(black_box(pool.alloc()));
    }
    Ok(start.elapsed())
}

struct Idle;

impl Poller for Idle {
    fn name(&self) -> &str {
        "idle"
    }

    fn poll(&mut self, turn: &mut Turn<'_>) -> Progress {
        black_box(turn.now());
        Progress::Idle
    }
}

fn turn(count: u64) -> Result<Duration> {
    let mut reactor = Reactor::new("bench", ReactorConfig::default())?;
    for _ in 0..IDLE_POLLERS {
        reactor.add_poller(Idle)?;
    }
    let clock = Clock::new();
    let start = Instant::now();
    for _ in 0..count {
        black_box(reactor.turn(clock.now()));
    }
    Ok(start.elapsed())
}

fn timer(count: u64) -> Result<Duration> {
    let mut now = Timestamp(1_000_000_000);
    let mut wheel = TimerWheel::new(64, now);
    let start = Instant::now();
    for _ in 0..count {
        now = now.add_ns(100);
        let id = wheel.arm(now.add_ns(1_000_000), 1u32).context("there is room for a timer")?;
        black_box(wheel.cancel(black_box(id)));
    }
    Ok(start.elapsed())
}

fn message(count: u64) -> Result<Duration> {
    let mut reactor = Reactor::new("bench", ReactorConfig::default())?;
    let mailbox = reactor.mailbox();
    let mut now = Timestamp(1_000_000_000);
    let start = Instant::now();
    for _ in 0..count.div_ceil(MESSAGE_BATCH) {
        for value in 0..MESSAGE_BATCH {
            mailbox.send(move |_| {
                black_box(value);
            })?;
        }
        now = now.add_ns(1000);
        reactor.turn(now);
    }
    Ok(start.elapsed())
}

/// Two reactors throw a message to and fro.
fn cross_core(count: u64) -> Result<Duration> {
    let cores = reactor::usable_cores();
    let [first, second, ..] = cores[..] else {
        return Err(anyhow!("a message from core to core needs two cores"));
    };
    let nothing = |_: &mut Reactor| Ok(());
    let here = reactor::spawn(first, ReactorConfig::default(), nothing)?;
    let there = reactor::spawn(second, ReactorConfig::default(), nothing)?;
    let (tell, told) = channel();
    let start = Instant::now();
    throw(here.mailbox(), there.mailbox(), count, tell);
    told.recv().context("the message was lost")?;
    let took = start.elapsed();
    for reactor in [here, there] {
        reactor.stop();
        reactor.join()?;
    }
    Ok(took)
}

/// Sends a message that sends itself back, until it has been sent so often.
fn throw(to: Mailbox, back: Mailbox, left: u64, tell: Sender<()>) {
    let next = to.clone();
    let sent = to.send(move |_| match left {
        0 => drop(tell.send(())),
        _ => throw(back, next, left - 1, tell),
    });
    // A reactor that has ended drops the message, and whoever waits is told of that.
    drop(sent);
}
