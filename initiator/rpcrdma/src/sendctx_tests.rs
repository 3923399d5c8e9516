use proptest::prelude::*;

use super::ops::{Op, Oracle};
use super::*;

fn take(getter: &mut Getter, request: u32) -> Option<u32> {
    getter.get(1)?.request = request;
    Some(getter.head())
}

fn released(putter: &mut Putter, number: u32) -> Result<Vec<u32>, StaleCompletion> {
    let mut requests = Vec::new();
    putter.put(number, |ctx| requests.push(ctx.request))?;
    Ok(requests)
}

#[test]
fn one_completion_releases_all_sends_before_it_in_order() {
    let (mut getter, mut putter) = ring(8, 8);
    let numbers: Vec<u32> = (0..5).map(|request| take(&mut getter, request).unwrap()).collect();
    assert_eq!(released(&mut putter, numbers[3]), Ok(vec![0, 1, 2, 3]));
    assert_eq!(putter.in_flight(), 1);
}

#[test]
fn an_empty_ring_makes_the_caller_wait_until_a_completion() {
    let (mut getter, mut putter) = ring(3, 3);
    let first = take(&mut getter, 0).unwrap();
    take(&mut getter, 1).unwrap();
    take(&mut getter, 2).unwrap();
    assert_eq!(take(&mut getter, 3), None);
    assert_eq!(released(&mut putter, first), Ok(vec![0]));
    assert!(take(&mut getter, 3).is_some());
    assert_eq!(take(&mut getter, 4), None);
}

#[test]
fn work_requests_are_counted_not_sends() {
    let (mut getter, mut putter) = ring(8, 5);
    getter.get(2).unwrap().request = 0;
    let first = getter.head();
    getter.get(2).unwrap().request = 1;
    assert!(getter.get(2).is_none(), "four of five entries are taken");
    assert!(getter.get(1).is_some());
    assert_eq!(released(&mut putter, first), Ok(vec![0]));
    assert!(getter.get(2).is_some());
}

#[test]
fn a_failed_prepare_leaves_no_dead_slot_behind() {
    let (mut getter, mut putter) = ring(2, 2);
    for _ in 0..100 {
        let ctx = getter.get(1).unwrap();
        ctx.gathered = true;
        ctx.sge_count = 2;
        getter.unget();
    }
    let number = take(&mut getter, 7).unwrap();
    let mut gathered = Vec::new();
    putter.put(number, |ctx| gathered.push((ctx.request, ctx.gathered))).unwrap();
    assert_eq!(gathered, [(7, false)], "what the failed prepare claimed is not released");
}

#[test]
fn a_stale_or_duplicate_completion_sweeps_no_live_slot() {
    let (mut getter, mut putter) = ring(4, 4);
    let first = take(&mut getter, 0).unwrap();
    let second = take(&mut getter, 1).unwrap();
    released(&mut putter, first).unwrap();
    assert!(released(&mut putter, first).is_err(), "reported twice");
    assert!(released(&mut putter, second.wrapping_add(1)).is_err(), "never sent");
    assert!(released(&mut putter, first.wrapping_sub(1)).is_err(), "of an earlier life");
    // Once round the ring, the same index holds another Send.
    for request in 2..5 {
        take(&mut getter, request).unwrap();
    }
    assert!(released(&mut putter, first).is_err(), "same slot, other Send");
    assert_eq!(putter.in_flight(), 4);
}

#[test]
fn a_drain_releases_successful_unsignaled_tails() {
    let (mut getter, mut putter) = ring(4, 4);
    (0..3).for_each(|request| assert!(take(&mut getter, request).is_some()));
    let mut requests = Vec::new();
    assert_eq!(putter.put_all(|ctx| requests.push(ctx.request)), 3);
    assert_eq!(requests, [0, 1, 2]);
    assert_eq!(putter.put_all(|_| panic!("released twice")), 0);
}

#[test]
fn the_chain_to_post_is_what_was_taken_last() {
    let (mut getter, mut putter) = ring(3, 3);
    let numbers: Vec<u32> = (0..3).map(|request| take(&mut getter, request).unwrap()).collect();
    released(&mut putter, numbers[1]).unwrap();
    take(&mut getter, 3).unwrap();
    take(&mut getter, 4).unwrap();
    let chain: Vec<(u32, u32)> = getter.latest(2).map(|(n, ctx)| (n, ctx.request)).collect();
    assert_eq!(chain, [(4, 3), (5, 4)]);
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1u32..4).prop_map(|wrs| Op::Get { wrs }),
        1 => Just(Op::Unget),
        4 => Just(Op::Post),
        3 => (0usize..12).prop_map(|nth| Op::Complete { nth }),
        1 => any::<u32>().prop_map(|number| Op::CompleteNumber { number }),
        1 => (0u32..40).prop_map(|number| Op::CompleteNumber { number }),
        1 => Just(Op::Drain),
    ]
}

proptest! {
    /// Against a queue that cannot be wrong.
    #[test]
    fn the_ring_is_a_bounded_queue(
        slots in 1u32..9,
        send_wr_max in 1u32..13,
        start in prop_oneof![Just(0u32), Just(u32::MAX - 20)],
        ops in prop::collection::vec(op(), 0..200),
    ) {
        let mut oracle = Oracle::new(slots, send_wr_max);
        // Near the wrap of the numbering, too.
        oracle.start_at(start);
        ops.into_iter().for_each(|op| oracle.apply(op));
    }
}

#[test]
fn two_threads_hand_every_slot_over_exactly_once() {
    const SENDS: u32 = 200_000;
    let (mut getter, mut putter) = ring(16, 16);
    let (posted, completed) = std::sync::mpsc::sync_channel::<u32>(16);
    let sender = std::thread::spawn(move || {
        for request in 0..SENDS {
            while take(&mut getter, request).is_none() {
                std::hint::spin_loop();
            }
            // Every third is signaled, and the last.
            if request % 3 == 2 || request == SENDS - 1 {
                posted.send(getter.head()).unwrap();
            }
        }
    });
    let mut expected = 0;
    for number in completed {
        putter
            .put(number, |ctx| {
                assert_eq!(ctx.request, expected);
                expected += 1;
            })
            .unwrap();
    }
    sender.join().unwrap();
    assert_eq!(expected, SENDS);
}
