//! From a URL to a mounted directory.

use client::{Op, Output, locate};

use crate::kernel::assert_no_rdma_left;
use crate::server::{MOUNT_PORT, Server, options, variable};
use crate::session::Session;

#[test]
fn knfsd_is_found_by_rpcbind_and_by_a_given_port() {
    let Some(server) = Server::find() else { return };
    let url = server.url(&server.export).parse().unwrap();
    let asked = locate(&url, &options(None)).unwrap();
    let told = locate(&url, &options(Some(MOUNT_PORT))).unwrap();
    assert_eq!(asked, told);
    assert_eq!((asked.export.as_str(), asked.rest.as_str()), (&*server.export, ""));
    assert_eq!((asked.server.ip(), asked.server.port()), (server.addr, 20049));
    let mut session = Session::mount(&told);
    session.op(Op::Null, None).result.unwrap();
    session.assert_balanced();
    let why = session.unmount().to_string();
    assert!(why.contains("closed"), "{why}");
    assert_no_rdma_left();
}

#[test]
fn knfsd_longest_export_is_mounted_and_the_rest_looked_up() {
    let Some(server) = Server::find() else { return };
    let Some(read_only) = variable("INITIATOR_EXPORT_RO") else { return };
    let (dir, path) = server.fresh_dir("longest");
    std::fs::create_dir_all(dir.join("a/b")).unwrap();
    std::fs::write(dir.join("a/b/file"), "deep").unwrap();
    let located = server.locate(&format!("{path}/a")).unwrap();
    assert_eq!((located.export.as_str(), located.rest.as_str()), (&*server.export, "longest/a"));
    let mut session = Session::mount(&located);
    let file = session.open("b/file", None).unwrap();
    assert_eq!(session.read(file, 0, 100), (b"deep".to_vec(), true));
    session.unmount();
    // `/export-ro` begins with `/export`, but is not below it.
    let located = server.locate(&format!("{read_only}/hello")).unwrap();
    assert_eq!((located.export.as_str(), located.rest.as_str()), (&*read_only, "hello"));
}

#[test]
fn knfsd_tells_its_limits() {
    let Some(server) = Server::find() else { return };
    let mut session = Session::mount(&server.locate(&server.export).unwrap());
    let limits = session.client.limits(session.mount).unwrap();
    assert_eq!((limits.read_max, limits.write_max), (1 << 20, 1 << 20));
    assert_eq!(session.client.credits_granted(session.mount), Some(16), "not more than asked");
    let file = session.root();
    let Ok(Output::Fsinfo(info)) = session.op(Op::Fsinfo { file }, None).result else {
        panic!("FSINFO")
    };
    assert!(info.maxfilesize >= 1 << 40 && info.rtmax >= limits.read_max, "{info:?}");
    let Ok(Output::Fsstat(space)) = session.op(Op::Fsstat { file }, None).result else {
        panic!("FSSTAT")
    };
    let seen = run_statfs(&server);
    assert_eq!((space.total_bytes, space.total_files), seen, "as the server's kernel says");
    session.assert_balanced();
    session.unmount();
}

/// Bytes and files of the export's file system.
fn run_statfs(server: &Server) -> (u64, u64) {
    let stat = crate::kernel::run("stat", &["-f", "-c", "%S %b %c", server.dir.to_str().unwrap()]);
    let numbers: Vec<u64> = stat.split_whitespace().map(|n| n.parse().unwrap()).collect();
    (numbers[0] * numbers[1], numbers[2])
}

#[test]
fn knfsd_mount_stands_on_huge_pages() {
    let Some(server) = Server::find() else { return };
    let session = Session::mount(&server.locate(&server.export).unwrap());
    let report = session.client.memory_report(session.mount).unwrap();
    assert!(report.contains("2 MiB huge pages required"), "{report}");
    assert!(report.contains("got 16 MiB on 2 MiB huge pages"), "{report}");
    session.unmount();
}
