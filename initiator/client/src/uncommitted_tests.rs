use proptest::prelude::*;

use super::*;

const V1: [u8; 8] = [1; 8];
const V2: [u8; 8] = [2; 8];

fn write(log: &mut Log<Vec<u8>>, offset: u64, bytes: &[u8], verifier: [u8; 8]) {
    let range = (offset, bytes.len() as u32);
    log.push(range, Proof::Verifier(verifier), None, bytes.to_vec());
}

/// What sending the lost extents makes of a file, in this order.
fn sent(log: &Log<Vec<u8>>, file: &mut [u8], newest_first: bool) {
    let mut lost: Vec<_> = log.extents.iter().filter(|e| e.proof == Proof::Lost).collect();
    if newest_first {
        lost.reverse();
    }
    for extent in lost {
        let at = extent.offset as usize;
        let bytes = &extent.buffer.as_ref().unwrap()[..extent.len as usize];
        file[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

#[test]
fn a_commit_proves_what_came_before_it_and_has_its_verifier() {
    let mut log = Log::default();
    write(&mut log, 0, b"aa", V1);
    let mark = log.mark();
    write(&mut log, 2, b"bb", V2);
    assert!(log.is_proven(mark, V1));
    assert!(!log.is_proven(mark, V2));
    assert!(!log.is_proven(u64::MAX, V1));
    assert_eq!(log.pop_before(mark).map(|extent| extent.offset), Some(0));
    assert!(log.pop_before(mark).is_none());
    assert_eq!(log.bytes(), 2);
    assert!(log.overlaps(3, 1) && !log.overlaps(0, 2) && !log.overlaps(4, u64::MAX));
}

#[test]
fn newer_bytes_win_even_when_only_the_older_write_is_lost() {
    let mut log = Log::default();
    write(&mut log, 0, b"aaaaaaaa", V1);
    write(&mut log, 2, b"bbb", V2);
    let mark = log.mark();
    let spare = log.recover(mark, V2);
    assert_eq!(spare.iter().map(|extent| extent.offset).collect::<Vec<_>>(), [2], "it is proven");
    let mut file = *b"..bbb...";
    sent(&log, &mut file, false);
    assert_eq!(&file, b"aabbbaaa");
}

#[test]
fn what_was_overwritten_is_not_sent_again() {
    let mut log = Log::default();
    write(&mut log, 0, b"aaaa", V1);
    write(&mut log, 0, b"bb", V1);
    write(&mut log, 2, b"cc", V1);
    write(&mut log, 8, b"dd", V1);
    let mark = log.mark();
    assert_eq!(log.recover(mark, V2).len(), 1, "two newer ones cover the oldest together");
    assert_eq!(log.bytes(), 6);
    assert_eq!(log.next_lost(0), Some(0));
    assert_eq!(log.next_lost(3), None);
}

#[test]
fn a_write_that_somebody_waits_for_is_kept_for_him() {
    let mut log = Log::default();
    log.push((0, 2), Proof::Verifier(V1), Some(7), b"aa".to_vec());
    write(&mut log, 0, b"bb", V1);
    let mark = log.mark();
    assert!(log.recover(mark, V2).is_empty());
    assert!(log.has_held());
    let held = log.take_held(mark);
    assert_eq!(held[0].held, Some(7));
    assert_eq!(held[0].buffer.as_deref(), Some(b"bb".as_slice()), "sent again it says the same");
    assert!(!log.has_held());
}

#[test]
fn parts_under_different_verifiers_are_no_proof() {
    let (one, two) = (Proof::Verifier(V1), Proof::Verifier(V2));
    assert_eq!(one.and(one), one);
    assert_eq!(one.and(two), Proof::Lost);
    assert_eq!(Proof::Durable.and(one), one);
    assert_eq!(Proof::Durable.and(Proof::Durable), Proof::Durable);
}

proptest! {
    /// Writes under two verifiers, of which one is lost: however the rest is sent again, the file
    /// has the last bytes written everywhere.
    #[test]
    fn sent_again_in_any_order_the_last_write_wins(
        writes in prop::collection::vec((0u64..60, 1usize..30, any::<bool>(), any::<bool>()), 0..40),
        newest_first: bool,
    ) {
        let mut log = Log::default();
        // What the server has after its restart, and what the file should be.
        let (mut server, mut model) = (vec![0; 96], vec![0; 96]);
        for (number, &(offset, len, after, held)) in (1u8..).zip(&writes) {
            let bytes = vec![number; len];
            let at = offset as usize;
            model[at..at + len].copy_from_slice(&bytes);
            if after {
                server[at..at + len].copy_from_slice(&bytes);
            }
            let verifier = if after { V2 } else { V1 };
            let held = held.then_some(u32::from(number));
            log.push((offset, len as u32), Proof::Verifier(verifier), held, bytes);
        }
        let mark = log.mark();
        let spare = log.recover(mark, V2);
        prop_assert_eq!(spare.len() + log.extents.len(), writes.len());
        sent(&log, &mut server, newest_first);
        prop_assert_eq!(server, model);
    }
}
