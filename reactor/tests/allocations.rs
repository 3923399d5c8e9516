//! Turning, waking, sleeping, polling and messages allocate nothing.

use std::future::poll_fn;
use std::hint::black_box;
use std::task::Poll;
use std::time::Duration;

use reactor::{Poller, Progress, Reactor, ReactorConfig, TimerWheel, Timestamp, Turn};

fn allocations_of(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

struct Beat;

impl Poller for Beat {
    fn name(&self) -> &str {
        "beat"
    }

    fn poll(&mut self, _turn: &mut Turn<'_>) -> Progress {
        Progress::Busy
    }
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations_of(|| drop(black_box(Box::new(1)))), 1);
}

#[test]
fn a_turning_reactor_allocates_nothing() {
    let mut r = Reactor::new("r", ReactorConfig::default()).unwrap();
    r.add_poller(Beat).unwrap();
    r.add_timed_poller(100, Beat).unwrap();
    let local = r.local().clone();
    let sleeper = async move {
        loop {
            local.sleep(Duration::from_nanos(300)).await;
        }
    };
    r.spawn_local(sleeper).unwrap();
    // Clones its waker, wakes by value and by reference, as channels and locks do.
    r.spawn_local(poll_fn(|cx| {
        let waker = cx.waker().clone();
        waker.wake_by_ref();
        waker.wake();
        Poll::<()>::Pending
    }))
    .unwrap();
    let mut now = 0;
    let mut turns = |r: &mut Reactor| {
        for _ in 0..100_000 {
            now += 10;
            r.turn(Timestamp(now));
        }
    };
    turns(&mut r);
    assert_eq!(allocations_of(|| turns(&mut r)), 0);
    let stats = r.stats();
    let calls = |name| stats.pollers.iter().find(|p| p.name == name).unwrap().calls;
    assert!(calls("tasks") > 200_000 && calls("timers") > 5_000, "{stats:?}");
}

#[test]
fn a_message_allocates_nothing_unless_it_owns_more_than_48_bytes() {
    let mut r = Reactor::new("r", ReactorConfig::default()).unwrap();
    let mailbox = r.mailbox();
    let mut messages = |count: u64, large: bool| {
        for now in 1..=count {
            let (small, more) = ([now; 6], [now; 7]);
            let sent = if large {
                mailbox.send(move |_| _ = black_box(more))
            } else {
                mailbox.send(move |_| _ = black_box(small))
            };
            sent.unwrap();
            r.turn(Timestamp(now));
        }
    };
    assert_eq!(allocations_of(|| messages(10_000, false)), 0);
    assert_eq!(allocations_of(|| messages(10, true)), 10);
}

#[test]
fn a_timer_wheel_allocates_nothing() {
    let mut wheel = TimerWheel::new(64, Timestamp::ZERO);
    let mut fired = 0_u64;
    let allocations = allocations_of(|| {
        for now in 0..100_000_u64 {
            let kept = wheel.arm(Timestamp(now + 1 + now % 40), now);
            let dropped = wheel.arm(Timestamp(now + 1_000_000), now).unwrap();
            assert!(kept.is_some() && wheel.cancel(dropped));
            wheel.advance(Timestamp(now), |_| fired += 1);
        }
    });
    assert_eq!(allocations, 0);
    assert!(fired > 99_000);
}
