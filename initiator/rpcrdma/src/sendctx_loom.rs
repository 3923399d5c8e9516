//! The ring under a model checker: a getter and a putter on two threads, in every order.
//!
//! `cargo test -p rpcrdma --features loom --lib sendctx::model`

use std::sync::atomic::Ordering::{Acquire, Release};

use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::thread;

use super::*;
use crate::sync::WEAKENED;

/// Sends that the getter would like to make, and looks that the putter takes: with a ring of one
/// place and of two, enough for every place to be used again.
const SENDS: u32 = 2;

/// The getter takes a place for each Send, gives the first one back, takes it again, fills it and
/// posts it; every `signal_every`th posting is made known to the putter, as a completion would be, and
/// the putter walks up to it. Neither waits for the other: a full ring ends the getter, and what
/// the putter has not seen by the end is walked then.
fn two_threads(slots: u32, signal_every: u32) {
    loom::model(move || {
        let (mut getter, mut putter) = ring(slots, slots);
        let completed = Arc::new(AtomicU32::new(0));
        let posted = completed.clone();
        let handler = thread::spawn(move || {
            let mut released = 0;
            for _ in 0..SENDS {
                let number = completed.load(Acquire);
                let fresh = number != released;
                let walked = putter.put(number, |ctx| {
                    assert_eq!(ctx.request, released, "in the order of the Sends");
                    released += 1;
                });
                assert_eq!(walked.is_ok(), fresh, "nothing is released twice");
            }
            (putter, released)
        });
        let mut sent = 0;
        if getter.get(1).is_some() {
            getter.unget();
        }
        while sent < SENDS
            && let Some(ctx) = getter.get(1)
        {
            ctx.request = sent;
            sent += 1;
            if sent.is_multiple_of(signal_every) {
                posted.store(getter.head(), Release);
            }
        }
        let Ok((mut putter, released)) = handler.join() else { panic!("the putter failed") };
        assert!(sent - released <= slots);
        assert_eq!(putter.put_all(|_| ()), sent - released);
        assert_eq!(getter.head(), sent);
    });
}

#[test]
fn no_order_of_two_threads_reaches_a_place_from_both() {
    two_threads(1, 1);
    two_threads(2, 1);
    two_threads(2, 2);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_handover_without_release_would_be_found() {
    WEAKENED.set(true);
    two_threads(1, 1);
}
