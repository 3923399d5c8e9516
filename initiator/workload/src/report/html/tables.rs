//! Tables: percentiles, options, and what the run as a whole knows of reactors and transport.

use serde_json::{Map, Value};

use super::super::{PERCENTILES, RunInfo};
use super::figures::{duration, grouped};
use super::{Text, directions};
use crate::stats::{JobResult, Latencies};

/// Objects within objects that are shown as tables of their own; deeper ones stay as JSON.
const DEPTH_MAX: usize = 3;

/// The tables of a job.
pub(super) fn of_entry(entry: &JobResult) -> String {
    let mut columns: Vec<(&str, &Latencies)> =
        directions(entry).map(|(d, name, _)| (name, &entry.direction(d).clat)).collect();
    if entry.sync.moments.count() > 0 {
        columns.push(("Commit", &entry.sync));
    }
    let options = entry.job.options.iter().map(|(key, value)| (key.clone(), value.clone()));
    let mut out = String::new();
    if !columns.is_empty() {
        out += &latencies(&columns);
    }
    out += &pairs("Work", &work(entry));
    out + &pairs("Job options", &options.collect::<Vec<_>>())
}

fn latencies(columns: &[(&str, &Latencies)]) -> String {
    let head: String = columns.iter().map(|(name, _)| format!("<th>{name}</th>")).collect();
    let row = |label: String, value: &dyn Fn(&Latencies) -> f64| {
        let cells = columns.iter().map(|(_, of)| format!("<td>{}</td>", duration(value(of))));
        format!("<tr><th>{label}</th>{}</tr>\n", cells.collect::<String>())
    };
    let mut rows = row("least".into(), &|of| of.moments.min() as f64);
    for percent in PERCENTILES {
        rows += &row(format!("{percent} %"), &|of| of.percentile(percent) as f64);
    }
    rows += &row("most".into(), &|of| of.moments.max() as f64);
    rows += &row("mean".into(), &|of| of.moments.mean());
    rows += &row("deviation".into(), &|of| of.moments.stddev());
    format!(
        "<table><caption>Completion latency</caption><thead><tr><th></th>{head}</tr></thead>\
         <tbody>{rows}</tbody></table>\n"
    )
}

fn work(entry: &JobResult) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (direction, name, _) in directions(entry) {
        let stats = entry.direction(direction);
        rows.push((format!("{name} operations"), grouped(stats.ios)));
        rows.push((format!("{name} bytes"), grouped(stats.bytes)));
        rows.push((format!("{name} done in part at first"), grouped(stats.short_ios)));
        rows.push((format!("{name} runtime"), duration(stats.runtime_ns as f64)));
    }
    let share = |ns: u64| match entry.runtime_ns {
        0 => "0 %".to_owned(),
        all => format!("{:.1} %", ns as f64 * 100.0 / all as f64),
    };
    rows.push(("Commits".into(), grouped(entry.sync.moments.count())));
    rows.push(("CPU, user".into(), share(entry.cpu.user_ns)));
    rows.push(("CPU, kernel".into(), share(entry.cpu.system_ns)));
    rows.push(("Context switches".into(), grouped(entry.cpu.context_switches)));
    rows
}

/// What concerns all jobs.
pub(super) fn whole_run(info: &RunInfo) -> String {
    let mut out = String::new();
    let mut rest = info.counters.clone();
    if let Some(Value::Array(reactors)) = rest.remove("reactors") {
        out += &self::reactors(&reactors);
    }
    let mut tables = object("Run", &rest, 1);
    tables += &pairs("Global options", &info.global_options);
    if !tables.is_empty() {
        out += &format!("<div class=\"tables\">{tables}</div>\n");
    }
    match &*out {
        "" => out,
        _ => format!("<section class=\"job\"><h2>Transport and reactors</h2>\n{out}</section>\n"),
    }
}

/// A bar for each reactor: how much of its time it had something to do.
fn reactors(reactors: &[Value]) -> String {
    let number = |reactor: &Value, key: &str| reactor[key].as_f64().unwrap_or(0.0);
    let mut rows = String::new();
    for reactor in reactors {
        let busy = number(reactor, "busy_percent").clamp(0.0, 100.0);
        let time = number(reactor, "busy_ns") + number(reactor, "idle_ns");
        let asleep = number(reactor, "slept_ns") * 100.0 / time.max(1.0);
        rows += &format!(
            "<tr><th>core {core}</th><td>{role}</td><td class=\"share\"><svg viewBox=\"0 0 100 8\" \
             preserveAspectRatio=\"none\" role=\"img\" aria-label=\"busy {busy:.1} %\"><rect \
             class=\"idle\" width=\"100\" height=\"8\"/><rect class=\"busy\" width=\"{busy:.2}\" \
             height=\"8\"/></svg></td><td>{busy:.1} %</td><td>{idle:.1} %</td><td>{asleep:.1} %</td><td>{turns}</td>\
             <td>{longest}</td><td>{stalls}</td></tr>\n",
            core = number(reactor, "core"),
            role = Text(reactor["role"].as_str().unwrap_or("")),
            idle = 100.0 - busy,
            turns = grouped(number(reactor, "turns") as u64),
            longest = duration(number(reactor, "turn_ns_max")),
            stalls = grouped(number(reactor, "stalls") as u64),
        );
    }
    format!(
        "<table class=\"wide\"><caption>Reactors</caption><thead><tr><th></th><th>role</th><th></th>\
         <th>busy</th><th>idle</th><th>of that asleep</th><th>turns</th><th>longest turn</th><th>stalls</th></tr></thead>\
         <tbody>{rows}</tbody></table>\n"
    )
}

/// The plain values of an object as a table, and one more for each object in it.
fn object(name: &str, values: &Map<String, Value>, depth: usize) -> String {
    let (mut plain, mut below) = (Vec::new(), String::new());
    for (key, value) in values {
        match value {
            Value::Null => {}
            Value::Object(map) if depth < DEPTH_MAX => below += &object(key, map, depth + 1),
            Value::Array(list) if depth < DEPTH_MAX && list.iter().all(Value::is_object) => {
                for (at, value) in list.iter().enumerate() {
                    let name = format!("{} {}", key.trim_end_matches('s'), at + 1);
                    let map = value.as_object().cloned().unwrap_or_default();
                    below += &object(&name, &map, depth + 1);
                }
            }
            value => plain.push((key.clone(), written(value))),
        }
    }
    pairs(name, &plain) + &below
}

fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => grouped(whole),
            (None, Some(number)) => format!("{number:.3}"),
            (None, None) => number.to_string(),
        },
        other => other.to_string(),
    }
}

fn pairs(caption: &str, rows: &[(String, String)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let rows = rows.iter().map(|(key, value)| {
        let kind = if value.len() > 24 { " class=\"long\"" } else { "" };
        format!("<tr><th>{}</th><td{kind}>{}</td></tr>\n", Text(key), Text(value))
    });
    format!(
        "<table><caption>{}</caption><tbody>{}</tbody></table>\n",
        Text(caption),
        rows.collect::<String>()
    )
}
