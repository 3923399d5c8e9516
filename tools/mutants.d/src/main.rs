//! `tools/mutants`: makes the tests show that they notice mistakes.

mod explained;
mod ledger;
mod mutant;
mod report;
mod tree;
mod trial;
mod weave;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use clap::Parser;

use explained::{Explained, Key};
use ledger::Ledger;
use mutant::Mutant;
use tree::{Program, Tree};
use trial::{Noticers, Outcome, Trial};
use weave::Arm;

/// Runs the tests against cargo-mutants' mutants of the files that .cargo/mutants.toml names, and
/// fails when one is missed that tools/mutants.d/explained.toml does not explain, or when that
/// explains one that is not missed any more.
///
/// All mutants are built at once: each function becomes a match on the number of the mutant that
/// lives. Then the programs of tests and the simulator run with one living after the other, until one
/// fails: first single tests that have noticed mutants close by, then what takes least time. Mutants of
/// what cannot be switched (constants, const fn) are built one by one.
///
/// What came of each stays in target/mutants/outcomes.tsv.
#[derive(Parser)]
#[command(name = "tools/mutants")]
struct Args {
    /// Print the mutants, and do nothing more.
    #[arg(long)]
    list: bool,
    /// Only of files whose path has this in it; may be repeated.
    #[arg(long)]
    file: Vec<String>,
    /// Only of what this diff changes.
    #[arg(long)]
    in_diff: Option<PathBuf>,
    /// Only those that were missed last time, or never tried.
    #[arg(long)]
    again: bool,
    /// Leave those out that have to be built one by one.
    #[arg(long)]
    switched: bool,
    /// Only the tests of their own crates, which is quick; says nothing about those that it misses.
    #[arg(long)]
    own: bool,
    /// Seeds that the simulator runs for each mutant.
    #[arg(long, default_value_t = 20)]
    seeds: u32,
    /// Mutants that are tried at a time; 0 is one a core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let mut mutants = mutant::list(&root, args.in_diff.as_deref())?;
    let is_wanted = |mutant: &Mutant| args.file.iter().any(|part| mutant.file.contains(part));
    mutants.retain(|mutant| args.file.is_empty() || is_wanted(mutant));
    if mutants.is_empty() {
        bail!("no mutant is of that: .cargo/mutants.toml names the files");
    }
    if args.list {
        mutants.iter().for_each(|mutant| println!("{}", mutant.name()));
        return Ok(());
    }
    let explained = Explained::read(&root)?;
    let run = Run::new(root, mutants, args)?;
    run.try_all()?;
    let ledger = run.ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
    report::print(&run.keys, &ledger, &explained, run.args.in_diff.is_none())
}

/// One run over mutants, which are known by their index.
struct Run {
    args: Args,
    root: PathBuf,
    work: PathBuf,
    mutants: Vec<Mutant>,
    keys: Vec<Key>,
    ledger: Mutex<Ledger>,
}

impl Run {
    fn new(root: PathBuf, mutants: Vec<Mutant>, args: Args) -> anyhow::Result<Self> {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
        let work = target.join("mutants");
        fs::create_dir_all(&work)?;
        let mut texts = BTreeMap::new();
        for Mutant { file, .. } in &mutants {
            if !texts.contains_key(file) {
                texts.insert(file.clone(), fs::read_to_string(root.join(file))?);
            }
        }
        let mut keys: Vec<Key> = Vec::new();
        for mutant in &mutants {
            let mut key = explained::key(mutant, &texts[&mutant.file]);
            // Lines that are alike are told apart by their order.
            let same = |other: &&Key| {
                (&other.0, &other.2) == (&key.0, &key.2) && other.1.starts_with(&key.1)
            };
            let before = keys.iter().filter(same).count();
            if before > 0 {
                key.1 = format!("{} #{}", key.1, before + 1);
            }
            keys.push(key);
        }
        let ledger = Mutex::new(Ledger::open(&work));
        Ok(Self { args, root, work, mutants, keys, ledger })
    }

    fn note(&self, index: usize, outcome: Outcome) -> anyhow::Result<()> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.put(self.keys[index].clone(), outcome);
        Ok(ledger.save()?)
    }

    /// Those that this run is about, each with its index.
    fn wanted(&self) -> Vec<usize> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = |key: &Key| matches!(ledger.get(key), None | Some(Outcome::Missed));
        let all = 0..self.mutants.len();
        let wanted: Vec<_> =
            all.filter(|&index| !self.args.again || is_open(&self.keys[index])).collect();
        wanted.iter().for_each(|&index| ledger.forget(&self.keys[index]));
        wanted
    }

    fn try_all(&self) -> anyhow::Result<()> {
        let wanted = self.wanted();
        let mutants: Vec<_> = wanted.iter().map(|&index| self.mutants[index].clone()).collect();
        let mut changed: BTreeSet<_> = mutants.iter().map(|mutant| mutant.file.clone()).collect();
        changed.extend(mutants.iter().map(|mutant| tree::library(&mutant.file)));
        let tree = Tree::copy(&self.root, &self.work, "together", &changed)?;
        let (mut arms, alone, unviable) = tree.weave(&self.root, &mutants)?;
        // Lower crates first.
        arms.sort_by_key(|arm| Reverse(mutants[arm.number].file.clone()));
        for number in &unviable {
            self.note(wanted[*number], Outcome::Unviable)?;
        }
        eprintln!(
            "mutants: {} are built together, {} one by one, {} are no programs",
            arms.len(),
            alone.len(),
            unviable.len()
        );
        let mut trials = Vec::new();
        if !arms.is_empty() || !alone.is_empty() {
            let programs = self.programs(&tree, &mutants)?;
            trials = trial::prepare(programs, self.args.seeds, &self.work)?;
            self.try_woven(&trials, &arms, &mutants, &wanted)?;
        }
        if !self.args.switched && !alone.is_empty() {
            let plain = Tree::copy(&self.root, &self.work, "one-by-one", &BTreeSet::new())?;
            for number in alone {
                let outcome = self.alone(&plain, &trials, &mutants[number])?;
                self.tell(wanted[number], outcome)?;
            }
        }
        Ok(())
    }

    /// The programs of tests, with the mutants in them.
    fn programs(&self, tree: &Tree, mutants: &[Mutant]) -> anyhow::Result<Vec<Program>> {
        let own: BTreeSet<_> = mutants.iter().map(|mutant| mutant.package.as_str()).collect();
        let packages = if self.args.own { own.into_iter().map(Some).collect() } else { vec![None] };
        let mut programs = Vec::new();
        for package in packages {
            let built = tree.build(package)?;
            programs.extend(built.context("the tests do not build with the mutants")?);
        }
        programs.retain(trial::is_wanted);
        Ok(programs)
    }

    /// Tries mutants that are woven in.
    fn try_woven(
        &self,
        trials: &[Trial],
        arms: &[Arm],
        mutants: &[Mutant],
        wanted: &[usize],
    ) -> anyhow::Result<()> {
        let noticers = {
            let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            Noticers::of_earlier(ledger.by_file())
        };
        self.in_parallel(arms.len(), |at| {
            let Arm { number, function, .. } = arms[at];
            let (file, seeds) = (&mutants[number].file, self.args.seeds);
            let outcome = trial::judge(trials, &noticers, file, seeds, number, function)?;
            self.tell(wanted[number], outcome)
        })
    }

    fn tell(&self, index: usize, outcome: Outcome) -> anyhow::Result<()> {
        if matches!(outcome, Outcome::Missed | Outcome::Timeout(_)) {
            eprintln!("mutants: {outcome:?}: {}", self.mutants[index].name());
        }
        self.note(index, outcome)
    }

    /// Builds one mutant, and tries it with the tests of its package before it builds the others.
    fn alone(&self, tree: &Tree, known: &[Trial], mutant: &Mutant) -> anyhow::Result<Outcome> {
        let text = fs::read_to_string(self.root.join(&mutant.file))?;
        tree.write(&mutant.file, weave::apply(&text, mutant).as_bytes())?;
        let mut outcome = Outcome::Missed;
        let all = (!self.args.own).then_some(None);
        for package in [Some(mutant.package.as_str())].into_iter().chain(all) {
            let Some(programs) = tree.build(package)? else {
                outcome = Outcome::Unviable;
                break;
            };
            let trials = trial::like(known, programs);
            outcome = trial::judge_alone(&trials, self.args.seeds)?;
            if outcome != Outcome::Missed {
                break;
            }
        }
        tree.write(&mutant.file, text.as_bytes())?;
        Ok(outcome)
    }

    fn in_parallel(
        &self,
        count: usize,
        each: impl Fn(usize) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<()> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = if self.args.jobs == 0 { cores() } else { self.args.jobs };
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count {
                    return Ok(());
                }
                if at.is_multiple_of(50) {
                    eprintln!("mutants: {at} of {count}");
                }
                each(at)?;
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Ok(())))
        })
    }
}
