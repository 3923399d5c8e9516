//! The list of mutants that no test can or need catch, with the reason for each:
//! `tools/mutants.d/explained.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::mutant::Mutant;

/// Path from the root of the project.
const LIST: &str = "tools/mutants.d/explained.toml";

/// What a mutant is known by when lines move: file, what is changed, and the line with the place
/// of the change marked, which is empty when it is a whole function.
pub(crate) type Key = (String, String, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    explained: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    reason: String,
    mutants: Vec<Key>,
}

/// Entries, each with its reason.
pub(crate) struct Explained(BTreeMap<Key, String>);

/// What a mutant is known by, given the text of its file.
pub(crate) fn key(mutant: &Mutant, text: &str) -> Key {
    (mutant.file.clone(), mutant.what().to_owned(), mutant.marked(text))
}

impl Explained {
    /// Reads the list, and sees to it that what it speaks of is in the sources.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(root.join(LIST)).context(LIST)?;
        let list: List = toml::from_str(&text).with_context(|| format!("{LIST} is malformed"))?;
        let mut entries = BTreeMap::new();
        for Group { reason, mutants } in list.explained {
            for key in mutants {
                if reason.trim().is_empty() {
                    bail!("{LIST}: no reason for {key:?}");
                }
                check(root, &key)?;
                if entries.insert(key.clone(), reason.clone()).is_some() {
                    bail!("{LIST}: twice: {key:?}");
                }
            }
        }
        Ok(Self(entries))
    }

    pub(crate) fn has(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    /// Entries about these files that are not among the mutants that live.
    pub(crate) fn stale<'a>(
        &'a self,
        files: &'a BTreeSet<String>,
        missed: &'a BTreeSet<Key>,
    ) -> impl Iterator<Item = &'a Key> {
        self.0.keys().filter(|key| files.contains(&key.0) && !missed.contains(*key))
    }
}

/// An entry names a line, or a function, that its file still has.
fn check(root: &Path, key: &Key) -> anyhow::Result<()> {
    let (file, what, marked) = key;
    let source = fs::read_to_string(root.join(file))
        .with_context(|| format!("{LIST}: an entry is about {file}"))?;
    let line = marked.replace(['«', '»'], "");
    let function = what.strip_prefix("replace ").unwrap_or(what);
    let function = function.split(" -> ").next().unwrap_or_default();
    let function = function.split(" with ").next().unwrap_or_default();
    let function = function.rsplit("::").next().unwrap_or_default();
    let is_there = match marked.is_empty() {
        true => source.contains(&format!("fn {function}")),
        false => source.lines().any(|present| present.trim() == line.trim()),
    };
    if !is_there {
        bail!("{LIST}: {file} has no longer what this entry is about: {what} {marked}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Explained;

    #[test]
    fn explained_mutants_are_of_the_sources_there_are() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        if let Err(error) = Explained::read(&root) {
            panic!("{error:#}");
        }
    }
}
