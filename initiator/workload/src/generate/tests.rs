use super::{Direction, Generator, Region};
use crate::job::{BlockSizes, Job, Rw};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn job(rw: Rw, bs: u32) -> Job {
    Job { rw, bs: [bs, bs].map(BlockSizes::fixed), ..Job::named("j") }
}

fn regions(lens: &[u64], offset: u64) -> Vec<Region> {
    let region = |&len| Region { name: "f".into(), offset, len, file_bytes: offset + len };
    lens.iter().map(region).collect()
}

fn generator(job: &Job, lens: &[u64], offset: u64, thread: u32) -> Generator {
    Generator::new(job, regions(lens, offset), thread).expect("the files fit")
}

/// (file, offset) of so many picks.
fn places(generator: &mut Generator, picks: u64) -> Vec<(u32, u64)> {
    let next = |_| {
        let pick = generator.next_pick(|d| d).unwrap_or_else(|| {
            generator.restart();
            generator.next_pick(|d| d).expect("a new pass")
        });
        (pick.file, pick.offset)
    };
    (0..picks).map(next).collect()
}

#[test]
fn sequential_jobs_take_a_block_of_each_file_in_turn() {
    let mut generator = generator(&job(Rw::Read, 10), &[30, 15, 20], 100, 1);
    let one_pass = [(0, 100), (1, 100), (2, 100), (0, 110), (2, 110), (0, 120)];
    assert_eq!(places(&mut generator, 6), one_pass);
    let again = [(1, 100), (2, 100), (0, 100), (2, 110), (0, 110), (0, 120)];
    assert_eq!(places(&mut generator, 6), again, "from the file whose turn it is");
    assert_eq!(generator.pass_bytes(), 65);
}

#[test]
fn mixed_sequential_jobs_read_in_order_and_write_in_order() {
    let mut generator = generator(&job(Rw::ReadWrite, 1), &[1000], 0, 1);
    let mut next = [0, 0];
    for _ in 0..900 {
        let pick = generator.next_pick(|d| d).expect("there is more");
        assert_eq!(pick.offset, next[pick.direction as usize]);
        next[pick.direction as usize] += 1;
    }
    assert!(next.iter().all(|&n| n > 350));
}

#[test]
fn passes_over_a_random_map_differ_and_runs_repeat() {
    let mut seeded = job(Rw::RandRead, 4096);
    seeded.random.seed_given = true;
    let fresh = || generator(&seeded, &[1 << 20], 0, 5);
    let mut generator = fresh();
    let first = places(&mut generator, 256);
    let second = places(&mut generator, 256);
    assert_ne!(first, second);
    assert_eq!(first, places(&mut fresh(), 256));
    assert!(
        first[..64].windows(2).filter(|w| w[1].1 == w[0].1 + 4096).count() < 10,
        "it is not in order"
    );
}

#[test]
fn without_a_map_blocks_repeat() {
    let mut job = job(Rw::RandWrite, 4096);
    job.random.no_map = true;
    let mut generator = generator(&job, &[1 << 20], 0, 5);
    let distinct: BTreeSet<_> = places(&mut generator, 256).into_iter().collect();
    // 256 throws into 256: 1 - 1/e of them are hit.
    assert!((140..185).contains(&distinct.len()), "{}", distinct.len());
}

proptest! {
    #[test]
    fn a_random_pass_visits_each_block_once_and_stays_inside(
        lens in proptest::collection::vec(64u64..3000, 1..6),
        offset in 0u64..10_000,
        bs in 1u32..64,
        rw in prop_oneof![Just(Rw::RandRead), Just(Rw::RandWrite), Just(Rw::RandRw)],
        thread: u16,
    ) {
        let mut generator = generator(&job(rw, bs), &lens, offset, thread.into());
        let blocks: u64 = lens.iter().map(|len| len / u64::from(bs)).sum();
        let seen: BTreeSet<_> = places(&mut generator, blocks).into_iter().collect();
        prop_assert_eq!(seen.len() as u64, blocks);
        for (file, at) in seen {
            let end = offset + lens[file as usize];
            prop_assert!(at >= offset && at + u64::from(bs) <= end);
            prop_assert_eq!((at - offset) % u64::from(bs), 0);
        }
    }

    #[test]
    fn the_mix_is_near_what_was_asked(percent in 0u8..=100, thread: u16) {
        let job = Job { rwmixread: percent, ..job(Rw::RandRw, 4096) };
        let mut generator = generator(&job, &[1 << 30], 0, thread.into());
        let reads = (0..10_000).filter(|_| generator.next_pick(|d| d).is_some_and(|p| p.direction == Direction::Read)).count();
        prop_assert!((reads as f64 / 100.0 - f64::from(percent)).abs() < 3.0, "{} of {}", reads, percent);
    }
}
