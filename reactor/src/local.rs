//! The part of a reactor that its pollers and futures may hold on to.
//!
//! Threading: [`LocalHandle`] is an `Rc`: it cannot leave the reactor's thread. Nothing is
//! borrowed while a waker or a destructor runs, so they may call back in here.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::alarm::Alarm;
use crate::config::ReactorConfig;
use crate::error::ReactorError;
use crate::poller::Poller;
use crate::task::{JoinHandle, TaskTable, joinable};
use crate::time::Timestamp;
use crate::timer::{TimerId, TimerWheel};

/// A reactor as seen from within: cheap to clone, for use in futures and pollers.
#[derive(Clone)]
pub struct LocalHandle {
    pub(crate) shared: Rc<Shared>,
}

/// What a reactor and its handles share.
pub(crate) struct Shared {
    name: String,
    max_tasks: usize,
    max_pollers: usize,
    pub(crate) now: Cell<Timestamp>,
    stop_requested: Cell<bool>,
    pub(crate) drain_deadline: Cell<Option<Timestamp>>,
    pub(crate) tasks: TaskTable,
    timers: RefCell<TimerWheel<Waker>>,
    /// Reused from turn to turn.
    expired: RefCell<Vec<Waker>>,
    /// Pollers waiting for the next turn.
    pub(crate) incoming: RefCell<Vec<NewPoller>>,
    /// Pollers there are, those waiting included.
    pub(crate) pollers: Cell<usize>,
}

/// A poller on its way into the reactor.
pub(crate) struct NewPoller {
    pub(crate) poller: Box<dyn Poller>,
    /// `None`: every turn.
    pub(crate) period_ns: Option<u64>,
}

impl LocalHandle {
    pub(crate) fn new(name: &str, config: &ReactorConfig, alarm: Arc<Alarm>) -> LocalHandle {
        let shared = Shared {
            name: name.to_owned(),
            max_tasks: config.max_tasks,
            max_pollers: config.max_pollers,
            now: Cell::new(Timestamp::ZERO),
            stop_requested: Cell::new(false),
            drain_deadline: Cell::new(None),
            tasks: TaskTable::new(config.max_tasks, alarm),
            timers: RefCell::new(TimerWheel::new(config.max_timers, Timestamp::ZERO)),
            expired: RefCell::new(Vec::with_capacity(config.max_timers)),
            incoming: RefCell::new(Vec::with_capacity(config.max_pollers)),
            pollers: Cell::new(0),
        };
        LocalHandle { shared: Rc::new(shared) }
    }

    /// The time at which the present turn began.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.now.get()
    }

    /// Runs a future on this reactor; it is first polled in the next turn. An orderly stop waits
    /// for it, within the grace time. A panic in it is a panic of the reactor.
    pub fn spawn_local<F>(&self, future: F) -> Result<JoinHandle<F::Output>, ReactorError>
    where
        F: Future + 'static,
    {
        self.spawn(future, false)
    }

    /// Like [`spawn_local`](Self::spawn_local), but a stop does not wait for it: for futures that
    /// go on for ever.
    pub fn spawn_background<F>(&self, future: F) -> Result<JoinHandle<F::Output>, ReactorError>
    where
        F: Future + 'static,
    {
        self.spawn(future, true)
    }

    fn spawn<F>(&self, future: F, background: bool) -> Result<JoinHandle<F::Output>, ReactorError>
    where
        F: Future + 'static,
    {
        let (task, handle) = joinable(future);
        match self.shared.tasks.insert(Box::pin(task), background) {
            Ok(()) => Ok(handle),
            Err(_refused) if self.shared.tasks.is_closed() => Err(self.ended()),
            Err(_refused) => Err(ReactorError::TooManyTasks {
                reactor: self.shared.name.clone(),
                limit: self.shared.max_tasks,
            }),
        }
    }

    /// Adds a poller to be called every turn, from the next turn on.
    pub fn add_poller(&self, poller: impl Poller + 'static) -> Result<(), ReactorError> {
        self.add(Box::new(poller), None)
    }

    /// Adds a poller to be called every `period_ns`, first one period after the next turn begins.
    /// Calls that were missed are not made up for.
    pub fn add_timed_poller(
        &self,
        period_ns: u64,
        poller: impl Poller + 'static,
    ) -> Result<(), ReactorError> {
        if period_ns == 0 {
            return Err(ReactorError::ZeroPeriod { poller: poller.name().to_owned() });
        }
        self.add(Box::new(poller), Some(period_ns))
    }

    fn add(&self, poller: Box<dyn Poller>, period_ns: Option<u64>) -> Result<(), ReactorError> {
        if self.shared.tasks.is_closed() {
            return Err(self.ended());
        }
        let pollers = self.shared.pollers.get();
        if pollers == self.shared.max_pollers {
            return Err(ReactorError::TooManyPollers {
                reactor: self.shared.name.clone(),
                poller: poller.name().to_owned(),
                limit: self.shared.max_pollers,
            });
        }
        self.shared.pollers.set(pollers + 1);
        let new = NewPoller { poller, period_ns };
        self.shared.incoming.borrow_mut().push(new);
        Ok(())
    }

    fn ended(&self) -> ReactorError {
        ReactorError::Ended { reactor: self.shared.name.clone() }
    }

    /// Resolves in the first turn that begins `duration` or more after the future is first polled.
    #[must_use = "a future does nothing unless it is awaited"]
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep { local: self.clone(), until: Until::After(duration), timer: None }
    }

    /// Resolves in the first turn that begins at `deadline` or later.
    #[must_use = "a future does nothing unless it is awaited"]
    pub fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        Sleep { local: self.clone(), until: Until::At(deadline), timer: None }
    }

    /// Lets everything else on the reactor have its turn.
    pub async fn yield_now(&self) {
        let mut yielded = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Whether the reactor has been asked to stop: start nothing new, finish what is in flight.
    #[inline]
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.shared.drain_deadline.get().is_some()
    }

    /// When the reactor leaves whether drained or not. `None` while it is not stopping.
    #[must_use]
    pub fn drain_deadline(&self) -> Option<Timestamp> {
        self.shared.drain_deadline.get()
    }

    /// Asks this reactor (and no other) to stop. It drains from the next turn on.
    pub fn request_stop(&self) {
        self.shared.stop_requested.set(true);
    }
}

impl Shared {
    #[inline]
    pub(crate) fn stop_requested(&self) -> bool {
        self.stop_requested.get()
    }

    /// The earliest sleep.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.borrow().next_deadline()
    }

    /// Wakes who has slept long enough. Returns how many those were.
    #[inline]
    pub(crate) fn fire_timers(&self, now: Timestamp) -> u64 {
        let mut fired = 0;
        self.timers.borrow_mut().advance(now, |waker| {
            self.expired.borrow_mut().push(waker);
            fired += 1;
        });
        if fired > 0 {
            self.wake_expired();
        }
        fired
    }

    /// Wakers are called while nothing is borrowed: they may arm timers.
    fn wake_expired(&self) {
        let mut expired = self.expired.take();
        for waker in expired.drain(..) {
            waker.wake();
        }
        self.expired.replace(expired);
    }
}

#[derive(Clone, Copy, Debug)]
enum Until {
    After(Duration),
    At(Timestamp),
}

/// The future of [`LocalHandle::sleep`]. Dropping it disarms its timer.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    local: LocalHandle,
    until: Until,
    timer: Option<TimerId>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.local.now();
        let deadline = match self.until {
            Until::After(duration) => now + duration,
            Until::At(deadline) => deadline,
        };
        self.until = Until::At(deadline);
        if now >= deadline {
            return Poll::Ready(());
        }
        self.arm(deadline, cx.waker());
        Poll::Pending
    }
}

impl Sleep {
    fn arm(&mut self, deadline: Timestamp, waker: &Waker) {
        let waker = waker.clone();
        let mut timers = self.local.shared.timers.borrow_mut();
        if let Some(armed) = self.timer.and_then(|timer| timers.get_mut(timer)) {
            let replaced = std::mem::replace(armed, waker);
            // Only after the borrow: a waker's destructor may be anybody's.
            drop(timers);
            drop(replaced);
            return;
        }
        self.timer = timers.arm(deadline, waker.clone());
        drop(timers);
        if self.timer.is_none() {
            // No timer is free: look again every turn. No later, only dearer.
            waker.wake();
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let shared = &self.local.shared;
        let waker = self.timer.and_then(|timer| shared.timers.borrow_mut().remove(timer));
        drop(waker);
    }
}
