//! What only a real device can show of the `ibv` provider: huge pages, an overflowing completion
//! queue, limits, IPv6, and that thousands of objects leave nothing behind.
//!
//! Runs where `INITIATOR_RDMA_ADDR` names a local address with an RDMA device (`tools/rxe-vm run`
//! sets it); elsewhere each test says that it was skipped.
#![cfg(feature = "rdma")]

#[allow(dead_code, reason = "shared with the contract suite, which uses all of it")]
#[path = "contract/ends.rs"]
mod ends;

use std::net::{IpAddr, SocketAddr};

use ends::{End, Options, Pair, outcomes, pattern, recv, resolved, send, wait_for, write};
use hugepages::{Backing, PageSize, Policy, Region, RegionSpec};
use verbs::ibv::Ibv;
use verbs::{
    Access, CmEvent, Completion, CompletionQueue, ConnectParams, Connection, Error, Listener,
    MemoryRegion, ProtectionDomain, Provider, QueuePairCaps, Sge, WcStatus,
};

fn device_address() -> Option<IpAddr> {
    const NAME: &str = "INITIATOR_RDMA_ADDR";
    let Some(ip) = std::env::var_os(NAME) else {
        println!("SKIPPED: no RDMA device: set {NAME} (tools/rxe-vm run does)");
        return None;
    };
    let ip = ip.to_str().and_then(|ip| ip.parse().ok());
    Some(ip.unwrap_or_else(|| panic!("{NAME} must be the IP address of an RDMA device")))
}

#[test]
fn the_device_is_listed_with_its_limits_and_ports() {
    let Some(ip) = device_address() else { return };
    let mut listener = Ibv.listen(SocketAddr::new(ip, 0), 1).unwrap();
    let connection = resolved(&Ibv, listener.local_addr());
    let info = connection.device().unwrap();
    let list = verbs::ibv::devices().unwrap();
    let listed = list.iter().find(|device| device.name == info.name).expect("listed");
    println!("{listed:?}");
    let same = listed.info.as_ref().unwrap();
    assert_eq!((same.max_qp_wr, same.max_sge), (info.max_qp_wr, info.max_sge));
    assert!(listed.node_guid != 0 && info.max_rd_atom > 0);
    let port = &listed.ports[0];
    assert_eq!((port.number, port.state), (1, "active"));
    assert!(port.mtu_bytes >= 256 && port.gid.is_some() && port.netdev.is_some(), "{port:?}");
    assert!(listener.poll().unwrap().is_none());
}

#[test]
fn data_moves_between_huge_pages() {
    const LEN: usize = 2 << 20;
    let Some(ip) = device_address() else { return };
    let map = || {
        let region = Region::map(&RegionSpec {
            len: LEN,
            policy: Policy::Preferred,
            page_size: PageSize::Huge2M,
            numa_node: None,
            lock: false,
        });
        let region = region.expect("memory");
        println!("{}", region.report());
        if std::env::var_os("INITIATOR_VM").is_some_and(|vm| vm != "here") {
            assert!(matches!(region.backing(), Backing::Huge(_)), "the machine has huge pages");
        }
        region
    };
    let (from, to) = (map(), map());
    let mut pair = Pair::<Ibv>::new(&Ibv, ip);
    // SAFETY: both regions outlive their registrations, and no reference into them is made.
    let (from_mr, to_mr) = unsafe {
        (
            pair.active.domain.register(from.addr(), LEN, Access::SEND_ONLY).unwrap(),
            pair.passive.domain.register(to.addr(), LEN, Access::REMOTE).unwrap(),
        )
    };
    let data = pattern(3, LEN);
    // SAFETY: nothing is posted yet.
    unsafe { from.addr().copy_from_nonoverlapping(data.as_ptr(), LEN) };
    let sge = [Sge { addr: from.addr() as u64, length: LEN as u32, lkey: from_mr.lkey() }];
    let wr = write(1, &sge, to.addr() as u64, to_mr.rkey());
    assert_eq!(pair.active.post_send(&[wr]), Ok(1));
    assert_eq!(outcomes(&pair.active.completions(1)), [(1, WcStatus::Success)]);
    let mut seen = vec![0; LEN];
    // SAFETY: the write has completed and the peer posts no other.
    unsafe { to.addr().copy_to_nonoverlapping(seen.as_mut_ptr(), LEN) };
    assert!(seen == data, "what arrived is what was sent");
}

/// The queue is too short for what is on it: its owner must learn that entries were lost.
#[test]
fn a_completion_queue_that_overflows_is_dead() {
    let Some(ip) = device_address() else { return };
    let caps = QueuePairCaps { send_wr_max: 64, recv_wr_max: 1024, send_sge_max: 1 };
    let options = Options { caps, cq_depth: 1, ..Options::default() };
    let mut pair = Pair::<Ibv>::with(&Ibv, ip, &options);
    let depth = pair.active.cq.depth();
    let memory = pair.active.memory(64, Access::LOCAL);
    let chain: Vec<_> = (0..1024).map(|i| recv(i, memory.sge(0, 64))).collect();
    assert!((depth as usize) < chain.len(), "or nothing overflows");
    assert_eq!(pair.active.post_recv(&chain), Ok(chain.len()));
    pair.active.connection.disconnect();
    let error = wait_for("the overflow", || {
        pair.active.connection.poll_event();
        // Nothing is taken, so the queue fills up.
        pair.active.cq.poll(&mut []).err()
    });
    assert_eq!(*error, Error::CqOverflow { depth });
    let mut one = [Completion::default()];
    assert_eq!(pair.active.cq.poll(&mut one), Err(error), "and it stays dead");
    assert_eq!(pair.passive.cq.poll(&mut one), Ok(0), "its peer's lives");
}

#[test]
fn sizes_beyond_the_device_are_refused_with_the_limit() {
    let Some(ip) = device_address() else { return };
    let listener = Ibv.listen(SocketAddr::new(ip, 0), 1).unwrap();
    let mut connection = resolved(&Ibv, listener.local_addr());
    let info = connection.device().unwrap().clone();
    let beyond = connection.new_completion_queue(info.max_cqe + 1);
    assert!(matches!(beyond, Err(Error::Limit { .. })), "{beyond:?}");
    let cq = connection.new_completion_queue(16).unwrap();
    let domain = connection.new_domain().unwrap();
    let good = QueuePairCaps { send_wr_max: 4, recv_wr_max: 4, send_sge_max: 2 };
    for caps in [
        QueuePairCaps { send_wr_max: info.max_qp_wr + 1, ..good },
        QueuePairCaps { recv_wr_max: info.max_qp_wr + 1, ..good },
        QueuePairCaps { send_sge_max: info.max_sge + 1, ..good },
    ] {
        let refused = connection.create_queue_pair(&domain, &cq, &caps);
        assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
    }
    connection.create_queue_pair(&domain, &cq, &good).unwrap();
    let again = connection.create_queue_pair(&domain, &cq, &good);
    assert!(matches!(again, Err(Error::WrongState { .. })), "{again:?}");
    let params = ConnectParams { private_data: &[0; 57], ..Default::default() };
    assert!(matches!(connection.connect(&params), Err(Error::Limit { limit: 56, .. })));
}

#[test]
fn calls_out_of_order_are_refused_by_name() {
    let Some(ip) = device_address() else { return };
    let listener = Ibv.listen(SocketAddr::new(ip, 0), 1).unwrap();
    let mut connection = Ibv.resolve(listener.local_addr(), None).unwrap();
    assert!(connection.device().is_none());
    assert!(matches!(connection.new_domain(), Err(Error::WrongState { state: "resolving", .. })));
    let event = wait_for("a route", || connection.poll_event());
    assert_eq!(event, CmEvent::RouteResolved);
    let early = connection.connect(&ConnectParams::default());
    assert!(matches!(early, Err(Error::WrongState { call: "connect", .. })), "{early:?}");
    let passive = connection.accept(&ConnectParams::default());
    assert!(matches!(passive, Err(Error::WrongState { call: "accept", .. })), "{passive:?}");
    let mut end = End::<Ibv>::prepare(connection, &Options::default());
    let memory = end.memory(64, Access::LOCAL);
    let refused = end.post_send(&[send(1, &[memory.sge(0, 64)])]).unwrap_err();
    assert_eq!((refused.posted, refused.errno), (0, libc::ENOTCONN));
    assert_eq!(end.post_recv(&[recv(2, memory.sge(0, 64))]), Ok(1));
    // Never connected, and still everything posted comes back.
    end.connection.disconnect();
    assert_eq!(outcomes(&end.completions(1)), [(2, WcStatus::Flushed)]);
}

#[test]
fn an_address_that_is_taken_or_not_ours_is_an_error() {
    let Some(ip) = device_address() else { return };
    let first = Ibv.listen(SocketAddr::new(ip, 0), 1).unwrap();
    let taken = Ibv.listen(first.local_addr(), 1).err();
    assert!(matches!(taken, Some(Error::Os { errno: libc::EADDRINUSE, .. })), "{taken:?}");
    let foreign = Ibv.listen("203.0.113.7:1".parse().unwrap(), 1).err();
    assert!(matches!(foreign, Some(Error::Os { errno: libc::EADDRNOTAVAIL, .. })), "{foreign:?}");
    // 203.0.113.0/24 is documentation space, and the machine has no default route.
    let mut lost = Ibv.resolve("203.0.113.7:20049".parse().unwrap(), None).unwrap();
    let event = wait_for("the failure", || lost.poll_event());
    assert!(matches!(event, CmEvent::ResolveFailed(errno) if errno > 0), "{event:?}");
}

/// Connections come and go for as long as a mount lives.
#[test]
fn a_hundred_connections_leave_no_descriptor_behind() {
    let Some(ip) = device_address() else { return };
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    drop(Pair::<Ibv>::new(&Ibv, ip));
    let before = descriptors();
    for round in 0..100 {
        let mut pair = Pair::<Ibv>::new(&Ibv, ip);
        let memory = pair.active.memory(4 * 64, Access::LOCAL);
        pair.active.post_recvs(&memory, 4, 64);
        // Every second one is dropped without a word, Receives and all.
        if round % 2 == 0 {
            pair.active.connection.disconnect();
            assert_eq!(pair.active.completions(4).len(), 4);
        }
        drop(pair);
        drop(memory);
    }
    // Other tests of this process may be running beside this one.
    assert!(descriptors() <= before + 32, "{} then {}", before, descriptors());
}

/// Reactors share the process's one device context and nothing else.
#[test]
fn threads_use_the_device_side_by_side() {
    let Some(ip) = device_address() else { return };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for round in 0..10 {
                    let mut pair = Pair::<Ibv>::new(&Ibv, ip);
                    let from = pair.active.memory(4096, Access::SEND_ONLY);
                    let to = pair.passive.memory(4096, Access::REMOTE);
                    let data = pattern(thread * 100 + round, 4096);
                    from.write(0, &data);
                    let sges = [from.sge(0, 4096)];
                    let wr = write(1, &sges, to.addr(), to.rkey());
                    assert_eq!(pair.active.post_send(&[wr]), Ok(1));
                    assert_eq!(outcomes(&pair.active.completions(1)), [(1, WcStatus::Success)]);
                    assert_eq!(to.read(0, 4096), data);
                }
            });
        }
    });
}

/// The wrong order of dropping must not exist: links keep what is needed alive.
#[test]
fn parts_outlive_the_connection_they_came_from() {
    let Some(ip) = device_address() else { return };
    let pair = Pair::<Ibv>::new(&Ibv, ip);
    let memory = pair.active.memory(4096, Access::REMOTE);
    let Pair { active, passive, listener } = pair;
    let End { connection, cq, domain } = active;
    drop((connection, passive, listener));
    let second = ends::Memory::<Ibv>::new(&domain, 64, Access::LOCAL);
    assert_ne!(second.lkey(), memory.lkey());
    assert_eq!(cq.poll(&mut [Completion::default()]), Ok(0));
    drop(domain);
    drop(cq);
    drop(memory);
    drop(second);
}

#[test]
fn ipv6_addresses_connect() {
    let Some(_) = device_address() else { return };
    // The link-local address of the interface behind the first port, as the kernel lists it.
    let list = verbs::ibv::devices().unwrap();
    let netdev = list[0].ports[0].netdev.as_deref().expect("an interface behind the device");
    let table = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let Some(line) = table.lines().find(|l| l.starts_with("fe80") && l.ends_with(netdev)) else {
        println!("SKIPPED: {netdev} has no IPv6 address");
        return;
    };
    let mut fields = line.split_whitespace();
    let ip = u128::from_str_radix(fields.next().unwrap(), 16).unwrap();
    let scope = u32::from_str_radix(fields.next().unwrap(), 16).unwrap();
    let local = std::net::SocketAddrV6::new(ip.into(), 0, 0, scope);
    let listener = Ibv.listen(local.into(), 1).unwrap();
    let bound = listener.local_addr();
    assert!(bound.is_ipv6() && bound.port() != 0, "{bound}");
    let connection = resolved(&Ibv, bound);
    assert_eq!(connection.peer_addr().map(|addr| addr.port()), Some(bound.port()));
}
