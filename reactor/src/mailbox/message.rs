//! A closure of any type as a value of one size, in place if it fits and boxed if it does not.
//!
//! Threading: made by the sender, called or dropped by the reactor.
//!
//! Faults survived: a closure that panics is gone by then, and is not dropped a second time.

use std::mem::{ManuallyDrop, MaybeUninit, align_of, size_of};

use crate::event_loop::Reactor;

/// With its function and its number in the ring a message fills a cache line.
type Place = MaybeUninit<[u64; 6]>;

/// What a reactor is to call.
pub(crate) struct Message {
    /// Moves the closure out of the place, once, to call it or, without a reactor, to drop it.
    finish: unsafe fn(*mut Place, Option<&mut Reactor>),
    place: Place,
}

impl Message {
    #[inline]
    pub(crate) fn new<F: FnOnce(&mut Reactor) + Send + 'static>(call: F) -> Message {
        if const { size_of::<F>() <= size_of::<Place>() && align_of::<F>() <= align_of::<Place>() }
        {
            // SAFETY: just looked at.
            unsafe { Message::in_place(call) }
        } else {
            let boxed = Box::new(call);
            // SAFETY: a box is as long as a pointer.
            unsafe { Message::in_place(move |reactor: &mut Reactor| boxed(reactor)) }
        }
    }

    /// # Safety
    /// The closure is no larger than a [`Place`] and needs no stricter alignment.
    #[inline]
    unsafe fn in_place<F: FnOnce(&mut Reactor) + Send + 'static>(call: F) -> Message {
        let mut place = Place::uninit();
        // SAFETY: it fits by the contract, and the place is ours and empty.
        unsafe { place.as_mut_ptr().cast::<F>().write(call) };
        Message { finish: finish::<F>, place }
    }

    #[inline]
    pub(crate) fn call(self, reactor: &mut Reactor) {
        let mut message = ManuallyDrop::new(self);
        // SAFETY: the place holds what `finish` was made for; it is not dropped again.
        unsafe { (message.finish)(&mut message.place, Some(reactor)) };
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the place holds what `finish` was made for: `call` does not come here.
        unsafe { (self.finish)(&mut self.place, None) };
    }
}

/// # Safety
/// The place holds an `F`, which is not used after this.
unsafe fn finish<F: FnOnce(&mut Reactor)>(place: *mut Place, reactor: Option<&mut Reactor>) {
    // SAFETY: by the contract it is there, and ours from now on.
    let call = unsafe { place.cast::<F>().read() };
    if let Some(reactor) = reactor {
        call(reactor);
    }
}
