//! Real fio on files of a local directory, and what its log says that it did.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::Op;

/// The version that facts in this crate are about.
pub(crate) const VERSION: &str = "fio-3.33";

/// Which fio there is, if there is one.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("fio").arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What came of a job file.
pub(crate) struct Ran {
    pub(crate) json: Value,
    /// Of the first job that logs: everything, verifying too.
    pub(crate) ops: Vec<Op>,
    pub(crate) failed: bool,
    pub(crate) errors: String,
}

/// A job with an engine that queues, as this client does: fio ends passes otherwise with one that does
/// not.
pub(crate) fn with_engine(job: &str) -> String {
    format!("[global]\nioengine=libaio\nthread\ninvalidate=0\nfallocate=none\n{job}")
}

/// Runs a job file in a directory.
pub(crate) fn run(text: &str, directory: &Path) -> Ran {
    let job = directory.join("conformance.job");
    std::fs::write(&job, text).expect("the job file is written");
    let output = Command::new("fio")
        .current_dir(directory)
        .args(["conformance.job", "--output-format=json", "--output=conformance.json"])
        .output()
        .expect("fio runs");
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap_or_default();
    let json = read("conformance.json");
    // Some of fio's notes go where its report goes.
    let json = json.find('{').map_or("null", |at| &json[at..]);
    Ran {
        json: serde_json::from_str(json).unwrap_or(Value::Null),
        ops: operations(&read("conformance.log")),
        failed: !output.status.success(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Reads and writes of an iolog, version 3: `TIME FILE ACTION OFFSET LENGTH`.
fn operations(log: &str) -> Vec<Op> {
    let operation = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (file, action) = (words.next()?, words.next()?);
        let write = match action {
            "read" => false,
            "write" => true,
            _ => return None,
        };
        let mut number = || words.next()?.parse().ok();
        Some(Op { write, file: file.to_owned(), offset: number()?, len: number()? })
    };
    log.lines().skip(1).filter_map(operation).collect()
}

/// Names of all job options.
pub(crate) fn option_names() -> Vec<String> {
    let output = Command::new("fio").arg("--cmdhelp=all").output().expect("fio runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim().to_owned())
        .filter(|name| !name.is_empty() && !name.contains(' '))
        .collect()
}
