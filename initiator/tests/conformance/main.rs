//! Real fio and this runner, side by side: the same job on the same kind of file, and what each did.
//! This runner does it twice: here, on a file, and as the program, over the client to the target.
//!
//! fio's log of operations is compared with ours, and the counts of its report with ours. What the
//! comparisons show is written to docs/fio-compat.md, option by option; `tools/fio-compat` does both.
//!
//! Without fio 3.33 (`tools/deps fio` installs it) there is nothing to compare with: the tests say so on
//! standard error and pass, unless `FIO_REQUIRED` is set, as in CI.

mod cases;
mod compare;
mod document;
mod examples;
mod fio;
mod local;
mod special;
mod target;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cases::{Alike, CASES, Case};

/// Comparisons at a time.
const WORKERS: usize = 4;

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Op {
    write: bool,
    file: String,
    offset: u64,
    len: u64,
}

/// Is the fio here that facts are about?
fn fio_is_here() -> bool {
    let found = fio::version();
    if found.as_deref() == Some(fio::VERSION) {
        return true;
    }
    let what = format!("{} is not installed (found: {found:?}); run tools/deps fio", fio::VERSION);
    assert!(std::env::var_os("FIO_REQUIRED").is_none(), "{what}");
    eprintln!("NOT COMPARED WITH FIO: {what}");
    false
}

/// Where a case is run: fio's files, ours, those that the target serves, and what is beside them.
struct Places([tempfile::TempDir; 4]);

impl Places {
    fn new() -> Self {
        Self([(); 4].map(|()| {
            let directory = tempfile::tempdir().expect("a directory");
            std::fs::create_dir(directory.path().join("below")).expect("one below");
            std::fs::write(directory.path().join("ready"), vec![1; 1 << 20]).expect("a file");
            directory
        }))
    }

    fn fio(&self) -> &Path {
        self.0[0].path()
    }

    fn ours(&self) -> &Path {
        self.0[1].path()
    }

    fn served(&self) -> &Path {
        self.0[2].path()
    }

    fn beside(&self) -> &Path {
        self.0[3].path()
    }
}

/// What is wrong with a case, if something is.
fn compare(case: &Case) -> Result<(), String> {
    let places = Places::new();
    match case.alike {
        Alike::Same => compare::same(case, &places),
        Alike::Counts => compare::counts(case, &places, 0.0),
        Alike::Close | Alike::Together => compare::close(case, &places),
        Alike::Values(values) => compare::values(case, &places, values),
        Alike::Fails => compare::fails(case, &places),
        Alike::Logs => compare::logs(case, &places),
        Alike::Exchange => special::exchange(case, &places),
        Alike::Again => special::again(case, &places),
        Alike::Dumps => special::dumps(case, &places),
        Alike::State => special::state(case, &places),
    }
}

fn job_of(case: &Case) -> String {
    format!("[j]\n{}\n", case.job)
}

fn fio_on(job: &str, directory: &Path) -> fio::Ran {
    fio::run(&fio::with_engine(job), directory)
}

#[test]
fn fio_and_this_runner_do_the_same() {
    if !fio_is_here() {
        return;
    }
    let only = std::env::var("FIO_CASE").unwrap_or_default();
    let wanted: Vec<&Case> = CASES.iter().filter(|case| case.job.contains(&only)).collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut wrong = Vec::new();
        while let Some(case) = wanted.get(next.fetch_add(1, Relaxed)) {
            // A machine with other work may be late, and fio on it.
            let timed = matches!(
                case.alike,
                Alike::Close | Alike::Together | Alike::Values(_) | Alike::Logs | Alike::State
            );
            let found = compare(case).or_else(|found| match timed {
                true => compare(case).or_else(|_| compare(case)),
                false => Err(found),
            });
            if let Err(found) = found {
                let job = case.job.replace('\n', " ");
                wrong.push(format!("{:?} {job:?}: {found}", case.alike));
            }
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    assert!(wrong.is_empty(), "{} differ from fio:\n{}", wrong.len(), wrong.join("\n"));
}
