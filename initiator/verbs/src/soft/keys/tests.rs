use super::*;

fn sge(addr: u64, length: u32, lkey: u32) -> Sge {
    Sge { addr, length, lkey }
}

#[test]
fn every_byte_of_a_region_is_reachable_and_none_beside_it() {
    let mut table = KeyTable::default();
    let keys = table.register(1, 1000, 100, Access::LOCAL).unwrap();
    assert!(table.allows_local(1, &sge(1000, 100, keys.lkey), true));
    assert!(table.allows_local(1, &sge(1099, 1, keys.lkey), true));
    assert!(!table.allows_local(1, &sge(999, 1, keys.lkey), false));
    assert!(!table.allows_local(1, &sge(1000, 101, keys.lkey), false));
    assert!(!table.allows_local(1, &sge(1100, 1, keys.lkey), false));
    assert!(!table.allows_local(1, &sge(u64::MAX, 2, keys.lkey), false));
}

#[test]
fn access_is_what_was_granted() {
    let mut table = KeyTable::default();
    let send_only = table.register(1, 1000, 100, Access::SEND_ONLY).unwrap();
    assert!(table.allows_local(1, &sge(1000, 1, send_only.lkey), false));
    assert!(!table.allows_local(1, &sge(1000, 1, send_only.lkey), true));
    assert!(!table.allows_remote((7, 1), send_only.rkey, 1000, 1, false));
    let readable = Access { remote_read: true, ..Access::LOCAL };
    let readable = table.register(1, 1000, 100, readable).unwrap();
    assert!(table.allows_remote((7, 1), readable.rkey, 1000, 1, false));
    assert!(!table.allows_remote((7, 1), readable.rkey, 1000, 1, true));
}

#[test]
fn a_key_serves_its_own_domain_and_its_own_use() {
    let mut table = KeyTable::default();
    let keys = table.register(1, 1000, 100, Access::REMOTE).unwrap();
    assert!(table.allows_remote((7, 1), keys.rkey, 1000, 100, true));
    assert!(!table.allows_remote((7, 2), keys.rkey, 1000, 100, true));
    assert!(!table.allows_local(2, &sge(1000, 1, keys.lkey), false));
    assert!(!table.allows_remote((7, 1), keys.lkey, 1000, 1, true));
    assert!(!table.allows_local(1, &sge(1000, 1, keys.rkey), false));
}

#[test]
fn a_dead_key_stays_dead_for_long() {
    let mut table = KeyTable::default();
    let dead = table.register(1, 1000, 100, Access::REMOTE).unwrap();
    table.deregister(dead.lkey);
    table.deregister(dead.lkey);
    for _ in 0..3 * RESTING_MIN {
        let keys = table.register(1, 1000, 100, Access::REMOTE).unwrap();
        assert_ne!(keys.lkey, dead.lkey);
        assert!(!table.allows_local(1, &sge(1000, 1, dead.lkey), false));
        assert!(!table.allows_remote((7, 1), dead.rkey, 1000, 1, false));
        table.deregister(keys.lkey);
    }
    assert!(table.entries.len() <= RESTING_MIN + 2, "indices come back");
}

#[test]
fn an_invalidated_remote_key_leaves_the_local_one() {
    let mut table = KeyTable::default();
    let keys = table.register(1, 1000, 100, Access::REMOTE).unwrap();
    assert!(!table.invalidate_remote(2, keys.rkey), "another domain's peer");
    assert!(table.invalidate_remote(1, keys.rkey));
    assert!(!table.invalidate_remote(1, keys.rkey), "twice");
    assert!(!table.allows_remote((7, 1), keys.rkey, 1000, 1, true));
    assert!(table.allows_local(1, &sge(1000, 1, keys.lkey), true));
}
