use super::*;
use crate::lots::{LOT_BITS, Lots};

fn slots(count: u32) -> Slots {
    let xids = Xids::new(Lots::new(Some(6), 0), count).unwrap();
    Slots::new(count, xids, Loan::default)
}

/// Makes a call that waits for its Reply; its slot.
fn call(slots: &mut Slots) -> u32 {
    let (index, request) = slots.take(0).unwrap();
    request.pending = true;
    index
}

/// Its Reply is here.
fn answered(slots: &mut Slots, index: u32) {
    slots.get(index).pending = false;
    slots.put(index);
}

#[test]
fn calls_are_sent_again_in_the_order_in_which_they_were_made() {
    let mut slots = slots(3);
    let (first, second, third) = (call(&mut slots), call(&mut slots), call(&mut slots));
    answered(&mut slots, first);
    assert_eq!(call(&mut slots), first, "the slot used last is the next one");
    // SAFETY: there is no queue pair, and no slot has a buffer.
    unsafe { slots.queue_resends() };
    assert_eq!(slots.resends(), 3);
    slots.get(second).first_sent_ns = 70;
    assert_eq!(slots.oldest_resend_ns(), Some(70), "its caller gives up first");
    let next = slots.next_resend().unwrap();
    slots.resend_later(next);
    let order: Vec<_> = std::iter::from_fn(|| slots.next_resend()).take(9).collect();
    assert_eq!(order, [second, third, first]);
    assert!(!slots.has_resend());
    assert_eq!(slots.oldest_resend_ns(), None);
}

#[test]
fn slots_of_calls_are_counted_and_those_of_sends_alone_are_not() {
    let mut slots = slots(2);
    assert!(slots.has_free() && !slots.any_pending());
    let (one, other) = (call(&mut slots), call(&mut slots));
    assert!(!slots.has_free() && slots.take(0).is_none());
    assert_eq!((slots.in_calls(), slots.any_pending()), (2, true));
    slots.get(one).pending = false;
    slots.get(one).sending = true;
    slots.put_if_free(one);
    assert_eq!(slots.in_calls(), 1, "the NIC may still read its Send, nobody waits for it");
    assert!(!slots.has_free());
    answered(&mut slots, other);
    assert_eq!((slots.in_calls(), slots.any_pending()), (0, false));
}

#[test]
fn every_key_of_a_call_is_invalidated_once() {
    let mut slots = slots(2);
    for keys in [&[5, 6][..], &[7]] {
        let index = call(&mut slots);
        let request = slots.get(index);
        for (window, &rkey) in request.windows.iter_mut().zip(keys) {
            *window = Key { rkey, bound: true };
        }
        request.windows_bound = keys.len() as u8;
        assert_eq!(slots.invalidate(index), keys.len() as u64);
    }
    assert!(slots.any_to_invalidate());
    let queued: Vec<_> = std::iter::from_fn(|| slots.next_to_invalidate()).take(9).collect();
    assert_eq!(queued, [(0, 5), (0, 6), (1, 7)]);
    assert!(!slots.any_to_invalidate());
}

#[test]
fn calls_go_on_in_another_lot_of_xids_before_one_is_used_up_twice() {
    let mut slots = slots(1);
    let mut lot = |calls: u32| {
        let mut xid = 0;
        for _ in 0..calls {
            let index = call(&mut slots);
            xid = slots.get(index).xid;
            answered(&mut slots, index);
        }
        slots.on_time(0);
        xid >> LOT_BITS
    };
    let first = lot(1 << (LOT_BITS - 1));
    assert_eq!(lot(1 << (LOT_BITS - 1)), first);
    assert_ne!(lot(1), first);
}
