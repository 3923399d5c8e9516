//! The journal: a line before and after everything that is asked of the server, so that after a kill
//! at any moment it is known what was promised, and what may have happened besides.
//!
//! ```text
//! w WRITE FIRST COUNT    these units are about to be written, under this number
//! a WRITE                the server has acknowledged that
//! s SYNC                 a Sync is about to be asked for
//! d SYNC                 it has succeeded: what was acknowledged before it was asked for is durable
//! ```
//!
//! Lines go to the kernel one by one, so that a process that is killed leaves all of them; its last
//! one may be cut off, and is left out then. No two writes of a unit are ever on the way together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::unit::{Found, UNIT, look};

/// Writes it.
pub(crate) struct Journal(File);

impl Journal {
    /// Begins a new one.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Ok(Self(File::create(path).with_context(|| path.display().to_string())?))
    }

    fn line(&mut self, line: &str) -> Result<()> {
        self.0.write_all(line.as_bytes()).context("the journal takes no more")
    }

    /// See the module.
    pub(crate) fn will_write(&mut self, write: u64, first: u64, count: u64) -> Result<()> {
        self.line(&format!("w {write} {first} {count}\n"))
    }

    /// See the module.
    pub(crate) fn written(&mut self, write: u64) -> Result<()> {
        self.line(&format!("a {write}\n"))
    }

    /// See the module.
    pub(crate) fn will_sync(&mut self, sync: u64) -> Result<()> {
        self.line(&format!("s {sync}\n"))
    }

    /// See the module.
    pub(crate) fn synced(&mut self, sync: u64) -> Result<()> {
        self.line(&format!("d {sync}\n"))
    }
}

/// What a journal says of one unit.
#[derive(Debug, Default)]
struct Unit {
    /// Writes of it that were sent, in their order.
    sent: Vec<u64>,
    /// How many of them are acknowledged: all but perhaps the last.
    acknowledged: usize,
    /// How many are durable.
    durable: usize,
}

/// What a journal says.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    units: BTreeMap<u64, Unit>,
    writes: BTreeMap<u64, (u64, u64)>,
    /// For each Sync that is not answered, what it will make durable.
    syncs: BTreeMap<u64, Vec<(u64, usize)>>,
    acknowledged: u64,
    syncs_done: u64,
}

/// What a file is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survivor {
    /// The client died, its server did not: everything acknowledged stands.
    Server,
    /// Both died: what was proven durable stands.
    Disk,
}

/// What came of a comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Units that have what they must.
    pub(crate) right: u64,
    /// Of them, those that show a write nobody was told of.
    pub(crate) beyond: u64,
    /// Of them, those that do not show the last write that was acknowledged, and need not.
    pub(crate) behind: u64,
    /// What is wrong, in words.
    pub(crate) wrong: Vec<String>,
}

impl Claims {
    /// Reads a journal.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let mut claims = Self::default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for (at, line) in whole.lines().enumerate() {
            claims
                .take(line)
                .with_context(|| format!("line {} of the journal, '{line}'", at + 1))?;
        }
        Ok(claims)
    }

    fn take(&mut self, line: &str) -> Result<()> {
        let mut words = line.split(' ');
        let kind = words.next().unwrap_or_default();
        let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>()?;
        match (kind, &numbers[..]) {
            ("w", &[write, first, count]) => self.sent(write, first, count),
            ("a", &[write]) => self.acknowledge(write)?,
            ("s", &[sync]) => {
                let so_far = self.units.iter().filter(|(_, unit)| unit.acknowledged > unit.durable);
                let so_far = so_far.map(|(&number, unit)| (number, unit.acknowledged)).collect();
                self.syncs.insert(sync, so_far);
            }
            ("d", &[sync]) => {
                self.syncs_done += 1;
                for (number, count) in self.syncs.remove(&sync).context("it was never asked for")? {
                    let unit = self.units.entry(number).or_default();
                    unit.durable = unit.durable.max(count);
                }
            }
            _ => bail!("it is no line of a journal"),
        }
        Ok(())
    }

    fn sent(&mut self, write: u64, first: u64, count: u64) {
        self.writes.insert(write, (first, count));
        for number in first..first + count {
            self.units.entry(number).or_default().sent.push(write);
        }
    }

    fn acknowledge(&mut self, write: u64) -> Result<()> {
        let (first, count) = self.writes.remove(&write).context("it was never sent")?;
        self.acknowledged += 1;
        for number in first..first + count {
            let unit = self.units.entry(number).or_default();
            unit.acknowledged = unit.sent.len();
        }
        Ok(())
    }

    /// Writes and Syncs that were acknowledged.
    pub(crate) fn acknowledged(&self) -> (u64, u64) {
        (self.acknowledged, self.syncs_done)
    }

    /// Holds a file to it: each unit has what was promised or what came after that, and there is
    /// nothing else in the file.
    pub(crate) fn judge(&self, file: &[u8], survivor: Survivor) -> Verdict {
        let mut verdict = Verdict::default();
        let places: BTreeSet<u64> =
            self.units.keys().copied().chain(0..file.len().div_ceil(UNIT) as u64).collect();
        for number in places {
            let start = file.len().min(number as usize * UNIT);
            let found = look(&file[start..file.len().min(start + UNIT)], number);
            self.judge_unit(number, found, survivor, &mut verdict);
        }
        verdict
    }

    fn judge_unit(&self, number: u64, found: Found, survivor: Survivor, verdict: &mut Verdict) {
        let none = Unit::default();
        let unit = self.units.get(&number).unwrap_or(&none);
        let promised = match survivor {
            Survivor::Server => unit.acknowledged,
            Survivor::Disk => unit.durable,
        };
        // Places in `sent`, from 1 on; 0 is that nothing was written.
        let place = match found {
            Found::Nothing => Some(0),
            Found::Write(write) => {
                unit.sent.iter().position(|&sent| sent == write).map(|at| at + 1)
            }
            Found::Rubbish => None,
        };
        match place {
            Some(place) if place >= promised => {
                verdict.right += 1;
                verdict.beyond += u64::from(place > unit.acknowledged);
                verdict.behind += u64::from(place < unit.acknowledged);
            }
            _ => verdict.wrong.push(format!(
                "unit {number}: found {found:?}; writes sent {:?}, of which {promised} are promised",
                unit.sent
            )),
        }
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
