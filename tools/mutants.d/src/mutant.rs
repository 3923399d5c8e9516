//! Mutants as cargo-mutants lists them, and the names by which the list of explained ones knows
//! them: those hold when lines move.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

/// A place in a source file, as cargo-mutants counts: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// From a place up to another.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: Place,
    pub(crate) end: Place,
}

/// One change of the source.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mutant {
    /// Path from the root of the project.
    pub(crate) file: String,
    pub(crate) package: String,
    pub(crate) genre: String,
    pub(crate) replacement: String,
    pub(crate) span: Span,
    name: String,
}

impl Mutant {
    /// What is changed into what, without the line.
    pub(crate) fn what(&self) -> &str {
        let parts = self.name.splitn(4, ':');
        parts.last().map_or("", str::trim)
    }

    /// File, line and what is changed.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The line that it changes, with the change's place marked; nothing for a whole function,
    /// which its name tells.
    pub(crate) fn marked(&self, source: &str) -> String {
        if self.genre == "FnValue" {
            return String::new();
        }
        let Span { start, end } = self.span;
        let line = source.lines().nth(start.line - 1).unwrap_or_default();
        let to = if end.line == start.line { end.column - 1 } else { line.chars().count() };
        let part = |from: usize, to: usize| -> String {
            line.chars().skip(from).take(to.saturating_sub(from)).collect()
        };
        let from = start.column - 1;
        let marked = format!("{}«{}»{}", part(0, from), part(from, to), part(to, usize::MAX));
        marked.trim().to_owned()
    }
}

/// What cargo-mutants makes of the files that its configuration names, or of what a diff changes
/// in them.
pub(crate) fn list(root: &Path, diff: Option<&Path>) -> anyhow::Result<Vec<Mutant>> {
    let diff = diff.iter().flat_map(|path| [OsStr::new("--in-diff"), path.as_os_str()]);
    let out = Command::new("cargo")
        .args(["mutants", "--workspace", "--list", "--json", "--colors=never"])
        .args(diff)
        .current_dir(root)
        .output()
        .context("cargo cannot be run")?;
    if !out.status.success() {
        let why = String::from_utf8_lossy(&out.stderr);
        let last = why.lines().last().unwrap_or_default();
        bail!("cargo mutants: {last} (if it is missing: cargo install cargo-mutants --locked)");
    }
    serde_json::from_slice(&out.stdout).context("cargo mutants --list --json has another form")
}
