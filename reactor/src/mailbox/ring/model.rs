//! The ring under a model checker: senders and the receiver on threads of their own, in every order.
//!
//! `cargo test -p reactor --features loom --lib ring::model`

use std::mem::ManuallyDrop;
use std::ops::Range;

use loom::thread;

use super::*;
use crate::sync::WEAKENED;

/// Sends so many, and gives up those that find no room. How many were taken in.
fn send(sender: &Sender<u32, ()>, numbers: Range<u32>) -> usize {
    numbers.filter(|&number| sender.send(number).is_ok()).count()
}

/// Two threads send so many each, a third takes what it finds when it looks; after all of them,
/// what is left. `before` has been through the ring, so that places are used again.
fn two_senders(capacity: usize, before: u32, each: [u32; 2], looks: u32) {
    loom::model(move || {
        let (sender, receiver) = ring(capacity, ());
        // Where the model finds something, what is left is not touched again.
        let mut receiver = ManuallyDrop::new(receiver);
        assert_eq!(send(&sender, 0..before), before as usize);
        let senders = [(100, each[0]), (200, each[1])].map(|(from, count)| {
            let sender = sender.clone();
            // What it needs no more it gives back, or the model tries the orders of that, too.
            thread::spawn(move || (send(&sender, from..from + count), sender))
        });
        let mut numbers: Vec<_> = (0..looks).filter_map(|_| receiver.take()).collect();
        let senders = senders.map(|sender| sender.join().unwrap());
        numbers.extend(std::iter::from_fn(|| receiver.take()));
        let sent: usize = senders.iter().map(|(count, _)| count).sum();
        assert_eq!(numbers.len(), before as usize + sent, "what was taken in comes out");
        assert!(sent + before as usize >= capacity, "there was room");
        let of = |from| numbers.iter().filter(move |&&number| number / 100 == from);
        assert!((0..3).all(|from| of(from).is_sorted()), "each in its order: {numbers:?}");
        drop(ManuallyDrop::into_inner(receiver));
    });
}

#[test]
fn no_order_of_two_senders_and_the_receiver_loses_or_mixes_up_a_message() {
    two_senders(1, 0, [2, 1], 1);
    two_senders(1, 1, [1, 1], 2);
    two_senders(2, 1, [2, 1], 1);
    two_senders(2, 2, [1, 1], 2);
}

/// Keeps the ring that it lies in, as a mailbox in a message does.
struct Knot {
    _ring: Sender<Knot, ()>,
    _alive: std::sync::Arc<()>,
}

/// Two threads send while the receiver goes away. The model itself finds a ring that is kept.
fn close(capacity: usize, each: [u32; 2], looks: u32) {
    loom::model(move || {
        let (sender, mut receiver) = ring(capacity, ());
        let alive = std::sync::Arc::new(());
        let senders = each.map(|count| {
            let (sender, alive) = (sender.clone(), alive.clone());
            let send = move || sender.send(Knot { _ring: sender.clone(), _alive: alive.clone() });
            thread::spawn(move || {
                (0..count).for_each(|_| _ = send());
                send
            })
        });
        drop((0..looks).filter_map(|_| receiver.take()).collect::<Vec<_>>());
        drop(receiver);
        for send in senders.map(|sender| sender.join().unwrap()) {
            assert_eq!(send(), Err(Refused::Closed));
        }
        assert_eq!(std::sync::Arc::strong_count(&alive), 1, "no message is left");
    });
}

#[test]
fn no_order_of_two_senders_and_the_end_leaves_a_message_behind() {
    close(1, [2, 0], 1);
    close(1, [1, 1], 0);
    close(2, [1, 1], 0);
}

fn weakened(what: Handover) {
    WEAKENED.set(Some(what));
    two_senders(1, 1, [1, 1], 2);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_message_handed_over_without_release_would_be_found() {
    weakened(Handover::Message);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_place_given_back_without_release_would_be_found() {
    weakened(Handover::Place);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_limit_passed_on_without_release_would_be_found() {
    weakened(Handover::Limit);
}
