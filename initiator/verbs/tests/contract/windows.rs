//! Memory windows: what a peer reaches through one, and when no longer.
//!
//! The active side lends, the passive side writes and reads.

use std::net::IpAddr;

use verbs::{
    Access, Bind, Connection, MemoryWindow, Op, ProtectionDomain, Provider, SendWr, WcStatus,
    WindowAccess, next_rkey,
};

use crate::ends::{End, Memory, Pair, outcomes, pattern, read, recv, send, unsignaled, write};
use crate::failing::fails_and_flushes;

type Window<P> = <<P as Provider>::Domain as ProtectionDomain>::Window;

const BOTH: WindowAccess = WindowAccess { remote_read: true, remote_write: true };

/// Memory that is reached by a window only.
struct Loan<P: Provider> {
    window: Window<P>,
    memory: Memory<P>,
}

impl<P: Provider> Loan<P> {
    fn new(end: &End<P>, len: usize) -> Self {
        let window = end.domain.new_window().expect("window");
        Self { window, memory: end.memory(len, Access::BINDABLE) }
    }

    /// A bind of `len` bytes at `offset` under the next key.
    fn bind(&self, wr_id: u64, offset: u64, len: u32, access: WindowAccess) -> SendWr<'static> {
        binds(wr_id, self.opens(offset, len, access))
    }

    fn opens(&self, offset: u64, length: u32, access: WindowAccess) -> Bind {
        Bind {
            window: self.window.handle(),
            region: self.memory.handle(),
            new_rkey: next_rkey(self.window.rkey()),
            addr: self.memory.addr() + offset,
            length,
            access,
        }
    }

    /// A bind to the first 64 bytes of other memory.
    fn bind_to(&self, memory: &Memory<P>, wr_id: u64) -> SendWr<'static> {
        let bind = self.opens(0, 64, WindowAccess::WRITE);
        binds(wr_id, Bind { addr: memory.addr(), region: memory.handle(), ..bind })
    }

    /// A bind done when it returns.
    fn lend(&self, end: &mut End<P>, offset: u64, len: u32, access: WindowAccess) {
        assert_eq!(end.post_send(&[self.bind(90, offset, len, access)]), Ok(1));
        assert_eq!(outcomes(&end.completions(1)), [(90, WcStatus::Success)]);
    }

    fn invalidate(&self, end: &mut End<P>) {
        assert_eq!(end.post_send(&[invalidate(91, self.window.rkey())]), Ok(1));
        assert_eq!(outcomes(&end.completions(1)), [(91, WcStatus::Success)]);
    }
}

/// The bind lives as long as the program does.
fn binds(wr_id: u64, bind: Bind) -> SendWr<'static> {
    SendWr { op: Op::BindWindow(Box::leak(Box::new(bind))), ..send(wr_id, &[]) }
}

fn invalidate(wr_id: u64, rkey: u32) -> SendWr<'static> {
    SendWr { op: Op::LocalInvalidate { rkey }, ..send(wr_id, &[]) }
}

fn on_rxe<P: Provider>(pair: &Pair<P>) -> bool {
    pair.active.connection.device().is_some_and(|device| device.name.starts_with("rxe"))
}

/// The status of the passive side's write of 64 bytes.
fn write_by<P: Provider>(peer: &mut End<P>, from: &Memory<P>, addr: u64, rkey: u32) -> WcStatus {
    assert_eq!(peer.post_send(&[write(80, &[from.sge(0, 64)], addr, rkey)]), Ok(1));
    peer.completions(1)[0].status
}

fn may_write<P: Provider>(pair: &mut Pair<P>, addr: u64, rkey: u32) {
    let from = pair.passive.memory(64, Access::SEND_ONLY);
    assert_eq!(write_by(&mut pair.passive, &from, addr, rkey), WcStatus::Success);
}

/// A write must end as `RemoteAccess`, take what follows along, and leave no byte.
fn may_not_write<P: Provider>(pair: &mut Pair<P>, memory: &Memory<P>, addr: u64, rkey: u32) {
    let len = memory.len();
    let before = memory.read(0, len);
    let from = pair.passive.memory(64, Access::SEND_ONLY);
    from.write(0, &[0xee; 64]);
    let sges = [from.sge(0, 64)];
    let chain = [write(1, &sges, addr, rkey), send(2, &sges), unsignaled(3, &[]), send(4, &[])];
    assert_eq!(pair.passive.post_send(&chain), Ok(4));
    fails_and_flushes(&pair.passive, &[WcStatus::RemoteAccess]);
    assert!(memory.read(0, len) == before, "refused, and yet written");
    pair.passive.connection.disconnect();
}

/// The call of an RPC that offers a chunk: the key is good once the message is there.
pub(crate) fn a_window_is_bound_and_told_of_in_one_chain<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let call = pair.active.memory(64, Access::SEND_ONLY);
    let inbox = pair.passive.memory(64, Access::LOCAL);
    let from = pair.passive.memory(64, Access::SEND_ONLY);
    let loan = Loan::<P>::new(&pair.active, 4096);
    from.write(0, &pattern(5, 64));
    for round in 0..20 {
        pair.passive.post_recv(&[recv(round, inbox.sge(0, 64))]).unwrap();
        let bind = SendWr { signaled: false, ..loan.bind(1, 1000, 64, WindowAccess::WRITE) };
        let Op::BindWindow(&Bind { new_rkey, .. }) = bind.op else { unreachable!() };
        call.write(0, &new_rkey.to_be_bytes());
        assert_eq!(pair.active.post_send(&[bind, send(2, &[call.sge(0, 4)])]), Ok(2));
        assert_eq!(loan.window.rkey(), new_rkey, "of the bind that was posted");
        assert_eq!(outcomes(&pair.passive.completions(1)), [(round, WcStatus::Success)]);
        let told: [u8; 4] = inbox.read(0, 4).try_into().unwrap();
        let place = loan.memory.addr() + 1000;
        let status = write_by(&mut pair.passive, &from, place, u32::from_be_bytes(told));
        assert_eq!(status, WcStatus::Success, "round {round}");
        assert_eq!(loan.memory.read(1000, 64), pattern(5, 64));
        let end = SendWr { signaled: false, ..invalidate(3, new_rkey) };
        loan.memory.write(1000, &[0; 64]);
        assert_eq!(outcomes(&pair.active.completions(1)), [(2, WcStatus::Success)]);
        assert_eq!(pair.active.post_send(&[end]), Ok(1));
    }
}

pub(crate) fn a_window_lends_what_it_was_bound_for<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let loan = Loan::<P>::new(&pair.active, 4096);
    loan.memory.write(0, &pattern(3, 4096));
    loan.lend(&mut pair.active, 64, 128, BOTH);
    let rkey = loan.window.rkey();
    let near = pair.passive.memory(128, Access::LOCAL);
    let sges = [near.sge(0, 128)];
    pair.passive.post_send(&[read(1, &sges, loan.memory.addr() + 64, rkey)]).unwrap();
    assert_eq!(outcomes(&pair.passive.completions(1)), [(1, WcStatus::Success)]);
    assert_eq!(near.read(0, 128), pattern(3, 4096)[64..192]);
    may_write(&mut pair, loan.memory.addr() + 128, rkey);
    assert_eq!(loan.memory.read(128, 64), [0; 64]);
    loan.invalidate(&mut pair.active);

    loan.lend(&mut pair.active, 0, 4096, WindowAccess::WRITE);
    let (addr, rkey) = (loan.memory.addr(), loan.window.rkey());
    may_write(&mut pair, addr, rkey);
    pair.passive.post_send(&[read(2, &sges, addr, rkey)]).unwrap();
    assert_eq!(outcomes(&pair.passive.completions(1)), [(2, WcStatus::RemoteAccess)]);

    let mut pair = Pair::new(provider, ip);
    let loan = Loan::<P>::new(&pair.active, 4096);
    loan.lend(&mut pair.active, 0, 4096, WindowAccess::READ);
    may_not_write(&mut pair, &loan.memory, loan.memory.addr(), loan.window.rkey());
}

/// rxe holds an access through a window against the region's bounds, not the window's: there a
/// window opens its whole region.
pub(crate) fn a_write_outside_a_window_is_refused<P: Provider>(provider: &P, ip: IpAddr) {
    for place in [1000 - 1, 1000 + 64 + 1] {
        let mut pair = Pair::new(provider, ip);
        let loan = Loan::<P>::new(&pair.active, 4096);
        loan.lend(&mut pair.active, 1000, 128, WindowAccess::WRITE);
        let (addr, rkey) = (loan.memory.addr() + place, loan.window.rkey());
        if on_rxe(&pair) {
            println!("NOT ENFORCED by rxe: the bounds of a window");
            may_write(&mut pair, addr, rkey);
        } else {
            may_not_write(&mut pair, &loan.memory, addr, rkey);
        }
    }
}

pub(crate) fn a_write_outside_the_windows_region_is_refused<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let loan = Loan::<P>::new(&pair.active, 4096);
    loan.lend(&mut pair.active, 0, 4096, WindowAccess::WRITE);
    let beyond = loan.memory.addr() + 4096 - 63;
    may_not_write(&mut pair, &loan.memory, beyond, loan.window.rkey());
}

pub(crate) fn a_key_is_dead_after_local_invalidation<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let loan = Loan::<P>::new(&pair.active, 4096);
    loan.lend(&mut pair.active, 0, 4096, WindowAccess::WRITE);
    let (addr, rkey) = (loan.memory.addr(), loan.window.rkey());
    may_write(&mut pair, addr, rkey);
    loan.invalidate(&mut pair.active);
    may_not_write(&mut pair, &loan.memory, addr, rkey);
}

pub(crate) fn a_key_is_dead_after_remote_invalidation<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let loan = Loan::<P>::new(&pair.active, 4096);
    let inbox = pair.active.memory(2 * 64, Access::LOCAL);
    let reply = pair.passive.memory(64, Access::SEND_ONLY);
    pair.active.post_recvs(&inbox, 2, 64);
    loan.lend(&mut pair.active, 0, 4096, WindowAccess::WRITE);
    let (addr, rkey) = (loan.memory.addr(), loan.window.rkey());
    let sges = [reply.sge(0, 40)];
    let op = Op::SendWithInvalidate { rkey };
    let place = write(1, &sges, addr, rkey);
    let replies = [place, SendWr { op, ..send(2, &sges) }, send(3, &sges)];
    assert_eq!(pair.passive.post_send(&replies), Ok(3));
    let seen = pair.active.completions(2);
    assert_eq!(outcomes(&seen), [(0, WcStatus::Success), (1, WcStatus::Success)]);
    assert_eq!((seen[0].invalidated_rkey, seen[0].byte_len), (Some(rkey), 40));
    assert_eq!(seen[1].invalidated_rkey, None);
    pair.passive.completions(3);
    may_not_write(&mut pair, &loan.memory, addr, rkey);
}

pub(crate) fn a_window_bound_again_has_a_new_key<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let loan = Loan::<P>::new(&pair.active, 4096);
    let addr = loan.memory.addr();
    loan.lend(&mut pair.active, 0, 64, WindowAccess::WRITE);
    let stale = loan.window.rkey();
    loan.invalidate(&mut pair.active);
    loan.lend(&mut pair.active, 0, 64, WindowAccess::WRITE);
    assert_eq!(loan.window.rkey(), next_rkey(stale));
    may_write(&mut pair, addr, loan.window.rkey());
    may_not_write(&mut pair, &loan.memory, addr, stale);
}

/// The key's low byte goes round, whatever it starts with.
pub(crate) fn a_key_serves_for_256_binds_before_it_comes_again<P: Provider>(
    provider: &P,
    ip: IpAddr,
) {
    let mut pair = Pair::new(provider, ip);
    let loan = Loan::<P>::new(&pair.active, 4096);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..256 {
        loan.lend(&mut pair.active, 0, 64, WindowAccess::WRITE);
        assert!(seen.insert(loan.window.rkey()));
        loan.invalidate(&mut pair.active);
    }
    loan.lend(&mut pair.active, 0, 64, WindowAccess::WRITE);
    may_write(&mut pair, loan.memory.addr(), loan.window.rkey());
}

/// `thief`'s peer has learned a key that `pair` lends under: refused, and only `thief` ends.
fn is_refused_to<P: Provider>(mut pair: Pair<P>, mut thief: Pair<P>) {
    let loan = Loan::<P>::new(&pair.active, 4096);
    loan.lend(&mut pair.active, 0, 4096, WindowAccess::WRITE);
    let (addr, rkey) = (loan.memory.addr(), loan.window.rkey());
    may_not_write(&mut thief, &loan.memory, addr, rkey);
    may_write(&mut pair, addr, rkey);
}

pub(crate) fn another_connections_window_is_refused<P: Provider>(provider: &P, ip: IpAddr) {
    let pair = Pair::new(provider, ip);
    let thief = Pair::in_domain(provider, ip, &pair.active.domain);
    is_refused_to(pair, thief);
}

pub(crate) fn another_domains_window_is_refused<P: Provider>(provider: &P, ip: IpAddr) {
    is_refused_to(Pair::new(provider, ip), Pair::new(provider, ip));
}

/// rxe lets any peer on the device invalidate any window whose key it guesses.
pub(crate) fn another_connections_window_cannot_be_invalidated<P: Provider>(
    provider: &P,
    ip: IpAddr,
) {
    let mut pair = Pair::new(provider, ip);
    let mut thief = Pair::in_domain(provider, ip, &pair.active.domain);
    let loan = Loan::<P>::new(&pair.active, 4096);
    let inbox = thief.active.memory(64, Access::LOCAL);
    let bytes = thief.passive.memory(64, Access::SEND_ONLY);
    loan.lend(&mut pair.active, 0, 4096, WindowAccess::WRITE);
    let (addr, rkey) = (loan.memory.addr(), loan.window.rkey());
    thief.active.post_recvs(&inbox, 1, 64);
    let op = Op::SendWithInvalidate { rkey };
    let sges = [bytes.sge(0, 8)];
    thief.passive.post_send(&[SendWr { op, ..send(1, &sges) }]).unwrap();
    let status = thief.passive.completions(1)[0].status;
    if on_rxe(&pair) {
        println!("NOT ENFORCED by rxe: who may invalidate a window ({status:?})");
        return;
    }
    assert_eq!(status, WcStatus::RemoteInvalidRequest);
    may_write(&mut pair, addr, rkey);
}

pub(crate) fn a_dropped_window_ends_its_key<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let loan = Loan::<P>::new(&pair.active, 4096);
    loan.lend(&mut pair.active, 0, 4096, WindowAccess::WRITE);
    let rkey = loan.window.rkey();
    let Loan { window, memory } = loan;
    drop(window);
    may_not_write(&mut pair, &memory, memory.addr(), rkey);
}

pub(crate) fn a_queue_pair_takes_its_windows_along<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let mut next = Pair::in_domain(provider, ip, &pair.active.domain);
    let loan = Loan::<P>::new(&pair.active, 4096);
    let unbound = Loan::<P>::new(&pair.active, 64);
    loan.lend(&mut pair.active, 0, 4096, WindowAccess::WRITE);
    let (addr, rkey) = (loan.memory.addr(), loan.window.rkey());
    let started = std::time::Instant::now();
    drop(pair);
    assert!(started.elapsed().as_secs() < 5, "waited for windows: {:?}", started.elapsed());
    unbound.lend(&mut next.active, 0, 64, WindowAccess::WRITE);
    may_write(&mut next, unbound.memory.addr(), unbound.window.rkey());
    let again = SendWr { signaled: false, ..loan.bind(1, 0, 64, WindowAccess::WRITE) };
    match next.active.post_send(&[again]) {
        Ok(_) => assert_eq!(outcomes(&next.active.completions(1)), [(1, WcStatus::MwBind)]),
        Err(refused) => {
            assert_eq!((refused.posted, refused.errno), (0, libc::EINVAL));
            may_not_write(&mut next, &loan.memory, addr, rkey);
        }
    }
}

/// A chain of `first` and three more; rxe of Linux 6.12 forgets the status when it flushes.
fn fails_locally<P: Provider>(pair: &mut Pair<P>, first: SendWr<'_>, status: WcStatus) {
    let sges: [verbs::Sge; 0] = [];
    let chain = [first, unsignaled(2, &sges), invalidate(3, 0x55), send(4, &sges)];
    assert_eq!(pair.active.post_send(&chain), Ok(4));
    fails_and_flushes(&pair.active, &[status, WcStatus::Flushed]);
    pair.active.connection.disconnect();
}

pub(crate) fn a_bound_window_cannot_be_bound<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let loan = Loan::<P>::new(&pair.active, 4096);
    loan.lend(&mut pair.active, 0, 64, WindowAccess::WRITE);
    let again = SendWr { signaled: false, ..loan.bind(1, 64, 64, WindowAccess::WRITE) };
    fails_locally(&mut pair, again, WcStatus::MwBind);
}

pub(crate) fn a_bind_that_makes_no_sense_fails_and_flushes_the_rest<P: Provider>(
    provider: &P,
    ip: IpAddr,
) {
    type Spoil = fn(&mut u64, &mut u32);
    let spoils: [(&str, Spoil); 3] = [
        ("nothing", |_, length| *length = 0),
        ("before its region", |addr, _| *addr -= 1),
        ("beyond its region", |addr, _| *addr += 4096 - 63),
    ];
    for (what, spoil) in spoils {
        println!("a window for {what}");
        let mut pair = Pair::new(provider, ip);
        let loan = Loan::<P>::new(&pair.active, 4096);
        let mut bind = loan.opens(0, 64, WindowAccess::WRITE);
        spoil(&mut bind.addr, &mut bind.length);
        fails_locally(&mut pair, binds(1, bind), WcStatus::MwBind);
    }
    type Choose<P> = fn(&End<P>) -> Memory<P>;
    let regions: [(&str, Choose<P>); 2] = [
        ("not for windows", |end| end.memory(4096, Access::REMOTE)),
        ("not for writes", |end| {
            end.memory(4096, Access { local_write: false, ..Access::BINDABLE })
        }),
    ];
    for (what, choose) in regions {
        println!("a region {what}");
        let mut pair = Pair::new(provider, ip);
        let loan = Loan::<P>::new(&pair.active, 4096);
        let memory = choose(&pair.active);
        let bind = loan.bind_to(&memory, 1);
        fails_locally(&mut pair, bind, WcStatus::MwBind);
    }
}

/// rxe of Linux 6.1 does not look at the region's domain; that of 6.12 refuses.
pub(crate) fn a_window_does_not_open_another_domains_region<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let memory = pair.passive.memory(4096, Access::BINDABLE);
    let loan = Loan::<P>::new(&pair.active, 64);
    let bind = loan.bind_to(&memory, 1);
    assert_eq!(pair.active.post_send(&[bind]), Ok(1));
    match pair.active.completions(1)[0].status {
        WcStatus::Success if on_rxe(&pair) => {
            println!("NOT ENFORCED by this rxe: the domain of a window's region");
        }
        refused => assert!([WcStatus::MwBind, WcStatus::Flushed].contains(&refused), "{refused:?}"),
    }
}

pub(crate) fn a_wrong_key_cannot_be_invalidated<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let loan = Loan::<P>::new(&pair.active, 4096);
    loan.lend(&mut pair.active, 0, 64, WindowAccess::WRITE);
    let stale = invalidate(1, next_rkey(loan.window.rkey()));
    fails_locally(&mut pair, stale, WcStatus::Other(2));
}

pub(crate) fn operations_on_windows_are_flushed_in_order<P: Provider>(provider: &P, ip: IpAddr) {
    let mut pair = Pair::new(provider, ip);
    let (one, two) = (Loan::<P>::new(&pair.active, 64), Loan::<P>::new(&pair.active, 64));
    pair.active.connection.disconnect();
    let quiet = |wr: SendWr<'static>| SendWr { signaled: false, ..wr };
    let chain = [
        quiet(one.bind(1, 0, 64, BOTH)),
        quiet(invalidate(2, 0x55)),
        unsignaled(3, &[]),
        two.bind(4, 0, 64, BOTH),
        quiet(invalidate(5, 0x55)),
    ];
    assert_eq!(pair.active.post_send(&chain), Ok(5));
    let flushed: Vec<_> = (1..=5).map(|wr_id| (wr_id, WcStatus::Flushed)).collect();
    assert_eq!(outcomes(&pair.active.completions(5)), flushed);
    pair.active.stays_quiet();
}
