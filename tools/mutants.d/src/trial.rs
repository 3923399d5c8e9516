//! Runs programs of tests with one mutant living, until one of them notices.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::tree::Program;

/// What came of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A test failed, this one.
    Caught(String),
    /// A program did not end.
    Timeout(String),
    /// Nobody noticed.
    Missed,
    /// It is no program.
    Unviable,
}

/// A program with what is known of it when no mutant lives.
pub(crate) struct Trial {
    program: Program,
    limit: Duration,
    took: Duration,
    reached: BTreeSet<usize>,
}

/// CPU time, in seconds, and address space, in KiB, that no test needs; a mutant may ask for more and
/// more.
const LIMITS: &str = "ulimit -c 0 -t $1 -v 16000000; shift; exec \"$@\"";
/// CPU time beyond a multiple of what a program takes.
const LIMIT_MIN: Duration = Duration::from_secs(10);
const LIMIT_TIMES: u32 = 5;
/// CPU time without a mutant.
const LIMIT_FIRST: Duration = Duration::from_secs(600);
/// What ends a program that has had it.
const SIGXCPU: i32 = 24;
const SIGKILL: i32 = 9;
/// How much longer it may take by the clock: it may wait, or the machine have other work.
const WAIT_TIMES: u32 = 5;

/// Tests that want a machine of their own, and the simulator's, which runs as a program here.
pub(crate) fn is_wanted(program: &Program) -> bool {
    match (program.package.as_str(), program.name.as_str()) {
        ("tests", name) => name != "knfsd",
        ("sim", name) => name == "initiator-sim" && !program.is_test,
        _ => program.is_test,
    }
}

/// Looks at each program once without a mutant, for its time, and once for what it reaches. Those
/// that take least time come first.
pub(crate) fn prepare(
    programs: Vec<Program>,
    seeds: u32,
    work: &Path,
) -> anyhow::Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for program in programs {
        let mut trial =
            Trial { program, limit: LIMIT_FIRST, took: Duration::ZERO, reached: BTreeSet::new() };
        let start = Instant::now();
        let outcome = trial.run(seeds, &[("MUTANTS_LIVING", "none")])?;
        if outcome != Outcome::Missed {
            bail!("{} fails without a mutant: {outcome:?}", trial.name());
        }
        trial.took = start.elapsed();
        let list = work.join("reached");
        fs::write(&list, "").context("the list of reached functions cannot be written")?;
        // Tests that mind what is allocated or asked of the kernel mind the list as well.
        trial.run_on(seeds, &[("MUTANTS_REACHED", &list.to_string_lossy())])?;
        let reached = fs::read_to_string(&list)?;
        trial.reached = reached.lines().filter_map(|line| line.parse().ok()).collect();
        trial.limit = LIMIT_MIN + trial.took * LIMIT_TIMES;
        eprintln!("mutants: {} takes {:.1} s", trial.name(), trial.took.as_secs_f64());
        trials.push(trial);
    }
    trials.sort_by_key(|trial| trial.took);
    Ok(trials)
}

/// Trials with other builds of the same programs.
pub(crate) fn like(known: &[Trial], programs: Vec<Program>) -> Vec<Trial> {
    let another = |trial: &Trial| {
        let old = &trial.program;
        let same = |new: &&Program| {
            (&new.package, &new.name, new.is_test) == (&old.package, &old.name, old.is_test)
        };
        let program = programs.iter().find(same)?.clone();
        Some(Trial { program, reached: BTreeSet::new(), ..*trial })
    };
    known.iter().filter_map(another).collect()
}

/// Single tests that have noticed mutants, by file, the latest first: what is changed close by is
/// often noticed by the same ones.
#[derive(Default)]
pub(crate) struct Noticers(Mutex<BTreeMap<String, Vec<(String, String)>>>);

/// Most of them for a file.
const NOTICERS_MAX: usize = 6;

impl Noticers {
    fn of(&self, file: &str) -> Vec<(String, String)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(file).cloned().unwrap_or_default()
    }

    /// Those of earlier runs, the ones that noticed most first.
    pub(crate) fn of_earlier<'a>(outcomes: impl Iterator<Item = (&'a str, &'a Outcome)>) -> Self {
        let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for (file, outcome) in outcomes {
            if let Outcome::Caught(by) = outcome {
                *counts.entry(file).or_default().entry(by).or_default() += 1;
            }
        }
        let noticers = Self::default();
        for (file, counts) in counts {
            let mut counts: Vec<_> = counts.into_iter().collect();
            counts.sort_by_key(|(_, count)| *count);
            for (by, _) in counts {
                noticers.add(file, &Outcome::Caught(by.to_owned()));
            }
        }
        noticers
    }

    fn add(&self, file: &str, outcome: &Outcome) {
        let Outcome::Caught(by) = outcome else { return };
        let Some((program, test)) = by.split_once(' ') else { return };
        let noticer = (program.to_owned(), test.to_owned());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(file.to_owned()).or_default();
        known.retain(|other| *other != noticer);
        known.insert(0, noticer);
        known.truncate(NOTICERS_MAX);
    }
}

/// The trials for a mutant: first the tests that have noticed others of its file, then all programs,
/// those that take least time first. A function that a program never calls need not be tried with it.
pub(crate) fn judge(
    trials: &[Trial],
    noticers: &Noticers,
    file: &str,
    seeds: u32,
    number: usize,
    function: usize,
) -> anyhow::Result<Outcome> {
    let living = [("MUTANTS_LIVING", number.to_string())];
    let living = [(living[0].0, living[0].1.as_str())];
    let reaching = trials.iter().filter(|trial| trial.reached.contains(&function));
    let noticed_others = noticers.of(file);
    for trial in reaching.clone() {
        let own = noticed_others.iter().filter(|(program, _)| *program == trial.name());
        let tests: Vec<_> = own.map(|(_, test)| test.as_str()).collect();
        if !tests.is_empty() {
            let outcome = trial.run_until(&tests, seeds, &living, true)?;
            if outcome != Outcome::Missed {
                noticers.add(file, &outcome);
                return Ok(outcome);
            }
        }
    }
    let outcome = judge_by_all(reaching, seeds, &living)?;
    noticers.add(file, &outcome);
    Ok(outcome)
}

/// As [`judge`], for a build with one mutant and no other in it.
pub(crate) fn judge_alone(trials: &[Trial], seeds: u32) -> anyhow::Result<Outcome> {
    judge_by_all(trials.iter(), seeds, &[])
}

fn judge_by_all<'a>(
    trials: impl Iterator<Item = &'a Trial>,
    seeds: u32,
    environment: &[(&str, &str)],
) -> anyhow::Result<Outcome> {
    for trial in trials {
        let outcome = trial.run(seeds, environment)?;
        if outcome != Outcome::Missed {
            return Ok(outcome);
        }
    }
    Ok(Outcome::Missed)
}

impl Trial {
    fn name(&self) -> String {
        format!("{}/{}", self.program.package, self.program.name)
    }

    fn run(&self, seeds: u32, environment: &[(&str, &str)]) -> anyhow::Result<Outcome> {
        self.run_until(&[], seeds, environment, true)
    }

    fn run_on(&self, seeds: u32, environment: &[(&str, &str)]) -> anyhow::Result<Outcome> {
        self.run_until(&[], seeds, environment, false)
    }

    /// Runs these tests, or all if none is named.
    fn run_until(
        &self,
        tests: &[&str],
        seeds: u32,
        environment: &[(&str, &str)],
        stop: bool,
    ) -> anyhow::Result<Outcome> {
        let Program { path, directory, is_test, .. } = &self.program;
        let mut command = Command::new("bash");
        let seconds = self.limit.as_secs().to_string();
        command.args(["-c", LIMITS, "bash", &seconds]).arg(path).current_dir(directory);
        match is_test {
            true if tests.is_empty() => command.args(["--test-threads", "2"]),
            true => command.arg("--exact").args(tests),
            false => command.args(["--jobs", "1", "--seeds", &seeds.to_string()]),
        };
        command.env("CARGO_MANIFEST_DIR", directory).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("bash cannot be run")?;
        let out = child.stdout.take().context("its output was piped")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(out).split(b'\n').map_while(Result::ok);
            lines.for_each(|line| drop(sender.send(String::from_utf8_lossy(&line).into_owned())));
        });
        let start = Instant::now();
        let mut outcome = None;
        while outcome.is_none() {
            let wait = self.limit.saturating_mul(WAIT_TIMES);
            match lines.recv_timeout(wait.saturating_sub(start.elapsed())) {
                Ok(line) => {
                    let failed = line.strip_suffix(" ... FAILED").filter(|_| stop);
                    let test = failed.map(|line| line.trim_start_matches("test "));
                    outcome = test.map(|test| Outcome::Caught(format!("{} {test}", self.name())));
                }
                Err(RecvTimeoutError::Timeout) => outcome = Some(Outcome::Timeout(self.name())),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(outcome) = outcome {
            // It may have ended meanwhile.
            drop(child.kill());
            child.wait()?;
            return Ok(outcome);
        }
        Ok(match child.wait()? {
            status if status.success() => Outcome::Missed,
            status if status.signal() == Some(SIGXCPU) || status.signal() == Some(SIGKILL) => {
                Outcome::Timeout(self.name())
            }
            _ => Outcome::Caught(self.name()),
        })
    }
}
