use reactor::IdlePolicy;

use super::{Placement, Wanted, place};

fn cores(usable: &[usize], wanted: &Wanted<'_>) -> (Vec<usize>, Option<usize>) {
    let Placement { jobs, target, .. } = place(usable, wanted).expect("possible");
    (jobs, target)
}

#[test]
fn jobs_come_first_and_the_target_is_on_the_next_core() {
    let wanted = |threads| Wanted { threads, target: true, ..Wanted::default() };
    assert_eq!(cores(&[0, 1], &wanted(1)), (vec![0], Some(1)));
    assert_eq!(cores(&[2, 3, 5, 7], &wanted(2)), (vec![2, 3], Some(5)));
    assert_eq!(cores(&[0, 1], &wanted(8)), (vec![0], Some(1)), "a core is kept for the target");
    let alone = Wanted { threads: 8, ..Wanted::default() };
    assert_eq!(cores(&[0, 1], &alone), (vec![0, 1], None));
}

#[test]
fn what_was_asked_for_is_what_is_used() {
    let asked = Wanted { cores: Some(&[1]), threads: 1, target: true, ..Wanted::default() };
    assert_eq!(cores(&[0, 1], &asked), (vec![1], Some(0)));
    let target = Wanted { target_core: Some(0), threads: 1, target: true, ..Wanted::default() };
    assert_eq!(cores(&[0, 1], &target), (vec![1], Some(0)));
}

#[test]
fn reactors_that_share_a_core_yield_unless_told_otherwise() {
    let wanted = Wanted { threads: 1, target: true, ..Wanted::default() };
    let placement = place(&[3], &wanted).expect("possible");
    assert_eq!((placement.jobs, placement.target), (vec![3], Some(3)));
    assert_eq!(placement.idle, IdlePolicy::Yield);
    assert!(placement.notes[0].contains("share core 3"), "{:?}", placement.notes);
    let told = Wanted { idle: Some(IdlePolicy::Spin), ..wanted };
    assert_eq!(place(&[3], &told).expect("possible").idle, IdlePolicy::Spin);
}

#[test]
fn a_core_that_is_not_there_is_named_with_those_that_are() {
    let wanted = Wanted { cores: Some(&[0, 9]), threads: 2, ..Wanted::default() };
    let error = place(&[0, 1], &wanted).expect_err("no core 9").to_string();
    assert_eq!(error, "core 9 cannot be used: this process may run on cores 0,1");
}

#[test]
fn cores_without_a_job_are_mentioned() {
    let wanted = Wanted { cores: Some(&[0, 1]), threads: 1, ..Wanted::default() };
    let placement = place(&[0, 1], &wanted).expect("possible");
    assert_eq!(placement.jobs, [0]);
    assert!(placement.notes[0].contains("core(s) 1"), "{:?}", placement.notes);
}
