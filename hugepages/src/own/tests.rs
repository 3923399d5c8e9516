use std::cell::Cell;

use super::*;

#[test]
fn a_vec_comes_back_as_it_was_without_a_copy() {
    let bytes: Vec<u8> = (0..100_000).map(|at| at as u8).collect();
    let mut buffer = Buffer::from_vec(bytes.clone()).unwrap();
    let at = buffer.addr();
    assert_eq!(buffer[..], bytes[..]);
    buffer[7] = 99;
    let lent = buffer.lend();
    assert_eq!(lent.addr(), at);
    // SAFETY: nothing was posted.
    let bytes = unsafe { lent.reclaim() }.into_vec().unwrap();
    assert_eq!((bytes.as_ptr() as u64, bytes[7], bytes.len()), (at, 99, 100_000));
}

#[test]
fn memory_that_somebody_still_holds_is_not_given_back() {
    let buffer = Buffer::from_vec(vec![1; 10]).unwrap();
    let registered = buffer.region().clone();
    let buffer = buffer.into_vec().unwrap_err();
    assert_eq!(buffer[..], [1; 10]);
    drop(registered);
    assert_eq!(buffer.into_vec().unwrap(), [1; 10]);
}

#[test]
fn the_memory_outlives_a_dropped_buffer_as_long_as_it_is_registered() {
    let buffer = Buffer::from_vec(vec![5; 64]).unwrap();
    let registered = buffer.region().clone();
    drop(buffer);
    // SAFETY: the region is alive, and nothing else reads or writes it.
    assert_eq!(unsafe { *registered.addr() }, 5);
}

#[test]
fn an_empty_vec_makes_no_buffer() {
    let error = Buffer::from_vec(Vec::new()).unwrap_err();
    assert!(error.to_string().contains("at least one byte"), "{error}");
}

#[test]
fn the_owner_of_foreign_memory_goes_when_the_last_holder_does() {
    struct Mapping(Box<[u8; 32]>, Rc<Cell<bool>>);
    impl Drop for Mapping {
        fn drop(&mut self) {
            self.1.set(true);
        }
    }
    let gone = Rc::new(Cell::new(false));
    let mut mapping = Mapping(Box::new([3; 32]), gone.clone());
    let start = NonNull::from(&mut mapping.0[..]).cast();
    // SAFETY: the boxed bytes stay where they are and are not touched by anybody else.
    let buffer = unsafe { Buffer::from_raw(start, 32, Box::new(mapping)) }.unwrap();
    let registered = buffer.region().clone();
    let buffer = buffer.into_vec().unwrap_err();
    drop(buffer);
    assert!(!gone.get());
    drop(registered);
    assert!(gone.get());
}
