//! The seeds that every change has to live through.

#![forbid(unsafe_code)]

use initiator_sim::run;
use rpcrdma::PlantedFaults;

/// Seeds `first..first + 50`; four tests, so that the runner spreads them over the cores.
fn live(first: u64) {
    for seed in first..first + 50 {
        if let Err(failure) = run(seed, PlantedFaults::default()) {
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
        let digest = || run(seed, PlantedFaults::default()).map(|report| report.digest).ok();
        assert_eq!(digest(), digest(), "seed {seed}");
    }
}

#[test]
fn runs_differ_and_trouble_strikes() {
    let reports: Vec<_> =
        (1..=40).filter_map(|seed| run(seed, PlantedFaults::default()).ok()).collect();
    let digests: std::collections::BTreeSet<_> = reports.iter().map(|it| it.digest).collect();
    assert_eq!(digests.len(), 40);
    let sum = |figure: fn(&initiator_sim::Report) -> u64| reports.iter().map(figure).sum::<u64>();
    assert!(sum(|it| it.struck) > 400);
    assert!(sum(|it| it.counters.retransmissions) > 100, "RPCs are sent again");
    assert!(sum(|it| it.counters.replies_before_send) > 40, "Replies overtake acknowledgements");
    assert!(sum(|it| it.retransmissions) > 200, "memory is read again");
}
