//! The table of tasks: where futures live between polls.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::wake::{Entered, WakeSet};
use crate::alarm::Alarm;

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

/// The place of the future that `Reactor::run_until` holds on its stack.
const ROOT: usize = 0;

/// A reactor's tasks. Place 0 is the root's; spawned futures have the others.
pub(crate) struct TaskTable {
    woken: Arc<WakeSet>,
    /// By place, made once.
    wakers: Box<[Waker]>,
    places: RefCell<Places>,
    root_woken: Cell<bool>,
    /// Tasks that hold back the end of a reactor.
    holding: Cell<usize>,
    closed: Cell<bool>,
}

struct Places {
    /// `None`: free, or being polled at the moment.
    futures: Box<[Option<Task>]>,
    free: Vec<u32>,
}

struct Task {
    future: LocalFuture,
    background: bool,
}

impl TaskTable {
    pub(crate) fn new(max_tasks: usize, alarm: Arc<Alarm>) -> TaskTable {
        let places = max_tasks + 1;
        let woken = WakeSet::new(places, alarm);
        TaskTable {
            wakers: (0..places).map(|index| woken.waker(index)).collect(),
            woken,
            places: RefCell::new(Places {
                futures: (0..places).map(|_| None).collect(),
                // Taken from the end: the lowest place first.
                free: (1..places as u32).rev().collect(),
            }),
            root_woken: Cell::new(false),
            holding: Cell::new(0),
            closed: Cell::new(false),
        }
    }

    /// Takes a future in, to be polled in the next turn. Gives it back when there is no room.
    pub(crate) fn insert(&self, future: LocalFuture, background: bool) -> Result<(), LocalFuture> {
        if self.closed.get() {
            return Err(future);
        }
        let mut places = self.places.borrow_mut();
        let Some(index) = places.free.pop() else {
            return Err(future);
        };
        places.futures[index as usize] = Some(Task { future, background });
        if !background {
            self.holding.set(self.holding.get() + 1);
        }
        self.woken.insert(index as usize);
        Ok(())
    }

    /// Polls every woken task once. Returns how many polls that were.
    #[inline]
    pub(crate) fn run_woken(&self) -> u64 {
        let mut polls = 0;
        self.woken.drain(|index| {
            if index == ROOT {
                self.root_woken.set(true);
            } else if self.poll(index) {
                polls += 1;
            }
        });
        polls
    }

    /// Polls one task; `false` if the place is empty. The table is not borrowed meanwhile: the
    /// future may spawn others.
    fn poll(&self, index: usize) -> bool {
        let task = self.places.borrow_mut().futures[index].take();
        let Some(mut task) = task else {
            return false;
        };
        let mut cx = Context::from_waker(&self.wakers[index]);
        match task.future.as_mut().poll(&mut cx) {
            Poll::Pending => self.places.borrow_mut().futures[index] = Some(task),
            Poll::Ready(()) => {
                let background = task.background;
                drop(task);
                self.places.borrow_mut().free.push(index as u32);
                if !background {
                    self.holding.set(self.holding.get() - 1);
                }
            }
        }
        true
    }

    /// Tasks that have not ended, leaving out those in the background.
    #[inline]
    pub(crate) fn holding(&self) -> usize {
        self.holding.get()
    }

    /// Whether nothing more is taken in.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Marks this table's reactor as the one that turns on this thread.
    #[inline]
    pub(crate) fn enter(&self) -> Entered {
        self.woken.enter()
    }

    /// The root counts as a task that holds the reactor back, until [`Self::end_root`].
    pub(crate) fn begin_root(&self) -> &Waker {
        self.holding.set(self.holding.get() + 1);
        self.root_woken.set(true);
        &self.wakers[ROOT]
    }

    pub(crate) fn end_root(&self) {
        self.holding.set(self.holding.get() - 1);
    }

    /// Whether the root was woken since last asked.
    pub(crate) fn take_root_wake(&self) -> bool {
        self.root_woken.take()
    }

    /// The same, without taking it.
    pub(crate) fn root_is_woken(&self) -> bool {
        self.root_woken.get()
    }

    /// Drops every future and takes no more. Futures hold the reactor's handle, which holds this
    /// table: without this they would keep each other alive.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        let places = self.places.borrow().futures.len();
        for index in 0..places {
            let task = self.places.borrow_mut().futures[index].take();
            // Here, with nothing borrowed: a future's destructor may come back to us.
            drop(task);
        }
    }
}
