use super::*;
use crate::{Access, RegionHandle, next_rkey};

const DOMAIN: u32 = 1;
const QP: u32 = 17;

/// A table with a bindable region of 100 bytes at 1000, a window, and a bind of both.
fn table() -> (KeyTable, Bind) {
    let mut table = KeyTable::default();
    let keys = table.register(DOMAIN, 1000, 100, Access::BINDABLE).unwrap();
    let window = table.new_window(DOMAIN).unwrap();
    let bind = Bind {
        window,
        region: RegionHandle(keys.lkey as usize),
        new_rkey: next_rkey(table.window_rkey(window)),
        addr: 1010,
        length: 20,
        access: WindowAccess::WRITE,
    };
    (table, bind)
}

fn writable(table: &KeyTable, bind: &Bind, addr: u64, len: u32) -> bool {
    table.allows_remote((QP, DOMAIN), bind.new_rkey, addr, len, true)
}

#[test]
fn a_window_opens_its_bytes_and_none_beside_them() {
    let (table, bind) = table();
    assert!(!writable(&table, &bind, 1010, 1), "not yet bound");
    assert!(table.bind(QP, DOMAIN, &bind));
    assert!(writable(&table, &bind, 1010, 20));
    assert!(writable(&table, &bind, 1029, 1));
    for (addr, len) in [(1009, 1), (1010, 21), (1030, 1), (1029, 2), (u64::MAX, 2)] {
        assert!(!writable(&table, &bind, addr, len), "{len} bytes at {addr}");
    }
    let readable = table.allows_remote((QP, DOMAIN), bind.new_rkey, 1010, 1, false);
    assert!(!readable, "bound for writes only");
}

#[test]
fn another_queue_pair_of_the_same_domain_reaches_nothing() {
    let (table, bind) = table();
    assert!(table.bind(QP, DOMAIN, &bind));
    assert!(!table.allows_remote((QP + 1, DOMAIN), bind.new_rkey, 1010, 1, true));
    assert!(!table.invalidate_window(QP + 1, bind.new_rkey));
    assert!(writable(&table, &bind, 1010, 1));
}

#[test]
fn binds_that_must_not_be_are_refused_and_change_nothing() {
    let (mut table, good) = table();
    let closed = table.register(DOMAIN, 1000, 100, Access::REMOTE).unwrap();
    let constant = Access { local_write: false, ..Access::BINDABLE };
    let constant = table.register(DOMAIN, 1000, 100, constant).unwrap();
    let elsewhere = table.register(DOMAIN + 1, 1000, 100, Access::BINDABLE).unwrap();
    let region = |keys: super::super::Keys| RegionHandle(keys.lkey as usize);
    let bad = [
        ("nothing", Bind { length: 0, ..good }),
        ("before the region", Bind { addr: 999, ..good }),
        ("beyond the region", Bind { addr: 1081, ..good }),
        ("a region not for windows", Bind { region: region(closed), ..good }),
        ("a region not for writes", Bind { region: region(constant), ..good }),
        ("another domain's region", Bind { region: region(elsewhere), ..good }),
        ("no region", Bind { region: RegionHandle(usize::MAX), ..good }),
        ("no window", Bind { window: WindowHandle(99), ..good }),
        ("another window's key", Bind { new_rkey: good.new_rkey + 256, ..good }),
        ("the key it had", Bind { new_rkey: table.window_rkey(good.window), ..good }),
    ];
    for (what, bind) in bad {
        assert!(!table.bind(QP, DOMAIN, &bind), "{what}");
    }
    assert!(!table.bind(QP, DOMAIN + 1, &good), "another domain's queue pair");
    let to_read = Bind { region: region(constant), access: WindowAccess::READ, ..good };
    assert!(table.bind(QP, DOMAIN, &to_read));
    assert!(!table.bind(QP, DOMAIN, &Bind { new_rkey: next_rkey(good.new_rkey), ..good }), "bound");
}

#[test]
fn an_invalidated_key_is_dead_and_the_next_one_is_not() {
    let (table, bind) = table();
    assert!(!table.invalidate_window(QP, bind.new_rkey), "not bound");
    assert!(table.bind(QP, DOMAIN, &bind));
    assert!(table.invalidate_window(QP, bind.new_rkey));
    assert!(!table.invalidate_window(QP, bind.new_rkey), "twice");
    assert!(!writable(&table, &bind, 1010, 1));
    let next = Bind { new_rkey: next_rkey(bind.new_rkey), ..bind };
    assert!(table.bind(QP, DOMAIN, &next));
    assert!(writable(&table, &next, 1010, 1));
    assert!(!writable(&table, &bind, 1010, 1), "a stale generation");
    assert!(!table.invalidate_window(QP, bind.new_rkey), "a stale generation");
}

#[test]
fn a_window_ends_with_itself_and_with_its_region() {
    let (mut table, bind) = table();
    assert!(table.bind(QP, DOMAIN, &bind));
    table.drop_window(bind.window);
    table.drop_window(bind.window);
    assert!(!writable(&table, &bind, 1010, 1));
    assert!(!table.bind(QP, DOMAIN, &Bind { new_rkey: next_rkey(bind.new_rkey), ..bind }));

    let (mut table, bind) = self::table();
    assert!(table.bind(QP, DOMAIN, &bind));
    table.deregister(bind.region.0 as u32);
    assert!(!writable(&table, &bind, 1010, 1));
}

#[test]
fn a_dropped_windows_key_is_not_given_out_for_long() {
    let (mut table, bind) = table();
    assert!(table.bind(QP, DOMAIN, &bind));
    table.drop_window(bind.window);
    for _ in 0..3 * RESTING_MIN {
        let window = table.new_window(DOMAIN).unwrap();
        let bind = Bind { window, new_rkey: next_rkey(table.window_rkey(window)), ..bind };
        assert!(table.bind(QP, DOMAIN, &bind));
        table.drop_window(window);
    }
    assert!(!writable(&table, &bind, 1010, 1));
    assert!(table.windows.entries.len() <= RESTING_MIN + 2, "indices come back");
}

#[test]
fn keys_of_windows_and_regions_are_told_apart() {
    let (mut table, bind) = table();
    assert!(table.bind(QP, DOMAIN, &bind));
    let region = table.register(DOMAIN, 1000, 100, Access::REMOTE).unwrap();
    assert!(!table.invalidate_window(QP, region.rkey));
    assert!(!table.invalidate_remote(DOMAIN, bind.new_rkey));
    let sge = crate::Sge { addr: 1010, length: 1, lkey: bind.new_rkey };
    assert!(!table.allows_local(DOMAIN, &sge, false));
}
