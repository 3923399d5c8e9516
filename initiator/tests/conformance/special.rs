//! Comparisons that take more than one run.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::cases::Case;
use crate::compare::{list, went_well};
use crate::{Places, fio, fio_on, job_of, local, target};

/// What one writes the other takes, on a file, and through the target on what it serves.
pub(crate) fn exchange(case: &Case, places: &Places) -> Result<(), String> {
    let job = |rw: &str, file: &str| format!("[j]\nrw={rw}\nfilename={file}\n{}\n", case.job);
    let ran = local::run(&job("randwrite", "from-us"), places.ours())?;
    went_well(&fio_on(&job("read", "from-us"), places.ours()))
        .map_err(|what| format!("on a file, ours is not taken: {what}"))?;
    went_well(&fio_on(&job("randwrite", "from-fio"), places.ours()))?;
    let reads = local::run(&job("read", "from-fio"), places.ours())?;
    let mut failures = [&ran, &reads].into_iter().filter_map(|ran| ran.results[0].failure.as_ref());
    if let Some(failure) = failures.next() {
        return Err(format!("on a file: {}", failure.message));
    }
    served_well(&job("randwrite", "from-us"), places)?;
    went_well(&fio_on(&job("read", "from-us"), places.served()))
        .map_err(|what| format!("on the target, ours is not taken: {what}"))?;
    went_well(&fio_on(&job("randwrite", "from-fio"), places.served()))?;
    served_well(&job("read", "from-fio"), places)
}

fn served_well(job: &str, places: &Places) -> Result<(), String> {
    let ran = target::run(job, places.served(), places.beside());
    if ran.failed { Err(format!("on the target: {}", ran.errors)) } else { Ok(()) }
}

/// The first job, and the one with what comes after `--`.
fn twice(case: &Case) -> (String, String) {
    let (first, more) = case.job.split_once("--\n").expect("a case of two runs has --");
    (format!("[j]\n{first}"), format!("[j]\n{first}{more}\n"))
}

pub(crate) fn again(case: &Case, places: &Places) -> Result<(), String> {
    let (first, second) = twice(case);
    went_well(&fio_on(&first, places.fio()))?;
    served_well(&first, places)?;
    let fio = fio_on(&second, places.fio());
    let ours = target::run(&second, places.served(), places.beside());
    went_well(&fio)?;
    let reads = |report: &Value| report["jobs"][0]["read"]["total_ios"].clone();
    match !ours.failed && reads(&fio.json) == reads(&ours.json) {
        true => Ok(()),
        false => Err(format!("reads: fio {}, ours {}", reads(&fio.json), reads(&ours.json))),
    }
}

/// A block is made bad behind the job's back; what is said of it is in files.
pub(crate) fn dumps(case: &Case, places: &Places) -> Result<(), String> {
    let job = |rw: &str| format!("{}rw={rw}\nverify_dump=1\nverify_fatal=1\n", job_of(case));
    went_well(&fio_on(&job("write"), places.fio()))?;
    served_well(&job("write"), places)?;
    let sound = std::fs::read(places.served().join("j.0.0")).expect("it was written");
    for directory in [places.fio(), places.served()] {
        let mut bytes = std::fs::read(directory.join("j.0.0")).expect("it was written");
        bytes[5000] ^= 1;
        std::fs::write(directory.join("j.0.0"), bytes).expect("it can be written");
    }
    let fio = fio_on(&job("read"), places.fio());
    let ours = target::run(&job("read"), places.served(), places.beside());
    if !fio.failed || !ours.failed {
        return Err(format!("fio fails: {}, ours: {}", fio.failed, ours.failed));
    }
    let names = |directory: &Path| -> Vec<String> {
        let mut names = list(directory, "j.0.0.");
        names.retain(|name| name.ends_with("ed"));
        names
    };
    let (theirs, mine) = (names(places.fio()), names(places.beside()));
    if theirs != mine || mine.len() != 2 {
        return Err(format!("files: fio {theirs:?}, ours {mine:?}"));
    }
    let read = |directory: &Path, name: &str| std::fs::read(directory.join(name)).expect(name);
    let [expected, received] = [&mine[0], &mine[1]].map(|name| read(places.beside(), name));
    let at = mine[0].split('.').nth(3).and_then(|at| at.parse::<usize>().ok()).unwrap_or(0);
    let range = at..at + expected.len();
    let bad = read(places.served(), "j.0.0");
    if expected.len() != read(places.fio(), &theirs[0]).len() {
        return Err("not as many bytes as in fio's".to_owned());
    }
    match (expected == sound[range.clone()], received == bad[range]) {
        (true, true) => Ok(()),
        found => Err(format!("expected and received are right: {found:?}")),
    }
}

/// Some of 1024 blocks at 200 a second.
const BEFORE_INTERRUPT: Duration = Duration::from_millis(2500);

/// Interrupts it some time after it has made its file, and waits for its end. (The file is as long as
/// it will be at once: one that is shorter than the job fio would lay out again, over what was written.)
fn interrupted(mut child: Child, directory: &Path) {
    let began = Instant::now();
    while !directory.join("j.0.0").exists() && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(BEFORE_INTERRUPT);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it runs");
    child.wait().expect("it ends");
}

pub(crate) fn state(case: &Case, places: &Places) -> Result<(), String> {
    let (first, second) = twice(case);
    let mut theirs = Command::new("fio");
    std::fs::write(places.fio().join("first.job"), fio::with_engine(&first)).expect("written");
    theirs.current_dir(places.fio()).arg("first.job").stdin(Stdio::null());
    theirs.stdout(Stdio::null()).stderr(Stdio::null());
    let mut ours = target::command(&first, places.served(), places.beside());
    ours.stderr(Stdio::null());
    interrupted(theirs.spawn().expect("fio runs"), places.fio());
    interrupted(ours.spawn().expect("the program runs"), places.served());
    let (fio, our) = (list(places.fio(), "local-"), list(places.beside(), "local-"));
    if fio != our || our != ["local-j-0-verify.state"] {
        return Err(format!("files: fio {fio:?}, ours {our:?}"));
    }
    let ran = [
        fio_on(&second, places.fio()).json,
        target::run(&second, places.served(), places.beside()).json,
    ];
    let [fio, our] = ran.map(|report| {
        let job = &report["jobs"][0];
        (job["error"].as_u64(), job["read"]["total_ios"].as_u64().unwrap_or(0))
    });
    let some = |ios: u64| (1..1024).contains(&ios);
    match fio.0 == Some(0) && our.0 == Some(0) && some(fio.1) && some(our.1) {
        true => Ok(()),
        false => Err(format!("error and blocks verified: fio {fio:?}, ours {our:?}")),
    }
}
