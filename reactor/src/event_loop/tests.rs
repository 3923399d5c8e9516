use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::{MailboxError, StopToken};

/// A poller made of a closure, with a flag for whether it has drained.
struct Fake<F> {
    name: &'static str,
    body: F,
    drained: Rc<Cell<bool>>,
}

impl<F: FnMut(&mut Turn<'_>) -> Progress> Poller for Fake<F> {
    fn name(&self) -> &str {
        self.name
    }

    fn poll(&mut self, turn: &mut Turn<'_>) -> Progress {
        (self.body)(turn)
    }

    fn drained(&self) -> bool {
        self.drained.get()
    }
}

fn fake<F: FnMut(&mut Turn<'_>) -> Progress>(name: &'static str, body: F) -> Fake<F> {
    let drained = Rc::new(Cell::new(true));
    Fake { name, body, drained }
}

fn reactor(config: ReactorConfig) -> Reactor {
    Reactor::new("r", config).unwrap()
}

#[test]
fn timed_pollers_keep_to_their_period() {
    let mut r = reactor(ReactorConfig::default());
    let calls = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&calls);
    r.add_timed_poller(
        100,
        fake("timed", move |turn| {
            log.borrow_mut().push(turn.now().0);
            Progress::Busy
        }),
    )
    .unwrap();
    for now in (1_000..1_400).step_by(25) {
        r.turn(Timestamp(now));
    }
    assert_eq!(*calls.borrow(), [1_100, 1_200, 1_300]);
    assert_eq!(r.next_deadline(), Some(Timestamp(1_400)));
    // Late by several periods: one call, and back to the beat.
    r.turn(Timestamp(1_750));
    assert_eq!(r.next_deadline(), Some(Timestamp(1_800)));
    r.turn(Timestamp(1_799));
    r.turn(Timestamp(1_800));
    assert_eq!(*calls.borrow(), [1_100, 1_200, 1_300, 1_750, 1_800]);
}

#[test]
fn a_retired_poller_is_dropped_and_its_place_is_free() {
    let mut r = reactor(ReactorConfig { max_pollers: 1, ..ReactorConfig::default() });
    let alive = Rc::new(());
    for _ in 0..3 {
        let held = Rc::clone(&alive);
        r.add_poller(fake("once", move |_| {
            let _held = &held;
            Progress::Done
        }))
        .unwrap();
        assert_eq!(r.turn(Timestamp(10)), Progress::Busy);
        assert_eq!(Rc::strong_count(&alive), 1);
    }
    r.turn(Timestamp(20));
    let once: Vec<_> = r.stats().pollers.into_iter().filter(|p| p.name == "once").collect();
    assert_eq!(once.len(), 1, "one entry a name");
    assert_eq!((once[0].calls, once[0].busy_ns), (3, 10));
}

#[test]
fn pollers_that_cannot_be_added_are_refused_by_name() {
    let mut r = reactor(ReactorConfig { max_pollers: 1, ..ReactorConfig::default() });
    let error = r.add_timed_poller(0, fake("beat", |_| Progress::Idle)).unwrap_err();
    assert!(error.to_string().contains("timed poller beat: a period of 0 ns"));
    r.add_poller(fake("first", |_| Progress::Idle)).unwrap();
    let error = r.add_poller(fake("second", |_| Progress::Idle)).unwrap_err();
    assert_eq!(error.to_string(), "r already has 1 pollers (max_pollers); second was not added");
}

#[test]
fn a_poller_may_add_pollers_and_spawn_futures() {
    let mut r = reactor(ReactorConfig::default());
    let ran = Rc::new(Cell::new(0));
    let outer = Rc::clone(&ran);
    r.add_poller(fake("parent", move |turn| {
        let (polled, spawned) = (Rc::clone(&outer), Rc::clone(&outer));
        let child = fake("child", move |_| {
            polled.set(polled.get() + 1);
            Progress::Done
        });
        turn.local().add_poller(child).unwrap();
        let future = async move { spawned.set(spawned.get() + 10) };
        turn.local().spawn_local(future).unwrap();
        Progress::Done
    }))
    .unwrap();
    r.turn(Timestamp(1));
    r.turn(Timestamp(2));
    assert_eq!(ran.get(), 11);
    assert_eq!(r.turn(Timestamp(3)), Progress::Idle);
}

#[test]
fn a_stop_waits_until_pollers_have_drained() {
    let stop = StopToken::new();
    let mut r = reactor(ReactorConfig { stop: stop.clone(), ..ReactorConfig::default() });
    let mut in_flight = 3;
    let drained = Rc::new(Cell::new(false));
    let poller = Fake {
        name: "io",
        drained: Rc::clone(&drained),
        body: move |turn: &mut Turn<'_>| {
            if turn.stopping() {
                in_flight -= 1;
                drained.set(in_flight == 0);
            }
            Progress::Idle
        },
    };
    r.add_poller(poller).unwrap();
    assert_eq!(r.turn(Timestamp(1)), Progress::Idle);
    stop.stop();
    assert_eq!(r.turn(Timestamp(2)), Progress::Idle);
    assert_eq!(r.turn(Timestamp(3)), Progress::Idle);
    assert_eq!(r.turn(Timestamp(4)), Progress::Done);
    assert_eq!(r.turn(Timestamp(5)), Progress::Done);
    assert!(r.stats().undrained.is_empty());
    assert_eq!(r.stats().turns, 4, "nothing happens after the end");
}

#[test]
fn the_grace_time_ends_a_drain_that_does_not() {
    let mut r = reactor(ReactorConfig {
        shutdown_grace: Duration::from_nanos(100),
        ..ReactorConfig::default()
    });
    let stuck = fake("stuck", |turn| {
        turn.request_stop();
        Progress::Idle
    });
    stuck.drained.set(false);
    r.add_poller(stuck).unwrap();
    r.spawn_local(std::future::pending::<()>()).unwrap();
    r.turn(Timestamp(1_000));
    r.turn(Timestamp(1_010));
    assert_eq!(r.local().drain_deadline(), Some(Timestamp(1_110)));
    assert_eq!(r.turn(Timestamp(1_109)), Progress::Idle);
    assert_eq!(r.turn(Timestamp(1_110)), Progress::Done);
    assert_eq!(r.stats().undrained, ["stuck", "tasks"]);
}

#[test]
fn a_stop_waits_for_tasks_but_not_for_those_in_the_background() {
    let mut r = reactor(ReactorConfig::default());
    let local = r.local().clone();
    r.spawn_local(async move { local.sleep(Duration::from_nanos(50)).await }).unwrap();
    r.local().spawn_background(std::future::pending::<()>()).unwrap();
    r.turn(Timestamp(1_000));
    r.request_stop();
    assert_eq!(r.turn(Timestamp(1_049)), Progress::Idle);
    assert_eq!(r.turn(Timestamp(1_050)), Progress::Done);
    assert!(r.stats().undrained.is_empty());
}

/// Pollers that work in every second, third and no turn, under turns of uneven length.
#[test]
fn the_accounts_add_up() {
    let mut r = reactor(ReactorConfig::default());
    for (name, every) in [("second", 2_u64), ("third", 3), ("never", u64::MAX)] {
        let mut turn_number = 0;
        let poller = fake(name, move |_| {
            turn_number += 1;
            match turn_number % every {
                0 => Progress::Busy,
                _ => Progress::Idle,
            }
        });
        r.add_poller(poller).unwrap();
    }
    let start = 5_000;
    let mut now = start;
    for turn in 0..60 {
        r.turn(Timestamp(now));
        now += 7 + turn % 5;
    }
    r.turn(Timestamp(now));
    let stats = r.stats();
    let sum = |of: fn(&crate::PollerStats) -> u64| stats.pollers.iter().map(of).sum::<u64>();
    assert_eq!(stats.busy_ns + stats.idle_ns, now - start);
    assert_eq!(sum(|p| p.busy_ns), stats.busy_ns);
    assert_eq!(stats.turns, 61);
    assert_eq!(stats.busy_turns, 40, "turns 2, 3, 4, 6 of each six");
    assert_eq!(stats.turn_ns_max, 11);
    for poller in &stats.pollers {
        assert_eq!(poller.busy_ns + poller.idle_ns, now - start, "{}", poller.name);
    }
    let by_name = |name| stats.pollers.iter().find(|p| p.name == name).unwrap();
    assert_eq!((by_name("second").calls, by_name("second").busy_turns), (61, 30));
    assert_eq!((by_name("third").calls, by_name("third").busy_turns), (61, 20));
    assert_eq!((by_name("never").calls, by_name("never").busy_ns), (61, 0));
    assert!(by_name("second").busy_ns > by_name("third").busy_ns);
}

#[test]
fn a_full_mailbox_says_so_and_is_drained_in_batches() {
    let mut r = reactor(ReactorConfig {
        mailbox_capacity: 3,
        mailbox_batch: 2,
        ..ReactorConfig::default()
    });
    let mailbox = r.mailbox();
    let (sender, receiver) = crossbeam_channel::unbounded();
    for number in 0..3 {
        let sender = sender.clone();
        mailbox
            .send(move |reactor| sender.send((number, reactor.name().to_owned())).unwrap())
            .unwrap();
    }
    let full = mailbox.send(|_| ()).unwrap_err();
    assert_eq!(full.to_string(), "the mailbox of r is full (3 messages wait); try again later");
    let numbers = || receiver.try_iter().map(|message| message.0).collect::<Vec<_>>();
    assert_eq!(r.turn(Timestamp(1)), Progress::Busy);
    assert_eq!(numbers(), [0, 1]);
    mailbox.send(|_| ()).unwrap();
    r.turn(Timestamp(2));
    assert_eq!(numbers(), [2]);
    assert_eq!(r.turn(Timestamp(3)), Progress::Idle);
    drop(r);
    let closed = mailbox.send(|_| ()).unwrap_err();
    assert!(matches!(closed, MailboxError::Closed { .. }), "{closed}");
}

#[test]
fn a_message_can_stop_and_extend_the_reactor() {
    let mut r = reactor(ReactorConfig::default());
    let (sender, receiver) = crossbeam_channel::unbounded();
    r.mailbox()
        .send(move |reactor| {
            let poller = fake("late", move |turn| {
                sender.send(turn.now()).unwrap();
                Progress::Done
            });
            reactor.add_poller(poller).unwrap();
            reactor.request_stop();
        })
        .unwrap();
    while r.turn(Timestamp(9)) != Progress::Done {}
    assert_eq!(receiver.try_recv(), Ok(Timestamp(9)));
}

/// Else the watchdog would blame a poller for the time in which the core was given away.
#[test]
fn between_turns_the_reactor_is_in_no_poller() {
    let mut r = reactor(ReactorConfig::default());
    r.add_poller(fake("p", |_| Progress::Busy)).unwrap();
    for turn in 1..3 {
        r.turn(Timestamp(turn));
        assert_eq!(r.monitor.position(), (turn, crate::monitor::OUTSIDE));
    }
}

#[test]
fn impossible_configurations_are_refused() {
    let refused = |config| Reactor::new("r", config).err().unwrap().to_string();
    let error = refused(ReactorConfig { max_tasks: 0, ..ReactorConfig::default() });
    assert_eq!(error, "reactor configuration: max_tasks = 0: at least 1");
    let error =
        refused(ReactorConfig { stall_threshold: Duration::ZERO, ..ReactorConfig::default() });
    assert!(error.contains("stall_threshold"), "{error}");
}

#[test]
fn run_until_returns_the_result_or_says_that_it_was_stopped() {
    let mut r = reactor(ReactorConfig {
        shutdown_grace: Duration::from_millis(20),
        ..ReactorConfig::default()
    });
    let local = r.local().clone();
    let began = Clock::new().now();
    let answer = r.run_until(async {
        let task = local.spawn_local(async { 40 }).unwrap();
        local.sleep(Duration::from_millis(2)).await;
        task.await + 2
    });
    assert_eq!(answer.unwrap(), 42);
    assert!(Clock::new().now().ns_since(began) >= 2_000_000);
    let stopped = r.run_until(async {
        local.request_stop();
        std::future::pending::<()>().await;
    });
    assert_eq!(stopped.unwrap_err().to_string(), "r was stopped before its work was finished");
}

#[test]
fn idle_policies_read_and_write_alike() {
    use crate::IdlePolicy;
    for text in ["spin", "yield", "nice:10", "nice:-5", "sched-batch", "sched-idle"] {
        assert_eq!(text.parse::<IdlePolicy>().unwrap().to_string(), text);
    }
    for text in ["", "nice", "nice:20", "nice:-21", "nice:x", "Spin", "spin:1"] {
        let error = text.parse::<IdlePolicy>().unwrap_err().to_string();
        assert!(error.contains("write spin, yield, nice:N (-20..19)"), "{text}: {error}");
    }
}

#[test]
fn the_times_of_the_adaptive_policy_are_read_by_name() {
    use crate::IdlePolicy;
    let read = |text: &str| text.parse::<IdlePolicy>();
    let IdlePolicy::Adaptive { yield_us, .. } = IdlePolicy::ADAPTIVE else { panic!("another") };
    assert_eq!(read("adaptive").unwrap(), IdlePolicy::ADAPTIVE);
    assert_eq!(read("adaptive:spin_us=9").unwrap(), IdlePolicy::Adaptive { spin_us: 9, yield_us });
    let text = "adaptive:spin_us=7,yield_us=0";
    assert_eq!(read(text).unwrap().to_string(), text);
    for wrong in ["adaptive:", "adaptive:9", "adaptive:spin_us=x", "adaptive:spin=1"] {
        let error = read(wrong).unwrap_err().to_string();
        assert!(error.contains(wrong) && error.contains("spin_us=N,yield_us=N"), "{error}");
    }
}
