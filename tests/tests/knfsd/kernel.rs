//! The kernel's side: its own NFS/RDMA client, its view of our RDMA objects, its server's threads.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::server::Server;

/// Runs a command; panics with its output if it fails.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A mount of the export by the kernel's client, undone when dropped.
pub(crate) struct KernelMount {
    at: PathBuf,
}

impl KernelMount {
    pub(crate) fn new(server: &Server) -> Self {
        let at = std::env::temp_dir().join(format!("knfsd-{}", std::process::id()));
        std::fs::create_dir_all(&at).expect("a mount point");
        let source = format!("{}:{}", server.addr, server.export);
        let mount = Self { at };
        let at = mount.at.to_str().expect("plain ASCII");
        run("mount", &["-t", "nfs", "-o", "rdma,port=20049,vers=3,nolock", &source, at]);
        mount
    }

    pub(crate) fn path(&self, below_export: impl AsRef<Path>) -> PathBuf {
        self.at.join(below_export)
    }
}

impl Drop for KernelMount {
    fn drop(&mut self) {
        let undone = Command::new("umount").arg("-f").arg(&self.at).status();
        if !undone.is_ok_and(|status| status.success()) {
            eprintln!("umount {} failed", self.at.display());
        }
        let _ = std::fs::remove_dir(&self.at);
    }
}

/// RDMA objects of one kind that this process has, as the kernel lists them.
pub(crate) fn rdma_objects(kind: &str) -> Vec<serde_json::Value> {
    let listed = run("rdma", &["-j", "resource", "show", kind]);
    let objects: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    // What it calls a pid is the thread that made the object.
    let ours = |object: &&serde_json::Value| {
        object["pid"]
            .as_u64()
            .is_some_and(|thread| std::fs::metadata(format!("/proc/self/task/{thread}")).is_ok())
    };
    objects.as_array().expect("a list of objects").iter().filter(ours).cloned().collect()
}

/// Panics unless every queue pair, completion queue, registration, domain and connection identifier
/// of this process is gone from the kernel.
pub(crate) fn assert_no_rdma_left() {
    let left = || {
        let kinds = ["qp", "cq", "mr", "pd", "cm_id"];
        let counts = kinds.map(|kind| (kind, rdma_objects(kind).len()));
        counts.into_iter().filter(|&(_, count)| count > 0)
    };
    // The kernel's connection manager keeps an identifier for a moment.
    let start = Instant::now();
    while left().next().is_some() && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let left: Vec<_> = left().collect();
    assert!(left.is_empty(), "RDMA objects are left behind: {left:?}");
}

/// The server's threads, away until dropped.
pub(crate) struct Stopped;

impl Stopped {
    /// Stops knfsd: its listeners and connections go.
    pub(crate) fn now() -> Self {
        run("rpc.nfsd", &["0"]);
        Self
    }
}

impl Drop for Stopped {
    /// As `tools/rxe-vm.d/guest/knfsd.sh` started it.
    fn drop(&mut self) {
        let started = Command::new("rpc.nfsd").args(["--no-nfs-version", "4", "8"]).status();
        let listens = std::fs::write("/proc/fs/nfsd/portlist", "rdma 20049");
        if !started.is_ok_and(|status| status.success()) || listens.is_err() {
            eprintln!("knfsd could not be started again: {listens:?}");
        }
    }
}
