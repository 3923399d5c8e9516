//! fio's own example job files: which of them run here, and with which message the others do not.
//!
//! They are not in this repository; Debian has them in the package fio-examples, and fio's source
//! below `examples/`. What they show is in docs/fio-examples.md.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use workload::backend::{Backend, Io, IoDone, IoOp, IoResult};
use workload::{Instance, JobFile, Limits, Runner, RunnerProgress};

/// Where they are, when neither where Debian's package fio-examples puts them nor among fio's sources
/// as `tools/deps fio-engine` fetches them (a container may be told to install no documentation).
const DIRECTORY: &str = "FIO_EXAMPLES";
const DEBIAN: &str = "/usr/share/doc/fio/examples";
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/fio/source/examples");
/// Operations of each instance that are enough to see it run.
const OPERATIONS_MAX: u64 = 2_000;
const TURN_NS: u64 = 1_000_000;
const TURNS_MAX: u64 = 100_000;

const HEAD: &str = "\
# fio's own example job files here

Made by `tools/fio-compat --examples DIR` from the examples of fio 3.33 (`examples/` in its source, or
Debian's package fio-examples). *Runs* means: read as it is, and its jobs do what they would on a
mount, with files that exist and nothing but `nfs_url` to add. The others are refused, as shown.

| job file | here |
|---|---|
";

/// Files of any size that hold nothing.
struct Nothing {
    done: Vec<(u64, Option<Vec<u8>>, IoResult<()>)>,
    operations: u64,
}

impl Backend for Nothing {
    type File = ();
    type Buf = Vec<u8>;

    fn alloc(&mut self, len: u32) -> Option<Vec<u8>> {
        Some(vec![0; len as usize])
    }

    fn submit(&mut self, io: Io<(), Vec<u8>>) -> Result<(), Io<(), Vec<u8>>> {
        let (buf, result) = match io.op {
            IoOp::Open { .. } => (None, IoResult::Opened { file: (), size_bytes: 1 << 34 }),
            IoOp::SetSize { .. } | IoOp::Commit { .. } => (None, IoResult::Done),
            IoOp::Space { .. } => (None, IoResult::Available(u64::MAX)),
            IoOp::Read { len, buf, .. } | IoOp::Write { len, buf, .. } => {
                self.operations += 1;
                (Some(buf), IoResult::Bytes(len))
            }
        };
        self.done.push((io.tag, buf, result));
        Ok(())
    }

    fn poll(&mut self, now_ns: u64, mut done: impl FnMut(IoDone<(), Vec<u8>>)) {
        for (tag, buf, result) in self.done.drain(..) {
            done(IoDone { tag, buf, result: Ok(result), done_ns: now_ns });
        }
    }
}

/// Runs a file's jobs for a while.
fn try_out(path: &Path) -> Result<(), String> {
    let file = JobFile::read(path, &[]).map_err(|error| error.to_string())?;
    let limits = Limits { payload_bytes_max: 64 << 20 };
    for instance in Instance::of(&file.jobs) {
        let mut runner = Runner::new(&instance, limits, 0).map_err(|error| error.to_string())?;
        let mut backend = Nothing { done: Vec::new(), operations: 0 };
        let mut turn = 0;
        while backend.operations < OPERATIONS_MAX && turn < TURNS_MAX {
            turn += 1;
            if runner.turn(turn * TURN_NS, &mut backend) == RunnerProgress::Finished {
                break;
            }
        }
        let result = runner.into_result();
        if let Some(failure) = result.failure {
            return Err(failure.message);
        }
    }
    Ok(())
}

fn table(directory: &Path) -> String {
    let entries = std::fs::read_dir(directory).expect("the examples can be listed");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "fio"));
    paths.sort();
    let mut out = HEAD.to_owned();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let here = match try_out(&path) {
            Ok(()) => "runs".to_owned(),
            Err(message) => {
                let message = message.replace(&path.display().to_string(), &name);
                format!("`{}`", message.replace('|', "\\|"))
            }
        };
        let _ = writeln!(out, "| {name} | {here} |");
    }
    out
}

#[test]
fn fios_examples_run_or_say_why_not() {
    let told = std::env::var_os(DIRECTORY).map(PathBuf::from);
    let places = told.into_iter().chain([DEBIAN.into(), SOURCES.into()]);
    let Some(directory) = places.into_iter().find(|place| place.is_dir()) else {
        let what = format!(
            "fio's example jobs are neither in {DEBIAN} (tools/deps fio) nor in {SOURCES} \
             (tools/deps fio-engine), and {DIRECTORY} does not say where"
        );
        assert!(std::env::var_os("FIO_REQUIRED").is_none(), "{what}");
        eprintln!("SKIPPED: {what}");
        return;
    };
    let table = table(&directory);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/fio-examples.md");
    if std::env::var_os(super::document::WRITE).is_some() {
        std::fs::write(&path, &table).expect("the document is written");
        return;
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == table,
        "docs/fio-examples.md is not up to date: run tools/fio-compat --examples DIR"
    );
}
