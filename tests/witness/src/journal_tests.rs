use super::{Claims, Survivor, Verdict};
use crate::unit::{UNIT, seal};

/// A file of units, each written by this write, or never.
fn file(writes: &[Option<u64>]) -> Vec<u8> {
    let mut file = vec![0; writes.len() * UNIT];
    for (number, (unit, write)) in file.chunks_mut(UNIT).zip(writes).enumerate() {
        if let Some(write) = write {
            seal(unit, number as u64, *write);
        }
    }
    file
}

/// Units 0 and 1 written by 1, which is durable; then 0 by 2, acknowledged; then 1 and 2 by 3, on
/// the way.
const JOURNAL: &str = "w 1 0 2\na 1\ns 1\nd 1\nw 2 0 1\na 2\nw 3 1 2\n";

fn judge(writes: &[Option<u64>], survivor: Survivor) -> Verdict {
    Claims::read(JOURNAL).unwrap().judge(&file(writes), survivor)
}

fn wrong(writes: &[Option<u64>], survivor: Survivor) -> usize {
    judge(writes, survivor).wrong.len()
}

#[test]
fn what_was_on_the_way_may_be_there_or_not() {
    let without = judge(&[Some(2), Some(1)], Survivor::Server);
    assert_eq!(without, Verdict { right: 3, ..Verdict::default() });
    let with = judge(&[Some(2), Some(3), Some(3)], Survivor::Server);
    assert_eq!(with, Verdict { right: 3, beyond: 2, ..Verdict::default() });
}

#[test]
fn an_acknowledged_write_that_is_gone_is_seen() {
    assert_eq!(wrong(&[Some(1), Some(1)], Survivor::Server), 1, "the older contents");
    assert_eq!(wrong(&[None, Some(1)], Survivor::Server), 1, "zeros");
    assert_eq!(wrong(&[], Survivor::Server), 2, "an empty file");
}

#[test]
fn only_what_was_synced_must_outlive_the_server() {
    let older = judge(&[Some(1), Some(1)], Survivor::Disk);
    assert_eq!(older, Verdict { right: 3, behind: 1, ..Verdict::default() });
    assert_eq!(wrong(&[Some(2), Some(3)], Survivor::Disk), 0);
    assert_eq!(wrong(&[None, Some(1)], Survivor::Disk), 1);
}

#[test]
fn a_sync_promises_what_was_acknowledged_before_it_was_asked_for() {
    let claims = Claims::read("w 1 0 1\na 1\ns 1\nw 2 0 1\na 2\nd 1\n").unwrap();
    assert_eq!(claims.judge(&file(&[Some(1)]), Survivor::Disk).wrong.len(), 0);
    assert_eq!(claims.judge(&file(&[None]), Survivor::Disk).wrong.len(), 1);
}

#[test]
fn what_nobody_wrote_is_seen() {
    assert_eq!(wrong(&[Some(2), Some(1), Some(2)], Survivor::Server), 1, "another unit's write");
    assert_eq!(wrong(&[Some(2), Some(1), None, Some(3)], Survivor::Server), 1, "beyond the end");
    let mut one_bit = file(&[Some(2), Some(1)]);
    one_bit[UNIT - 1] ^= 1;
    let claims = Claims::read(JOURNAL).unwrap();
    assert_eq!(claims.judge(&one_bit, Survivor::Server).wrong.len(), 1);
    let cut_short = &file(&[Some(2), Some(1)])[..UNIT + 100];
    assert_eq!(claims.judge(cut_short, Survivor::Server).wrong.len(), 1);
}

#[test]
fn a_last_line_that_was_cut_off_is_left_out() {
    let claims = Claims::read("w 1 0 1\na 1\nw 2 0 1\na ").unwrap();
    assert_eq!(claims.acknowledged(), (1, 0));
    let error = Claims::read("w 1 0 1\nno line\n").unwrap_err();
    assert!(format!("{error:#}").contains("line 2"), "{error:#}");
}
