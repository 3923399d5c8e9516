//! What goes wrong: statuses, the error state, and the order of what is flushed.

use std::net::IpAddr;

use verbs::{Access, CmEvent, Connection, Provider, QueuePairCaps, WcStatus};

use crate::ends::{
    End, Memory, Options, Pair, outcomes, pattern, read, recv, send, unsignaled, wait_for, write,
};

/// A chain of a failing request and three more (two of them unsignaled) completes in order: the
/// first with one of the statuses `known`, the rest flushed.
pub(crate) fn fails_and_flushes<P: Provider>(end: &End<P>, known: &[WcStatus]) {
    let seen = outcomes(&end.completions(4));
    println!("{seen:?}");
    assert!(seen[0].0 == 1 && known.contains(&seen[0].1), "{seen:?}");
    assert_eq!(seen[1..], [2, 3, 4].map(|wr_id| (wr_id, WcStatus::Flushed)));
}

/// A write or read of `addr` under `rkey` from the active side must end as `RemoteAccess`, and
/// what follows it is flushed in order.
fn is_refused<P: Provider>(pair: &mut Pair<P>, reads: bool, addr: u64, rkey: u32) {
    let memory = pair.active.memory(64, Access::LOCAL);
    let sges = [memory.sge(0, 64)];
    let first = if reads { read(1, &sges, addr, rkey) } else { write(1, &sges, addr, rkey) };
    let chain = [first, unsignaled(2, &sges), unsignaled(3, &sges), send(4, &sges)];
    assert_eq!(pair.active.post_send(&chain), Ok(4));
    fails_and_flushes(&pair.active, &[WcStatus::RemoteAccess]);
    pair.active.connection.disconnect();
}

pub(crate) fn a_wrong_remote_key_fails_the_write_and_flushes_the_rest<P: Provider>(
    provider: &P,
    ip: IpAddr,
) {
    let mut pair = Pair::new(provider, ip);
    let to = pair.passive.memory(64, Access::REMOTE);
    is_refused(&mut pair, false, to.addr(), to.rkey() ^ 0x5500);
    assert_eq!(to.read(0, 64), [0; 64]);
}

pub(crate) fn a_key_of_another_domain_is_refused<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let elsewhere = pair.passive.connection.new_domain().unwrap();
    let to = Memory::<P>::new(&elsewhere, 64, Access::REMOTE);
    is_refused(&mut pair, false, to.addr(), to.rkey());
    assert_eq!(to.read(0, 64), [0; 64]);
}

pub(crate) fn a_range_beyond_the_region_is_refused<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let to = pair.passive.memory(4096, Access::REMOTE);
    is_refused(&mut pair, false, to.addr() + 4096 - 63, to.rkey());
    let mut pair = Pair::new(provider, ip);
    let to = pair.passive.memory(4096, Access::REMOTE);
    is_refused(&mut pair, true, to.addr() - 1, to.rkey());
}

pub(crate) fn a_region_without_remote_read_cannot_be_read<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let access = Access { remote_read: false, ..Access::REMOTE };
    let from = pair.passive.memory(64, access);
    is_refused(&mut pair, true, from.addr(), from.rkey());
}

pub(crate) fn a_deregistered_region_is_refused<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let mut to = pair.passive.memory(64, Access::REMOTE);
    let rkey = to.rkey();
    to.deregister();
    is_refused(&mut pair, false, to.addr(), rkey);
    assert_eq!(to.read(0, 64), [0; 64]);
}

pub(crate) fn a_wrong_local_key_is_found<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let from = pair.active.memory(64, Access::SEND_ONLY);
    let to = pair.passive.memory(4 * 64, Access::LOCAL);
    pair.passive.post_recvs(&to, 4, 64);
    let good = [from.sge(0, 64)];
    let mut bad = good;
    bad[0].lkey ^= 0x5500;
    let chain = [send(1, &bad), unsignaled(2, &good), unsignaled(3, &good), send(4, &good)];
    assert_eq!(pair.active.post_send(&chain), Ok(4));
    // rxe of Linux 6.12 forgets the status when it flushes; that of 6.1 calls it a local operation
    // error (2).
    let known = [WcStatus::LocalProtection, WcStatus::Flushed, WcStatus::Other(2)];
    fails_and_flushes(&pair.active, &known);
}

pub(crate) fn a_message_too_long_for_its_receive_fails_both_ends<P: Provider>(
    provider: &P,
    ip: IpAddr,
) {
    let mut pair = Pair::new(provider, ip);
    let from = pair.active.memory(128, Access::SEND_ONLY);
    let to = pair.passive.memory(4 * 64, Access::LOCAL);
    pair.passive.post_recvs(&to, 2, 64);
    let (long, short) = ([from.sge(0, 128)], [from.sge(0, 64)]);
    let chain = [send(1, &long), unsignaled(2, &short), unsignaled(3, &short), send(4, &short)];
    assert_eq!(pair.active.post_send(&chain), Ok(4));
    // RemoteInvalidRequest and LocalLength by the book; rxe has its own opinion of both.
    let known = [WcStatus::RemoteInvalidRequest, WcStatus::RemoteOperation];
    fails_and_flushes(&pair.active, &known);
    let seen = outcomes(&pair.passive.completions(1));
    let told = [WcStatus::Success, WcStatus::Flushed].contains(&seen[0].1);
    assert!(seen[0].0 == 0 && !told, "{seen:?}");
    pair.passive.connection.disconnect();
    assert_eq!(outcomes(&pair.passive.completions(1)), [(1, WcStatus::Flushed)]);
}

pub(crate) fn a_receiver_without_receives_exhausts_the_senders_retries<P: Provider>(
    provider: &P,
    ip: IpAddr,
) {
    let options = Options { rnr_retry_count: 0, ..Options::default() };
    let mut pair = Pair::with(provider, ip, &options);
    let from = pair.active.memory(64, Access::SEND_ONLY);
    let sges = [from.sge(0, 64)];
    let chain = [send(1, &sges), unsignaled(2, &sges), unsignaled(3, &sges), send(4, &sges)];
    assert_eq!(pair.active.post_send(&chain), Ok(4));
    fails_and_flushes(&pair.active, &[WcStatus::RnrRetryExceeded]);
}

fn small_queues() -> Options {
    let caps = QueuePairCaps { send_wr_max: 8, recv_wr_max: 8, send_sge_max: 2 };
    Options { caps, cq_depth: 4096, ..Options::default() }
}

/// The peer posts no Receive and is waited for without limit: nothing leaves the queue.
pub(crate) fn a_full_send_queue_refuses_and_keeps_what_it_took<P: Provider>(
    provider: &P,
    ip: IpAddr,
) {
    let mut pair = Pair::with(provider, ip, &small_queues());
    let from = pair.active.memory(64, Access::SEND_ONLY);
    let sges = [from.sge(0, 64)];
    let chain: Vec<_> = (0..1024).map(|i| send(i, &sges)).collect();
    let refused = pair.active.post_send(&chain).unwrap_err();
    assert_eq!(refused.errno, libc::ENOMEM);
    assert!((8..1024).contains(&refused.posted), "{refused:?}");
    let again = pair.active.post_send(&chain[..1]).unwrap_err();
    assert_eq!((again.posted, again.errno), (0, libc::ENOMEM));
    pair.active.connection.disconnect();
    let seen = outcomes(&pair.active.completions(refused.posted));
    let ids: Vec<u64> = seen.iter().map(|(wr_id, _)| *wr_id).collect();
    assert_eq!(ids, (0..refused.posted as u64).collect::<Vec<_>>());
    assert!(seen.iter().all(|(_, status)| *status == WcStatus::Flushed), "{seen:?}");
    pair.active.stays_quiet();
}

pub(crate) fn a_full_receive_queue_refuses<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::with(provider, ip, &small_queues());
    let to = pair.passive.memory(64, Access::LOCAL);
    let chain: Vec<_> = (0..1024).map(|i| recv(i, to.sge(0, 64))).collect();
    let refused = pair.passive.post_recv(&chain).unwrap_err();
    assert_eq!(refused.errno, libc::ENOMEM);
    assert!((8..1024).contains(&refused.posted), "{refused:?}");
    pair.passive.connection.disconnect();
    let seen = outcomes(&pair.passive.completions(refused.posted));
    let expected: Vec<_> = (0..refused.posted as u64).map(|i| (i, WcStatus::Flushed)).collect();
    assert_eq!(seen, expected);
}

pub(crate) fn disconnect_flushes_what_is_and_what_will_be_posted<P: Provider>(
    provider: &P,
    ip: IpAddr,
) {
    let mut pair = Pair::new(provider, ip);
    let memory = pair.active.memory(8 * 64, Access::LOCAL);
    let sges = [memory.sge(7 * 64, 64)];
    pair.active.post_recvs(&memory, 4, 64);
    pair.active
        .post_send(&[unsignaled(10, &sges), send(11, &sges), unsignaled(12, &sges)])
        .unwrap();
    pair.active.connection.disconnect();
    assert_eq!(pair.active.post_send(&[unsignaled(13, &sges)]), Ok(1));
    assert_eq!(pair.active.post_recv(&[recv(4, memory.sge(4 * 64, 64))]), Ok(1));
    let seen = outcomes(&pair.active.completions(9));
    assert!(seen.iter().all(|(_, status)| *status == WcStatus::Flushed), "{seen:?}");
    let (recvs, sends): (Vec<u64>, Vec<u64>) =
        seen.iter().map(|(wr_id, _)| *wr_id).partition(|wr_id| *wr_id < 10);
    assert_eq!(recvs, [0, 1, 2, 3, 4]);
    assert_eq!(sends, [10, 11, 12, 13]);
    assert_eq!(pair.passive.event("the end"), CmEvent::Disconnected);
}

pub(crate) fn the_peer_of_a_disconnect_flushes_by_its_own<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let from = pair.active.memory(64, Access::SEND_ONLY);
    let to = pair.passive.memory(4 * 64, Access::LOCAL);
    from.write(0, &pattern(1, 64));
    pair.passive.post_recvs(&to, 4, 64);
    pair.active.post_send(&[send(1, &[from.sge(0, 64)])]).unwrap();
    pair.active.completions(1);
    pair.active.connection.disconnect();
    assert_eq!(pair.passive.event("the end"), CmEvent::Disconnected);
    pair.passive.connection.disconnect();
    let expected = [
        (0, WcStatus::Success),
        (1, WcStatus::Flushed),
        (2, WcStatus::Flushed),
        (3, WcStatus::Flushed),
    ];
    assert_eq!(outcomes(&pair.passive.completions(4)), expected);
    assert_eq!(to.read(0, 64), pattern(1, 64));
}

pub(crate) fn disconnect_twice_is_once<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    pair.active.connection.disconnect();
    pair.active.connection.disconnect();
    assert_eq!(pair.passive.event("the end"), CmEvent::Disconnected);
    pair.passive.connection.disconnect();
    wait_for("own farewell", || pair.active.connection.poll_event());
    assert_eq!(pair.active.connection.poll_event(), None);
    assert_eq!(pair.passive.connection.poll_event(), None);
    pair.active.stays_quiet();
}
