//! Each mistake that is planted in the client is found, by the checker that it was planted for.

#![forbid(unsafe_code)]

use std::process::Command;

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

/// The finding and the command that repeats it, as they are printed.
fn told(arguments: &str) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_initiator-sim"));
    let output = command.args(arguments.split(' ')).output().unwrap();
    assert!(!output.status.success(), "{arguments}: nothing was found");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |with: &str| text.lines().find(|line| line.contains(with)).unwrap_or_default();
    (line("seed ").to_owned(), line("again: ").to_owned())
}

#[test]
fn a_seed_that_fails_prints_the_command_that_repeats_it() {
    let (found, again) = told("--plant CompleteTwice --seed 3 --jobs 1");
    assert!(found.starts_with("seed 3: after "), "{found}");
    let command = again.trim().strip_prefix("again: initiator-sim ").expect("a command");
    assert_eq!(told(command), (found, again.clone()));
}
