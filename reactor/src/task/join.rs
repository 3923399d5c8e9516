//! Waiting for a task's result.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The result of a spawned future, when it is there. Dropping it lets the task run on by itself.
///
/// It never resolves if the reactor is dropped first.
#[derive(Debug)]
pub struct JoinHandle<T> {
    state: Rc<RefCell<State<T>>>,
}

#[derive(Debug)]
struct State<T> {
    result: Option<T>,
    waiting: Option<Waker>,
}

impl<T> JoinHandle<T> {
    /// Whether the result is there and not taken yet.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state.borrow().result.is_some()
    }

    /// Takes the result, if it is there: for callers that turn the reactor themselves.
    #[must_use]
    pub fn take(&mut self) -> Option<T> {
        self.state.borrow_mut().result.take()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.state.borrow_mut();
        if let Some(result) = state.result.take() {
            return Poll::Ready(result);
        }
        match &mut state.waiting {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// Splits a future into what the task runs and what the spawner keeps.
pub(crate) fn joinable<F>(future: F) -> (impl Future<Output = ()> + 'static, JoinHandle<F::Output>)
where
    F: Future + 'static,
{
    let state = Rc::new(RefCell::new(State { result: None, waiting: None }));
    let handle = JoinHandle { state: Rc::clone(&state) };
    let task = async move {
        let result = future.await;
        let waiting = {
            let mut state = state.borrow_mut();
            state.result = Some(result);
            state.waiting.take()
        };
        // With nothing borrowed: the waker may be anybody's.
        if let Some(waker) = waiting {
            waker.wake();
        }
    };
    (task, handle)
}
