use super::{Lfsr, Tausworthe, name_hash};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn percentages_are_from_one_to_a_hundred() {
    let mut rng = Tausworthe::narrow(7);
    let drawn: BTreeSet<u8> = (0..10_000).map(|_| rng.percent()).collect();
    assert_eq!((drawn.first(), drawn.last(), drawn.len()), (Some(&1), Some(&100), 100));
}

#[test]
fn the_wide_generator_fills_64_bits() {
    let mut rng = Tausworthe::wide(7);
    let (ones, all) = (0..1000).map(|_| rng.next()).fold((0, !0), |(or, and), n| (or | n, and & n));
    assert_eq!((ones, all), (u64::MAX, 0));
}

#[test]
fn hashes_of_names_differ_at_every_length() {
    let names: BTreeSet<u32> = (0..60).map(|len| name_hash(&"x".repeat(len))).collect();
    assert_eq!(names.len(), 60);
}

proptest! {
    #[test]
    fn a_register_visits_each_number_once_and_starts_again(below in 1u64..5000, seed: u64) {
        let mut lfsr = Lfsr::new(below, seed);
        let first: Vec<u64> = std::iter::from_fn(|| lfsr.next()).collect();
        let distinct: BTreeSet<u64> = first.iter().copied().collect();
        prop_assert_eq!(distinct.len() as u64, below);
        prop_assert_eq!(first.len() as u64, below);
        prop_assert!(distinct.last().is_some_and(|&last| last < below));
        lfsr.reset();
        prop_assert_eq!(lfsr.next(), first.first().copied());
    }
}
