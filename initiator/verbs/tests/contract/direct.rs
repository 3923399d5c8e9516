//! RDMA Write and RDMA Read.

use std::net::IpAddr;

use verbs::{Access, Provider, SendWr, WcStatus};

use crate::ends::{Pair, outcomes, pattern, read, send, write};

pub(crate) fn a_write_places_bytes_where_told<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let from = pair.active.memory(256, Access::SEND_ONLY);
    let to = pair.passive.memory(1024, Access::REMOTE);
    from.write(0, &pattern(3, 256));
    to.write(0, &[0xee; 1024]);
    let sges = [from.sge(128, 128), from.sge(0, 100)];
    pair.active.post_send(&[write(9, &sges, to.addr() + 500, to.rkey())]).unwrap();
    assert_eq!(outcomes(&pair.active.completions(1)), [(9, WcStatus::Success)]);
    assert_eq!(to.read(500, 228), [&pattern(3, 256)[128..], &pattern(3, 256)[..100]].concat());
    assert_eq!(to.read(0, 500), [0xee; 500], "nothing before");
    assert_eq!(to.read(728, 296), [0xee; 296], "nothing behind");
    pair.passive.stays_quiet();
}

pub(crate) fn a_write_is_visible_once_the_send_after_it_arrives<P: Provider>(
    provider: &P,
    ip: IpAddr,
) {
    let mut pair = Pair::new(provider, ip);
    let from = pair.active.memory(4096 + 16, Access::SEND_ONLY);
    let to = pair.passive.memory(4096 + 16, Access::REMOTE);
    for round in 0..20 {
        from.write(0, &pattern(round, 4096));
        pair.passive.post_recv(&[crate::ends::recv(0, to.sge(4096, 16))]).unwrap();
        let (data, tail) = ([from.sge(0, 4096)], [from.sge(4096, 16)]);
        let place = write(1, &data, to.addr(), to.rkey());
        let place = SendWr { signaled: false, ..place };
        assert_eq!(pair.active.post_send(&[place, send(2, &tail)]), Ok(2));
        assert_eq!(outcomes(&pair.passive.completions(1)), [(0, WcStatus::Success)]);
        assert_eq!(to.read(0, 4096), pattern(round, 4096));
        assert_eq!(outcomes(&pair.active.completions(1)), [(2, WcStatus::Success)]);
    }
}

pub(crate) fn a_read_fetches_bytes_into_several_places<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let from = pair.active.memory(300, Access::REMOTE);
    let to = pair.passive.memory(300, Access::LOCAL);
    from.write(0, &pattern(4, 300));
    let sges = [to.sge(200, 100), to.sge(0, 50)];
    pair.passive.post_send(&[read(5, &sges, from.addr() + 100, from.rkey())]).unwrap();
    assert_eq!(outcomes(&pair.passive.completions(1)), [(5, WcStatus::Success)]);
    assert_eq!(to.read(200, 100), pattern(4, 300)[100..200]);
    assert_eq!(to.read(0, 50), pattern(4, 300)[200..250]);
    assert_eq!(to.read(50, 150), [0; 150]);
    pair.active.stays_quiet();
}

/// A server reads a call's data and answers; the answer may only follow the data.
pub(crate) fn a_fenced_send_follows_the_read_before_it<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let from = pair.active.memory(4096 + 64, Access::REMOTE);
    let to = pair.passive.memory(4096 + 64, Access::LOCAL);
    from.write(0, &pattern(6, 4096));
    pair.active.post_recv(&[crate::ends::recv(0, from.sge(4096, 64))]).unwrap();
    let (data, answer) = ([to.sge(0, 4096)], [to.sge(0, 64)]);
    let fetch = SendWr { signaled: false, ..read(1, &data, from.addr(), from.rkey()) };
    let reply = SendWr { fence: true, ..send(2, &answer) };
    assert_eq!(pair.passive.post_send(&[fetch, reply]), Ok(2));
    assert_eq!(outcomes(&pair.passive.completions(1)), [(2, WcStatus::Success)]);
    assert_eq!(to.read(0, 4096), pattern(6, 4096));
    assert_eq!(outcomes(&pair.active.completions(1)), [(0, WcStatus::Success)]);
    assert_eq!(from.read(4096, 64), pattern(6, 64), "what was read went back");
}

pub(crate) fn a_large_transfer_crosses_packets<P: Provider>(provider: &P, ip: IpAddr) {
    const LEN: usize = 1 << 20;
    let mut pair = Pair::new(provider, ip);
    let near = pair.active.memory(LEN, Access::REMOTE);
    let far = pair.passive.memory(LEN, Access::REMOTE);
    near.write(0, &pattern(7, LEN));
    let out = [near.sge(0, LEN)];
    pair.active.post_send(&[write(1, &out, far.addr(), far.rkey())]).unwrap();
    assert_eq!(outcomes(&pair.active.completions(1)), [(1, WcStatus::Success)]);
    assert!(far.read(0, LEN) == pattern(7, LEN), "what was written");
    near.write(0, &vec![0; LEN]);
    pair.active.post_send(&[read(2, &out, far.addr(), far.rkey())]).unwrap();
    assert_eq!(outcomes(&pair.active.completions(1)), [(2, WcStatus::Success)]);
    assert!(near.read(0, LEN) == pattern(7, LEN), "what was read");
}
