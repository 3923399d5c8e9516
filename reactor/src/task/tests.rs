use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::{LocalHandle, Progress, Reactor, ReactorConfig, Timestamp};

fn reactor(config: ReactorConfig) -> Reactor {
    Reactor::new("r", config).unwrap()
}

/// Turns until nothing happens, at a time that stands still.
fn settle(r: &mut Reactor, now: u64) {
    for _ in 0..10_000 {
        if r.turn(Timestamp(now)) == Progress::Idle {
            return;
        }
    }
    panic!("never idle");
}

/// Yields its waker to the test and waits for the flag.
fn wait_for(flag: Rc<Cell<bool>>, waker: Rc<RefCell<Option<Waker>>>) -> impl Future<Output = ()> {
    poll_fn(move |cx| {
        *waker.borrow_mut() = Some(cx.waker().clone());
        match flag.get() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
}

#[test]
fn a_join_handle_gives_the_result_to_whoever_waits() {
    let mut r = reactor(ReactorConfig::default());
    let inner = r.spawn_local(async { 6 }).unwrap();
    let mut outer = r.spawn_local(async { inner.await * 7 }).unwrap();
    assert!(!outer.is_finished());
    settle(&mut r, 1);
    assert!(outer.is_finished());
    assert_eq!(outer.take(), Some(42));
}

#[test]
fn a_task_lives_on_when_its_join_handle_is_dropped() {
    let mut r = reactor(ReactorConfig::default());
    let done = Rc::new(Cell::new(false));
    let flag = Rc::clone(&done);
    let local = r.local().clone();
    drop(r.spawn_local(async move {
        local.yield_now().await;
        flag.set(true);
    }));
    settle(&mut r, 1);
    assert!(done.get());
}

#[test]
fn a_waker_works_from_another_thread() {
    let mut r = reactor(ReactorConfig::default());
    let count = Arc::new(AtomicU32::new(0));
    const THREADS: u32 = 4;
    const ROUNDS: u32 = 500;
    let shared = Arc::clone(&count);
    let mut started = false;
    let all_seen = poll_fn(move |cx| {
        if !std::mem::replace(&mut started, true) {
            for _ in 0..THREADS {
                let (waker, count) = (cx.waker().clone(), Arc::clone(&shared));
                thread::spawn(move || {
                    for _ in 0..ROUNDS {
                        count.fetch_add(1, Ordering::Relaxed);
                        waker.wake_by_ref();
                    }
                });
            }
        }
        match shared.load(Ordering::Relaxed) {
            total if total == THREADS * ROUNDS => Poll::Ready(total),
            _ => Poll::Pending,
        }
    });
    // If the last wake were lost this would not return.
    let task = r.spawn_local(all_seen).unwrap();
    assert_eq!(r.run_until(task).unwrap(), THREADS * ROUNDS);
}

#[test]
fn a_task_that_always_wakes_itself_starves_nobody() {
    let mut r = reactor(ReactorConfig::default());
    let greedy = Rc::new(Cell::new(0));
    let polls = Rc::clone(&greedy);
    let forever = poll_fn(move |cx| {
        polls.set(polls.get() + 1);
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    });
    r.spawn_local(forever).unwrap();
    let local = r.local().clone();
    let mut other = r
        .spawn_local(async move {
            for _ in 0..10 {
                local.yield_now().await;
            }
        })
        .unwrap();
    for turn in 1..=20 {
        assert_eq!(r.turn(Timestamp(turn)), Progress::Busy);
        assert_eq!(greedy.get(), turn, "one poll a turn");
    }
    assert!(other.take().is_some());
}

#[test]
fn a_task_that_was_not_woken_is_not_polled() {
    let mut r = reactor(ReactorConfig::default());
    let polls = Rc::new(Cell::new(0));
    let count = Rc::clone(&polls);
    // Once woken by its spawning, once by itself, and then by nobody.
    let idle = poll_fn(move |cx| {
        count.set(count.get() + 1);
        if count.get() == 1 {
            cx.waker().wake_by_ref();
        }
        Poll::<()>::Pending
    });
    r.spawn_local(idle).unwrap();
    let local = r.local().clone();
    r.spawn_local(async move {
        loop {
            local.yield_now().await;
        }
    })
    .unwrap();
    for turn in 0..20 {
        r.turn(Timestamp(turn));
    }
    assert_eq!(polls.get(), 2);
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    let mut r = reactor(ReactorConfig::default());
    r.turn(Timestamp(1_000_000));
    let woken = Rc::new(RefCell::new(Vec::new()));
    for delay in [30_u64, 10, 20] {
        let (local, log): (LocalHandle, _) = (r.local().clone(), Rc::clone(&woken));
        r.spawn_local(async move {
            local.sleep(Duration::from_nanos(delay)).await;
            log.borrow_mut().push((delay, local.now().0));
        })
        .unwrap();
    }
    settle(&mut r, 2_000_000);
    for _ in 0..3 {
        let next = r.next_deadline().unwrap();
        r.turn(Timestamp(next.0 - 1));
        settle(&mut r, next.0);
    }
    let expected = [(10, 2_000_010), (20, 2_000_020), (30, 2_000_030)];
    assert_eq!(*woken.borrow(), expected);
    assert_eq!(r.next_deadline(), None);
}

#[test]
fn a_dropped_sleep_disarms_its_timer() {
    let mut r = reactor(ReactorConfig::default());
    let local = r.local().clone();
    r.spawn_local(async move {
        let mut sleep = local.sleep(Duration::from_secs(1));
        let first_poll = poll_fn(|cx| Poll::Ready(Pin::new(&mut sleep).poll(cx).is_pending()));
        assert!(first_poll.await);
    })
    .unwrap();
    settle(&mut r, 1);
    assert_eq!(r.next_deadline(), None);
}

#[test]
fn sleepers_without_a_free_timer_wake_all_the_same() {
    let mut r = reactor(ReactorConfig { max_timers: 1, ..ReactorConfig::default() });
    let tasks: Vec<_> = [100_u64, 200, 300]
        .map(|deadline| r.local().sleep_until(Timestamp(deadline)))
        .into_iter()
        .map(|sleep| r.spawn_local(sleep).unwrap())
        .collect();
    for (now, finished) in [(99, 0), (100, 1), (200, 2), (299, 2), (300, 3)] {
        for _ in 0..3 {
            r.turn(Timestamp(now));
        }
        let count = tasks.iter().filter(|task| task.is_finished()).count();
        assert_eq!(count, finished, "at {now}");
    }
}

#[test]
fn a_full_table_refuses_and_recovers() {
    let mut r = reactor(ReactorConfig { max_tasks: 2, ..ReactorConfig::default() });
    r.spawn_local(pending::<()>()).unwrap();
    r.spawn_local(async {}).unwrap();
    let error = r.spawn_local(async {}).unwrap_err();
    assert_eq!(error.to_string(), "r already has 2 tasks (max_tasks)");
    settle(&mut r, 1);
    r.spawn_local(async {}).unwrap();
}

#[test]
fn every_place_of_a_large_table_can_be_woken() {
    const TASKS: usize = 5_000;
    let mut r = reactor(ReactorConfig { max_tasks: TASKS, ..ReactorConfig::default() });
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let local = r.local().clone();
            r.spawn_local(async move { local.yield_now().await }).unwrap()
        })
        .collect();
    r.turn(Timestamp(1));
    assert!(!tasks.iter().any(|task| task.is_finished()));
    r.turn(Timestamp(2));
    assert!(tasks.iter().all(|task| task.is_finished()));
}

#[test]
fn a_dropped_reactor_drops_its_futures() {
    let mut r = reactor(ReactorConfig::default());
    let alive = Rc::new(());
    let (local, held) = (r.local().clone(), Rc::clone(&alive));
    r.spawn_local(async move {
        local.sleep(Duration::from_secs(1)).await;
        drop(held);
    })
    .unwrap();
    settle(&mut r, 1);
    let local = r.local().clone();
    drop(r);
    assert_eq!(Rc::strong_count(&alive), 1);
    let error = local.spawn_local(async {}).unwrap_err();
    assert_eq!(error.to_string(), "r has ended");
}

#[test]
fn a_waker_outlives_its_task_and_its_reactor() {
    let mut r = reactor(ReactorConfig { max_tasks: 1, ..ReactorConfig::default() });
    let (flag, waker) = (Rc::new(Cell::new(true)), Rc::new(RefCell::new(None)));
    r.spawn_local(wait_for(Rc::clone(&flag), Rc::clone(&waker))).unwrap();
    settle(&mut r, 1);
    let stale = waker.borrow().clone().unwrap();
    flag.set(false);
    let mut next = r.spawn_local(wait_for(Rc::clone(&flag), Rc::clone(&waker))).unwrap();
    settle(&mut r, 2);
    stale.wake_by_ref();
    settle(&mut r, 3);
    assert!(!next.is_finished(), "a stale wake finishes nothing");
    flag.set(true);
    waker.borrow().clone().unwrap().wake();
    settle(&mut r, 4);
    assert_eq!(next.take(), Some(()));
    drop(r);
    stale.wake();
}

#[test]
fn a_reactor_that_drives_another_does_not_mix_up_their_wakes() {
    let mut inner = reactor(ReactorConfig::default());
    let (flag, waker) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(None)));
    let mut waiting = inner.spawn_local(wait_for(Rc::clone(&flag), Rc::clone(&waker))).unwrap();
    settle(&mut inner, 1);
    let mut outer = reactor(ReactorConfig::default());
    let mut task = outer
        .spawn_local(async move {
            flag.set(true);
            waker.borrow().clone().unwrap().wake();
            settle(&mut inner, 2);
            waiting.take().is_some()
        })
        .unwrap();
    settle(&mut outer, 1);
    assert_eq!(task.take(), Some(true));
}
