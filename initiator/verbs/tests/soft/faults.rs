//! Faults by script: each does what its name says, to whom it was meant for, and ends.

use std::net::SocketAddr;

use verbs::soft::{FaultPlan, Scope};
use verbs::{Access, CmEvent, Connection, Listener, Provider, WcStatus};

use crate::ends::{End, Options, incoming, listen, recv, resolved, send, unsignaled};
use crate::{HOME, Talk, drain, fine, on_virtual_time};

const FLUSHED: WcStatus = WcStatus::Flushed;

#[test]
fn held_acknowledgements_withhold_completions_while_replies_arrive() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    let inbox = talk.pair.active.memory(8 * 64, Access::LOCAL);
    talk.pair.active.post_recvs(&inbox, 8, 64);
    fabric.faults().hold_acks(talk.qp);
    talk.listen(8);
    talk.say(100..104);
    assert_eq!(talk.heard(), fine(0..4), "the messages arrived");
    for i in 0..4 {
        let answer = [talk.to.sge(0, 64)];
        talk.pair.passive.post_send(&[send(50 + i, &answer)]).unwrap();
    }
    assert_eq!(talk.said(), fine(0..4), "replies, and no completion of a Send");
    assert_eq!(talk.heard(), fine(50..54), "the other direction is not held");
    fabric.advance(5_000_000_000);
    assert_eq!(talk.said(), [], "held without a limit");
    assert!(fabric.retransmissions() > 0, "the timer ran meanwhile");
    fabric.faults().release_acks(talk.qp);
    assert_eq!(talk.said(), fine(100..104));
    assert_eq!(talk.heard(), [], "duplicates are dropped");
    assert_eq!(fabric.violations(), []);
}

#[test]
fn a_later_acknowledgement_stands_for_lost_ones() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    fabric.faults().drop_acks(talk.qp, 2);
    talk.listen(3);
    talk.say(0..2);
    assert_eq!(talk.said(), []);
    talk.say(2..3);
    assert_eq!(talk.said(), fine(0..3));
    assert_eq!(fabric.retransmissions(), 0);
}

#[test]
fn a_lost_acknowledgement_is_mended_by_one_retransmission() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    fabric.faults().amend(talk.qp, |plan| plan.drop_acks(1).retransmit_timeout_ns(1000));
    talk.listen(2);
    talk.say(0..1);
    fabric.advance(999);
    assert_eq!(talk.said(), []);
    fabric.advance(1);
    assert_eq!(talk.said(), fine(0..1));
    assert_eq!(fabric.retransmissions(), 1);
    assert_eq!(talk.heard(), fine(0..1), "delivered once");
    assert_eq!(fabric.violations(), []);
}

#[test]
fn lost_messages_arrive_in_order_by_retransmission() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    fabric.faults().amend(talk.qp, |plan| plan.drop_messages(1).retransmit_timeout_ns(1000));
    talk.listen(3);
    talk.say(0..3);
    assert_eq!(talk.heard(), [], "the first is missing");
    fabric.advance(1000);
    assert_eq!(talk.heard(), fine(0..3));
    assert_eq!(talk.said(), fine(0..3));
}

#[test]
fn a_silent_peer_exhausts_the_retries() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    let silent = FaultPlan::new().silent().retransmit_timeout_ns(1000).retry_count(2);
    fabric.faults().set(talk.qp, silent);
    talk.listen(2);
    talk.say(0..2);
    for _ in 0..2 {
        fabric.advance(1000);
        assert_eq!(talk.said(), []);
    }
    fabric.advance(1000);
    assert_eq!(talk.said(), [(0, WcStatus::RetryExceeded), (1, FLUSHED)]);
    assert_eq!(talk.heard(), []);
    assert_eq!(talk.pair.passive.connection.poll_event(), None, "nobody could tell it");
    talk.pair.passive.connection.disconnect();
    assert_eq!(talk.heard(), [(0, FLUSHED), (1, FLUSHED)]);
}

#[test]
fn sends_to_an_end_that_is_gone_are_retried_in_vain() {
    let fabric = on_virtual_time();
    let Talk { mut pair, from, to, .. } = Talk::new(&fabric);
    drop(to);
    drop(pair.passive);
    assert_eq!(pair.active.connection.poll_event(), Some(CmEvent::Disconnected));
    pair.active.post_send(&[send(1, &[from.sge(0, 64)])]).unwrap();
    for _ in 0..7 {
        assert_eq!(drain(&pair.active), []);
        fabric.advance(67_108_864);
    }
    assert_eq!(drain(&pair.active), [(1, WcStatus::RetryExceeded)]);
}

#[test]
fn a_failing_post_keeps_what_came_before_it() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    fabric.faults().amend(talk.qp, |plan| plan.fail_post(3, libc::EIO));
    talk.listen(4);
    let sges = [talk.from.sge(0, 64)];
    let chain = [send(0, &sges), send(1, &sges), send(2, &sges), send(3, &sges)];
    let refused = talk.pair.active.post_send(&chain).unwrap_err();
    assert_eq!((refused.posted, refused.errno), (2, libc::EIO));
    assert_eq!(talk.said(), fine(0..2));
    assert_eq!(talk.pair.active.post_send(&chain[2..]), Ok(2), "once only");
    assert_eq!(talk.said(), fine(2..4));
}

#[test]
fn a_failing_receive_post_keeps_what_came_before_it() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    let peer = talk.pair.passive.connection.qp_num();
    fabric.faults().amend(peer, |plan| plan.fail_recv_post(2, libc::EIO));
    let chain = [recv(0, talk.to.sge(0, 64)), recv(1, talk.to.sge(64, 64))];
    let refused = talk.pair.passive.post_recv(&chain).unwrap_err();
    assert_eq!((refused.posted, refused.errno), (1, libc::EIO));
    talk.say(0..1);
    assert_eq!(talk.heard(), fine(0..1));
}

#[test]
fn a_failing_request_takes_the_queue_pair_along() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    fabric.faults().amend(talk.qp, |plan| plan.fail_wr(2, WcStatus::RemoteOperation));
    talk.listen(4);
    let sges = [talk.from.sge(0, 64)];
    let chain = [unsignaled(0, &sges), unsignaled(1, &sges), unsignaled(2, &sges)];
    assert_eq!(talk.pair.active.post_send(&chain), Ok(3));
    assert_eq!(talk.said(), [(1, WcStatus::RemoteOperation), (2, FLUSHED)]);
    assert_eq!(talk.heard(), fine(0..1));
    assert_eq!(talk.pair.passive.connection.poll_event(), Some(CmEvent::Disconnected));
}

#[test]
fn a_local_failure_waits_for_what_was_sent_before_it() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    fabric.faults().hold_acks(talk.qp);
    fabric.faults().amend(talk.qp, |plan| plan.fail_wr(2, WcStatus::LocalProtection));
    talk.listen(4);
    talk.say(0..3);
    assert_eq!(talk.said(), []);
    fabric.faults().release_acks(talk.qp);
    let failed = (1, WcStatus::LocalProtection);
    assert_eq!(talk.said(), [(0, WcStatus::Success), failed, (2, FLUSHED)]);
}

#[test]
fn a_cut_link_tells_both_ends_after_so_many_messages() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    fabric.faults().amend(talk.qp, |plan| plan.disconnect_after(2));
    talk.listen(4);
    talk.say(0..2);
    assert_eq!(talk.said(), fine(0..1), "the second arrived, its acknowledgement did not");
    assert_eq!(talk.heard(), fine(0..2));
    assert_eq!(talk.pair.active.connection.poll_event(), Some(CmEvent::Disconnected));
    assert_eq!(talk.pair.passive.connection.poll_event(), Some(CmEvent::Disconnected));
    talk.say(2..3);
    assert_eq!((talk.said(), talk.heard()), (vec![], vec![]));
    talk.pair.active.connection.disconnect();
    assert_eq!(talk.said(), [(1, FLUSHED), (2, FLUSHED)]);
    assert_eq!(talk.pair.active.connection.poll_event(), None, "told once");

    let mut talk = Talk::new(&fabric);
    fabric.faults().amend(talk.qp, |plan| plan.disconnect_after(0));
    talk.listen(1);
    talk.say(0..1);
    assert_eq!((talk.said(), talk.heard()), (vec![], vec![]));
    assert_eq!(talk.pair.passive.connection.poll_event(), Some(CmEvent::Disconnected));
}

#[test]
fn not_ready_on_demand_is_retried() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    fabric.faults().amend(talk.qp, |plan| plan.rnr(2).rnr_timer_ns(500));
    talk.listen(1);
    talk.say(0..1);
    fabric.advance(500);
    assert_eq!(talk.heard(), [], "refused a second time");
    fabric.advance(500);
    assert_eq!(talk.heard(), fine(0..1));
    assert_eq!(talk.said(), fine(0..1));
}

#[test]
fn connects_are_refused_ignored_and_unresolvable_on_demand() {
    let fabric = on_virtual_time();
    let options = Options::default();
    let mut listener = listen(&fabric, HOME);
    let remote = listener.local_addr();
    let ask = || {
        let mut end = End::<verbs::soft::SoftFabric>::prepare(resolved(&fabric, remote), &options);
        end.connection.connect(&options.params(&[])).unwrap();
        end
    };
    fabric.faults().reject_connects(1, 5);
    let event = ask().connection.poll_event();
    assert!(matches!(event, Some(CmEvent::Rejected { reason: 5, .. })), "{event:?}");

    fabric.faults().ignore_connects(1);
    fabric.faults().connect_timeout_ns(1000);
    let mut ignored = ask();
    fabric.advance(999);
    assert_eq!(ignored.connection.poll_event(), None);
    fabric.advance(1);
    let event = ignored.connection.poll_event();
    assert_eq!(event, Some(CmEvent::Unreachable(libc::ETIMEDOUT)));
    assert_eq!(ignored.connection.poll_event(), None);
    assert!(listener.poll().unwrap().is_none());

    fabric.faults().fail_resolves(1, libc::EHOSTUNREACH);
    let mut lost = fabric.resolve(remote, None).unwrap();
    assert_eq!(lost.poll_event(), Some(CmEvent::ResolveFailed(libc::EHOSTUNREACH)));
    assert!(lost.device().is_none());
    let _third = ask();
    incoming::<verbs::soft::SoftFabric>(&mut listener);
    let mut nowhere = fabric.resolve(SocketAddr::new(HOME, 0), None).unwrap();
    assert!(matches!(nowhere.poll_event(), Some(CmEvent::ResolveFailed(_))));
}

#[test]
fn a_plan_for_all_covers_connections_to_come() {
    let fabric = on_virtual_time();
    let mut old = Talk::new(&fabric);
    fabric.faults().hold_acks(Scope::All);
    let mut new = Talk::new(&fabric);
    for talk in [&mut old, &mut new] {
        talk.listen(1);
        talk.say(0..1);
        assert_eq!(talk.said(), []);
    }
    fabric.faults().release_acks(old.qp);
    assert_eq!((old.said(), new.said()), (fine(0..1), vec![]));
    fabric.faults().set(Scope::All, FaultPlan::new());
    assert_eq!(new.said(), fine(0..1));
}

#[test]
fn shuffled_completions_keep_the_order_of_each_queue_and_no_other() {
    let fabric = on_virtual_time();
    fabric.faults().shuffle_completions(1);
    let mut talk = Talk::new(&fabric);
    let mut overtaken = 0;
    for _ in 0..8 {
        talk.listen(8);
        for i in 0..8 {
            let receive = [recv(100 + i, talk.from.sge(8 * 64, 64))];
            assert_eq!(talk.pair.active.post_recv(&receive), Ok(1));
        }
        for i in 0..8 {
            talk.say(i..i + 1);
            let sges = [talk.to.sge(15 * 64, 64)];
            assert_eq!(talk.pair.passive.post_send(&[send(200 + i, &sges)]), Ok(1));
        }
        let seen: Vec<_> = talk.said().into_iter().map(|(id, _)| id).collect();
        let of = |queue: std::ops::Range<u64>| -> Vec<u64> {
            seen.iter().copied().filter(|id| queue.contains(id)).collect()
        };
        assert_eq!(of(0..100), (0..8).collect::<Vec<_>>(), "Sends in order");
        assert_eq!(of(100..200), (100..108).collect::<Vec<_>>(), "Receives in order");
        let came: Vec<_> = (0..8).flat_map(|i| [i, 100 + i]).collect();
        overtaken += usize::from(seen != came);
        talk.heard();
    }
    assert!(overtaken > 0, "and one before the other");
    let struck = fabric.faults().struck();
    let count = struck.iter().find(|(name, _)| name.contains("before that of another"));
    assert!(count.is_some_and(|(_, count)| *count > 0), "{struck:?}");
}
