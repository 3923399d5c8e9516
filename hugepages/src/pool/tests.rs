use std::rc::Rc;

use super::*;
use crate::testing::{MIB, huge_bytes_in_use, huge_pages, plain_region, spec};
use crate::{Policy, RegionSpec};

const KEYS: Keys = Keys { lkey: 0x1234, rkey: 0x5678 };

fn why(result: Result<Pool, Error>) -> String {
    result.expect_err("it must be refused").to_string()
}

#[test]
fn buffers_tile_the_slice_they_were_given() {
    let region = plain_region(64 * 1024);
    let pool = Pool::new(Rc::clone(&region), 8192, 1000, 5, KEYS).expect("it fits");
    let mut addrs: Vec<u64> = Vec::new();
    let buffers: Vec<Buffer> = std::iter::from_fn(|| pool.alloc()).collect();
    for buffer in &buffers {
        assert_eq!((buffer.len(), buffer.as_ref().len(), buffer.keys()), (1000, 1000, KEYS));
        addrs.push(buffer.addr());
    }
    addrs.sort_unstable();
    let start = region.addr() as u64 + 8192;
    let expected: Vec<u64> = (0..5).map(|i| start + i * 1000).collect();
    assert_eq!(addrs, expected);
}

#[test]
fn an_exhausted_pool_says_so_and_recovers() {
    let pool = Pool::new(plain_region(4096), 0, 1024, 3, KEYS).expect("it fits");
    assert_eq!((pool.capacity(), pool.available(), pool.buffer_len()), (3, 3, 1024));
    let mut held: Vec<Buffer> = (0..3).map(|_| pool.alloc().expect("a free one")).collect();
    assert!(pool.alloc().is_none());
    assert_eq!(pool.available(), 0);
    held.pop();
    assert_eq!(pool.available(), 1);
    assert!(pool.alloc().is_some());
}

#[test]
fn the_last_buffer_returned_is_the_next_one_out() {
    let pool = Pool::new(plain_region(4096), 0, 512, 8, KEYS).expect("it fits");
    let first = pool.alloc().expect("a free one");
    let second = pool.alloc().expect("a free one");
    let (first_addr, second_addr) = (first.addr(), second.addr());
    drop(second);
    drop(first);
    let again = pool.alloc().expect("a free one");
    assert_eq!(again.addr(), first_addr);
    assert_eq!(pool.alloc().expect("a free one").addr(), second_addr);
}

#[test]
fn each_buffer_has_its_own_bytes() {
    let pool = Pool::new(plain_region(4096), 0, 256, 16, KEYS).expect("it fits");
    let mut buffers: Vec<Buffer> = std::iter::from_fn(|| pool.alloc()).collect();
    for (i, buffer) in (0_u8..).zip(&mut buffers) {
        buffer.as_mut().fill(i);
    }
    for (i, buffer) in (0_u8..).zip(&buffers) {
        assert!(buffer.iter().all(|byte| *byte == i), "buffer {i} was overwritten");
    }
}

#[test]
fn a_buffer_keeps_its_memory_after_pool_and_region_are_gone() {
    let _counting = huge_pages(4);
    let before = huge_bytes_in_use();
    let region = Rc::new(Region::map(&spec(2 * MIB, Policy::Required)).expect("pages are free"));
    let pool = Pool::new(region, 0, 4096, 1, KEYS).expect("it fits");
    let mut buffer = pool.alloc().expect("a free one");
    drop(pool);
    buffer.fill(0x77);
    assert_eq!(buffer[4095], 0x77);
    assert_eq!(huge_bytes_in_use(), before + 2 * MIB);
    drop(buffer);
    assert_eq!(huge_bytes_in_use(), before, "the region outlived its last user");
}

#[test]
fn clones_share_one_free_list() {
    let pool = Pool::new(plain_region(4096), 0, 2048, 2, KEYS).expect("it fits");
    let other = pool.clone();
    let held = pool.alloc().expect("a free one");
    assert_eq!(other.available(), 1);
    drop(held);
    assert_eq!(other.available(), 2);
}

#[test]
fn no_byte_belongs_to_two_pools() {
    let region = plain_region(16 * 1024);
    let pool = Pool::new(Rc::clone(&region), 4096, 1024, 4, KEYS).expect("it fits");
    for (offset, count) in [(4096, 4), (0, 5), (8191, 1), (5000, 1), (0, 16)] {
        let message = why(Pool::new(Rc::clone(&region), offset, 1024, count, KEYS));
        assert!(message.contains("bytes 4096..8192 belong to another pool"), "{message}");
    }
    Pool::new(Rc::clone(&region), 0, 1024, 4, KEYS).expect("just below");
    Pool::new(Rc::clone(&region), 8192, 1024, 8, KEYS).expect("just above");

    let held = pool.alloc().expect("a free one");
    drop(pool);
    let message = why(Pool::new(Rc::clone(&region), 4096, 1024, 4, KEYS));
    assert!(message.contains("belong to another pool"), "a buffer is still out: {message}");
    drop(held);
    Pool::new(region, 4096, 1024, 4, KEYS).expect("free again");
}

#[test]
fn pools_that_do_not_fit_are_refused_in_words() {
    let region = plain_region(4096);
    let cases = [
        (0, 0, 4, "at least one buffer of at least one byte"),
        (0, 1024, 0, "at least one buffer of at least one byte"),
        (0, 1024, 5, "the region has 4096 bytes"),
        (1, 1024, 4, "the region has 4096 bytes"),
        (usize::MAX, 1, 1, "the region has 4096 bytes"),
        (0, usize::MAX, 2, "the region has 4096 bytes"),
        (0, 1, usize::MAX, "a pool has at most 16777216 buffers"),
    ];
    for (offset, buffer_len, count, reason) in cases {
        let message = why(Pool::new(Rc::clone(&region), offset, buffer_len, count, KEYS));
        assert!(message.contains(reason), "{message}");
        assert!(message.contains(&format!("{count} buffers of {buffer_len} bytes")), "{message}");
    }
}

#[test]
fn a_region_carries_a_bounded_number_of_pools() {
    let region = plain_region(2 * POOLS_PER_REGION_MAX);
    let pools: Vec<Pool> = (0..POOLS_PER_REGION_MAX)
        .map(|at| Pool::new(Rc::clone(&region), at, 1, 1, KEYS).expect("it fits"))
        .collect();
    let message = why(Pool::new(Rc::clone(&region), pools.len(), 1, 1, KEYS));
    assert!(message.contains("at most 4096 pools"), "{message}");
}

#[test]
fn the_last_byte_of_a_rounded_up_region_is_usable() {
    let spec = RegionSpec { len: 4097, ..spec(0, Policy::Off) };
    let region = Rc::new(Region::map(&spec).expect("plain pages"));
    let len = region.len();
    let pool = Pool::new(region, len - 1, 1, 1, KEYS).expect("it fits");
    let mut buffer = pool.alloc().expect("a free one");
    buffer[0] = 1;
    assert_eq!(*buffer, [1]);
}
