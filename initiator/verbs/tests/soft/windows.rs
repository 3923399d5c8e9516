//! Operations on windows among messages that are late, lost or fail.

use verbs::soft::FaultPlan;
use verbs::{
    Access, Bind, Completion, CompletionQueue, Connection, MemoryWindow, Op, ProtectionDomain,
    SendWr, WcStatus, WindowAccess, next_rkey,
};

use crate::ends::{Memory, send, unsignaled, write};
use crate::{Talk, drain, fine, on_virtual_time};

type Window = verbs::soft::SoftWindow;
type Fabric = verbs::soft::SoftFabric;

fn loan(talk: &Talk) -> (Window, Memory<Fabric>) {
    let window = talk.pair.active.domain.new_window().unwrap();
    (window, talk.pair.active.memory(64, Access::BINDABLE))
}

fn bind(wr_id: u64, window: &Window, memory: &Memory<Fabric>) -> SendWr<'static> {
    let bind = Bind {
        window: window.handle(),
        region: memory.handle(),
        new_rkey: next_rkey(window.rkey()),
        addr: memory.addr(),
        length: 64,
        access: WindowAccess::WRITE,
    };
    SendWr { op: Op::BindWindow(Box::leak(Box::new(bind))), ..send(wr_id, &[]) }
}

fn invalidate(wr_id: u64, rkey: u32) -> SendWr<'static> {
    SendWr { op: Op::LocalInvalidate { rkey }, ..send(wr_id, &[]) }
}

/// The passive side writes into the window.
fn written(talk: &mut Talk, memory: &Memory<Fabric>, rkey: u32) -> WcStatus {
    let from = talk.pair.passive.memory(64, Access::SEND_ONLY);
    let sges = [from.sge(0, 64)];
    talk.pair.passive.post_send(&[write(70, &sges, memory.addr(), rkey)]).unwrap();
    talk.pair.passive.completions(1)[0].status
}

/// The window is bound while the Send before it still waits for its acknowledgement, and its
/// completion waits its turn without standing for that Send.
#[test]
fn a_bind_is_done_at_once_and_completes_in_its_turn() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    let (window, memory) = loan(&talk);
    talk.listen(1);
    fabric.faults().hold_acks(talk.qp);
    let sges = [talk.from.sge(0, 64)];
    talk.pair.active.post_send(&[send(0, &sges), bind(1, &window, &memory)]).unwrap();
    assert_eq!(talk.heard(), fine(0..1));
    assert_eq!(talk.said(), [], "the Send has not completed, so the bind has not");
    let rkey = window.rkey();
    assert_eq!(written(&mut talk, &memory, rkey), WcStatus::Success, "but it is done");
    fabric.advance(1_000_000_000);
    assert_eq!(talk.said(), [], "a retransmission binds nothing anew");
    fabric.faults().release_acks(talk.qp);
    assert_eq!(talk.said(), fine(0..2));
    assert_eq!(fabric.violations(), []);
}

/// The message before is lost and comes again; what the own card does is done once.
#[test]
fn a_lost_message_does_not_repeat_what_follows_it() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    let (window, memory) = loan(&talk);
    talk.listen(2);
    fabric.faults().set(talk.qp, FaultPlan::new().drop_messages(1));
    let sges = [talk.from.sge(0, 64)];
    let end = SendWr { signaled: false, ..invalidate(2, next_rkey(window.rkey())) };
    let chain = [send(0, &sges), bind(1, &window, &memory), end, send(3, &sges)];
    talk.pair.active.post_send(&chain).unwrap();
    assert_eq!((talk.said(), talk.heard()), (vec![], vec![]));
    fabric.advance(1_000_000_000);
    let mut expected = fine(0..2);
    expected.extend(fine(3..4));
    assert_eq!(talk.said(), expected);
    assert_eq!(talk.heard(), fine(0..2));
    assert_eq!(fabric.retransmissions(), 2, "of the two messages alone");
}

#[test]
fn windows_work_alone_while_the_peer_is_silent() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    let (window, memory) = loan(&talk);
    fabric.faults().silence(talk.qp);
    talk.pair.active.post_send(&[bind(0, &window, &memory)]).unwrap();
    talk.pair.active.post_send(&[invalidate(1, window.rkey())]).unwrap();
    assert_eq!(talk.said(), fine(0..2));
    fabric.advance(10_000_000_000);
    assert_eq!(talk.said(), [], "no timer runs");
}

#[test]
fn a_failing_bind_waits_for_what_is_before_it_and_flushes_what_is_behind() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    let (window, memory) = loan(&talk);
    talk.listen(2);
    fabric.faults().hold_acks(talk.qp);
    let sges = [talk.from.sge(0, 64)];
    talk.pair.active.post_send(&[bind(0, &window, &memory)]).unwrap();
    assert_eq!(talk.said(), fine(0..1));
    let again = SendWr { signaled: false, ..bind(2, &window, &memory) };
    let chain = [send(1, &sges), again, unsignaled(3, &sges), send(4, &sges)];
    talk.pair.active.post_send(&chain).unwrap();
    assert_eq!(talk.said(), []);
    fabric.faults().release_acks(talk.qp);
    let ends = [
        (1, WcStatus::Success),
        (2, WcStatus::MwBind),
        (3, WcStatus::Flushed),
        (4, WcStatus::Flushed),
    ];
    assert_eq!(talk.said(), ends);
    assert_eq!(talk.heard(), fine(0..1), "nothing after the bind left");
}

/// The server's reply ends the key, and so does the client, who did not look.
#[test]
fn a_second_invalidation_is_an_error() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    let (window, memory) = loan(&talk);
    talk.pair.active.post_send(&[bind(0, &window, &memory)]).unwrap();
    let rkey = window.rkey();
    talk.pair.active.post_recv(&[crate::ends::recv(9, talk.from.sge(0, 64))]).unwrap();
    let op = Op::SendWithInvalidate { rkey };
    talk.pair.passive.post_send(&[SendWr { op, ..send(0, &[talk.to.sge(0, 8)]) }]).unwrap();
    let mut seen = [Completion::default(); 4];
    assert_eq!(talk.pair.active.cq.poll(&mut seen), Ok(2));
    assert_eq!((seen[1].wr_id, seen[1].invalidated_rkey), (9, Some(rkey)));
    talk.pair.active.post_send(&[invalidate(1, rkey)]).unwrap();
    assert_eq!(talk.said(), [(1, WcStatus::Other(2))]);

    let mut talk = Talk::new(&fabric);
    talk.listen(1);
    let ordinary = Op::SendWithInvalidate { rkey };
    let sges = [talk.from.sge(0, 8)];
    talk.pair.active.post_send(&[SendWr { op: ordinary, ..send(0, &sges) }]).unwrap();
    assert_eq!(talk.said(), [(0, WcStatus::RemoteInvalidRequest)]);
}

#[test]
fn a_scripted_failure_leaves_the_window_as_it_was() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    let (window, memory) = loan(&talk);
    fabric.faults().set(talk.qp, FaultPlan::new().fail_wr(1, WcStatus::MwBind));
    talk.pair.active.post_send(&[bind(0, &window, &memory)]).unwrap();
    assert_eq!(talk.said(), [(0, WcStatus::MwBind)]);
    let other = crate::ends::Pair::in_domain(&fabric, crate::HOME, &talk.pair.active.domain);
    let mut other = other;
    other.active.post_send(&[bind(1, &window, &memory)]).unwrap();
    assert_eq!(drain(&other.active), fine(1..2));
}

#[test]
fn an_operation_on_a_window_has_no_sges() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    let (window, memory) = loan(&talk);
    let sges = [talk.from.sge(0, 64)];
    for wr in [bind(0, &window, &memory), invalidate(1, window.rkey())] {
        let refused = talk.pair.active.post_send(&[SendWr { sges: &sges, ..wr }]).unwrap_err();
        assert_eq!((refused.posted, refused.errno), (0, libc::EINVAL));
    }
    assert_eq!(talk.pair.active.connection.poll_event(), None);
}
