//! The ways to hold what was done and reported beside what fio does and reports.

use std::path::Path;

use serde_json::Value;

use crate::cases::Case;
use crate::{Op, Places, fio, fio_on, job_of, local, target};

/// Numbers that depend on the time are alike within this share of each other.
const WITHIN: f64 = 0.25;
/// Times, and as much more.
const WITHIN_MS: f64 = 20.0;

/// What this runner did, in one of its two ways.
struct Ours {
    way: &'static str,
    /// Two reactors on a machine with other work may be late, but never early: what is asked of them
    /// in time is the most that may be done, and the least time it may take.
    may_be_late: bool,
    json: Value,
    failed: bool,
    errors: String,
}

/// A job on a file, where that is possible, and on the target.
fn ours(case: &Case, job: &str, places: &Places) -> Result<Vec<Ours>, String> {
    let mut both = Vec::new();
    if case.alike.on_file() {
        let ran = local::run(job, places.ours())?;
        both.push(Ours {
            way: "on a file",
            may_be_late: false,
            json: json_of(&ran)?,
            failed: ran.results.iter().any(|result| result.failure.is_some()),
            errors: format!("{:?}", ran.results[0].failure),
        });
    }
    let target::Ran { json, failed, errors, .. } =
        target::run(job, places.served(), places.beside());
    both.push(Ours { way: "on the target", may_be_late: true, json, failed, errors });
    Ok(both)
}

/// The report of jobs that were run in this process.
fn json_of(ran: &local::Ran) -> Result<Value, String> {
    let report = workload::report::Report::new(Default::default(), ran.results.clone());
    serde_json::from_str(&report.json()).map_err(|error| error.to_string())
}

pub(crate) fn same(case: &Case, places: &Places) -> Result<(), String> {
    let job = job_of(case);
    let fio = fio_on(&format!("{job}write_iolog=conformance.log\n"), places.fio());
    let ran = local::run(&job, places.ours())?;
    let served = target::run(&format!("{job}{}", target::LOGGED), places.served(), places.beside());
    let failure = &ran.results[0].failure;
    if fio.failed || failure.is_some() || served.failed {
        return Err(format!("fio: {}, ours: {failure:?}, {}", fio.errors, served.errors));
    }
    in_order("on a file", &fio.ops, &ran.ops, &ran.verified)?;
    // Where several are in flight, the log has them as they came back.
    let deep = ran.jobs[0].iodepth > 1;
    let (mut theirs, mut ours) = (without_files(&fio.ops), served.ops);
    if deep {
        theirs.sort();
        ours.sort();
    }
    let (done, verified) = ours.split_at(ran.ops.len().min(ours.len()));
    in_order("on the target", &theirs, done, verified)?;
    counted(&fio.json, &json_of(&ran)?, EXACTLY).map_err(|what| format!("on a file: {what}"))?;
    counted(&fio.json, &served.json, EXACTLY).map_err(|what| format!("on the target: {what}"))
}

/// The client's log does not name the file.
fn without_files(ops: &[Op]) -> Vec<Op> {
    ops.iter().map(|op| Op { file: String::new(), ..op.clone() }).collect()
}

/// fio did the same, and then read the same to verify.
fn in_order(way: &str, fio: &[Op], ours: &[Op], verified: &[Op]) -> Result<(), String> {
    let (done, checked) = fio.split_at(ours.len().min(fio.len()));
    if let Some(at) = (0..ours.len()).find(|&at| done.get(at) != Some(&ours[at])) {
        let count = ours.len();
        let (theirs, ours) = (done.get(at), &ours[at]);
        return Err(format!("{way}: operation {at} of {count}: fio {theirs:?}, ours {ours:?}"));
    }
    // What is checked is the same; fio does it in the order of the writes.
    let (mut theirs, mut ours) = (checked.to_vec(), verified.to_vec());
    theirs.sort();
    ours.sort();
    match theirs == ours {
        true => Ok(()),
        false => Err(format!("{way}: fio does {} more, ours {}", theirs.len(), ours.len())),
    }
}

pub(crate) fn counts(case: &Case, places: &Places, within: f64) -> Result<(), String> {
    let job = job_of(case);
    let fio = fio_on(&job, places.fio());
    for ours in ours(case, &job, places)? {
        counted(&fio.json, &ours.json, Within { share: within, may_be_late: false })
            .map_err(|what| format!("{}: {what}", ours.way))?;
    }
    Ok(())
}

/// How far numbers may be from fio's.
#[derive(Clone, Copy)]
struct Within {
    share: f64,
    /// Fewer are no fault.
    may_be_late: bool,
}

const EXACTLY: Within = Within { share: 0.0, may_be_late: false };

fn jobs(report: &Value) -> Vec<Value> {
    report["jobs"].as_array().cloned().unwrap_or_default()
}

/// Counts of fio's report and of ours, direction by direction, within a share of each other.
fn counted(fio: &Value, ours: &Value, within: Within) -> Result<(), String> {
    let (theirs, ours) = (jobs(fio), jobs(ours));
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
            // Who is late does what is due as it comes, not in the proportion of the rates.
            let of =
                |value: &Value, direction: &str| value[direction][field].as_f64().unwrap_or(-1.0);
            let number = |value: &Value| match within.may_be_late && direction != "sync" {
                true => of(value, "read") + of(value, "write"),
                false => of(value, direction),
            };
            let (fio, our) = (number(fio), number(our));
            // fio counts neither fdatasync nor what it syncs at the end.
            if direction == "sync" && fio == 0.0 {
                continue;
            }
            let far = (fio - our).abs() > within.share * fio.max(our);
            if far && (our > fio || !within.may_be_late) {
                return Err(format!("{direction} {field}: fio {fio}, ours {our}"));
            }
        }
        same_fields(fio, our)?;
    }
    Ok(())
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

pub(crate) fn close(case: &Case, places: &Places) -> Result<(), String> {
    let job = job_of(case);
    let fio = fio_on(&job, places.fio());
    for ours in ours(case, &job, places)? {
        let within = Within { share: WITHIN, may_be_late: ours.may_be_late };
        counted(&fio.json, &ours.json, within).map_err(|what| format!("{}: {what}", ours.way))?;
        for (theirs, our) in jobs(&fio.json).iter().zip(jobs(&ours.json)) {
            for place in ["/read/runtime", "/write/runtime"] {
                alike(place, theirs, &our, ours.may_be_late)
                    .map_err(|what| format!("{}: {what}", ours.way))?;
            }
        }
    }
    Ok(())
}

pub(crate) fn values(case: &Case, places: &Places, wanted: &[&str]) -> Result<(), String> {
    let job = job_of(case);
    let fio = fio_on(&job, places.fio());
    for ours in ours(case, &job, places)? {
        for (theirs, our) in jobs(&fio.json).iter().zip(jobs(&ours.json)) {
            for place in wanted {
                alike(place, theirs, &our, ours.may_be_late)
                    .map_err(|what| format!("{}: {what}", ours.way))?;
            }
        }
    }
    Ok(())
}

/// At a place of a job's report: the same keys, the same text, numbers within a quarter.
fn alike(place: &str, fio: &Value, our: &Value, may_be_late: bool) -> Result<(), String> {
    let (Some(theirs), Some(ours)) = (fio.pointer(place), our.pointer(place)) else {
        return Err(format!("{place} is absent: fio {fio}, ours {our}"));
    };
    let keys = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
    let same = match (theirs.as_f64(), ours.as_f64()) {
        (Some(fio), Some(our)) if may_be_late && place.ends_with("runtime") && our > fio => true,
        (Some(fio), Some(our)) => (fio - our).abs() <= WITHIN * fio.max(our) + WITHIN_MS.min(fio),
        _ if theirs.is_object() => keys(theirs) == keys(ours),
        _ => theirs == ours,
    };
    if same { Ok(()) } else { Err(format!("{place}: fio {theirs}, ours {ours}")) }
}

pub(crate) fn fails(case: &Case, places: &Places) -> Result<(), String> {
    let job = job_of(case);
    let fio = fio_on(&job, places.fio());
    let error = |report: &Value| report["jobs"][0]["error"].clone();
    for ours in ours(case, &job, places)? {
        if !fio.failed || !ours.failed || error(&fio.json) != error(&ours.json) {
            let (theirs, our) = (error(&fio.json), error(&ours.json));
            return Err(format!("{}: fio {theirs}, ours {our}: {}", ours.way, ours.errors));
        }
    }
    Ok(())
}

/// All write logs of the same names; their lines have as many columns, and, a line an operation,
/// the same direction, size and offset.
pub(crate) fn logs(case: &Case, places: &Places) -> Result<(), String> {
    let job = job_of(case);
    let fio = fio_on(&job, places.fio());
    let ran = local::run(&job, places.ours())?;
    let logged = ran.results[0].logged.as_ref().ok_or("nothing is logged")?;
    logged.write(&ran.jobs[0], places.ours())?;
    let served = target::run(&job, places.served(), places.beside());
    if fio.failed || served.failed {
        return Err(format!("fio: {}, ours: {}", fio.errors, served.errors));
    }
    same_logs(case, places.fio(), places.ours(), false)
        .map_err(|what| format!("on a file: {what}"))?;
    same_logs(case, places.fio(), places.beside(), true)
        .map_err(|what| format!("on the target: {what}"))
}

/// Names of the files in a directory that begin so.
pub(crate) fn list(directory: &Path, prefix: &str) -> Vec<String> {
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names
}

fn same_logs(case: &Case, theirs: &Path, ours: &Path, may_be_late: bool) -> Result<(), String> {
    if list(theirs, "l_") != list(ours, "l_") {
        return Err(format!("files: fio {:?}, ours {:?}", list(theirs, "l_"), list(ours, "l_")));
    }
    for name in list(ours, "l_") {
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
        // A line for so much time: who is late has more of them.
        let few = our.len() + 2 < fio.len();
        if !by_operation && (few || (!may_be_late && our.len() > fio.len() + 2)) {
            return Err(format!("{name}: fio {} lines, ours {}", fio.len(), our.len()));
        }
    }
    Ok(())
}

/// For who wants no more of it than whether it went well.
pub(crate) fn went_well(ran: &fio::Ran) -> Result<(), String> {
    if ran.failed { Err(format!("fio: {}", ran.errors)) } else { Ok(()) }
}
