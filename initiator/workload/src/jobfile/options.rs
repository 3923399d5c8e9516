//! The options of a job: one table that parses them, documents them and answers "did you mean".
//!
//! Every option of fio 3.33 is in it: what works, what is accepted because a job written for a
//! kernel client means nothing else by it here, and what is refused, each with its reason. The
//! parser, `initiator run --cmdhelp` and docs/fio-compat.md all read this table.

mod accepted;
mod randomness;
mod refused;
mod running;
mod shape;
mod values;
mod verifying;

use crate::error::{JobError, Place};
use crate::job::Job;

/// Longest path or text value.
const TEXT_BYTES_MAX: usize = 1024;

/// What an option does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what it does in fio.
    Works,
    /// It is read, checked and has no effect; the help says why.
    NoOp,
    /// A job that has it does not run; the help says why, or what to use.
    Refused,
}

/// How a value is set.
type Set = fn(&mut Job, Option<&str>) -> Result<(), String>;

/// An option.
#[derive(Clone, Copy, Debug)]
pub struct OptionDoc {
    /// Its name.
    pub name: &'static str,
    /// Its other name, or "".
    pub alias: &'static str,
    /// What a value looks like; empty when it is a flag.
    pub value: &'static str,
    /// Whether it does anything.
    pub effect: Effect,
    /// What it means, or why it is refused.
    pub help: &'static str,
    set: Option<Set>,
}

/// Every option a job may have, in the order the documentation shows them.
pub fn options() -> impl Iterator<Item = &'static OptionDoc> {
    let tables = [
        shape::OPTIONS,
        randomness::OPTIONS,
        running::OPTIONS,
        verifying::OPTIONS,
        accepted::OPTIONS,
        refused::OPTIONS,
    ];
    tables.into_iter().flatten()
}

/// The option of this name or alias.
pub fn option(name: &str) -> Option<&'static OptionDoc> {
    options().find(|o| o.name == name || (o.alias == name && !name.is_empty()))
}

/// Gives `job` an option.
pub(crate) fn apply(
    job: &mut Job,
    key: &str,
    value: Option<&str>,
    place: Place,
) -> Result<(), JobError> {
    let refuse = |message| Err(JobError::new(place.clone(), message));
    let Some(option) = option(key) else {
        return refuse(unknown(key));
    };
    let Some(set) = option.set else {
        return refuse(format!("option '{key}' is not supported: {}", option.help));
    };
    if !option.value.is_empty() && value.is_none_or(str::is_empty) {
        return refuse(format!("'{key}' needs a value: {key}={}", option.value));
    }
    set(job, value).map_err(|m| JobError::new(place.clone(), format!("{key}: {m}")))?;
    job.places.insert(option.name, place);
    Ok(())
}

fn unknown(key: &str) -> String {
    let mut shown: String = key.chars().take(64).collect();
    if shown.len() < key.len() {
        shown.push_str("...");
    }
    let names = options().filter(|o| o.effect != Effect::Refused).flat_map(|o| [o.name, o.alias]);
    let nearest = names
        .filter(|name| !name.is_empty())
        .map(|name| (distance(key, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4);
    match nearest {
        Some((_, name)) => format!("option '{shown}' is unknown; did you mean '{name}'?"),
        None => format!("option '{shown}' is unknown"),
    }
}

/// Levenshtein distance; far apart when the lengths are.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 4 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

const fn works(
    name: &'static str,
    alias: &'static str,
    value: &'static str,
    help: &'static str,
    set: Set,
) -> OptionDoc {
    OptionDoc { name, alias, value, effect: Effect::Works, help, set: Some(set) }
}

const fn no_op(
    name: &'static str,
    alias: &'static str,
    value: &'static str,
    help: &'static str,
    set: Set,
) -> OptionDoc {
    OptionDoc { name, alias, value, effect: Effect::NoOp, help, set: Some(set) }
}

const fn refused(name: &'static str, alias: &'static str, help: &'static str) -> OptionDoc {
    OptionDoc { name, alias, value: "", effect: Effect::Refused, help, set: None }
}
