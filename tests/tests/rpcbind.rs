//! MOUNT's port, asked of rpcbind by its version 4, as servers with an IPv6 address want it.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use client::{Located, MountOptions, locate};
use system_tests::{House, Plan, credential};
use wire::mount;
use wire::rpc::{CallHeader, Reply, record};
use wire::rpcbind::{self, Rpcb, Text};
use wire::xdr::{Decode, Reader, Writer};

/// Answers one GETADDR with this address.
fn answer_once(listener: &TcpListener, answer: &str) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut mark = [0; record::MARK_SIZE];
    stream.read_exact(&mut mark).unwrap();
    let mut call = vec![0; record::Mark::parse(mark).unwrap().len as usize];
    stream.read_exact(&mut call).unwrap();
    let mut r = Reader::new(&call);
    let header = CallHeader::decode(&mut r).unwrap();
    let asked = (header.prog, header.vers, header.procedure);
    assert_eq!(asked, (100_000, 4, rpcbind::procedure::GETADDR));
    let asked: Rpcb<'_> = r.value().unwrap();
    assert_eq!((asked.prog, asked.vers), (mount::PROGRAM, mount::VERSION));
    assert_eq!(asked.netid, Text(b"tcp6"));
    assert_eq!(asked.addr.port(), Some(listener.local_addr().unwrap().port()));
    let mut reply = [0; 256];
    let mut w = Writer::new(&mut reply);
    w.value(&Reply::success(header.xid)).unwrap();
    w.value(&Text(answer.as_bytes())).unwrap();
    let len = w.position();
    stream.write_all(&record::Mark { last: true, len: len as u32 }.encode()).unwrap();
    stream.write_all(&reply[..len]).unwrap();
}

/// Locates the root of a target, whose MOUNT port is asked of an rpcbind that answers so.
fn located(answer: impl FnOnce(u16) -> String) -> Result<Located, client::Error> {
    let mut plan = Plan::default();
    plan.target.listen = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    plan.target.mount = plan.target.listen;
    let mut house = House::build(plan);
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let options = MountOptions {
        portmap_port: listener.local_addr().unwrap().port(),
        port: Some(house.target.nfs_addr().port()),
        timeout: Duration::from_secs(10),
        auth: credential(),
        ..MountOptions::default()
    };
    let answer = answer(house.target.mount_addr().port());
    let rpcbind = std::thread::spawn(move || answer_once(&listener, &answer));
    let asking = std::thread::spawn(move || locate(&"nfs://[::1]/".parse().unwrap(), &options));
    while !asking.is_finished() {
        house.run_for(Duration::from_millis(1));
        std::thread::yield_now();
    }
    rpcbind.join().unwrap();
    let located = asking.join().unwrap();
    if let Ok(located) = &located {
        assert_eq!(located.server, house.target.nfs_addr(), "the port is the option's");
    }
    located
}

#[test]
fn a_server_with_an_ipv6_address_is_asked_for_mounts_port_by_rpcbind_4() {
    let found = located(|port| format!("::.{}.{}", port >> 8, port & 0xff));
    assert_eq!(found.unwrap().export, "/");
}

#[test]
fn an_rpcbind_without_mount_or_with_nonsense_is_told_in_one_line() {
    for (answer, why) in [("", "no MOUNT version 3"), ("::1", "names no port")] {
        let error = located(|_| answer.to_owned()).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("portmap at [::1]:"), "{error}");
    }
}
