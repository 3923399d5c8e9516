//! `verify_state_save` and `verify_state_load`: what a run that ended early has left is what a
//! later one checks.

use crate::backend::IoOp;
use crate::generate::Direction::{Read, Write};
use crate::runner::{Limits, Runner, RunnerProgress};
use crate::stats::JobResult;
use crate::testing::{Memory, PAYLOAD_BYTES_MAX, TURN_NS, finish, run, runner};

const BLOCK: u64 = 4096;

/// The state of a test's job, gone when the test ends.
struct State(String);

impl State {
    fn of(job: &str) -> State {
        let state = State(format!("local-{job}-0-verify.state"));
        let _ = std::fs::remove_file(&state.0);
        state
    }

    fn is_there(&self) -> bool {
        std::path::Path::new(&self.0).exists()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn said(result: &JobResult) -> String {
    result.failure.as_ref().map(|failure| failure.message.clone()).unwrap_or_default()
}

/// Turns until so many writes are done, and then forgets the runner, as a kill does.
fn killed_after(job: &str, writes: u64, backend: &mut Memory) {
    let mut runner = runner(job);
    let progress = runner.progress();
    for turn in 0.. {
        assert_ne!(runner.turn(turn * TURN_NS, backend), RunnerProgress::Finished);
        if progress.snapshot().ios >= writes {
            break;
        }
    }
    drop(runner);
    // What is in flight is torn: a part of it is there.
    for (_, io) in backend.queue.drain(..) {
        let IoOp::Write { file, offset, buf, .. } = io.op else { continue };
        let data = backend.files.get_mut(&backend.handles[file as usize]).expect("it is open");
        let (from, to) = (offset as usize, offset as usize + 100);
        data.resize(data.len().max(to), 0);
        data[from..to].copy_from_slice(&buf.as_ref()[..100]);
    }
}

fn job(name: &str, more: &str) -> String {
    format!("[{name}]\nrw=randwrite\nsize=1m\niodepth=8\nverify=crc32c\n{more}")
}

const SAVE: &str = "verify_state_save=1\n";
const LOAD: &str = "verify_only=1\nverify_state_load=1\n";

#[test]
fn a_run_that_is_killed_leaves_what_it_wrote_and_a_later_one_checks_that_and_no_more() {
    let name = "killed";
    let state = State::of(name);
    let mut backend = Memory::default();
    killed_after(&job(name, SAVE), 100, &mut backend);
    assert!(state.is_there());
    let all = run(&job(name, "verify_only=1\n"), &mut backend);
    assert!(
        said(&all).contains("bad magic") || said(&all).contains("end of file"),
        "{}",
        said(&all)
    );
    let checked = run(&job(name, LOAD), &mut backend);
    assert_eq!((said(&checked).as_str(), checked.direction(Write).ios), ("", 0));
    assert!((100..110).contains(&checked.direction(Read).ios), "{}", checked.direction(Read).ios);
    // The same by a job that reads.
    let reads = job(name, "verify_state_load=1\n").replace("randwrite", "read");
    let read = run(&reads, &mut backend);
    assert_eq!(
        (said(&read), read.direction(Read).ios),
        (said(&checked), checked.direction(Read).ios)
    );
    assert!(state.is_there(), "it may be checked once more");
}

#[test]
fn a_block_that_is_older_than_the_state_says_is_found() {
    let name = "older";
    let _state = State::of(name);
    let again = job(name, "norandommap\nio_size=4m\nverify_state_save=1\n");
    let mut backend = Memory::default();
    killed_after(&again, 300, &mut backend);
    let before = backend.files["older.0.0"].clone();
    let mut later = Memory { files: backend.files.clone(), ..Memory::default() };
    // The same job once more goes further; its blocks carry the same writer and other numbers.
    killed_after(&again, 900, &mut later);
    let load = job(name, &format!("norandommap\nio_size=4m\n{LOAD}"));
    assert_eq!(said(&run(&load, &mut later)), "");
    let now = &later.files["older.0.0"];
    let differs = |block: &u64| {
        let range = (block * BLOCK) as usize..((block + 1) * BLOCK) as usize;
        now[range.clone()] != before[range]
    };
    let block = (0..256).find(differs).expect("900 writes are more than 300");
    let range = (block * BLOCK) as usize..((block + 1) * BLOCK) as usize;
    later.files.get_mut("older.0.0").expect("it is there")[range.clone()]
        .copy_from_slice(&before[range]);
    let found = said(&run(&load, &mut later));
    assert!(found.contains("wrong write number") || found.contains("bad magic"), "{found}");
}

#[test]
fn a_state_goes_when_all_of_it_was_verified_and_stays_otherwise() {
    let (well, unread, stopped) = (State::of("well"), State::of("unread"), State::of("stopped"));
    assert_eq!(run(&job("well", SAVE), &mut Memory::default()).verify_state, None);
    assert!(!well.is_there());
    let backlog = "verify_state_save=1\nverify_backlog=16\n";
    assert_eq!(run(&job("well", backlog), &mut Memory::default()).verify_state, None);
    let result = run(&job("unread", "verify_state_save=1\ndo_verify=0\n"), &mut Memory::default());
    assert_eq!(result.verify_state.as_deref(), Some(&*unread.0));
    let mut backend = Memory::default();
    let mut runner = runner(&job("stopped", SAVE));
    for turn in 0..20 {
        runner.turn(turn * TURN_NS, &mut backend);
    }
    runner.stop();
    let result = finish(runner, &mut backend);
    assert_eq!(result.verify_state.as_deref(), Some(&*stopped.0));
    let checked = run(&job("stopped", LOAD), &mut backend);
    assert_eq!(
        (said(&checked).as_str(), checked.direction(Read).ios),
        ("", result.direction(Write).ios)
    );
}

#[test]
fn what_was_checked_as_the_job_went_on_is_checked_again_from_its_state() {
    let _state = State::of("backlog");
    let mut backend = Memory::default();
    killed_after(&job("backlog", "verify_state_save=1\nverify_backlog=8\n"), 120, &mut backend);
    let checked = run(&job("backlog", LOAD), &mut backend);
    assert_eq!(said(&checked), "");
    assert!(checked.direction(Read).ios > 50, "{}", checked.direction(Read).ios);
}

#[test]
fn a_state_that_is_not_this_jobs_is_refused() {
    let name = "notmine";
    let state = State::of(name);
    let load = |more: &str| {
        said(&run(&job(name, &format!("{LOAD}{more}")), &mut {
            let mut backend = Memory::default();
            backend.files.insert("notmine.0.0".into(), vec![0; 1 << 20]);
            backend
        }))
    };
    assert!(load("").contains("cannot be read"), "{}", load(""));
    std::fs::write(&state.0, [3; 600]).expect("written");
    assert!(load("").contains("is not a state that this client saved"), "{}", load(""));
    killed_after(&job(name, SAVE), 10, &mut Memory::default());
    assert_eq!(
        load("bs=8k\n").split("verify.state' ").nth(1),
        Some("is of units of 4096 bytes, this job verifies 8192")
    );
    assert!(
        load("offset=4k\n").contains("of other files, or of other parts"),
        "{}",
        load("offset=4k\n")
    );
    let bytes = std::fs::read(&state.0).expect("it is there");
    std::fs::write(&state.0, &bytes[..100]).expect("written");
    assert!(load("").contains("it was cut off"), "{}", load(""));
}

#[test]
fn two_runs_do_not_share_a_state() {
    let _state = State::of("shared");
    let mut backend = Memory::default();
    let mut first = runner(&job("shared", SAVE));
    for turn in 0..20 {
        first.turn(turn * TURN_NS, &mut backend);
    }
    let second = run(&job("shared", SAVE), &mut Memory::default());
    assert!(said(&second).contains("is another run's, which goes on"), "{}", said(&second));
    let reader = run(
        &job("shared", LOAD),
        &mut Memory { files: backend.files.clone(), ..Memory::default() },
    );
    assert!(said(&reader).contains("still goes on"), "{}", said(&reader));
    assert_eq!(finish(first, &mut backend).failure, None);
}

#[test]
fn options_of_the_state_that_make_no_sense_are_refused() {
    for (more, says) in [
        ("verify_state_load=1\n", "verify_state_load: a job that writes"),
        ("verify_state_load=1\nverify=0\n", "needs verify="),
    ] {
        let text = job("x", more);
        let error =
            crate::JobFile::parse(text.as_bytes(), "t").err().map(|error| error.to_string());
        let error = error.unwrap_or_default();
        assert!(error.contains(says.trim_start_matches("verify_state_load: ")), "{error}");
    }
    let file = crate::JobFile::parse(job("x", SAVE).as_bytes(), "t").expect("right");
    let limits = Limits { payload_bytes_max: PAYLOAD_BYTES_MAX };
    assert!(Runner::<Memory>::new(&crate::Instance::of(&file.jobs)[0], limits, 0).is_ok());
}
