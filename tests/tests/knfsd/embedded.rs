//! The embedded target on a real RDMA device: another server for the same client.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::server::{initiator, variable};

/// Away from knfsd's ports.
const PORT: &str = "20050";
const MOUNT_PORT: &str = "20051";

/// A target that ends with the test.
struct Serving {
    child: Child,
    /// Kept open: it prints what it has done when it ends.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Serving {
    fn at(address: &str) -> Self {
        let mut child = Command::new(initiator())
            .args(["target", "--listen", address, "--port", PORT])
            .args(["--mount-port", MOUNT_PORT, "--idle", "yield"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = lines.next().expect("it says where it serves").expect("text");
        assert!(first.starts_with("serving "), "{first}");
        Self { child, _output: lines }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_embedded_target_serves_on_a_real_device_as_well() {
    let Some(address) = variable("INITIATOR_RDMA_ADDR") else { return };
    let _serving = Serving::at(&address);
    let url = format!("nfs://{address}:{PORT}/");
    for (registration, bs, size) in [("window", "4k", "2m"), ("static", "128k", "8m")] {
        let output = Command::new(initiator())
            .args(["perf", &url, "--mountport", MOUNT_PORT, "-w", "randwrite", "-t", "0"])
            .args(["-b", bs, "--size", size, "-q", "16", "--verify", "crc32c", "--idle", "yield"])
            .args(["--registration", registration, "--filename", registration])
            .output()
            .expect("the program starts");
        let report = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{registration}: {errors}{report}");
        assert!(report.contains("err= 0") && report.contains("Transport (ibv)"), "{report}");
        let keys = report.contains("mrs_allocated=0");
        assert_eq!(keys, registration == "static", "{report}");
    }
}
