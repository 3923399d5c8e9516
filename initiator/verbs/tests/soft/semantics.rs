//! Where the fabric is stricter than a card has to be, and where misuse ends.

use std::net::SocketAddr;

use verbs::{
    Access, CmEvent, Completion, CompletionQueue, ConnectParams, Connection, Error, Listener, Op,
    ProtectionDomain, Provider, QueuePairCaps, SendWr, WcStatus,
};

use crate::ends::{End, Options, Pair, incoming, listen, read, recv, resolved, send, unsignaled};
use crate::{HOME, Talk, drain, fine, on_virtual_time};

fn small() -> Options {
    let caps = QueuePairCaps { send_wr_max: 4, recv_wr_max: 4, send_sge_max: 2 };
    Options { caps, ..Options::default() }
}

#[test]
fn send_slots_come_back_with_a_polled_completion_and_not_before() {
    let mut talk = Talk::with(&on_virtual_time(), &small());
    let sges = [talk.from.sge(0, 64)];
    talk.listen(4);
    let chain = [unsignaled(0, &sges), unsignaled(1, &sges), unsignaled(2, &sges), send(3, &sges)];
    assert_eq!(talk.pair.active.post_send(&chain), Ok(4));
    assert_eq!(talk.heard(), fine(0..4), "all four arrived");
    let full = talk.pair.active.post_send(&chain).unwrap_err();
    assert_eq!((full.posted, full.errno), (0, libc::ENOMEM));
    assert_eq!(talk.said(), fine(3..4));
    talk.listen(4);
    assert_eq!(talk.pair.active.post_send(&chain[..3]), Ok(3));
    assert_eq!(talk.pair.active.post_send(&chain[..2]).unwrap_err().posted, 1);
    assert_eq!(talk.said(), [], "four unsignaled Sends: nothing will ever free them");
    assert_eq!(talk.pair.active.post_send(&chain[3..]).unwrap_err().errno, libc::ENOMEM);
}

#[test]
fn receive_slots_come_back_with_a_polled_completion_and_not_before() {
    let mut talk = Talk::with(&on_virtual_time(), &small());
    talk.listen(4);
    talk.say(0..4);
    let again = [recv(9, talk.to.sge(0, 64))];
    let full = talk.pair.passive.post_recv(&again).unwrap_err();
    assert_eq!((full.posted, full.errno), (0, libc::ENOMEM));
    assert_eq!(talk.heard(), fine(0..4));
    assert_eq!(talk.pair.passive.post_recv(&again), Ok(1));
}

#[test]
fn an_overflowing_completion_queue_takes_its_connections_along() {
    let options = Options { cq_depth: 2, ..Options::default() };
    let mut talk = Talk::with(&on_virtual_time(), &options);
    let mut batch = [Completion::default(); 8];
    talk.listen(2);
    talk.say(0..2);
    assert_eq!(talk.heard(), fine(0..2));
    talk.listen(1);
    talk.say(2..3);
    let lost = Err(Box::new(Error::CqOverflow { depth: 2 }));
    assert_eq!(talk.pair.active.cq.poll(&mut batch), lost);
    assert_eq!(talk.pair.active.cq.poll(&mut batch), lost, "for good");
    assert_eq!(talk.pair.passive.connection.poll_event(), Some(CmEvent::Disconnected));
    talk.pair.passive.connection.disconnect();
}

#[test]
fn private_data_has_the_sizes_of_the_connection_manager() {
    let fabric = on_virtual_time();
    let options = Options::default();
    let mut listener = listen(&fabric, HOME);
    let mut active = resolved(&fabric, listener.local_addr());
    let long = [7; 57];
    let params = ConnectParams { private_data: &long, ..ConnectParams::default() };
    assert!(active.connect(&params).is_err(), "no queue pair yet");
    let mut active = End::<verbs::soft::SoftFabric>::prepare(active, &options);
    let refused = active.connection.connect(&params).unwrap_err();
    assert_eq!(refused, Error::Limit { what: "private data bytes", asked: 57, limit: 56 });
    active.connection.connect(&options.params(&long[..1])).unwrap();
    let request = incoming::<verbs::soft::SoftFabric>(&mut listener);
    assert_eq!(request.private_data.len(), 56);
    let passive = End::<verbs::soft::SoftFabric>::prepare(request.connection, &options);
    let End { mut connection, .. } = passive;
    connection.accept(&options.params(b"x")).unwrap();
    match active.event("the answer") {
        CmEvent::Established { private_data } => assert_eq!(private_data.len(), 196),
        other => panic!("{other:?}"),
    }
}

#[test]
fn calls_out_of_order_are_errors() {
    let fabric = on_virtual_time();
    let options = Options::default();
    let remote = SocketAddr::new(HOME, 20_049);
    let unresolved = fabric.resolve(remote, None).unwrap();
    assert!(unresolved.new_domain().is_err());
    assert!(unresolved.new_completion_queue(1).is_err());
    let mut end = End::<verbs::soft::SoftFabric>::prepare(resolved(&fabric, remote), &options);
    let (domain, cq) = (end.domain.clone(), end.cq.clone());
    assert!(end.connection.create_queue_pair(&domain, &cq, &options.caps).is_err(), "second");
    assert!(end.connection.accept(&options.params(&[])).is_err(), "active side");
    assert!(end.connection.reject(&[]).is_err(), "active side");
    let memory = end.memory(64, Access::LOCAL);
    let early = end.post_send(&[send(1, &[memory.sge(0, 64)])]).unwrap_err();
    assert_eq!((early.posted, early.errno), (0, libc::EINVAL), "not established");
    assert!(end.connection.new_completion_queue(0).is_err());
    assert!(end.connection.new_completion_queue(u32::MAX).is_err());
    let other = on_virtual_time();
    let mut foreign = resolved(&other, remote);
    assert!(foreign.create_queue_pair(&domain, &cq, &options.caps).is_err(), "another fabric's");
    let mut caps = options.caps;
    caps.send_sge_max = 1000;
    let mut wide = resolved(&fabric, remote);
    assert!(matches!(wide.create_queue_pair(&domain, &cq, &caps), Err(Error::Limit { .. })));
}

#[test]
fn a_request_with_too_many_sges_is_refused_alone() {
    let mut talk = Talk::with(&on_virtual_time(), &small());
    talk.listen(1);
    let sges = [talk.from.sge(0, 8); 3];
    let chain = [send(0, &sges[..2]), send(1, &sges), send(2, &sges[..1])];
    let refused = talk.pair.active.post_send(&chain).unwrap_err();
    assert_eq!((refused.posted, refused.errno), (1, libc::EINVAL));
    assert_eq!(talk.said(), fine(0..1));
}

#[test]
fn failures_have_the_statuses_of_the_book() {
    let fabric = on_virtual_time();
    let mut talk = Talk::new(&fabric);
    talk.listen(2);
    let mut wrong_key = [talk.from.sge(0, 64)];
    wrong_key[0].lkey ^= 0x5500;
    talk.pair.active.post_send(&[unsignaled(1, &wrong_key)]).unwrap();
    assert_eq!(talk.said(), [(1, WcStatus::LocalProtection)]);
    assert_eq!(talk.heard(), []);

    let mut talk = Talk::new(&fabric);
    talk.listen(2);
    let long = [talk.from.sge(0, 65)];
    talk.pair.active.post_send(&[unsignaled(1, &long)]).unwrap();
    assert_eq!(talk.said(), [(1, WcStatus::RemoteInvalidRequest)]);
    assert_eq!(talk.heard(), [(0, WcStatus::LocalLength), (1, WcStatus::Flushed)]);
    assert_eq!(talk.pair.passive.connection.poll_event(), Some(CmEvent::Disconnected));
}

#[test]
fn registrations_that_make_no_sense_are_refused() {
    let talk = Talk::new(&on_virtual_time());
    let domain = &talk.pair.active.domain;
    let mut byte = 0_u8;
    let addr = &raw mut byte;
    let contradiction = Access { local_write: false, ..Access::REMOTE };
    let attempts = [
        (std::ptr::null_mut(), 1, Access::LOCAL),
        (addr, 0, Access::LOCAL),
        (addr, usize::MAX, Access::LOCAL),
        (addr, 1, contradiction),
    ];
    for (addr, len, access) in attempts {
        // SAFETY: refused registrations touch nothing.
        assert!(unsafe { domain.register(addr, len, access) }.is_err());
    }
}

#[test]
fn a_local_key_is_no_remote_key() {
    let mut talk = Talk::new(&on_virtual_time());
    let sges = [talk.from.sge(0, 64)];
    let op = Op::RdmaWrite { remote_addr: talk.to.addr(), rkey: talk.to.lkey() };
    talk.pair.active.post_send(&[SendWr { op, ..send(1, &sges) }]).unwrap();
    assert_eq!(talk.said(), [(1, WcStatus::RemoteAccess)]);
}

#[test]
fn ordinary_memory_is_not_invalidated_from_afar_unless_allowed() {
    let fabric = on_virtual_time();
    let invalidating = |talk: &mut Talk| {
        talk.listen(1);
        let op = Op::SendWithInvalidate { rkey: talk.to.rkey() };
        let sges = [talk.from.sge(0, 64)];
        talk.pair.active.post_send(&[SendWr { op, ..send(1, &sges) }]).unwrap();
    };
    let mut talk = Talk::new(&fabric);
    invalidating(&mut talk);
    assert_eq!(talk.said(), [(1, WcStatus::RemoteInvalidRequest)]);

    fabric.faults().allow_remote_invalidate(true);
    let mut talk = Talk::new(&fabric);
    invalidating(&mut talk);
    let arrived = talk.pair.passive.completions(1)[0];
    assert_eq!(arrived.invalidated_rkey, Some(talk.to.rkey()));
    assert_eq!(talk.said(), fine(1..2));
    let sges = [talk.from.sge(0, 64)];
    let write = crate::ends::write(2, &sges, talk.to.addr(), talk.to.rkey());
    talk.pair.active.post_send(&[write]).unwrap();
    assert_eq!(talk.said(), [(2, WcStatus::RemoteAccess)], "the key is dead");
}

#[test]
fn reads_need_a_depth_both_sides_agreed_to() {
    let fabric = on_virtual_time();
    let mut options = Options::default();
    options.caps.send_sge_max = 1;
    let mut listener = listen(&fabric, HOME);
    let mut active =
        End::<verbs::soft::SoftFabric>::prepare(resolved(&fabric, listener.local_addr()), &options);
    // The default asks for no Reads of its own.
    active.connection.connect(&ConnectParams::default()).unwrap();
    let request = incoming::<verbs::soft::SoftFabric>(&mut listener);
    let mut passive = End::<verbs::soft::SoftFabric>::prepare(request.connection, &options);
    passive.connection.accept(&options.params(&[])).unwrap();
    crate::ends::established(&mut active, &mut passive);
    let near = active.memory(64, Access::REMOTE);
    let far = passive.memory(64, Access::REMOTE);
    passive.post_send(&[read(1, &[far.sge(0, 64)], near.addr(), near.rkey())]).unwrap();
    assert_eq!(drain(&passive), fine(1..2));
    active.post_send(&[read(1, &[near.sge(0, 64)], far.addr(), far.rkey())]).unwrap();
    assert_eq!(drain(&active), [(1, WcStatus::Other(2))]);
}

#[test]
fn a_full_backlog_and_a_closed_listener_reject() {
    let fabric = on_virtual_time();
    let options = Options::default();
    let listener = fabric.listen(SocketAddr::new(HOME, 0), 1).unwrap();
    let ask = || {
        let active = resolved(&fabric, listener.local_addr());
        let mut active = End::<verbs::soft::SoftFabric>::prepare(active, &options);
        active.connection.connect(&options.params(&[])).unwrap();
        active
    };
    let (mut waits, mut refused) = (ask(), ask());
    assert_eq!(waits.connection.poll_event(), None);
    let event = refused.connection.poll_event();
    assert!(matches!(event, Some(CmEvent::Rejected { reason: 28, .. })), "{event:?}");
    drop(listener);
    let event = waits.connection.poll_event();
    assert!(matches!(event, Some(CmEvent::Rejected { .. })), "{event:?}");
}

#[test]
fn a_request_given_up_is_not_handed_out_and_not_accepted() {
    let fabric = on_virtual_time();
    let options = Options::default();
    let mut listener = listen(&fabric, HOME);
    let ask = || {
        let active = resolved(&fabric, listener.local_addr());
        let mut active = End::<verbs::soft::SoftFabric>::prepare(active, &options);
        active.connection.connect(&options.params(&[])).unwrap();
        active
    };
    let (first, second) = (ask(), ask());
    drop(first);
    let request = listener.poll().unwrap().expect("the second");
    assert!(listener.poll().unwrap().is_none());
    drop(second);
    let mut passive = End::<verbs::soft::SoftFabric>::prepare(request.connection, &options);
    passive.connection.accept(&options.params(&[])).unwrap();
    let event = passive.connection.poll_event();
    assert!(matches!(event, Some(CmEvent::ConnectFailed(_))), "{event:?}");
}

#[test]
fn a_listener_on_every_address_is_found_by_any() {
    let fabric = on_virtual_time();
    let options = Options::default();
    let mut listener = fabric.listen("0.0.0.0:20049".parse().unwrap(), 4).unwrap();
    let active = resolved(&fabric, "192.0.2.7:20049".parse().unwrap());
    let mut active = End::<verbs::soft::SoftFabric>::prepare(active, &options);
    active.connection.connect(&options.params(&[])).unwrap();
    assert!(listener.poll().unwrap().is_some());
    let pair = Pair::new(&fabric, HOME);
    assert!(pair.active.connection.peer_addr().is_some());
}
