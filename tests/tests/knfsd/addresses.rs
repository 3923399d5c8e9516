//! Where connections lead to and come from: IPv6, and reserved ports.

use std::process::Command;

use client::{Error, MountOptions, locate};
use rpcrdma::Registration;
use system_tests::pattern;

use crate::kernel::{assert_no_rdma_left, rdma_objects, run};
use crate::server::{Server, initiator, options};
use crate::session::{Session, transport};

/// Set for a run of this program that may not bind to ports below 1024.
const UNPRIVILEGED: &str = "INITIATOR_TEST_UNPRIVILEGED";

/// One end of each connection of this process, as the kernel's connection manager has it.
fn ends(which: &str) -> Vec<(String, u16)> {
    let ids = rdma_objects("cm_id");
    let addresses = ids.iter().filter_map(|id| id[which].as_str()?.rsplit_once(':'));
    addresses.map(|(address, port)| (address.to_owned(), port.parse().expect("a port"))).collect()
}

#[test]
fn knfsd_is_found_mounted_and_used_by_its_ipv6_address() {
    let Some(server) = Server::find_ipv6() else { return };
    let (dir, path) = server.fresh_dir("ipv6");
    // By rpcbind's version 4, then MOUNT over TCP, then RDMA: all over IPv6.
    let located = server.locate(&path).unwrap();
    assert!(located.server.is_ipv6(), "{}", located.server);
    for registration in [Registration::Window, Registration::Static] {
        let mut config = transport(&located);
        config.registration = Some(registration);
        config.nconnect = 2;
        let mut session = Session::mount_with(&located, config).unwrap();
        let peers: Vec<_> = ends("dst-addr");
        let expected = (server.addr.to_string(), located.server.port());
        assert_eq!(peers, [expected.clone(), expected]);
        let file = session.create("f");
        for (len, seed) in [(300, 1), (3000, 2), (200_000, 3)] {
            let data = pattern(len, seed);
            session.write(file, 0, &data).unwrap();
            assert!(session.read(file, 0, len as u32).0 == data, "{len} bytes");
            assert!(std::fs::read(dir.join("f")).unwrap()[..len] == data, "by the server's kernel");
        }
        session.unmount();
        std::fs::remove_file(dir.join("f")).unwrap();
    }
    assert_no_rdma_left();
}

#[test]
fn knfsd_job_runs_over_ipv6() {
    let Some(server) = Server::find_ipv6() else { return };
    let (_, path) = server.fresh_dir("ipv6-job");
    let url = server.url(&path);
    let args = ["perf", &url, "--idle", "nice:19", "-w", "randwrite", "--verify", "crc32c"];
    let mut command = Command::new(initiator());
    let ran = command.args(args).args(["-t", "0", "--size", "1m"]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn knfsd_sees_calls_from_reserved_ports_when_asked_to() {
    for server in [Server::find(), Server::find_ipv6()] {
        let Some(server) = server else { return };
        let located = server.locate(&server.export).unwrap();
        for resvport in [true, false] {
            let mut config = transport(&located);
            (config.resvport, config.nconnect) = (resvport, 3);
            let session = Session::mount_with(&located, config).unwrap();
            let sources = ends("src-addr");
            assert_eq!(sources.len(), 3, "{sources:?}");
            let is_as_asked = |&(_, port): &(String, u16)| (512..1024).contains(&port) == resvport;
            assert!(sources.iter().all(is_as_asked), "{sources:?}");
            session.unmount();
        }
    }
    assert_no_rdma_left();
}

/// An export that takes calls from reserved ports only, until it is dropped.
struct SecureExport(String);

impl SecureExport {
    fn new(path: &str) -> Self {
        let export = format!("*:{path}");
        let options = "rw,secure,fsid=77,async,no_root_squash,no_subtree_check";
        run("exportfs", &["-i", "-o", options, &export]);
        Self(export)
    }
}

impl Drop for SecureExport {
    fn drop(&mut self) {
        let _ = Command::new("exportfs").args(["-u", &self.0]).status();
    }
}

#[test]
fn knfsd_secure_export_is_mounted_from_a_reserved_port_and_from_no_other() {
    let Some(server) = Server::find().filter(crate::stopping::is_here) else { return };
    let (dir, path) = server.fresh_dir("secure");
    std::fs::write(dir.join("hello"), "from below 1024").unwrap();
    let _export = SecureExport::new(&path);
    let url = server.url(&path).parse().unwrap();
    let located = |resvport| locate(&url, &MountOptions { resvport, ..options(None) });
    let refused = located(false).expect_err("the port is not reserved");
    assert!(matches!(refused, Error::MountRefused { .. }), "{refused}");
    let located = located(true).unwrap();
    assert_eq!(located.export, path);
    let mut config = transport(&located);
    config.resvport = true;
    let mut session = Session::mount_with(&located, config).unwrap();
    let file = session.open("hello", None).unwrap();
    assert_eq!(session.read(file, 0, 100).0, b"from below 1024");
    session.unmount();
}

/// It runs itself once more without CAP_NET_BIND_SERVICE.
#[test]
fn knfsd_from_a_reserved_port_without_the_right_to_one_is_a_clear_error() {
    let Some(server) = Server::find() else { return };
    let name = "addresses::knfsd_from_a_reserved_port_without_the_right_to_one_is_a_clear_error";
    if std::env::var_os(UNPRIVILEGED).is_none() {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-net_bind_service"]).arg(program);
        let ran = command.args(["--exact", name]).env(UNPRIVILEGED, "1").output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let located = server.locate(&server.export).unwrap();
    let mut config = transport(&located);
    config.resvport = true;
    let error = Session::mount_with(&located, config).err().expect("it may not");
    assert_eq!(error.errno(), libc::EACCES, "{error}");
    for part in ["resvport", "root or CAP_NET_BIND_SERVICE", "noresvport"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let asked = MountOptions { resvport: true, ..options(None) };
    let url = server.url(&server.export).parse().unwrap();
    let error = locate(&url, &asked).expect_err("nor over TCP").to_string();
    assert!(error.contains("CAP_NET_BIND_SERVICE"), "{error}");
    assert_no_rdma_left();
}
