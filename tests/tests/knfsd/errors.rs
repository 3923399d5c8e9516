//! What cannot work says so in one line, and leaves nothing behind.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use client::{Error, Located, MountOptions, Op, locate};
use system_tests::pattern;
use wire::nfs3::Status;

use crate::kernel::assert_no_rdma_left;
use crate::server::{Server, options, variable};
use crate::session::{Session, transport};

/// Checks that an error is one line with these words.
#[track_caller]
fn assert_line(error: &Error, words: &[&str]) {
    let line = error.to_string();
    println!("{line}");
    assert!(!line.contains('\n'), "{line:?}");
    for word in words {
        assert!(line.contains(word), "{word:?} is not in: {line}");
    }
}

#[track_caller]
fn status(error: &Error) -> Status {
    match error {
        Error::Nfs { status, .. } => *status,
        other => panic!("not the server's answer: {other}"),
    }
}

/// Waits for what the server does in its own time: it keeps a removed file open for a while.
fn within(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn knfsd_exports_that_are_missing_or_denied_are_named() {
    let Some(server) = Server::find() else { return };
    let Some(denied) = variable("INITIATOR_EXPORT_DENIED") else { return };
    let missing = server.locate("/nowhere/at/all").unwrap_err();
    assert_line(&missing, &["does not export", "/nowhere/at/all", &server.export]);
    assert_eq!(missing.errno(), libc::ENOENT);
    let refused = server.locate(&denied).unwrap_err();
    assert_line(&refused, &["refused to mount", &denied]);
    assert_eq!(refused.errno(), libc::EACCES);
}

#[test]
fn knfsd_paths_that_do_not_exist_are_named() {
    let Some(server) = Server::find() else { return };
    let (dir, path) = server.fresh_dir("missing");
    std::fs::write(dir.join("plain"), "").unwrap();
    let mut session = Session::mount(&server.locate(&path).unwrap());
    let missing = session.open("no/such/file", None).unwrap_err();
    assert_line(&missing, &["LOOKUP", "missing/no", "no such file"]);
    assert_eq!(status(&missing), Status::NoEnt);
    let beneath = session.open("plain/file", None).unwrap_err();
    assert_line(&beneath, &["LOOKUP", "not a directory"]);
    session.assert_balanced();
    session.unmount();
}

#[test]
fn knfsd_read_only_export_refuses_writes() {
    let Some(server) = Server::find() else { return };
    let Some(export) = variable("INITIATOR_EXPORT_RO") else { return };
    let mut session = Session::mount(&server.locate(&export).unwrap());
    let file = session.open("hello", None).unwrap();
    let (text, _) = session.read(file, 0, 100);
    assert_eq!(text, b"read only\n");
    for len in [100, 3000, 65_536] {
        let refused = session.write(file, 0, &pattern(len, 1)).unwrap_err();
        assert_eq!(status(&refused), Status::RoFs, "{len} bytes");
        assert_line(&refused, &["WRITE", "read-only"]);
    }
    assert_eq!(status(&session.open("new", Some(0o644)).unwrap_err()), Status::RoFs);
    session.assert_balanced();
    session.unmount();
}

#[test]
fn knfsd_out_of_space_is_told_and_the_mount_goes_on() {
    let Some(server) = Server::find() else { return };
    let Some(export) = variable("INITIATOR_EXPORT_SMALL") else { return };
    let mut session = Session::mount(&server.locate(&export).unwrap());
    let file = session.create("filler");
    let block = pattern(1 << 20, 1);
    let full = (0..64).find_map(|n| session.write(file, n << 20, &block).err());
    let full = full.expect("64 MiB do not fit into 16");
    assert_eq!(status(&full), Status::NoSpace);
    assert_line(&full, &["WRITE", "no space"]);
    let dir = session.root();
    session.op(Op::Remove { dir, name: "filler".into() }, None).result.unwrap();
    let file = session.create("filler");
    within("there is room again", || match session.write(file, 0, &block) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(status(&error), Status::NoSpace);
            false
        }
    });
    session.op(Op::Remove { dir, name: "filler".into() }, None).result.unwrap();
    session.assert_balanced();
    session.unmount();
}

#[test]
fn knfsd_files_removed_behind_our_back_are_stale() {
    let Some(server) = Server::find() else { return };
    let (dir, path) = server.fresh_dir("stale");
    let mut session = Session::mount(&server.locate(&path).unwrap());
    let file = session.create("f");
    session.write(file, 0, &pattern(10_000, 1)).unwrap();
    std::fs::remove_file(dir.join("f")).unwrap();
    within("the handle is stale", || session.op(Op::Getattr { file }, None).result.is_err());
    for len in [100, 3000, 8192] {
        let stale = session.write(file, 0, &pattern(len, 2)).unwrap_err();
        assert_eq!(status(&stale), Status::Stale, "{len} bytes");
        assert_line(&stale, &["WRITE", "stale"]);
        let buffer = session.buffer();
        let read = session.op(Op::Read { file, offset: 0, len: len as u32 }, Some(buffer));
        assert_eq!(status(&read.result.unwrap_err()), Status::Stale, "{len} bytes");
    }
    assert_eq!(status(&session.op(Op::Getattr { file }, None).result.unwrap_err()), Status::Stale);
    session.assert_balanced();
    session.unmount();
}

/// Mounts at another address than where the server is, and tells how long the refusal took.
fn refused_at(located: &Located, server: SocketAddr, limit: Duration) -> (Error, Duration) {
    let located = Located { server, ..located.clone() };
    let mut config = transport(&located);
    config.connect_timeout_ns = limit.as_nanos() as u64;
    let start = Instant::now();
    let error = match Session::mount_with(&located, config) {
        Ok(_) => panic!("nothing can answer at {server}"),
        Err(error) => error,
    };
    (error, start.elapsed())
}

#[test]
fn knfsd_port_without_a_listener_refuses_at_once() {
    let Some(server) = Server::find() else { return };
    let located = server.locate(&server.export).unwrap();
    let nobody = SocketAddr::new(server.addr, 20050);
    let (error, took) = refused_at(&located, nobody, Duration::from_secs(5));
    assert_line(&error, &["20050", "refused"]);
    assert_eq!(error.errno(), libc::ECONNREFUSED);
    println!("refused after {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_no_rdma_left();
}

#[test]
fn knfsd_absent_server_is_given_up_in_time() {
    let Some(server) = Server::find() else { return };
    let located = server.locate(&server.export).unwrap();
    let IpAddr::V4(addr) = server.addr else { panic!("the machine's link is IPv4") };
    let absent = IpAddr::V4(Ipv4Addr::from(u32::from(addr) ^ 0x40));
    let (error, took) =
        refused_at(&located, SocketAddr::new(absent, 20049), Duration::from_secs(3));
    assert_line(&error, &[&absent.to_string()]);
    println!("given up after {took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert_no_rdma_left();

    let url = format!("nfs://{absent}{}", server.export).parse().unwrap();
    let options = MountOptions { timeout: Duration::from_secs(2), ..options(None) };
    let start = Instant::now();
    assert_line(&locate(&url, &options).unwrap_err(), &["portmap", &absent.to_string()]);
    assert!(start.elapsed() < Duration::from_secs(5));
}
