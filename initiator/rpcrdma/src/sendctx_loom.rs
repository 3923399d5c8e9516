//! The ring under a model checker: a getter and a putter on two threads, in every order.
//!
//! `cargo test -p rpcrdma --features loom --lib sendctx::model`

use std::sync::atomic::Ordering::{Acquire, Release};

use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::thread;

use super::ops::{Op, ends};
use crate::sync::WEAKENED;

/// Looks that the putter takes at what has completed.
const LOOKS: u32 = 2;

/// Places taken, given back, filled and posted: with a ring of one place and of two, enough for
/// every place to be used again.
const ONE_BY_ONE: [Op; 6] =
    [Op::Get { wrs: 1 }, Op::Unget, Op::Get { wrs: 1 }, Op::Post, Op::Get { wrs: 1 }, Op::Post];
/// The same as one chain: one completion stands for both.
const AS_A_CHAIN: [Op; 5] =
    [Op::Get { wrs: 1 }, Op::Unget, Op::Get { wrs: 1 }, Op::Get { wrs: 1 }, Op::Post];

/// One thread does `ops`; the last Send of each chain is made known to the other, as a completion
/// would be, and that one walks up to it. Neither waits for the other: a full ring ends the sender,
/// and what the putter has not seen by the end is walked then.
fn two_threads(slots: u32, ops: &'static [Op]) {
    loom::model(move || {
        let (mut sends, mut completions) = ends(slots, slots);
        let completed = Arc::new(AtomicU32::new(0));
        let known = completed.clone();
        let handler = thread::spawn(move || {
            let mut last = 0;
            for _ in 0..LOOKS {
                let number = completed.load(Acquire);
                let walked = completions.complete(number);
                assert_eq!(walked, number - last, "nothing is released twice");
                last = number;
            }
            (completions, last)
        });
        let mut posted = 0;
        for op in ops {
            match op {
                Op::Get { wrs } if sends.get(*wrs).is_none() => break,
                Op::Unget => assert!(sends.unget()),
                Op::Post => {
                    let chain = sends.post();
                    posted += chain.len() as u32;
                    if let Some(&last) = chain.last() {
                        known.store(last, Release);
                    }
                }
                _ => {}
            }
        }
        let chain = sends.post();
        posted += chain.len() as u32;
        let Ok((mut completions, released)) = handler.join() else { panic!("the putter failed") };
        assert!(posted - released <= slots);
        assert_eq!(completions.drain(), posted - released);
    });
}

#[test]
fn no_order_of_two_threads_reaches_a_place_from_both() {
    two_threads(1, &ONE_BY_ONE);
    two_threads(2, &ONE_BY_ONE);
    two_threads(2, &AS_A_CHAIN);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_handover_without_release_would_be_found() {
    WEAKENED.set(true);
    two_threads(1, &ONE_BY_ONE);
}
