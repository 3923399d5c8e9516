//! Draws what the benchmarks and `tools/compare` have measured, as SVG: `plot history IN OUT`,
//! `plot compare IN OUT`. The tables are tab-separated, their first line not beginning with `#`
//! names the columns.

mod svg;
mod table;

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use crate::svg::{Bars, Group, Line, Lines};
use crate::table::{Table, median};

/// Charts of what was measured.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Instructions over commits: tools/bench/history.tsv.
    History {
        /// The table.
        table: PathBuf,
        /// The picture.
        picture: PathBuf,
    },
    /// Rates beside the kernel client's: results of tools/compare.
    Compare {
        /// The table.
        table: PathBuf,
        /// The picture.
        picture: PathBuf,
    },
}

fn main() -> Result<()> {
    let (table, picture, draw): (_, _, fn(&Table) -> Result<String>) = match Args::parse().what {
        What::History { table, picture } => (table, picture, history),
        What::Compare { table, picture } => (table, picture, compare),
    };
    let text = std::fs::read_to_string(&table).with_context(|| table.display().to_string())?;
    let drawn = Table::parse(&text).and_then(|table| draw(&table));
    let drawn = drawn.with_context(|| table.display().to_string())?;
    std::fs::write(&picture, drawn).with_context(|| picture.display().to_string())
}

/// One line for each operation; a figure that is not there leaves a gap at its beginning.
fn history(table: &Table) -> Result<String> {
    let commits = table.column("commit")?;
    let names = &table.columns[2..];
    let lines = names.iter().enumerate().map(|(index, name)| {
        let column = index + 2;
        let points = table.rows.iter().enumerate();
        let points = points.filter_map(|(x, row)| Some((x, row[column].parse().ok()?)));
        Line { name: name.clone(), points: points.collect() }
    });
    let lines = Lines {
        title: "Instructions an RPC or operation, by tools/bench/instructions".into(),
        ticks: table.rows.iter().map(|row| row[commits].clone()).collect(),
        lines: lines.collect(),
    };
    Ok(lines.draw())
}

/// Clients, and their rates as multiples of the kernel client's, round by round.
type Rates = Vec<(String, Vec<f64>)>;

/// For each job a bar for each client: the median of its rates as multiples of the kernel client's in
/// the same round, with which it has boot and moment in common.
fn compare(table: &Table) -> Result<String> {
    let [boot, round] = [table.column("boot")?, table.column("round")?];
    let [job, inline] = [table.column("job")?, table.column("inline")?];
    let [client, iops] = [table.column("contender")?, table.column("iops")?];
    let moment = |row: &[String]| [boot, round, job, inline].map(|column| row[column].clone());
    let rate = |row: &[String]| {
        row[iops].parse::<f64>().with_context(|| format!("no rate: {}", row[iops]))
    };
    let mut kernel = HashMap::new();
    for row in table.rows.iter().filter(|row| row[client] == "kernel") {
        kernel.insert(moment(row), rate(row)?);
    }
    let mut groups: Vec<(String, Rates)> = Vec::new();
    for row in &table.rows {
        let Some(kernel) = kernel.get(&moment(row)) else { continue };
        let group = entry(&mut groups, &format!("{}, {} inline", row[job], row[inline]));
        entry(group, &row[client]).push(rate(row)? / kernel);
    }
    if groups.is_empty() {
        bail!("no job was run with the kernel's client");
    }
    let title =
        "Operations a second, as a multiple of the kernel client's in the same round (median)";
    let middle = |(name, mut rates): (String, Vec<f64>)| (name, median(&mut rates));
    let group = |(name, clients): (String, Rates)| {
        let bars = clients.into_iter().map(middle).collect();
        Group { name, bars }
    };
    Ok(Bars { title: title.into(), groups: groups.into_iter().map(group).collect() }.draw())
}

/// What belongs to a name, in the order in which names come.
fn entry<'a, T: Default>(list: &'a mut Vec<(String, T)>, name: &str) -> &'a mut T {
    let index = list.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
        list.push((name.to_owned(), T::default()));
        list.len() - 1
    });
    &mut list[index].1
}

#[cfg(test)]
mod tests;
