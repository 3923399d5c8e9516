//! Copies of the project in which mutants live, and their builds. One has all mutants that can be
//! switched at run time; the other is for those that have to be built one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::mutant::Mutant;
use crate::weave::{self, Arm, SWITCH};

/// Packages whose tests are run.
const TESTED: [&str; 6] = ["wire", "rpcrdma", "client", "system-tests", "initiator-sim", "fuzz"];
/// Packages that mutants are made of, with the features that the tests build them with.
const CHECKED: [&str; 7] = ["check", "-p", "wire", "-p", "rpcrdma", "-p", "client"];
const FEATURES: [&str; 2] = ["--features", "client/planted-faults"];

/// A copy of the project.
pub(crate) struct Tree {
    root: PathBuf,
    target: PathBuf,
}

/// A program of tests, or the simulator.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) package: String,
    /// Of its tests in `tests/`, or of the library or program.
    pub(crate) name: String,
    pub(crate) is_test: bool,
    pub(crate) path: PathBuf,
    /// Where its tests are to be run.
    pub(crate) directory: PathBuf,
}

/// The arms in each file.
type ByFile = BTreeMap<String, Vec<Arm>>;

/// What cargo says, as far as it matters.
#[derive(Deserialize)]
struct Message {
    reason: String,
    message: Option<Diagnostic>,
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
    spans: Vec<Spot>,
    children: Vec<Diagnostic>,
}

#[derive(Deserialize)]
struct Spot {
    file_name: String,
    line_start: usize,
    is_primary: bool,
}

impl Tree {
    /// A copy of what is versioned, or would be, but for the files that are going to have mutants.
    /// What has not changed since the last copy keeps its time, so that it need not be built again.
    pub(crate) fn copy(
        from: &Path,
        work: &Path,
        name: &str,
        without: &BTreeSet<String>,
    ) -> anyhow::Result<Self> {
        let tree = Self { root: work.join(name), target: work.join("target") };
        let out = Command::new("git")
            .args(["ls-files", "-co", "--exclude-standard"])
            .current_dir(from)
            .output()
            .context("git cannot be run")?;
        let list = String::from_utf8(out.stdout)?;
        let wanted = |path: &&str| !without.contains(*path) && from.join(path).is_file();
        for path in list.lines().filter(wanted) {
            tree.write(path, &fs::read(from.join(path))?)?;
            fs::set_permissions(
                tree.root.join(path),
                fs::metadata(from.join(path))?.permissions(),
            )?;
        }
        Ok(tree)
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.root.join(path);
        if fs::read(&path).is_ok_and(|present| present == bytes) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))
    }

    fn cargo(&self, args: &[&str]) -> anyhow::Result<(bool, Vec<Message>)> {
        let out = Command::new("cargo")
            .args(args)
            .args(["--locked", "--quiet", "--message-format=json"])
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .current_dir(&self.root)
            .stderr(Stdio::null())
            .output()
            .context("cargo cannot be run")?;
        let lines = out.stdout.split(|&byte| byte == b'\n');
        let messages = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        Ok((out.status.success(), messages))
    }

    /// Weaves the mutants in and finds those that the compiler accepts. Returns the arms, and those
    /// that it does not accept.
    pub(crate) fn weave(
        &self,
        from: &Path,
        mutants: &[Mutant],
    ) -> anyhow::Result<(Vec<Arm>, BTreeSet<usize>, BTreeSet<usize>)> {
        let mut unviable = BTreeSet::new();
        loop {
            let (by_file, alone) = self.write_woven(from, mutants, &unviable)?;
            let (built, messages) = self.cargo(&[&CHECKED[..], &FEATURES].concat())?;
            if built {
                let arms = by_file.into_values().flatten().collect();
                return Ok((arms, alone, unviable));
            }
            let before = unviable.len();
            for error in errors(&messages) {
                unviable.extend(error.arms(&by_file));
            }
            eprintln!("mutants: the compiler refuses {} so far", unviable.len());
            if unviable.len() == before {
                let first = errors(&messages).find_map(|error| error.rendered.clone());
                bail!("does not build: {}", first.unwrap_or_default());
            }
        }
    }

    fn write_woven(
        &self,
        from: &Path,
        mutants: &[Mutant],
        unviable: &BTreeSet<usize>,
    ) -> anyhow::Result<(ByFile, BTreeSet<usize>)> {
        let mut files: BTreeMap<&str, Vec<(usize, &Mutant)>> = BTreeMap::new();
        let numbered = mutants.iter().enumerate();
        for (number, mutant) in numbered.filter(|(number, _)| !unviable.contains(number)) {
            files.entry(&mutant.file).or_default().push((number, mutant));
        }
        let (mut arms, mut alone) = (BTreeMap::new(), BTreeSet::new());
        let mut crates = BTreeSet::new();
        for (file, own) in files {
            let text = fs::read_to_string(from.join(file))?;
            let woven = weave::weave(&text, &own).with_context(|| format!("{file}, to syn"))?;
            self.write(file, woven.text.as_bytes())?;
            arms.insert(file.to_owned(), woven.arms);
            alone.extend(woven.alone);
            crates.insert(library(file));
        }
        for library in crates {
            let text = fs::read_to_string(from.join(&library))?;
            self.write(&library, (text + SWITCH).as_bytes())?;
        }
        Ok((arms, alone))
    }

    /// Builds the tests of one package, or all of them; `None` when the compiler refuses.
    pub(crate) fn build(&self, package: Option<&str>) -> anyhow::Result<Option<Vec<Program>>> {
        let all = TESTED.iter().filter(|name| package.is_none_or(|package| package == **name));
        let packages = all.flat_map(|name| ["-p", name]);
        // The provider for real devices is not needed.
        let mut args =
            vec!["test", "--no-run", "--lib", "--bins", "--tests", "--no-default-features"];
        args.extend(packages);
        let (built, messages) = self.cargo(&args)?;
        if !built {
            return Ok(None);
        }
        Ok(Some(messages.into_iter().filter_map(Message::program).collect()))
    }
}

/// The first file of the crate that a file is of.
pub(crate) fn library(file: &str) -> String {
    let folder = file.split_once("/src/").map_or("", |(folder, _)| folder);
    format!("{folder}/src/lib.rs")
}

fn errors(messages: &[Message]) -> impl Iterator<Item = &Diagnostic> {
    let diagnostics = messages.iter().filter_map(|message| message.message.as_ref());
    diagnostics.filter(|diagnostic| diagnostic.level.starts_with("error"))
}

impl Diagnostic {
    /// The arms that an error is in: by its main spots if those are in one, or else by any.
    fn arms(&self, by_file: &ByFile) -> Vec<usize> {
        let hit = |spot: &&Spot| {
            let arms = by_file.get(&spot.file_name).map_or(&[][..], Vec::as_slice);
            let is_in = |lines: &Range<usize>| lines.contains(&spot.line_start);
            arms.iter().find(|arm| is_in(&arm.lines)).map(|arm| arm.number)
        };
        let main = self.spans.iter().filter(|spot| spot.is_primary);
        let found: Vec<usize> = main.filter_map(|spot| hit(&spot)).collect();
        if !found.is_empty() {
            return found;
        }
        let children = self.children.iter().flat_map(|child| &child.spans);
        self.spans.iter().chain(children).filter_map(|spot| hit(&spot)).take(1).collect()
    }
}

impl Message {
    fn program(self) -> Option<Program> {
        if self.reason != "compiler-artifact" {
            return None;
        }
        let directory = self.manifest_path?.parent()?.to_owned();
        let package = directory.file_name()?.to_string_lossy().into_owned();
        let (name, is_test) = (self.target?.name, self.profile?.test);
        Some(Program { package, name, is_test, path: self.executable?, directory })
    }
}
