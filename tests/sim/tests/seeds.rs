//! The seeds that every change has to live through.

#![forbid(unsafe_code)]

use initiator_sim::run;
use initiator_sim::shape::Strike;

/// Seeds `first..first + 50`; four tests, so that the runner spreads them over the cores.
fn live(first: u64) {
    for seed in first..first + 50 {
        if let Err(failure) = run(seed, None) {
            panic!("{failure}\n    again: cargo run -p initiator-sim -- --seed {seed} --shape");
        }
    }
}

#[test]
fn seeds_1_to_50() {
    live(1);
}

#[test]
fn seeds_51_to_100() {
    live(51);
}

#[test]
fn seeds_101_to_150() {
    live(101);
}

#[test]
fn seeds_151_to_200() {
    live(151);
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 1..20 {
        let digest = || run(seed, None).map(|report| report.digest).ok();
        assert_eq!(digest(), digest(), "seed {seed}");
    }
}

#[test]
fn runs_differ_and_trouble_strikes() {
    let reports: Vec<_> = (1..=100).filter_map(|seed| run(seed, None).ok()).collect();
    let digests: std::collections::BTreeSet<_> = reports.iter().map(|it| it.digest).collect();
    assert_eq!(digests.len(), 100);
    let sum = |figure: fn(&initiator_sim::Report) -> u64| reports.iter().map(figure).sum::<u64>();
    let struck = |at: &usize| reports.iter().any(|it| it.struck[*at] > 0);
    let absent: Vec<_> = (0..Strike::ALL.len()).filter(|at| !struck(at)).collect();
    // The rarest may take more runs than these.
    assert!(
        absent.len() <= 2,
        "{:?}",
        absent.iter().map(|&at| Strike::ALL[at].0).collect::<Vec<_>>()
    );
    assert!(sum(|it| it.counters.retransmissions) > 100, "RPCs are sent again");
    assert!(sum(|it| it.counters.replies_before_send) > 40, "Replies overtake acknowledgements");
    assert!(sum(|it| it.retransmissions) > 200, "memory is read again");
    assert!(sum(|it| it.mailbox_full) > 0, "mailboxes fill up");
    assert!(sum(|it| it.seen.dry) > 0, "pools run dry");
    assert!(sum(|it| it.seen.in_place) > 0, "data stays where it arrived");
    assert!(sum(|it| it.seen.in_pieces) > 0 && sum(|it| it.seen.own) > 0, "payloads lie anywhere");
    assert!(sum(|it| it.seen.pauses) > 0, "timers fire");
    assert!(sum(|it| it.seen.remounts) > 0, "connections are lost before they are made");
    assert!(sum(|it| it.counters.nomsg_call_count) > 0, "messages are too long to go inline");
}
