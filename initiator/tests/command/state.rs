//! `verify_state_save` and `verify_state_load`, with a run that is killed in the middle.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Ran, command, finish, run};

const BLOCK: u64 = 4096;
/// Slow enough to be killed in the middle.
const JOB: &str = "--name=kept --rw=randwrite --verify=crc32c --size=16m --iodepth=16";
const STATE: &str = "local-kept-0-verify.state";

/// The program in a directory, with the target's files in another.
fn arguments(options: &str, files: &Path) -> Vec<String> {
    let line = format!("run --embedded --idle yield --output-format json {JOB} {options}");
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    words.extend(["--target-directory".to_owned(), files.display().to_string()]);
    words
}

fn runs(options: &str, files: &Path, beside: &Path) -> Ran {
    let mut command = command(arguments(options, files));
    command.current_dir(beside);
    run(command)
}

/// Runs it until so many blocks are said to be written, and sends a signal.
fn signalled(options: &str, files: &Path, beside: &Path, blocks: usize, signal: Signal) -> Ran {
    let mut command = command(arguments(options, files));
    command.current_dir(beside);
    let child = command.spawn().expect("the binary is there");
    let written = || {
        let bytes = std::fs::read(beside.join(STATE)).unwrap_or_default();
        bytes.chunks_exact(4).skip(8).filter(|word| *word != [0; 4]).count()
    };
    let began = Instant::now();
    while written() < blocks {
        assert!(began.elapsed() < Duration::from_secs(30), "only {} blocks", written());
        thread::sleep(Duration::from_millis(20));
    }
    kill(Pid::from_raw(child.id() as i32), signal).expect("it runs");
    finish(child, "a run that was signalled".to_owned())
}

#[test]
fn what_a_killed_run_wrote_is_verified_by_the_next_and_no_more() {
    let place = tempfile::tempdir().expect("a place");
    let (files, beside) = (place.path().join("files"), place.path().join("beside"));
    std::fs::create_dir(&files).expect("a directory");
    std::fs::create_dir(&beside).expect("a directory");
    let save = "--verify_state_save=1 --rate_iops=1500";
    signalled(save, &files, &beside, 500, Signal::SIGKILL);

    let load = "--verify_only=1 --verify_state_load=1";
    let report = runs(load, &files, &beside).status(0).json();
    let verified = report["jobs"][0]["read"]["total_ios"].as_u64().expect("a number");
    assert!((450..4096).contains(&verified), "{verified} blocks");
    assert_eq!(report["jobs"][0]["write"]["total_ios"], 0);
    // Without the state it is not known where the run had come to.
    runs("--verify_only=1", &files, &beside).fails(1, &["'kept.0.0'"]);

    // A block that the server lost, as the state knows.
    let bytes = std::fs::read(beside.join(STATE)).expect("the state is there");
    let complete = |word: &[u8]| word != [0; 4] && word[3] & 0x80 == 0;
    let block = bytes.chunks_exact(4).skip(8).position(complete).expect("one is complete") as u64;
    let mut content = std::fs::read(files.join("kept.0.0")).expect("the file is there");
    content[(block * BLOCK) as usize..((block + 1) * BLOCK) as usize].fill(0);
    std::fs::write(files.join("kept.0.0"), content).expect("it can be written");
    let says = format!("failed at offset {}", block * BLOCK);
    runs(load, &files, &beside).fails(1, &[&says, "bad magic"]);
}

#[test]
fn a_run_that_is_interrupted_says_where_its_state_is_and_one_that_ends_well_leaves_none() {
    let place = tempfile::tempdir().expect("a place");
    let (files, beside) = (place.path().join("files"), place.path().join("beside"));
    std::fs::create_dir(&files).expect("a directory");
    std::fs::create_dir(&beside).expect("a directory");
    let save = "--verify_state_save=1 --rate_iops=500";
    let ran = signalled(save, &files, &beside, 100, Signal::SIGINT).status(130);
    assert!(ran.stderr().contains(&format!("what it wrote is in ./{STATE}")), "{}", ran.stderr());
    assert!(beside.join(STATE).exists());
    runs("--verify_state_save=1", &files, &beside).status(0);
    assert!(!beside.join(STATE).exists(), "all of it has been verified");
}
