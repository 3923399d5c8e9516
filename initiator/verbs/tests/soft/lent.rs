//! Memory lent to a work request: who changes it, or takes it away, before it completed.

use verbs::soft::{FaultPlan, Noticed, SoftFabric, Violation};
use verbs::{Connection, WcStatus};

use crate::ends::{pattern, send};
use crate::{Talk, fine, on_virtual_time};

/// A message delivered, its acknowledgement lost, its memory still lent.
fn unacknowledged(fabric: &SoftFabric) -> Talk {
    let mut talk = Talk::new(fabric);
    talk.from.write(0, &pattern(1, 64));
    fabric.faults().hold_acks(talk.qp);
    fabric.faults().amend(talk.qp, |plan| plan.retransmit_timeout_ns(1000));
    talk.listen(1);
    talk.say(0..1);
    talk
}

#[test]
fn a_buffer_reused_on_the_reply_is_caught_when_it_is_sent_again() {
    let fabric = on_virtual_time();
    let talk = unacknowledged(&fabric);
    assert_eq!(talk.heard(), fine(0..1), "its peer has it, and could have replied");
    talk.from.write(63, &[0xff]);
    fabric.advance(1000);
    assert_eq!(talk.said(), []);
    let noticed = Noticed::AtRetransmission;
    assert_eq!(fabric.violations(), [Violation { qp_num: talk.qp, wr_id: 0, noticed }]);
    assert_eq!(talk.to.read(0, 64), pattern(1, 64), "the duplicate itself was dropped");
}

#[test]
fn a_buffer_reused_too_early_is_caught_even_if_nobody_read_it_again() {
    let fabric = on_virtual_time();
    let talk = unacknowledged(&fabric);
    talk.from.write(0, &[0xff]);
    fabric.faults().release_acks(talk.qp);
    assert_eq!(talk.said(), fine(0..1));
    let noticed = Noticed::AtCompletion;
    assert_eq!(fabric.violations(), [Violation { qp_num: talk.qp, wr_id: 0, noticed }]);
    assert_eq!(fabric.violation_count(), 1);
}

#[test]
fn a_lost_message_goes_out_as_the_memory_is_by_then() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    talk.from.write(0, &pattern(1, 64));
    let plan = FaultPlan::new().drop_messages(1).retransmit_timeout_ns(1000);
    fabric.faults().set(talk.qp, plan);
    talk.listen(1);
    talk.say(0..1);
    talk.from.write(0, &pattern(2, 64));
    fabric.advance(1000);
    assert_eq!(talk.heard(), fine(0..1));
    assert_eq!(talk.to.read(0, 64), pattern(2, 64), "as a card would");
    assert!(fabric.violations().iter().any(|v| v.noticed == Noticed::AtRetransmission));
}

#[test]
fn a_buffer_changed_on_the_way_is_caught_at_arrival() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    fabric.faults().latency_ns(talk.qp, 500);
    talk.listen(1);
    talk.say(0..1);
    talk.from.write(0, &[1]);
    fabric.advance(500);
    assert_eq!(talk.heard(), fine(0..1));
    assert_eq!(fabric.violations()[0].noticed, Noticed::AtDelivery);
}

#[test]
fn reuse_after_the_completion_is_no_violation() {
    let fabric = on_virtual_time();
    let talk = unacknowledged(&fabric);
    fabric.advance(10_000);
    fabric.faults().release_acks(talk.qp);
    assert_eq!(talk.said(), fine(0..1));
    talk.from.write(0, &pattern(9, 64));
    fabric.advance(10_000);
    assert_eq!(talk.said(), []);
    assert_eq!(fabric.violations(), []);
}

#[test]
fn a_region_deregistered_too_early_fails_the_retransmission() {
    let fabric = on_virtual_time();
    let mut talk = unacknowledged(&fabric);
    talk.from.deregister();
    fabric.advance(1000);
    assert_eq!(talk.said(), [(0, WcStatus::LocalProtection)]);
    assert_eq!(talk.heard(), fine(0..1));
}

#[test]
fn a_region_deregistered_under_a_posted_receive_fails_both_ends() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    talk.listen(1);
    talk.to.deregister();
    talk.say(0..1);
    assert_eq!(talk.heard(), [(0, WcStatus::LocalProtection)]);
    assert_eq!(talk.said(), [(0, WcStatus::RemoteOperation)]);
}

#[test]
fn sge_arrays_may_be_reused_at_once() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    talk.from.write(0, &pattern(1, 64));
    fabric.faults().latency_ns(talk.qp, 500);
    talk.listen(1);
    let mut sges = [talk.from.sge(0, 64)];
    talk.pair.active.post_send(&[send(0, &sges)]).unwrap();
    sges[0].addr = 0;
    fabric.advance(1000);
    assert_eq!(talk.said(), fine(0..1));
    assert_eq!((talk.to.read(0, 64), sges[0].addr), (pattern(1, 64), 0));
    talk.pair.active.connection.disconnect();
}
