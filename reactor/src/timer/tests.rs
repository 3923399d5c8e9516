use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn fired(wheel: &mut TimerWheel, now: u64) -> Vec<u64> {
    let mut tokens = Vec::new();
    wheel.advance(Timestamp(now), |token| tokens.push(token));
    tokens
}

#[test]
fn a_timer_fires_at_its_deadline_and_not_before() {
    let mut wheel = TimerWheel::new(4, Timestamp(1_000));
    wheel.arm(Timestamp(5_000_000_001), 7).unwrap();
    assert_eq!(wheel.next_deadline(), Some(Timestamp(5_000_000_001)));
    assert!(fired(&mut wheel, 5_000_000_000).is_empty());
    assert_eq!(fired(&mut wheel, 5_000_000_001), [7]);
    assert!(wheel.is_empty());
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn a_deadline_in_the_past_is_due_at_once() {
    let mut wheel = TimerWheel::new(4, Timestamp(1_000));
    wheel.arm(Timestamp(3), 1).unwrap();
    assert_eq!(fired(&mut wheel, 1_000), [1]);
}

#[test]
fn the_ends_of_time_can_be_armed() {
    let mut wheel = TimerWheel::new(4, Timestamp::ZERO);
    wheel.arm(Timestamp::MAX, 2).unwrap();
    wheel.arm(Timestamp::ZERO, 1).unwrap();
    assert_eq!(fired(&mut wheel, 0), [1]);
    assert!(fired(&mut wheel, u64::MAX - 1).is_empty());
    assert_eq!(fired(&mut wheel, u64::MAX), [2]);
    assert!(fired(&mut wheel, u64::MAX).is_empty());
}

#[test]
fn a_stale_id_does_not_cancel_the_timer_that_took_its_entry() {
    let mut wheel = TimerWheel::new(1, Timestamp::ZERO);
    let first = wheel.arm(Timestamp(10), 1).unwrap();
    assert!(wheel.cancel(first));
    assert!(!wheel.cancel(first), "cancelled twice");
    let second = wheel.arm(Timestamp(10), 2).unwrap();
    assert!(!wheel.cancel(first));
    assert_eq!(fired(&mut wheel, 10), [2]);
    assert!(!wheel.cancel(second), "cancelled after it fired");
}

#[test]
fn a_full_wheel_refuses_and_recovers() {
    let mut wheel = TimerWheel::new(2, Timestamp::ZERO);
    let first = wheel.arm(Timestamp(10), 1).unwrap();
    wheel.arm(Timestamp(10), 2).unwrap();
    assert_eq!(wheel.arm(Timestamp(10), 3), None);
    wheel.cancel(first);
    assert!(wheel.arm(Timestamp(10), 3).is_some());
    assert_eq!(fired(&mut wheel, 10), [2, 3]);
    assert_eq!(TimerWheel::new(0, Timestamp::ZERO).arm(Timestamp(1), 0), None);
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let mut wheel = TimerWheel::new(4, Timestamp(100));
    wheel.arm(Timestamp(150), 1).unwrap();
    assert!(fired(&mut wheel, 120).is_empty());
    assert!(fired(&mut wheel, 20).is_empty());
    wheel.arm(Timestamp(130), 2).unwrap();
    assert_eq!(fired(&mut wheel, 200), [2, 1]);
}

#[derive(Clone, Debug)]
enum Op {
    Arm(u64),
    ArmInThePast(u64),
    Cancel(prop::sample::Index),
    Advance(u64),
}

/// Delays from nanoseconds to centuries, each magnitude as likely as the next.
fn delay() -> impl Strategy<Value = u64> {
    (0_u32..62, any::<u64>()).prop_map(|(bits, noise)| noise & ((1 << bits) - 1))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => delay().prop_map(Op::Arm),
        1 => delay().prop_map(Op::ArmInThePast),
        2 => any::<prop::sample::Index>().prop_map(Op::Cancel),
        3 => delay().prop_map(Op::Advance),
    ]
}

/// The obvious implementation: a map ordered by deadline, then by arming.
struct Oracle {
    now: u64,
    armed: BTreeMap<(u64, u64), TimerId>,
    gone: Vec<TimerId>,
}

const CAPACITY: usize = 24;

fn arm(wheel: &mut TimerWheel, oracle: &mut Oracle, token: u64, deadline: u64) {
    match wheel.arm(Timestamp(deadline), token) {
        Some(id) => drop(oracle.armed.insert((deadline.max(oracle.now), token), id)),
        None => assert_eq!(oracle.armed.len(), CAPACITY),
    }
}

fn step(wheel: &mut TimerWheel, oracle: &mut Oracle, token: u64, op: Op) {
    match op {
        Op::Arm(delay) => {
            let deadline = oracle.now.saturating_add(delay);
            arm(wheel, oracle, token, deadline);
        }
        Op::ArmInThePast(ago) => {
            let deadline = oracle.now.saturating_sub(ago);
            arm(wheel, oracle, token, deadline);
        }
        Op::Cancel(which) if !oracle.armed.is_empty() => {
            let key = *which.get(&oracle.armed.keys().collect::<Vec<_>>()).to_owned();
            let id = oracle.armed.remove(&key).unwrap();
            assert!(wheel.cancel(id));
            oracle.gone.push(id);
        }
        Op::Cancel(_) => {}
        Op::Advance(by) => {
            oracle.now = oracle.now.saturating_add(by);
            let later = oracle.armed.split_off(&(oracle.now, u64::MAX));
            let due = std::mem::replace(&mut oracle.armed, later);
            let expected: Vec<u64> = due.keys().map(|key| key.1).collect();
            assert_eq!(fired(wheel, oracle.now), expected);
            oracle.gone.extend(due.values());
        }
    }
    let earliest = oracle.armed.keys().next().map(|key| Timestamp(key.0));
    assert_eq!(wheel.next_deadline(), earliest);
    assert_eq!(wheel.len(), oracle.armed.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_wheel_agrees_with_an_ordered_map(
        start in delay(),
        ops in prop::collection::vec(op(), 1..200),
    ) {
        let mut wheel = TimerWheel::new(CAPACITY, Timestamp(start));
        let mut oracle = Oracle { now: start, armed: BTreeMap::new(), gone: Vec::new() };
        for (token, op) in ops.into_iter().enumerate() {
            step(&mut wheel, &mut oracle, token as u64, op);
        }
        for id in oracle.gone {
            prop_assert!(!wheel.cancel(id), "a void id cancelled something");
        }
    }
}
