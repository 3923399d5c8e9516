//! This runner as its users have it: the program, over the whole client and the in-process fabric, to
//! the embedded target, which keeps its files in a local directory.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Op;

/// What came of a job file.
pub(crate) struct Ran {
    pub(crate) json: Value,
    /// Reads and writes as the client's log has them, verifying too; their file is not in it.
    pub(crate) ops: Vec<Op>,
    pub(crate) failed: bool,
    pub(crate) errors: String,
}

/// The lines of a job that make it log its operations.
pub(crate) const LOGGED: &str = "write_lat_log=ops\nlog_offset=1\n";

/// The program with a job file, on the files of a directory; logs and the like go to `beside`.
pub(crate) fn command(text: &str, files: &Path, beside: &Path) -> Command {
    std::fs::write(beside.join("conformance.job"), text).expect("the job file is written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_initiator"));
    command
        .current_dir(beside)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .args(["run", "--embedded", "--idle=yield", "--output-format=json"])
        .args(["--output=conformance.json", "conformance.job", "--target-directory"])
        .arg(files);
    command
}

/// Runs it to its end.
pub(crate) fn run(text: &str, files: &Path, beside: &Path) -> Ran {
    let output = command(text, files, beside).output().expect("the program runs");
    let read = |name: &str| std::fs::read_to_string(beside.join(name)).unwrap_or_default();
    Ran {
        json: serde_json::from_str(&read("conformance.json")).unwrap_or(Value::Null),
        ops: operations(&read("ops_lat.1.log")),
        failed: !output.status.success(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// `TIME, LATENCY, DIRECTION, LENGTH, OFFSET, PRIORITY` for each operation.
fn operations(log: &str) -> Vec<Op> {
    let operation = |line: &str| {
        let mut words = line.split(", ").skip(2);
        let mut number = || words.next()?.parse::<u64>().ok();
        let (direction, len, offset) = (number()?, number()?, number()?);
        Some(Op { write: direction == 1, file: String::new(), offset, len })
    };
    log.lines().filter_map(operation).collect()
}
