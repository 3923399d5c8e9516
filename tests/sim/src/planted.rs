//! Whether the checkers can see: mistakes planted in the client, one at a time, and who finds them.

use std::collections::BTreeMap;
use std::ops::Range;

use rpcrdma::Fault;

use crate::finding::Checker;
use crate::run;

/// What came of looking for one mistake.
#[derive(Clone, Debug, Default)]
pub struct Hunt {
    /// Seeds in which it was found, by who found it first.
    pub found: BTreeMap<Checker, u64>,
    /// The first of them.
    pub first: Option<u64>,
}

impl Hunt {
    /// Seeds in which it was found.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.found.values().sum()
    }

    /// Adds what was found in other seeds.
    pub fn add(&mut self, other: &Self) {
        other.found.iter().for_each(|(checker, count)| {
            *self.found.entry(*checker).or_default() += count;
        });
        self.first = [self.first, other.first].into_iter().flatten().min();
    }
}

/// Runs seeds with the mistake.
#[must_use]
pub fn hunt(fault: Fault, seeds: Range<u64>) -> Hunt {
    let mut hunt = Hunt::default();
    for seed in seeds {
        if let Err(failure) = run(seed, Some(fault)) {
            *hunt.found.entry(failure.finding.checker).or_default() += 1;
            hunt.first = hunt.first.or(Some(seed));
        }
    }
    hunt
}

/// The checker that the mistake was planted for.
#[must_use]
pub fn meant_for(fault: Fault) -> Checker {
    match fault {
        Fault::ReleaseOnReply | Fault::WalkTooFar | Fault::NoDrain => Checker::Memory,
        Fault::CompleteTwice | Fault::StaleXid => Checker::Results,
        Fault::NoRepost | Fault::CreditOverUse | Fault::BindsUncounted => Checker::Queues,
        Fault::FreshXid => Checker::Once,
        Fault::AnyVerifier | Fault::PieceOffset => Checker::Contents,
        Fault::LeakWindows | Fault::LeakCredit => Checker::Leaks,
        Fault::ForgetWake => Checker::Liveness,
    }
}
