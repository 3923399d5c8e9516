use std::sync::Arc;
use std::thread;

use super::*;

#[test]
fn it_holds_exactly_as_many_as_it_was_made_for() {
    for capacity in [1, 2, 3, 5, 8] {
        let (sender, mut receiver) = ring(capacity, ());
        let mut oldest = 0;
        for number in 0..100 {
            if number - oldest == capacity {
                assert_eq!(sender.send(number), Err(Refused::Full));
                assert_eq!(receiver.take(), Some(oldest));
                oldest += 1;
            }
            assert_eq!(sender.send(number), Ok(()));
        }
        assert_eq!(sender.send(100), Err(Refused::Full));
        for number in oldest..100 {
            assert!(!receiver.is_empty());
            assert_eq!(receiver.take(), Some(number));
        }
        assert!(receiver.is_empty());
        assert_eq!(receiver.take(), None);
    }
}

#[test]
fn what_was_not_taken_is_dropped_once_and_later_messages_are_refused() {
    let witness = Arc::new(());
    let (sender, mut receiver) = ring(4, ());
    // Into the second lap, where places have held something before.
    for _ in 0..6 {
        sender.send(Arc::clone(&witness)).unwrap();
        assert!(receiver.take().is_some());
    }
    for waiting in 1..=4 {
        sender.send(Arc::clone(&witness)).unwrap();
        assert_eq!(Arc::strong_count(&witness), 1 + waiting);
    }
    assert_eq!(sender.send(Arc::clone(&witness)), Err(Refused::Full));
    assert_eq!(Arc::strong_count(&witness), 5);
    drop(receiver);
    assert_eq!(Arc::strong_count(&witness), 1);
    assert_eq!(sender.send(Arc::clone(&witness)), Err(Refused::Closed));
    drop(sender);
    assert_eq!(Arc::strong_count(&witness), 1);
}

#[test]
fn many_senders_lose_nothing_and_each_keeps_its_order() {
    const SENDERS: usize = 4;
    const EACH: usize = 50_000;
    let (sender, mut receiver) = ring(3, ());
    let witness = Arc::new(());
    let threads: Vec<_> = (0..SENDERS)
        .map(|from| {
            let (sender, witness) = (sender.clone(), Arc::clone(&witness));
            thread::spawn(move || {
                for number in 0..EACH {
                    while sender.send((from, number, Arc::clone(&witness))).is_err() {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut next = [0; SENDERS];
    while next != [EACH; SENDERS] {
        match receiver.take() {
            Some((from, number, _)) => {
                assert_eq!(number, next[from]);
                next[from] += 1;
            }
            None => thread::yield_now(),
        }
    }
    assert!(receiver.is_empty());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(Arc::strong_count(&witness), 1);
}

/// Keeps the ring that it lies in.
struct Knot {
    _ring: Sender<Knot, ()>,
    _witness: Arc<()>,
}

#[test]
fn a_receiver_that_goes_away_among_many_senders_leaves_nothing_behind() {
    for taken in 0..200 {
        let (sender, mut receiver) = ring(2, ());
        let witness = Arc::new(());
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (sender, witness) = (sender.clone(), Arc::clone(&witness));
                let knot = move || Knot { _ring: sender.clone(), _witness: Arc::clone(&witness) };
                thread::spawn(move || while knot()._ring.send(knot()) != Err(Refused::Closed) {})
            })
            .collect();
        for _ in 0..taken {
            drop(receiver.take());
        }
        drop((sender, receiver));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(Arc::strong_count(&witness), 1);
    }
}
