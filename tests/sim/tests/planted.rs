//! Each mistake that is planted in the client is found, by the checker that it was planted for.

#![forbid(unsafe_code)]

use initiator_sim::planted::{hunt, meant_for};
use rpcrdma::Fault;

/// Seeds at a time, and how many of those.
const BATCH: u64 = 10;
const BATCHES_MAX: u64 = 20;

fn is_found(fault: Fault) -> bool {
    let checker = meant_for(fault);
    (0..BATCHES_MAX).any(|batch| {
        let first = 1 + batch * BATCH;
        hunt(fault, first..first + BATCH).found.contains_key(&checker)
    })
}

#[test]
fn every_planted_mistake_is_found() {
    std::panic::set_hook(Box::new(|_| ()));
    let unseen: Vec<_> =
        Fault::ALL.iter().filter(|(fault, _)| !is_found(*fault)).map(|(fault, _)| fault).collect();
    let _ = std::panic::take_hook();
    assert!(unseen.is_empty(), "not found: {unseen:?}");
}
