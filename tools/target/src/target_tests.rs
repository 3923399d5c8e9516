use std::net::TcpListener;

use verbs::soft::{Clock, SoftFabric};

use super::*;
use crate::config::Storage;

fn start(fabric: &SoftFabric, config: Config) -> Result<Target<SoftFabric>, String> {
    Target::start(fabric, config).map_err(|error| error.to_string())
}

fn config() -> Config {
    let listen = "127.0.0.1:0".parse().unwrap();
    Config { listen, hugepages: hugepages::Policy::Off, ..Config::default() }
}

#[test]
fn both_addresses_are_told() {
    let fabric = SoftFabric::new(Clock::virtual_time());
    let target = start(&fabric, config()).unwrap();
    assert_ne!((target.nfs_addr().port(), target.mount_addr().port()), (0, 0));
    let second = start(&fabric, config()).unwrap();
    assert_ne!(target.nfs_addr(), second.nfs_addr());
}

#[test]
fn what_is_in_the_way_is_said_in_one_line() {
    let fabric = SoftFabric::new(Clock::virtual_time());
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::Directory(dir.path().to_owned());
    let exports = vec!["/absent".to_owned()];
    let error = start(&fabric, Config { storage: storage.clone(), exports, ..config() });
    assert_eq!(error.err().unwrap(), "target: cannot serve /absent: no such file or directory");

    let missing = dir.path().join("missing");
    let shown = missing.display().to_string();
    let error = start(&fabric, Config { storage: Storage::Directory(missing), ..config() });
    assert!(error.err().unwrap().starts_with(&format!("target: cannot serve {shown}: No such")));

    std::fs::write(dir.path().join("file"), b"").unwrap();
    let exports = vec!["/file".to_owned()];
    let error = start(&fabric, Config { storage: storage.clone(), exports, ..config() });
    assert_eq!(error.err().unwrap(), "target: cannot serve /file: not a directory");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mount = taken.local_addr().unwrap();
    let error = start(&fabric, Config { mount, ..config() }).err().unwrap();
    assert!(error.starts_with(&format!("target: MOUNT cannot listen on {mount}: ")), "{error}");

    let first = start(&fabric, Config { storage, ..config() }).unwrap();
    let error = start(&fabric, Config { listen: first.nfs_addr(), ..config() }).err().unwrap();
    assert!(error.contains("somebody listens there already"), "{error}");
}

#[test]
fn it_runs_on_a_reactor_and_stops_with_it() {
    let fabric = SoftFabric::new(Clock::virtual_time());
    let mut reactor = reactor::Reactor::new("target", reactor::ReactorConfig::default()).unwrap();
    reactor.add_poller(start(&fabric, config()).unwrap()).unwrap();
    let mut now = Timestamp(1);
    for _ in 0..10 {
        now = now.add_ns(1_000_000);
        reactor.turn(now);
    }
    reactor.request_stop();
    let stopped = (0..1000).any(|_| {
        now = now.add_ns(1_000_000);
        reactor.turn(now) == Progress::Done
    });
    assert!(stopped);
}
