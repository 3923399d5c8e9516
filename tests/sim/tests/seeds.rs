//! The seeds that every change has to live through.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use initiator_sim::{Report, run};

const SEEDS: u64 = 200;

/// Lives all of them through, on two threads, as the runner is told.
fn live() -> (Report, BTreeSet<u64>) {
    let (next, all) = (AtomicU64::new(1), Mutex::new((Report::default(), BTreeSet::new())));
    let some = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > SEEDS {
                return;
            }
            let report = run(seed, None).unwrap_or_else(|failure| {
                next.store(SEEDS, Ordering::Relaxed);
                panic!("{failure}\n    again: cargo run -p initiator-sim -- --seed {seed} --shape")
            });
            let mut all = all.lock().unwrap();
            all.0.add(&report);
            all.1.insert(report.digest);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(some);
        scope.spawn(some);
    });
    all.into_inner().unwrap()
}

#[test]
fn two_hundred_seeds_live_and_everything_goes_wrong_in_them() {
    let (report, digests) = live();
    assert_eq!(digests.len() as u64, SEEDS, "runs differ");
    assert_eq!(report.tally.missing(), [""; 0], "never happened; all:\n{}", report.tally);
    assert!(report.counters.retransmissions > 100, "RPCs are sent again");
    assert!(report.counters.replies_before_send > 40, "Replies overtake acknowledgements");
    assert!(report.counters.nomsg_call_count > 0, "messages are too long to go inline");
    assert!(report.retransmissions > 200, "memory is read again");
    assert!(report.seen.in_place > 0, "data stays where it arrived");
    assert!(report.seen.in_pieces > 0 && report.seen.own > 0, "payloads lie anywhere");
    assert!(report.seen.pauses > 0, "timers fire");
    assert!(report.seen.remounts > 0, "connections are lost before they are made");
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 1..20 {
        let again = || run(seed, None).map(|report| (report.digest, report.tally)).ok();
        assert_eq!(again(), again(), "seed {seed}");
    }
}
