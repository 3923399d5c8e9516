//! Each mistake that is planted in the client is found, by the checker that it was planted for.

#![forbid(unsafe_code)]

use initiator_sim::planted::{hunt, meant_for};
use rpcrdma::Fault;

/// Seeds in which to look for each.
const SEEDS_MAX: u64 = 200;

fn is_found(fault: Fault) -> bool {
    let checker = meant_for(fault);
    (1..=SEEDS_MAX).any(|seed| hunt(fault, seed..seed + 1).found.contains_key(&checker))
}

#[test]
fn every_planted_mistake_is_found() {
    std::panic::set_hook(Box::new(|_| ()));
    let unseen: Vec<_> =
        Fault::ALL.iter().filter(|(fault, _)| !is_found(*fault)).map(|(fault, _)| fault).collect();
    let _ = std::panic::take_hook();
    assert!(unseen.is_empty(), "not found: {unseen:?}");
}
