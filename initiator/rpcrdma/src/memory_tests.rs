use std::panic::{AssertUnwindSafe, catch_unwind};

use hugepages::Policy;

use super::*;

fn region() -> Rc<Region> {
    let config = BufferConfig { policy: Policy::Off, ..BufferConfig::default() };
    map(&config, 8192).unwrap()
}

fn pool() -> Pool {
    Pool::new(region(), 0, 4096, 2, Keys::default()).unwrap()
}

#[test]
fn a_lent_buffer_is_nobodys_until_it_is_reclaimed() {
    let mut loan = Loan::ours_of(pool().alloc());
    assert!(!loan.is_vacant() && !loan.is_lent());
    loan.lend();
    assert!(loan.is_lent() && !loan.is_vacant());
    assert!(loan.shared().is_none() && loan.ours().is_none());
    assert!(loan.place().is_none() && loan.take().is_none());
    // SAFETY: nothing was posted.
    unsafe { loan.reclaim() };
    assert!(!loan.is_lent());
    assert!(loan.shared().is_some() && loan.ours().is_some());
    assert!(loan.place().is_some_and(|place| place.is_some()));
    assert!(loan.take().is_some());
    assert!(loan.is_vacant());
}

#[test]
fn a_buffer_that_is_dropped_while_the_nic_has_it_never_goes_back_to_its_pool() {
    let pool = pool();
    let mut loan = Loan::ours_of(pool.alloc());
    loan.lend();
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(loan)));
    assert_eq!(dropped.is_err(), cfg!(debug_assertions), "nobody means to do that");
    assert_eq!((pool.available(), pool.abandoned()), (1, 1));
    drop(Loan::ours_of(pool.alloc()));
    assert_eq!((pool.available(), pool.abandoned()), (1, 1), "one of ours does");
}

#[test]
fn only_want_of_memory_is_put_down_to_the_memlock_limit() {
    let words = |errno| {
        let error = verbs::Error::Os { call: "ibv_reg_mr", errno };
        not_registered(&region(), error).to_string()
    };
    assert!(words(12).contains("memlock"), "{}", words(12));
    assert!(words(22).contains("ibv_reg_mr"), "{}", words(22));
    assert!(!words(22).contains("memlock"), "{}", words(22));
}
