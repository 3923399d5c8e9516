use std::rc::Rc;

use hugepages::{Keys, PageSize, Policy, Pool, Region, RegionSpec};

use super::*;

fn pool(count: usize) -> Pool {
    let spec = RegionSpec {
        len: 64 * count,
        policy: Policy::Off,
        page_size: PageSize::default(),
        numa_node: None,
        lock: false,
    };
    Pool::new(Rc::new(Region::map(&spec).unwrap()), 0, 64, count, Keys::default()).unwrap()
}

fn push(queue: &mut SendQueue, pool: &Pool, wrs: usize) {
    let inline = pool.alloc().unwrap().lend();
    let wr = Wr { op: Op::Send, sge: Sge::default() };
    queue.push(Held::Reply { inline, staged: None }, vec![wr; wrs], false);
}

fn reclaim(held: impl Iterator<Item = Held>) -> usize {
    held.map(|held| {
        if let Held::Reply { inline, .. } = held {
            // SAFETY: nothing is posted in these tests.
            drop(unsafe { inline.reclaim() });
        }
    })
    .count()
}

#[test]
fn a_completion_releases_everything_before_it_and_nothing_after() {
    let (mut queue, pool) = (SendQueue::new(5 << GROUP_BITS, 32), pool(8));
    (0..8).for_each(|_| push(&mut queue, &pool, 3));
    assert_eq!((queue.room(), pool.available()), (31 - 24, 0));
    assert_eq!(reclaim(queue.completed((5 << GROUP_BITS) | 4, true)), 5);
    assert_eq!((queue.room(), pool.available()), (31 - 9, 5));
    assert_eq!(reclaim(queue.completed(4, true)), 0, "a stale completion");
    assert_eq!(reclaim(queue.completed(9, true)), 0, "a completion of what was never posted");
    assert_eq!(reclaim(queue.completed(7, true)), 3);
    assert_eq!((queue.room(), queue.is_empty(), pool.available()), (31, true, 8));
}

#[test]
fn after_a_failure_only_the_drain_releases_the_rest() {
    let (mut queue, pool) = (SendQueue::new(0, 16), pool(3));
    (0..3).for_each(|_| push(&mut queue, &pool, 2));
    queue.push_drain();
    assert_eq!(reclaim(queue.completed(1, false)), 1, "what came before it was carried out");
    assert_eq!(reclaim(queue.completed(1, false)), 0, "its second entry");
    assert_eq!(reclaim(queue.completed(2, false)), 1);
    assert_eq!(reclaim(queue.completed(3, false)), 2);
    assert_eq!((queue.is_empty(), pool.available()), (true, 3));
}

#[test]
fn what_is_abandoned_is_never_lent_again() {
    let (mut queue, pool) = (SendQueue::new(0, 16), pool(2));
    (0..2).for_each(|_| push(&mut queue, &pool, 1));
    queue.abandon();
    assert_eq!((pool.available(), pool.abandoned()), (0, 2));
}
