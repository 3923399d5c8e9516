//! Sleeping until there is something to poll for, and not a moment longer.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use verbs::{Access, CmEvent, Completion, CompletionQueue, Connection, Listener, Provider};

use crate::ends::{
    End, Memory, Options, PATIENCE, Pair, QUIET, incoming, listen, outcomes, recv, resolved, send,
    wait_for,
};

/// Whether the descriptor becomes readable within `patience`.
fn readable(fd: BorrowedFd<'_>, patience: Duration) -> bool {
    let timeout = PollTimeout::try_from(patience).expect("some seconds");
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout).expect("poll(2)") == 1
}

fn arm<P: Provider>(cq: &P::Cq) -> BorrowedFd<'_> {
    cq.arm().expect("the queue is sound").expect("nothing waits for time to pass")
}

/// A message of one byte on its way, and both memories that it needs.
fn send_one<P: Provider>(pair: &mut Pair<P>) -> [Memory<P>; 2] {
    let to = pair.passive.memory(16, Access::LOCAL);
    let from = pair.active.memory(16, Access::SEND_ONLY);
    pair.passive.post_recv(&[recv(1, to.sge(0, 16))]).unwrap();
    pair.active.post_send(&[send(2, &[from.sge(0, 1)])]).unwrap();
    [to, from]
}

pub(crate) fn an_armed_queue_tells_of_a_completion<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let cq = pair.passive.cq.clone();
    let fd = arm::<P>(&cq);
    assert_eq!(cq.poll(&mut [Completion::default()]), Ok(0));
    assert!(!readable(fd, QUIET), "nothing has happened");
    let _memory = send_one(&mut pair);
    assert!(readable(fd, PATIENCE), "a message has arrived");
    pair.passive.completions(1);
    pair.active.completions(1);
    // It tells once. What was told is over with the next arming.
    let fd = arm::<P>(&cq);
    assert!(!readable(fd, QUIET), "nothing more has happened");
}

pub(crate) fn what_came_before_arming_is_found_by_the_poll_after_it<P: Provider>(
    provider: &P,
    ip: IpAddr,
) {
    let mut pair = Pair::new(provider, ip);
    for _ in 0..20 {
        assert_eq!(pair.passive.cq.poll(&mut [Completion::default()]), Ok(0));
        let _memory = send_one(&mut pair);
        // Its acknowledgement: it is in the peer's queue.
        pair.active.completions(1);
        let cq = pair.passive.cq.clone();
        let fd = arm::<P>(&cq);
        let mut one = [Completion::default()];
        let told = cq.poll(&mut one) == Ok(1) || readable(fd, PATIENCE);
        assert!(told, "neither polled nor told");
        if one[0].wr_id == 0 {
            pair.passive.completions(1);
        }
    }
}

/// More cycles than events are acknowledged at once.
pub(crate) fn a_queue_is_armed_again_and_again<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let cq = pair.passive.cq.clone();
    for round in 0..300 {
        for _ in 0..=round % 4 {
            arm::<P>(&cq);
        }
        let fd = arm::<P>(&cq);
        assert_eq!(cq.poll(&mut [Completion::default()]), Ok(0));
        let _memory = send_one(&mut pair);
        assert!(readable(fd, PATIENCE), "round {round}");
        pair.passive.completions(1);
        pair.active.completions(1);
    }
    for _ in 0..1000 {
        arm::<P>(&cq);
    }
    assert!(!readable(arm::<P>(&cq), QUIET), "arming is no completion");
}

pub(crate) fn a_flush_wakes_whoever_sleeps<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let to = pair.active.memory(64, Access::LOCAL);
    pair.active.post_recvs(&to, 4, 16);
    let cq = pair.active.cq.clone();
    let fd = arm::<P>(&cq);
    pair.active.connection.disconnect();
    assert!(readable(fd, PATIENCE), "four Receives are flushed");
    assert_eq!(outcomes(&pair.active.completions(4)).len(), 4);
}

/// Destroying a queue waits for events that were read and not acknowledged, and for no others.
pub(crate) fn a_queue_goes_with_events_unread<P: Provider>(provider: &P, ip: IpAddr) {
    for read in [false, true] {
        let mut pair = Pair::new(provider, ip);
        let cq = pair.passive.cq.clone();
        let fd = arm::<P>(&cq);
        let _memory = send_one(&mut pair);
        assert!(readable(fd, PATIENCE));
        pair.passive.completions(1);
        pair.active.completions(1);
        if read {
            arm::<P>(&cq);
        }
    }
}

pub(crate) fn connection_events_can_be_slept_for<P: Provider>(provider: &P, ip: IpAddr) {
    let options = Options::default();
    let mut listener = listen(provider, ip);
    assert!(!readable(listener.event_fd().expect("a listener tells"), QUIET));
    let mut active = End::<P>::prepare(resolved(provider, listener.local_addr()), &options);
    active.connection.connect(&options.params(&[])).unwrap();
    assert!(readable(listener.event_fd().expect("a listener tells"), PATIENCE), "a request");
    let incoming = incoming::<P>(&mut listener);
    assert!(!readable(listener.event_fd().expect("a listener tells"), QUIET), "it was taken");
    let mut passive = End::<P>::prepare(incoming.connection, &options);
    passive.connection.accept(&options.params(&[])).unwrap();
    for end in [&mut active, &mut passive] {
        let fd = end.connection.event_fd().expect("a connection tells");
        assert!(readable(fd, PATIENCE), "established");
        assert!(matches!(end.event("the answer"), CmEvent::Established { .. }));
    }
    while active.connection.poll_event().is_some() {}
    assert!(!readable(active.connection.event_fd().expect("a connection tells"), QUIET));
    passive.connection.disconnect();
    let fd = active.connection.event_fd().expect("a connection tells");
    assert!(readable(fd, PATIENCE), "the peer has left");
    assert_eq!(active.event("the end"), CmEvent::Disconnected);
    // Whatever else the provider has to say, it ends.
    wait_for("silence", || {
        while active.connection.poll_event().is_some() {}
        let fd = active.connection.event_fd().expect("a connection tells");
        (!readable(fd, Duration::ZERO)).then_some(())
    });
}
