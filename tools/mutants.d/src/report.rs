//! The figures of a run, for each file, and its judgement.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;

use crate::explained::{Explained, Key};
use crate::ledger::Ledger;
use crate::trial::Outcome;

#[derive(Default)]
struct Row {
    mutants: u32,
    caught: u32,
    timeout: u32,
    unviable: u32,
    explained: u32,
    missed: u32,
}

/// Prints a table, then what is wrong. Whole files: the explanations can be judged as well.
pub(crate) fn print(
    keys: &[Key],
    ledger: &Ledger,
    explained: &Explained,
    whole_files: bool,
) -> anyhow::Result<()> {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let (mut missed, mut open) = (BTreeSet::new(), Vec::new());
    for key in keys {
        let row = rows.entry(&key.0).or_default();
        row.mutants += 1;
        match ledger.get(key) {
            Some(Outcome::Caught(_)) => row.caught += 1,
            Some(Outcome::Timeout(_)) => row.timeout += 1,
            Some(Outcome::Unviable) => row.unviable += 1,
            Some(Outcome::Missed) if explained.has(key) => row.explained += 1,
            Some(Outcome::Missed) => {
                row.missed += 1;
                open.push(key);
            }
            None => open.push(key),
        }
        if ledger.get(key) == Some(&Outcome::Missed) {
            missed.insert(key.clone());
        }
    }
    println!("| file | mutants | caught | timeout | unviable | explained | missed |");
    println!("|---|---|---|---|---|---|---|");
    let mut sum = Row::default();
    for (file, row) in &rows {
        row.print(file);
        sum.add(row);
    }
    sum.print("all");
    let files: BTreeSet<String> = rows.keys().map(|&file| file.to_owned()).collect();
    let stale: Vec<_> = explained.stale(&files, &missed).filter(|_| whole_files).collect();
    for (file, what, marked) in &open {
        println!("not caught: {file}: {what}\n    {marked}");
    }
    for (file, what, marked) in &stale {
        println!("explained, but not missed: {file}: {what}\n    {marked}");
    }
    if !open.is_empty() || !stale.is_empty() {
        bail!("{} not caught or not tried, {} explanations stale", open.len(), stale.len());
    }
    Ok(())
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.mutants += other.mutants;
        self.caught += other.caught;
        self.timeout += other.timeout;
        self.unviable += other.unviable;
        self.explained += other.explained;
        self.missed += other.missed;
    }

    fn print(&self, name: &str) {
        let Self { mutants, caught, timeout, unviable, explained, missed } = self;
        println!(
            "| {name} | {mutants} | {caught} | {timeout} | {unviable} | {explained} | {missed} |"
        );
    }
}
