//! How two ends meet and part.

use std::net::{IpAddr, SocketAddr};

use verbs::{Access, CmEvent, Connection, Listener, Provider, WcStatus};

use crate::ends::{
    End, Options, Pair, established, incoming, listen, outcomes, pattern, recv, resolved, send,
};

pub(crate) fn private_data_reaches_both_sides<P: Provider>(provider: &P, ip: IpAddr) {
    let options = Options::default();
    let (asked, answered) = (pattern(1, 56), pattern(2, 8));
    let mut listener = listen(provider, ip);
    let mut active = End::<P>::prepare(resolved(provider, listener.local_addr()), &options);
    active.connection.connect(&options.params(&asked)).unwrap();
    let incoming = incoming::<P>(&mut listener);
    assert_eq!(incoming.private_data.get(..asked.len()), Some(&asked[..]));
    let mut passive = End::<P>::prepare(incoming.connection, &options);
    passive.connection.accept(&options.params(&answered)).unwrap();
    let got = established(&mut active, &mut passive);
    assert_eq!(got.get(..answered.len()), Some(&answered[..]));
    assert!(got[answered.len()..].iter().all(|byte| *byte == 0), "padded with zeros");
}

pub(crate) fn a_rejection_carries_its_reason_and_data<P: Provider>(provider: &P, ip: IpAddr) {
    let options = Options::default();
    let mut listener = listen(provider, ip);
    let mut active = End::<P>::prepare(resolved(provider, listener.local_addr()), &options);
    active.connection.connect(&options.params(&[])).unwrap();
    let mut incoming = incoming::<P>(&mut listener);
    incoming.connection.reject(b"no thanks").unwrap();
    match active.event("a rejection") {
        CmEvent::Rejected { reason: 28, private_data } => {
            assert_eq!(private_data.get(..9), Some(&b"no thanks"[..]));
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn nobody_listening_is_reason_8<P: Provider>(provider: &P, ip: IpAddr) {
    let options = Options::default();
    let listener = listen(provider, ip);
    let addr = listener.local_addr();
    drop(listener);
    let mut active = End::<P>::prepare(resolved(provider, addr), &options);
    active.connection.connect(&options.params(&[])).unwrap();
    let event = active.event("a rejection");
    assert!(matches!(event, CmEvent::Rejected { reason: 8, .. }), "{event:?}");
}

pub(crate) fn port_0_finds_a_free_port<P: Provider>(provider: &P, ip: IpAddr) {
    let (one, other) = (listen(provider, ip), listen(provider, ip));
    assert_eq!(one.local_addr().ip(), ip);
    assert_ne!(one.local_addr().port(), 0);
    assert_ne!(one.local_addr(), other.local_addr());
    assert!(provider.listen(one.local_addr(), 8).is_err(), "the address is taken");
}

pub(crate) fn the_device_is_known_once_the_route_is<P: Provider>(provider: &P, ip: IpAddr) {
    let remote = SocketAddr::new(ip, 20_049);
    let unresolved = provider.resolve(remote, None).unwrap();
    assert!(unresolved.device().is_none());
    assert_eq!(unresolved.qp_num(), 0);
    let (one, other) = (resolved(provider, remote), resolved(provider, remote));
    let device = one.device().expect("device");
    assert!(!device.name.is_empty());
    assert!(device.max_qp_wr >= 64 && device.max_sge >= 4 && device.max_cqe >= 256);
    assert_eq!(device.key, other.device().expect("device").key);
}

pub(crate) fn each_side_names_its_peer<P: Provider>(provider: &P, ip: IpAddr) {
    let pair = Pair::new(provider, ip);
    assert_eq!(pair.active.connection.peer_addr(), Some(pair.listener.local_addr()));
    assert_eq!(pair.passive.connection.peer_addr().map(|addr| addr.ip()), Some(ip));
    assert_ne!(pair.active.connection.qp_num(), 0);
    assert_ne!(pair.active.connection.qp_num(), pair.passive.connection.qp_num());
}

pub(crate) fn dropping_an_end_disconnects_the_peer<P: Provider>(provider: &P, ip: IpAddr) {
    let Pair { active, mut passive, listener } = Pair::new(provider, ip);
    drop(active);
    assert_eq!(passive.event("the end"), CmEvent::Disconnected);
    let mut again = Pair::new(provider, ip);
    drop(listener);
    drop(again.passive);
    assert_eq!(again.active.event("the end"), CmEvent::Disconnected);
}

pub(crate) fn an_incoming_request_that_is_dropped_is_rejected<P: Provider>(
    provider: &P,
    ip: IpAddr,
) {
    let options = Options::default();
    let mut listener = listen(provider, ip);
    let mut active = End::<P>::prepare(resolved(provider, listener.local_addr()), &options);
    active.connection.connect(&options.params(&[])).unwrap();
    drop(incoming::<P>(&mut listener));
    let event = active.event("a rejection");
    assert!(matches!(event, CmEvent::Rejected { .. }), "{event:?}");
}

pub(crate) fn two_connections_share_a_completion_queue<P: Provider>(provider: &P, ip: IpAddr) {
    let options = Options::default();
    let first = Pair::new(provider, ip);
    let mut listener = first.listener;
    let mut active = End::<P>::prepare(resolved(provider, listener.local_addr()), &options);
    active.connection.connect(&options.params(&[])).unwrap();
    let incoming = incoming::<P>(&mut listener);
    let cq = first.passive.cq.clone();
    let mut passive = End::<P>::prepare_on(incoming.connection, cq, &options);
    passive.connection.accept(&options.params(&[])).unwrap();
    established(&mut active, &mut passive);

    let mut pairs = [(first.active, first.passive), (active, passive)];
    let mut kept = Vec::new();
    for (i, (active, passive)) in pairs.iter_mut().enumerate() {
        let from = active.memory(16, Access::SEND_ONLY);
        let to = passive.memory(16, Access::LOCAL);
        from.write(0, &pattern(i, 16));
        passive.post_recv(&[recv(i as u64, to.sge(0, 16))]).unwrap();
        active.post_send(&[send(7, &[from.sge(0, 16)])]).unwrap();
        let arrived = passive.completions(1);
        assert_eq!(outcomes(&arrived), [(i as u64, WcStatus::Success)]);
        assert_eq!(arrived[0].qp_num, passive.connection.qp_num());
        assert_eq!(to.read(0, 16), pattern(i, 16));
        kept.push((from, to));
    }
    drop(pairs);
}
