use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::testing::{MIB, huge_bytes_in_use, huge_pages, plain_region, spec};
use crate::{Keys, Lent, OutOfBounds, Policy, Pool, Region};

const LEN: usize = 64;

fn pool() -> Pool {
    Pool::new(plain_region(4096), 0, LEN, 4, Keys { lkey: 7, rkey: 9 }).expect("it fits")
}

fn lend(pool: &Pool) -> Lent {
    pool.alloc().expect("a free buffer").lend()
}

#[test]
fn the_contents_survive_lending_both_ways() {
    let pool = pool();
    let mut buffer = pool.alloc().expect("a free buffer");
    let addr = buffer.addr();
    buffer.copy_from_slice(&[0x5A; LEN]);

    let mut lent = buffer.lend();
    assert_eq!((lent.addr(), lent.len(), lent.keys()), (addr, LEN, pool.keys()));
    let mut seen = [0; 4];
    lent.copy_out(LEN - 4, &mut seen).expect("the last bytes");
    assert_eq!(seen, [0x5A; 4]);
    lent.copy_in(LEN - 2, &[1, 2]).expect("the last bytes");

    // SAFETY: no work request was posted.
    let buffer = unsafe { lent.reclaim() };
    assert_eq!(buffer.addr(), addr);
    assert_eq!(buffer[LEN - 4..], [0x5A, 0x5A, 1, 2]);
    assert_eq!((pool.available(), pool.abandoned()), (3, 0));
    drop(buffer);
    assert_eq!((pool.available(), pool.abandoned()), (4, 0));
}

#[test]
fn copies_beyond_the_end_are_refused_and_touch_nothing() {
    let pool = pool();
    let mut lent = lend(&pool);
    for (offset, len) in [(0, LEN + 1), (1, LEN), (LEN, 1), (LEN + 1, 0), (usize::MAX, 2)] {
        let refused = Err(OutOfBounds { offset, len, buffer_len: LEN });
        let mut bytes = vec![0xEE; len];
        assert_eq!(lent.copy_in(offset, &bytes), refused);
        bytes.fill(0xDD);
        assert_eq!(lent.copy_out(offset, &mut bytes), refused);
        assert!(bytes.iter().all(|byte| *byte == 0xDD), "a refused copy wrote");
    }
    assert_eq!(lent.copy_in(LEN, &[]), Ok(()), "nothing fits at the end");

    // SAFETY: no work request was posted.
    let buffer = unsafe { lent.reclaim() };
    let neighbour = pool.alloc().expect("a free buffer");
    assert!(buffer.iter().chain(neighbour.iter()).all(|byte| *byte == 0), "a refused copy wrote");
}

#[test]
fn an_abandoned_buffer_is_lost_and_counted() {
    let pool = pool();
    let lost = lend(&pool);
    let lost_addr = lost.addr();
    lost.abandon();
    assert_eq!((pool.capacity(), pool.available(), pool.abandoned()), (4, 3, 1));
    let rest: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
    assert_eq!(rest.len(), 3);
    assert!(rest.iter().all(|buffer| buffer.addr() != lost_addr), "handed out again");
}

#[test]
fn a_dropped_lent_buffer_is_a_bug_that_shows_and_still_safe() {
    let pool = pool();
    let lent = lend(&pool);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(lent)));
    assert_eq!(dropped.is_err(), cfg!(debug_assertions));
    assert_eq!((pool.available(), pool.abandoned()), (3, 1));
}

#[test]
fn lent_buffers_dropped_by_a_panic_do_not_abort() {
    let pool = pool();
    let held = [lend(&pool), lend(&pool)];
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _held = held;
        panic!("something else went wrong");
    }));
    let message = result.expect_err("it panicked");
    assert_eq!(message.downcast_ref::<&str>(), Some(&"something else went wrong"));
    assert_eq!((pool.available(), pool.abandoned()), (2, 2));
}

#[test]
fn memory_that_a_device_may_write_is_never_unmapped() {
    let _counting = huge_pages(4);
    let before = huge_bytes_in_use();
    let region = Rc::new(Region::map(&spec(2 * MIB, Policy::Required)).expect("pages are free"));
    let pool = Pool::new(Rc::clone(&region), 0, 4096, 2, Keys::default()).expect("it fits");
    let lent = lend(&pool);
    drop((region, pool));
    assert_eq!(huge_bytes_in_use(), before + 2 * MIB, "unmapped under a lent buffer");
    lent.abandon();
    assert_eq!(huge_bytes_in_use(), before + 2 * MIB, "unmapped under an abandoned buffer");
}
