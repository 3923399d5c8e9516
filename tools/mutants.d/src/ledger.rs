//! What came of each mutant, kept over runs in `target/mutants/outcomes.tsv`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::explained::Key;
use crate::trial::Outcome;

/// Outcomes by mutant.
pub(crate) struct Ledger {
    path: PathBuf,
    outcomes: BTreeMap<Key, Outcome>,
}

impl Ledger {
    /// That of earlier runs, if there were any.
    pub(crate) fn open(work: &Path) -> Self {
        let path = work.join("outcomes.tsv");
        let text = fs::read_to_string(&path).unwrap_or_default();
        Self { path, outcomes: text.lines().filter_map(entry).collect() }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Outcome> {
        self.outcomes.get(key)
    }

    /// All of them, each with the file of its mutant.
    pub(crate) fn by_file(&self) -> impl Iterator<Item = (&str, &Outcome)> {
        self.outcomes.iter().map(|((file, ..), outcome)| (file.as_str(), outcome))
    }

    pub(crate) fn put(&mut self, key: Key, outcome: Outcome) {
        self.outcomes.insert(key, outcome);
    }

    pub(crate) fn forget(&mut self, key: &Key) {
        self.outcomes.remove(key);
    }

    pub(crate) fn save(&self) -> std::io::Result<()> {
        let line = |((file, what, marked), outcome): (&Key, &Outcome)| {
            let (word, by) = match outcome {
                Outcome::Caught(by) => ("caught", by.as_str()),
                Outcome::Timeout(by) => ("timeout", by.as_str()),
                Outcome::Missed => ("missed", ""),
                Outcome::Unviable => ("unviable", ""),
            };
            format!("{file}\t{what}\t{marked}\t{word}\t{by}\n")
        };
        fs::write(&self.path, self.outcomes.iter().map(line).collect::<String>())
    }
}

fn entry(line: &str) -> Option<(Key, Outcome)> {
    let mut fields = line.split('\t').map(str::to_owned);
    let key = (fields.next()?, fields.next()?, fields.next()?);
    let (word, by) = (fields.next()?, fields.next()?);
    let outcome = match word.as_str() {
        "caught" => Outcome::Caught(by),
        "timeout" => Outcome::Timeout(by),
        "missed" => Outcome::Missed,
        _ => Outcome::Unviable,
    };
    Some((key, outcome))
}
