//! Where the server is, from the environment that `tools/rxe-vm` sets.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use client::{Error, Located, MountOptions, locate};
use system_tests::credential;

/// MOUNT's port in the machine.
pub(crate) const MOUNT_PORT: u16 = 20048;

/// The kernel's server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) addr: IpAddr,
    /// Export to work in, as MOUNT knows it.
    pub(crate) export: String,
    /// The same directory as the server's kernel sees it.
    pub(crate) dir: PathBuf,
}

impl Server {
    /// The server, or `None` with a line that says what is missing.
    pub(crate) fn find() -> Option<Self> {
        let addr = variable("INITIATOR_KNFSD_ADDR")?;
        let addr = addr.parse().unwrap_or_else(|_| panic!("INITIATOR_KNFSD_ADDR={addr}"));
        let (export, dir) = (variable("INITIATOR_EXPORT")?, variable("INITIATOR_EXPORT_DIR")?);
        Some(Self { addr, export, dir: dir.into() })
    }

    /// The same by its IPv6 address.
    pub(crate) fn find_ipv6() -> Option<Self> {
        let addr = variable("INITIATOR_KNFSD_ADDR6")?;
        let addr = addr.parse().unwrap_or_else(|_| panic!("INITIATOR_KNFSD_ADDR6={addr}"));
        Some(Self { addr, ..Self::find()? })
    }

    /// URL of a path below `/`.
    pub(crate) fn url(&self, path: &str) -> String {
        match self.addr {
            IpAddr::V4(addr) => format!("nfs://{addr}{path}"),
            IpAddr::V6(addr) => format!("nfs://[{addr}]{path}"),
        }
    }

    /// Asks rpcbind, then MOUNT.
    pub(crate) fn locate(&self, path: &str) -> Result<Located, Error> {
        locate(&self.url(path).parse().expect("a URL"), &options(None))
    }

    /// A directory of this test's own in the export, empty; as its kernel sees it, and its URL path.
    pub(crate) fn fresh_dir(&self, name: &str) -> (PathBuf, String) {
        let dir = self.dir.join(name);
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => std::fs::create_dir(&dir).expect("the export is writable"),
        }
        (dir, format!("{}/{name}", self.export))
    }
}

/// How the tests ask MOUNT.
pub(crate) fn options(mount_port: Option<u16>) -> MountOptions {
    MountOptions { mount_port, auth: credential(), ..MountOptions::default() }
}

/// A line that is seen although the test passes: the test harness keeps what `println!` prints.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A variable of the harness, or `None` with a line that says that the test was skipped.
pub(crate) fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if value.is_none() {
        say(&format!("SKIPPED: {name} is not set (tools/rxe-vm run sets it): nothing was tested"));
    }
    value
}

/// The program under test, built beside the tests.
pub(crate) fn initiator() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let program = profile.join("initiator");
    assert!(program.exists(), "{} is not built: cargo build -p initiator", program.display());
    program
}
