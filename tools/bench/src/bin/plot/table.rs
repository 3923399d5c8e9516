//! Tab-separated tables.

use anyhow::{Context, Result, bail};

/// A table with a line of names.
#[derive(Debug)]
pub(crate) struct Table {
    /// Their names.
    pub(crate) columns: Vec<String>,
    /// As many fields each as there are columns.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads a table. Lines that begin with `#` are remarks.
    ///
    /// # Errors
    /// There is none, or a line has another number of fields.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
        let mut rows = Vec::new();
        for (number, line) in lines {
            let row: Vec<String> = line.split('\t').map(str::to_owned).collect();
            let first: &Vec<String> = rows.first().unwrap_or(&row);
            if row.len() != first.len() {
                bail!("line {}: {} fields, not {}", number + 1, row.len(), first.len());
            }
            rows.push(row);
        }
        if rows.len() < 2 {
            bail!("no line below the names of the columns");
        }
        Ok(Self { columns: rows.remove(0), rows })
    }

    /// Which column has the name.
    ///
    /// # Errors
    /// None has.
    pub(crate) fn column(&self, name: &str) -> Result<usize> {
        let found = self.columns.iter().position(|column| column == name);
        found.with_context(|| format!("there is no column {name}"))
    }
}

/// The middle one; of an even number, between the two in the middle.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        (values[middle - 1] + values[middle]) / 2.0
    } else {
        values[middle]
    }
}
