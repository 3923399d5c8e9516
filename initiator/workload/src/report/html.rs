//! The report as one page: figures, charts and tables, with nothing to fetch from anywhere.
//!
//! The same results as in the JSON report, which is in the page too, for tools. Text that users
//! choose (job names, options, URLs) is escaped wherever it goes. The charts are SVG; colours are
//! told apart by the colour-blind, follow the reader's light or dark theme, and come with dashes.

mod charts;
mod figures;
mod svg;
mod tables;

use std::fmt::{self, Display};

use super::{Report, date};
use crate::generate::Direction;
use crate::stats::JobResult;

const STYLE: &str = include_str!("html/style.css");
/// Entries that are shown unfolded.
const OPEN_MAX: usize = 4;

/// The page.
pub(super) fn page(report: &Report) -> String {
    let names: Vec<&str> = report.entries.iter().map(|entry| &*entry.job.name).collect();
    let title = format!("{}: {}", report.info.version, names.join(", "));
    let entries: String =
        report.entries.iter().enumerate().map(|(at, e)| entry(e, at < OPEN_MAX)).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{heading}</h1><p>{version} · {date} UTC · process {pid}</p></header>\n\
         <main>\n{entries}{whole}</main>\n\
         <script type=\"application/json\" id=\"report\">{json}</script>\n</body>\n</html>\n",
        title = Text(&title),
        heading = Text(&names.join(", ")),
        version = Text(&report.info.version),
        date = date(report.info.unix_time_ms),
        pid = report.info.pid,
        whole = tables::whole_run(&report.info),
        // Neither can stand for itself in there; in JSON's strings both can be written so.
        json = report.json().replace('<', "\\u003c").replace('&', "\\u0026"),
    )
}

/// One job, or one group of instances.
fn entry(entry: &JobResult, open: bool) -> String {
    let job = &entry.job;
    let instances = match entry.instances {
        1 => String::new(),
        n => format!(" · {n} threads"),
    };
    let failure = entry.failure.as_ref().map_or_else(String::new, |failure| {
        format!("<p class=\"failure\">{}</p>\n", Text(&failure.message))
    });
    let description = job
        .description
        .as_ref()
        .map_or_else(String::new, |text| format!("<p>{}</p>\n", Text(text)));
    format!(
        "<details class=\"job\"{open}>\n<summary><h2>{name}</h2><span>{rw}{instances}</span></summary>\n\
         {description}{failure}{figures}{charts}<div class=\"tables\">{tables}</div>\n</details>\n",
        open = if open { " open=\"open\"" } else { "" },
        name = Text(&job.name),
        rw = Text(&option(entry, "rw").unwrap_or_default()),
        figures = figures::headline(entry),
        charts = charts::all(entry),
        tables = tables::of_entry(entry),
    )
}

/// The value of a job's option, as written.
fn option(entry: &JobResult, name: &str) -> Option<String> {
    let options = &entry.job.options;
    options.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

/// The directions that did something, with their names and classes of style.
fn directions(entry: &JobResult) -> impl Iterator<Item = (Direction, &'static str, &'static str)> {
    let all = [(Direction::Read, "Read", "read"), (Direction::Write, "Write", "write")];
    all.into_iter().filter(|&(direction, ..)| entry.direction(direction).ios > 0)
}

/// Text as it may stand in an element or in a quoted attribute.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // XML has no way to write these.
                c if c.is_control() && !matches!(c, '\n' | '\t') => f.write_str("\u{fffd}")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "html/tests.rs"]
mod tests;
