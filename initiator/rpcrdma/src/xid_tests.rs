use std::collections::BTreeSet;

use super::*;

fn xids(slots: u32) -> Xids {
    // An even lot: a number that ran over its end would show.
    Xids::new(Lots::new(Some(6), 0), slots).unwrap()
}

const NOBODY: fn(u32) -> Option<u32> = |_| None;

#[test]
fn a_number_leads_to_the_slot_that_it_was_given_to() {
    for slots in [1, 2, 3, 64, 71, 1024] {
        let mut xids = xids(slots);
        let given: Vec<u32> = (0..slots).map(|slot| xids.take(slot, 0, NOBODY)).collect();
        for (slot, xid) in (0..).zip(given) {
            assert_eq!(xids.slot(xid), slot);
        }
    }
}

#[test]
fn a_number_does_not_come_again_soon_though_one_slot_makes_every_call() {
    let mut xids = xids(64);
    let mut seen = BTreeSet::new();
    for _ in 0..100_000 {
        assert!(seen.insert(xids.take(7, 0, NOBODY)));
    }
}

#[test]
fn a_call_that_waits_for_long_keeps_its_place_in_the_table() {
    let mut xids = xids(4);
    let old = xids.take(0, 0, NOBODY);
    for _ in 0..100 {
        let waiting = |slot| (slot == 0).then_some(old);
        let xid = xids.take(1, 0, waiting);
        assert_eq!((xids.slot(old), xids.slot(xid)), (0, 1));
    }
}

#[test]
fn as_many_calls_as_there_are_slots_may_wait() {
    const SLOTS: u32 = 71;
    let mut xids = xids(SLOTS);
    let mut waiting = [None; SLOTS as usize];
    for call in 0..10_000 {
        let slot = call * 31 % SLOTS;
        waiting[slot as usize] = None;
        waiting[slot as usize] = Some(xids.take(slot, 0, |slot| waiting[slot as usize]));
        for (slot, xid) in (0..).zip(waiting) {
            assert!(xid.is_none_or(|xid| xids.slot(xid) == slot), "call {call}, slot {slot}");
        }
    }
}

/// Takes numbers until `left` are left in the lot.
fn use_up(xids: &mut Xids, left: u32) {
    while xids.left > left {
        xids.take(0, 0, NOBODY);
    }
}

#[test]
fn a_lot_that_is_used_up_rests_until_servers_have_forgotten_its_calls() {
    let mut xids = xids(4);
    let first = xids.lot.base();
    xids.on_time(0);
    assert!(xids.spare.is_none(), "one lot is enough for a while");
    use_up(&mut xids, LOT_LEN / 2);
    xids.on_time(1);
    use_up(&mut xids, 0);
    let xid = xids.take(0, 1_000, NOBODY);
    assert_ne!(xid >> LOT_BITS, first >> LOT_BITS);
    xids.on_time(1_000 + REST_NS - 1);
    assert_eq!(xids.resting.len(), 1, "nobody may have it yet");
    xids.on_time(1_000 + REST_NS);
    assert!(xids.resting.is_empty());
}

#[test]
fn without_another_lot_to_be_had_a_connection_goes_through_its_own_again() {
    let mut xids = xids(4);
    let base = xids.lot.base();
    use_up(&mut xids, 0);
    assert_eq!(xids.take(0, 0, NOBODY) & !(LOT_LEN - 1), base);
}

#[test]
fn every_lot_that_is_used_up_rests_as_long_as_there_are_not_too_many() {
    let mut xids = xids(4);
    for used_up in 1..RESTING_MAX + 3 {
        xids.left = 0;
        xids.on_time(0);
        let spare = xids.spare.as_ref().map(Lot::base);
        xids.on_time(0);
        assert_eq!(xids.spare.as_ref().map(Lot::base), spare, "one at a time is enough");
        let xid = xids.take(0, 0, NOBODY);
        assert_eq!(Some(xid & !(LOT_LEN - 1)), spare);
        assert_eq!(xids.resting.len(), used_up.min(RESTING_MAX));
    }
}

#[test]
fn when_no_lot_was_to_be_had_the_host_is_asked_again_only_after_a_while() {
    let claims = format!("rpcrdma-test-{}-again/", std::process::id());
    let mut others = Lots::Host { claims: claims.clone() };
    let mut all: Vec<Lot> = (1..crate::lots::LOTS).map(|_| others.claim().unwrap()).collect();
    let mut xids = Xids::new(Lots::Host { claims }, 4).unwrap();
    xids.left = 1;
    xids.on_time(1_000);
    assert!(xids.spare.is_none());
    let freed = all.pop().map(|lot| lot.base());
    xids.on_time(1_000 + ASK_AGAIN_NS - 1);
    assert!(xids.spare.is_none(), "asking takes a thousand system calls");
    xids.on_time(1_000 + ASK_AGAIN_NS);
    assert_eq!(xids.spare.as_ref().map(Lot::base), freed);
}
