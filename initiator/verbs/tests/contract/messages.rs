//! Send and Receive.

use std::net::IpAddr;

use verbs::{Access, Completion, CompletionQueue, Provider, WcStatus};

use crate::ends::{Pair, outcomes, pattern, recv, send, unsignaled};

pub(crate) fn messages_arrive_in_order_with_their_lengths<P: Provider>(provider: &P, ip: IpAddr) {
    const LENS: [usize; 8] = [1, 4096, 0, 17, 1024, 4095, 3, 512];
    let mut pair = Pair::new(provider, ip);
    let from = pair.active.memory(8 * 4096, Access::SEND_ONLY);
    let to = pair.passive.memory(8 * 4096, Access::LOCAL);
    pair.passive.post_recvs(&to, LENS.len(), 4096);
    for (i, len) in LENS.into_iter().enumerate() {
        from.write(i * 4096, &pattern(i, len));
        let sges = [from.sge(i * 4096, len)];
        assert_eq!(pair.active.post_send(&[send(100 + i as u64, &sges)]), Ok(1));
    }
    let arrived = pair.passive.completions(LENS.len());
    for (i, completion) in arrived.iter().enumerate() {
        assert_eq!((completion.wr_id, completion.status), (i as u64, WcStatus::Success));
        assert_eq!(completion.byte_len as usize, LENS[i]);
        assert_eq!(completion.invalidated_rkey, None);
        assert_eq!(to.read(i * 4096, LENS[i]), pattern(i, LENS[i]));
    }
    let sent: Vec<_> = (0..LENS.len() as u64).map(|i| (100 + i, WcStatus::Success)).collect();
    assert_eq!(outcomes(&pair.active.completions(LENS.len())), sent);
}

pub(crate) fn a_message_is_gathered_from_several_places<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let header = pair.active.memory(64, Access::SEND_ONLY);
    let payload = pair.active.memory(4096, Access::SEND_ONLY);
    let to = pair.passive.memory(8192, Access::LOCAL);
    header.write(0, &pattern(1, 64));
    payload.write(0, &pattern(2, 4096));
    pair.passive.post_recvs(&to, 1, 8192);
    let sges = [header.sge(32, 20), payload.sge(0, 4096), header.sge(0, 4)];
    pair.active.post_send(&[send(1, &sges)]).unwrap();
    assert_eq!(pair.passive.completions(1)[0].byte_len, 20 + 4096 + 4);
    let expected = [&pattern(1, 64)[32..52], &pattern(2, 4096), &pattern(1, 64)[..4]].concat();
    assert_eq!(to.read(0, 4120), expected);
    pair.active.completions(1);
}

pub(crate) fn one_signaled_send_answers_for_those_before_it<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let from = pair.active.memory(64, Access::SEND_ONLY);
    let to = pair.passive.memory(8 * 64, Access::LOCAL);
    pair.passive.post_recvs(&to, 8, 64);
    let sges = [from.sge(0, 64)];
    for i in 0..7 {
        pair.active.post_send(&[unsignaled(i, &sges)]).unwrap();
    }
    pair.passive.completions(7);
    pair.active.stays_quiet();
    pair.active.post_send(&[send(7, &sges)]).unwrap();
    assert_eq!(outcomes(&pair.active.completions(1)), [(7, WcStatus::Success)]);
    pair.active.stays_quiet();
}

pub(crate) fn a_chain_is_posted_by_one_call<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let from = pair.active.memory(32 * 16, Access::SEND_ONLY);
    let to = pair.passive.memory(32 * 16, Access::LOCAL);
    from.write(0, &pattern(5, 32 * 16));
    pair.passive.post_recvs(&to, 32, 16);
    let sges: Vec<_> = (0..32).map(|i| [from.sge(i * 16, 16)]).collect();
    let chain: Vec<_> = (0..31).map(|i| unsignaled(i, &sges[i as usize])).collect();
    assert_eq!(pair.active.post_send(&chain), Ok(31));
    assert_eq!(pair.active.post_send(&[]), Ok(0));
    assert_eq!(pair.active.post_send(&[send(31, &sges[31])]), Ok(1));
    let expected: Vec<_> = (0..32).map(|i| (i, WcStatus::Success)).collect();
    assert_eq!(outcomes(&pair.passive.completions(32)), expected);
    assert_eq!(to.read(0, 32 * 16), pattern(5, 32 * 16));
    assert_eq!(outcomes(&pair.active.completions(1)), [(31, WcStatus::Success)]);
}

/// Many times round both rings: slots come back on both sides.
pub(crate) fn messages_flow_both_ways_for_long<P: Provider>(provider: &P, ip: IpAddr) {
    const ROUNDS: usize = 500;
    let mut pair = Pair::new(provider, ip);
    let ours = pair.active.memory(128, Access::LOCAL);
    let theirs = pair.passive.memory(128, Access::LOCAL);
    for round in 0..ROUNDS {
        let ask = pattern(round, 64);
        let id = round as u64;
        ours.write(0, &ask);
        pair.active.post_recv(&[recv(id, ours.sge(64, 64))]).unwrap();
        pair.passive.post_recv(&[recv(id, theirs.sge(0, 64))]).unwrap();
        pair.active.post_send(&[send(id, &[ours.sge(0, 64)])]).unwrap();
        assert_eq!(outcomes(&pair.passive.completions(1)), [(id, WcStatus::Success)]);
        assert_eq!(theirs.read(0, 64), ask);
        let answer: Vec<u8> = ask.iter().map(|byte| !byte).collect();
        theirs.write(64, &answer);
        pair.passive.post_send(&[send(id, &[theirs.sge(64, 64)])]).unwrap();
        pair.passive.completions(1);
        let both = pair.active.completions(2);
        assert!(both.iter().all(|c| c.wr_id == id && c.status == WcStatus::Success));
        assert_eq!(ours.read(64, 64), answer);
    }
}

pub(crate) fn an_idle_queue_has_nothing<P: Provider>(provider: &P, ip: IpAddr) {
    let pair = Pair::new(provider, ip);
    assert!(pair.active.cq.depth() >= 256);
    assert_eq!(pair.active.cq.poll(&mut []), Ok(0));
    assert_eq!(pair.active.cq.poll(&mut [Completion::default(); 4]), Ok(0));
    pair.passive.stays_quiet();
}
