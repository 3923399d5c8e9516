//! Adaptive reactors: they sleep when nothing happens, and whatever happens wakes them.
//!
//! None of them has anything that wakes it every so often, so a lost wakeup is a test that waits
//! until its patience ends.

use std::future::poll_fn;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::sys::eventfd::EventFd;
use nix::time::ClockId;
use reactor::{
    IdlePolicy, Mailbox, Poller, Progress, Reactor, ReactorConfig, ReactorHandle, StopToken,
    Timestamp, Turn, WakeSources, spawn, usable_cores,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for a reactor with nothing to do to fall asleep.
const NAP: Duration = Duration::from_millis(50);

/// Sleeps after the first idle turn.
fn drowsy() -> ReactorConfig {
    let idle = IdlePolicy::Adaptive { spin_us: 0, yield_us: 0 };
    ReactorConfig { idle, ..ReactorConfig::default() }
}

fn start(core: usize) -> ReactorHandle {
    spawn(core, drowsy(), |_| Ok(())).unwrap()
}

fn two_cores() -> [usize; 2] {
    let cores = usable_cores();
    [cores[0], cores[cores.len() - 1]]
}

/// Busy for up to 32 µs: about as long as it takes to fall asleep.
fn dawdle(random: &mut Rng) {
    let until = Instant::now() + Duration::from_nanos(random.u64(..32_768));
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

/// Processor time of the calling thread.
fn thread_cpu() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap().into()
}

/// Waits until a counter gets there; panics when it stands still for too long.
fn watch_progress(counter: &AtomicU64, goal: u64) {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        let now = counter.load(Ordering::Relaxed);
        if now >= goal {
            return;
        }
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "a wakeup was lost after {seen} of {goal}");
        thread::sleep(Duration::from_millis(1));
    }
}

struct Ball {
    sides: [Mailbox; 2],
    rounds: Arc<AtomicU64>,
    goal: u64,
    random: Rng,
}

impl Ball {
    /// Runs on side `at`, goes on to the other.
    fn bounce(mut self, at: usize) {
        dawdle(&mut self.random);
        if self.rounds.fetch_add(1, Ordering::Relaxed) + 1 < self.goal {
            let other = self.sides[1 - at].clone();
            other.send(move |_| self.bounce(1 - at)).unwrap();
        }
    }
}

#[test]
fn no_message_between_sleeping_reactors_is_lost() {
    const GOAL: u64 = 40_000;
    let handles = two_cores().map(start);
    let sides = [handles[0].mailbox(), handles[1].mailbox()];
    let rounds = Arc::new(AtomicU64::new(0));
    let ball = Ball { sides, rounds: Arc::clone(&rounds), goal: GOAL, random: Rng::with_seed(1) };
    handles[0].mailbox().send(move |_| ball.bounce(0)).unwrap();
    watch_progress(&rounds, GOAL);
    let stats = handles.map(|handle| {
        handle.stop();
        handle.join().unwrap()
    });
    let sleeps: u64 = stats.iter().map(|stats| stats.sleeps).sum();
    assert!(sleeps > 0, "{sleeps} sleeps: this has tested little");
}

#[test]
fn a_message_wakes_a_sleeping_reactor() {
    let handle = start(two_cores()[0]);
    for _ in 0..5 {
        thread::sleep(NAP);
        let (sender, receiver) = mpsc::channel();
        handle.mailbox().send(move |r| sender.send(r.stats()).unwrap()).unwrap();
        let stats = receiver.recv_timeout(PATIENCE).expect("the message was run");
        assert!(stats.sleeps > 0, "{stats:?}");
    }
    handle.stop();
    handle.join().unwrap();
}

#[test]
fn a_stop_wakes_every_sleeping_reactor() {
    let stop = StopToken::new();
    let handles = two_cores().map(|core| {
        let config = ReactorConfig { stop: stop.clone(), ..drowsy() };
        spawn(core, config, |_| Ok(())).unwrap()
    });
    thread::sleep(NAP);
    let start = Instant::now();
    stop.stop();
    for handle in handles {
        assert!(handle.join().unwrap().sleeps > 0);
    }
    let alone = self::start(two_cores()[0]);
    thread::sleep(NAP);
    alone.stop();
    assert!(alone.join().unwrap().sleeps > 0);
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn a_stop_from_before_the_first_sleep_is_seen() {
    for _ in 0..200 {
        let stop = StopToken::new();
        let config = ReactorConfig { stop: stop.clone(), ..drowsy() };
        let stopper = thread::spawn(move || stop.stop());
        Reactor::new("r", config).unwrap().run();
        stopper.join().unwrap();
    }
}

#[test]
fn a_timer_wakes_a_sleeping_reactor_in_time() {
    let mut reactor = Reactor::new("r", drowsy()).unwrap();
    let local = reactor.local().clone();
    let (start, cpu) = (Instant::now(), thread_cpu());
    reactor
        .run_until(async move {
            for _ in 0..10 {
                local.sleep(Duration::from_millis(50)).await;
            }
        })
        .unwrap();
    let (took, cpu) = (start.elapsed(), thread_cpu() - cpu);
    assert!(took >= Duration::from_millis(500) && took < PATIENCE, "{took:?}");
    assert!(cpu < Duration::from_millis(100), "{cpu:?} of the processor in {took:?}");
    let stats = reactor.stats();
    assert!((10..100).contains(&stats.sleeps), "{stats:?}");
    assert!(stats.slept_ns > 300_000_000 && stats.slept_ns <= stats.idle_ns, "{stats:?}");
    assert!(stats.turn_ns_max < 400_000_000, "a sleep is no turn: {stats:?}");
    assert_eq!((stats.stalls, stats.worst_stall), (0, None));
}

#[test]
fn a_timed_poller_is_called_on_time_and_slept_between() {
    struct Beat(u32);
    impl Poller for Beat {
        fn name(&self) -> &str {
            "beat"
        }
        fn poll(&mut self, turn: &mut Turn<'_>) -> Progress {
            self.0 += 1;
            if self.0 == 20 {
                turn.request_stop();
            }
            Progress::Busy
        }
    }
    let mut reactor = Reactor::new("r", drowsy()).unwrap();
    reactor.add_timed_poller(10_000_000, Beat(0)).unwrap();
    let start = Instant::now();
    let stats = reactor.run();
    assert!(start.elapsed() >= Duration::from_millis(190) && stats.sleeps > 5, "{stats:?}");
}

#[test]
fn a_future_woken_from_another_thread_wakes_its_reactor() {
    const GOAL: u64 = 20_000;
    let (to_waker, wakers) = mpsc::channel::<(Arc<AtomicU32>, Waker)>();
    let rounds = Arc::new(AtomicU64::new(0));
    let other = thread::spawn(move || {
        let mut random = Rng::with_seed(7);
        for (flag, waker) in wakers {
            dawdle(&mut random);
            flag.store(1, Ordering::Release);
            waker.wake();
        }
    });
    let done = Arc::clone(&rounds);
    let runner = thread::spawn(move || {
        let mut reactor = Reactor::new("r", drowsy()).unwrap();
        let local = reactor.local().clone();
        reactor
            .run_until(async move {
                // Every other round as a task, the rest as the root.
                for round in 0..GOAL {
                    let to_waker = to_waker.clone();
                    let woken = async move {
                        let flag = Arc::new(AtomicU32::new(0));
                        let mut told = false;
                        poll_fn(|cx| {
                            if flag.load(Ordering::Acquire) == 1 {
                                return Poll::Ready(());
                            }
                            if !std::mem::replace(&mut told, true) {
                                to_waker.send((Arc::clone(&flag), cx.waker().clone())).unwrap();
                            }
                            Poll::Pending
                        })
                        .await;
                    };
                    match round % 2 {
                        0 => woken.await,
                        _ => local.spawn_local(woken).unwrap().await,
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
            .unwrap();
        reactor.stats().sleeps
    });
    watch_progress(&rounds, GOAL);
    // How often depends on what else the machine does.
    assert!(runner.join().unwrap() > 0);
    other.join().unwrap();
}

/// Counts what a descriptor brings.
struct Ear {
    bell: Arc<EventFd>,
    heard: Arc<AtomicU64>,
    until: Option<Timestamp>,
    calls: Arc<AtomicU64>,
}

impl Poller for Ear {
    fn name(&self) -> &str {
        "ear"
    }

    fn poll(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.until.is_some_and(|until| turn.now() >= until) {
            turn.request_stop();
        }
        match self.bell.read() {
            Ok(count) => {
                self.heard.fetch_add(count, Ordering::Relaxed);
                Progress::Busy
            }
            Err(_) => Progress::Idle,
        }
    }

    fn arm(&mut self, sources: &mut WakeSources) -> bool {
        sources.watch(self.bell.as_fd());
        if let Some(until) = self.until {
            sources.no_later_than(until);
        }
        true
    }
}

fn ear() -> Ear {
    let flags = nix::sys::eventfd::EfdFlags::EFD_NONBLOCK;
    let bell = Arc::new(EventFd::from_value_and_flags(0, flags).unwrap());
    Ear { bell, heard: Arc::default(), until: None, calls: Arc::default() }
}

#[test]
fn a_pollers_descriptor_wakes_its_reactor() {
    let poller = ear();
    let (bell, heard) = (Arc::clone(&poller.bell), Arc::clone(&poller.heard));
    let handle = spawn(two_cores()[0], drowsy(), |r| Ok(r.add_poller(poller)?)).unwrap();
    let mut random = Rng::with_seed(3);
    for count in 1..=5_000 {
        dawdle(&mut random);
        bell.write(1).unwrap();
        if count % 50 == 0 {
            watch_progress(&heard, count);
        }
    }
    watch_progress(&heard, 5_000);
    handle.stop();
    assert!(handle.join().unwrap().sleeps > 50);
}

#[test]
fn a_poller_says_until_when_it_may_sleep() {
    let mut poller = ear();
    let calls = Arc::clone(&poller.calls);
    let mut reactor = Reactor::new("r", drowsy()).unwrap();
    poller.until = Some(reactor::Clock::new().now() + Duration::from_millis(100));
    reactor.add_poller(poller).unwrap();
    let stats = reactor.run();
    assert!(stats.sleeps >= 1 && stats.slept_ns > 50_000_000, "{stats:?}");
    assert!(calls.load(Ordering::Relaxed) < 100, "it was left alone meanwhile");
}

#[test]
fn a_poller_that_cannot_sleep_keeps_its_reactor_awake() {
    struct Restless;
    impl Poller for Restless {
        fn name(&self) -> &str {
            "restless"
        }
        fn poll(&mut self, _turn: &mut Turn<'_>) -> Progress {
            Progress::Idle
        }
    }
    let poller = ear();
    let calls = Arc::clone(&poller.calls);
    let handle = spawn(two_cores()[0], drowsy(), |r| {
        r.add_poller(poller)?;
        Ok(r.add_poller(Restless)?)
    })
    .unwrap();
    watch_progress(&calls, 10_000);
    handle.stop();
    assert_eq!(handle.join().unwrap().sleeps, 0);
}

#[test]
fn traffic_returns_an_adaptive_reactor_to_spinning() {
    let idle = IdlePolicy::Adaptive { spin_us: 200_000, yield_us: 0 };
    let config = ReactorConfig { idle, ..ReactorConfig::default() };
    let handle = spawn(two_cores()[0], config, |_| Ok(())).unwrap();
    let sleeps = |handle: &ReactorHandle| {
        let (sender, receiver) = mpsc::channel();
        handle.mailbox().send(move |r| sender.send(r.stats().sleeps).unwrap()).unwrap();
        receiver.recv_timeout(PATIENCE).unwrap()
    };
    // Messages far closer together than the time of spinning: at most a pause of this thread lets
    // it sleep.
    let before = sleeps(&handle);
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(1));
        sleeps(&handle);
    }
    assert!(sleeps(&handle) - before < 10);
    // Without messages it sleeps, once it has had the processor for long enough to see that.
    let (start, before) = (Instant::now(), sleeps(&handle));
    while sleeps(&handle) == before {
        assert!(start.elapsed() < PATIENCE, "it stays awake");
        thread::sleep(Duration::from_millis(600));
    }
    handle.stop();
    handle.join().unwrap();
}

/// Two threads that ring for one sleeper, each at its own pace.
#[test]
fn what_two_senders_leave_is_all_found() {
    const EACH: u64 = 10_000;
    let handle = start(two_cores()[0]);
    let seen = Arc::new(AtomicU64::new(0));
    let order = Arc::new(Mutex::new([0_u64; 2]));
    let senders = [0, 1].map(|who: usize| {
        let (mailbox, seen, order) = (handle.mailbox(), Arc::clone(&seen), Arc::clone(&order));
        thread::spawn(move || {
            let mut random = Rng::with_seed(who as u64);
            for number in 1..=EACH {
                dawdle(&mut random);
                let (seen, order) = (Arc::clone(&seen), Arc::clone(&order));
                let message = move |_: &mut Reactor| {
                    assert_eq!(
                        std::mem::replace(&mut order.lock().unwrap()[who], number),
                        number - 1
                    );
                    seen.fetch_add(1, Ordering::Relaxed);
                };
                let mut message = Some(message);
                while let Some(again) = message.take() {
                    // Full: it is not asleep, and takes some in a moment.
                    if mailbox.send(again.clone()).is_err() {
                        message = Some(again);
                        thread::yield_now();
                    }
                }
            }
        })
    });
    watch_progress(&seen, 2 * EACH);
    for sender in senders {
        sender.join().unwrap();
    }
    handle.stop();
    handle.join().unwrap();
}
