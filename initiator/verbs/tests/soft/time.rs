//! Virtual time: delays, timers, and what may not overtake what.

use verbs::{SendWr, WcStatus};

use crate::ends::{Options, read, send};
use crate::{Talk, fine, on_virtual_time};

#[test]
fn messages_and_acknowledgements_take_their_time() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    fabric.faults().amend(talk.qp, |plan| plan.message_delay_ns(300).ack_delay_ns(200));
    talk.listen(2);
    talk.say(0..1);
    fabric.advance(100);
    talk.say(1..2);
    fabric.set_now(299);
    assert_eq!((talk.heard(), talk.said()), (vec![], vec![]));
    fabric.set_now(300);
    assert_eq!((talk.heard(), talk.said()), (fine(0..1), vec![]));
    fabric.set_now(499);
    assert_eq!((talk.heard(), talk.said()), (fine(1..2), vec![]));
    fabric.set_now(500);
    assert_eq!(talk.said(), fine(0..1));
    fabric.set_now(600);
    assert_eq!(talk.said(), fine(1..2));
    fabric.set_now(5);
    assert_eq!(fabric.now_ns(), 600, "time never goes back");
}

#[test]
fn a_poll_of_either_end_moves_both() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    fabric.faults().latency_ns(talk.qp, 100);
    talk.listen(1);
    talk.say(0..1);
    fabric.advance(1_000_000);
    assert_eq!(talk.said(), fine(0..1), "only the sender polls");
    assert_eq!(talk.heard(), fine(0..1));
}

#[test]
fn a_shorter_delay_does_not_let_messages_overtake() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    talk.listen(3);
    fabric.faults().latency_ns(talk.qp, 1000);
    talk.say(0..2);
    fabric.faults().latency_ns(talk.qp, 0);
    talk.say(2..3);
    assert_eq!(talk.heard(), []);
    fabric.advance(1000);
    assert_eq!(talk.heard(), fine(0..3));
    assert_eq!(talk.said(), fine(0..3));
}

#[test]
fn a_fenced_send_waits_for_the_read_and_an_unfenced_one_does_not() {
    let fabric = on_virtual_time();
    for fence in [false, true] {
        let mut talk = Talk::new(&fabric);
        fabric.faults().amend(talk.qp, |plan| plan.ack_delay_ns(1000));
        talk.listen(1);
        let (into, from) = ([talk.from.sge(0, 64)], [talk.from.sge(64, 64)]);
        let fetch = read(1, &into, talk.to.addr() + 512, talk.to.rkey());
        let tell = SendWr { fence, ..send(2, &from) };
        talk.pair.active.post_send(&[fetch, tell]).unwrap();
        assert_eq!(talk.heard().is_empty(), fence);
        fabric.advance(1000);
        assert_eq!(talk.heard().is_empty(), !fence);
        fabric.advance(1000);
        assert_eq!(talk.said(), fine(1..3));
    }
}

#[test]
fn no_more_reads_are_in_flight_than_agreed() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    fabric.faults().amend(talk.qp, |plan| plan.ack_delay_ns(1000));
    let sges = [talk.from.sge(0, 64)];
    let chain: Vec<_> = (0..6).map(|i| read(i, &sges, talk.to.addr(), talk.to.rkey())).collect();
    talk.pair.active.post_send(&chain).unwrap();
    fabric.advance(1000);
    assert_eq!(talk.said(), fine(0..4), "the pair agreed on four");
    fabric.advance(1000);
    assert_eq!(talk.said(), fine(4..6));
}

#[test]
fn a_receiver_not_ready_is_asked_again_after_its_timer() {
    let fabric = on_virtual_time();
    let mut talk = Talk::with(&fabric, &Options { rnr_retry_count: 3, ..Options::default() });
    fabric.faults().amend(talk.qp, |plan| plan.rnr_timer_ns(100));
    talk.say(0..2);
    fabric.advance(100);
    assert_eq!(talk.said(), []);
    talk.listen(2);
    assert_eq!(talk.heard(), [], "the timer runs");
    fabric.advance(100);
    assert_eq!(talk.heard(), fine(0..2));
    assert_eq!(talk.said(), fine(0..2));
    assert_eq!(fabric.violations(), []);
}

#[test]
fn a_receiver_never_ready_exhausts_exactly_the_retries() {
    let fabric = on_virtual_time();
    let mut talk = Talk::with(&fabric, &Options { rnr_retry_count: 3, ..Options::default() });
    fabric.faults().amend(talk.qp, |plan| plan.rnr_timer_ns(100));
    talk.say(0..2);
    for _ in 0..2 {
        fabric.advance(100);
        assert_eq!(talk.said(), []);
    }
    fabric.advance(100);
    let flushed = (1, WcStatus::Flushed);
    assert_eq!(talk.said(), [(0, WcStatus::RnrRetryExceeded), flushed]);
}

#[test]
fn a_receiver_may_stay_unready_for_ever_when_told_so() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    talk.say(0..1);
    for _ in 0..1000 {
        fabric.advance(100_000);
        assert_eq!(talk.said(), []);
    }
    talk.listen(1);
    fabric.advance(100_000);
    assert_eq!(talk.said(), fine(0..1));
}
