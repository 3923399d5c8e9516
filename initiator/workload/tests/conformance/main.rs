//! Real fio and this runner, side by side: the same job on the same kind of file, and what each did.
//!
//! fio's log of operations is compared with ours, and the counts of its report with ours. What the
//! comparisons show is written to docs/fio-compat.md, option by option; `tools/fio-compat` does both.
//!
//! Without fio 3.33 (`tools/deps fio` installs it) there is nothing to compare with: the tests say so on
//! standard error and pass, unless `FIO_REQUIRED` is set, as in CI.

mod cases;
mod document;
mod examples;

mod fio;
mod local;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cases::{Alike, CASES, Case};
use serde_json::Value;
use workload::generate::Direction;

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

fn directories() -> [tempfile::TempDir; 2] {
    [(); 2].map(|()| {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("below")).expect("one below");
        std::fs::write(directory.path().join("ready"), vec![1; 1 << 20]).expect("a file");
        directory
    })
}

/// Each case with what is wrong, if something is.
fn compare(case: &Case) -> Result<(), String> {
    let [theirs, ours] = directories();
    match case.alike {
        Alike::Same => same(case, theirs.path(), ours.path()),
        Alike::Counts => counts(case, theirs.path(), ours.path()),
        Alike::Close => close(case, theirs.path(), ours.path()),
        Alike::Exchange => exchange(case, theirs.path()),
        Alike::Logs => logs(case, theirs.path(), ours.path()),
        Alike::Fails => fails(case, theirs.path(), ours.path()),
    }
}

fn job_of(case: &Case) -> String {
    format!("[j]\n{}\n", case.job)
}

fn fio_on(job: &str, directory: &Path) -> fio::Ran {
    // An engine that queues, as this client does: fio ends passes otherwise with one that does not.
    let global = "[global]\nioengine=libaio\nthread\ninvalidate=0\nfallocate=none\n";
    fio::run(&format!("{global}{job}"), directory)
}

fn same(case: &Case, theirs: &Path, ours: &Path) -> Result<(), String> {
    let job = job_of(case);
    let fio = fio_on(&format!("{job}write_iolog=conformance.log\n"), theirs);
    let ran = local::run(&job, ours)?;
    if fio.failed || ran.results.iter().any(|result| result.failure.is_some()) {
        return Err(format!("fio: {}, ours: {:?}", fio.errors, ran.results[0].failure));
    }
    let (done, mut checked) = fio.ops.split_at(ran.ops.len().min(fio.ops.len()));
    if let Some(at) = (0..ran.ops.len()).find(|&at| done.get(at) != Some(&ran.ops[at])) {
        return Err(format!(
            "operation {at} of {}: fio {:?}, ours {:?}",
            ran.ops.len(),
            done.get(at),
            ran.ops[at]
        ));
    }
    // What is checked is the same; fio does it in the order of the writes.
    let mut verified = ran.verified.clone();
    let mut sorted = checked.to_vec();
    verified.sort();
    sorted.sort();
    checked = &sorted;
    if checked != verified {
        return Err(format!("fio does {} more, ours {}", checked.len(), verified.len()));
    }
    counted(&fio.json, &ran, 0.0)
}

fn counts(case: &Case, theirs: &Path, ours: &Path) -> Result<(), String> {
    let job = job_of(case);
    let (fio, ran) = (fio_on(&job, theirs), local::run(&job, ours)?);
    counted(&fio.json, &ran, 0.0)
}

/// Counts of fio's report and of ours, direction by direction, within a share of each other.
fn counted(json: &Value, ran: &local::Ran, within: f64) -> Result<(), String> {
    let report = workload::report::Report::new(Default::default(), ran.results.clone());
    let mine: Value = serde_json::from_str(&report.json()).map_err(|error| error.to_string())?;
    let jobs = |value: &Value| value["jobs"].as_array().cloned().unwrap_or_default();
    let (theirs, ours) = (jobs(json), jobs(&mine));
    if theirs.len() != ours.len() {
        return Err(format!("fio reports {} jobs, ours {}", theirs.len(), ours.len()));
    }
    for (fio, our) in theirs.iter().zip(&ours) {
        for key in ["jobname", "groupid", "error"] {
            if fio[key] != our[key] {
                return Err(format!("{key}: fio {}, ours {}", fio[key], our[key]));
            }
        }
        for (direction, field) in [
            ("read", "total_ios"),
            ("read", "io_bytes"),
            ("write", "total_ios"),
            ("write", "io_bytes"),
            ("sync", "total_ios"),
        ] {
            let number = |value: &Value| value[direction][field].as_f64().unwrap_or(-1.0);
            let (fio, our) = (number(fio), number(our));
            // fio counts neither fdatasync nor what it syncs at the end.
            if direction == "sync" && fio == 0.0 {
                continue;
            }
            if (fio - our).abs() > within * fio.max(our) {
                return Err(format!("{direction} {field}: fio {fio}, ours {our}"));
            }
        }
    }
    same_fields(&theirs[0], &ours[0])
}

/// Everything that fio's JSON has for a job is in ours.
fn same_fields(fio: &Value, our: &Value) -> Result<(), String> {
    let missing = |theirs: &Value, ours: &Value| -> Vec<String> {
        let keys = theirs.as_object().into_iter().flat_map(|object| object.keys());
        keys.filter(|key| ours.get(key.as_str()).is_none()).cloned().collect()
    };
    for section in ["read", "write", "trim", "sync"] {
        let absent = missing(&fio[section], &our[section]);
        if !absent.is_empty() {
            return Err(format!("{section} lacks {absent:?}"));
        }
    }
    match missing(fio, our) {
        absent if absent.is_empty() => Ok(()),
        absent => Err(format!("the job lacks {absent:?}")),
    }
}

fn close(case: &Case, theirs: &Path, ours: &Path) -> Result<(), String> {
    const WITHIN: f64 = 0.25;
    let job = job_of(case);
    let (fio, ran) = (fio_on(&job, theirs), local::run(&job, ours)?);
    counted(&fio.json, &ran, WITHIN)?;
    for (direction, name) in [(Direction::Read, "read"), (Direction::Write, "write")] {
        let fio_ms = fio.json["jobs"][0][name]["runtime"].as_f64().unwrap_or(0.0);
        let our_ms = ran.results[0].direction(direction).runtime_ns as f64 / 1e6;
        if (fio_ms - our_ms).abs() > WITHIN * fio_ms.max(our_ms) + 20.0 {
            return Err(format!("{name} takes fio {fio_ms} ms, ours {our_ms:.0} ms"));
        }
    }
    Ok(())
}

fn exchange(case: &Case, directory: &Path) -> Result<(), String> {
    let job = |rw: &str, file: &str| format!("[j]\nrw={rw}\nfilename={file}\n{}\n", case.job);
    let ran = local::run(&job("randwrite", "from-us"), directory)?;
    let fio = fio_on(&job("read", "from-us"), directory);
    if fio.failed || ran.results[0].failure.is_some() {
        return Err(format!("fio does not take ours: {}", fio.errors));
    }
    let fio = fio_on(&job("randwrite", "from-fio"), directory);
    let ran = local::run(&job("read", "from-fio"), directory)?;
    match (&ran.results[0].failure, fio.failed) {
        (None, false) => Ok(()),
        (failure, _) => Err(format!("ours does not take fio's: {failure:?}")),
    }
}

/// Both write logs of the same names; their lines have as many columns, and, a line an operation,
/// the same direction, size and offset.
fn logs(case: &Case, theirs: &Path, ours: &Path) -> Result<(), String> {
    let job = job_of(case);
    let (_, ran) = (fio_on(&job, theirs), local::run(&job, ours)?);
    let logged = ran.results[0].logged.as_ref().ok_or("nothing is logged")?;
    logged.write(&ran.jobs[0], ours)?;
    let list = |directory: &Path| {
        let names = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name.starts_with("l_")).collect();
        names.sort();
        names
    };
    if list(theirs) != list(ours) {
        return Err(format!("files: fio {:?}, ours {:?}", list(theirs), list(ours)));
    }
    for name in list(ours) {
        let lines = |directory: &Path| {
            let text = std::fs::read_to_string(directory.join(&name)).unwrap_or_default();
            text.lines().map(|line| line.split(", ").map(str::to_owned).collect()).collect()
        };
        let (fio, our): (Vec<Vec<String>>, Vec<Vec<String>>) = (lines(theirs), lines(ours));
        let (Some(first), Some(mine)) = (fio.first(), our.first()) else {
            return Err(format!("{name}: fio {} lines, ours {}", fio.len(), our.len()));
        };
        if first.len() != mine.len() {
            return Err(format!("{name}: fio {first:?}, ours {mine:?}"));
        }
        let by_operation = !case.job.contains("msec");
        let about =
            |lines: &[Vec<String>]| lines.iter().map(|line| line[2..].to_vec()).collect::<Vec<_>>();
        if by_operation && about(&fio) != about(&our) {
            return Err(format!("{name}: not about the same operations"));
        }
        if !by_operation && fio.len().abs_diff(our.len()) > 2 {
            return Err(format!("{name}: fio {} lines, ours {}", fio.len(), our.len()));
        }
    }
    Ok(())
}

fn fails(case: &Case, theirs: &Path, ours: &Path) -> Result<(), String> {
    let job = job_of(case);
    let (fio, ran) = (fio_on(&job, theirs), local::run(&job, ours)?);
    match (fio.failed, &ran.results[0].failure) {
        (true, Some(_)) => Ok(()),
        (failed, failure) => Err(format!("fio fails: {failed}; ours: {failure:?}")),
    }
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
            let found = compare(case).or_else(|found| match case.alike {
                // A machine with other work may be late once.
                Alike::Close => compare(case),
                _ => Err(found),
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
