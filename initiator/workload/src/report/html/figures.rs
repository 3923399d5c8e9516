//! The numbers that are looked at first, and how numbers are written on the page.

use super::super::scale;
use super::directions;
use crate::stats::JobResult;

/// A row of tiles for each direction.
pub(super) fn headline(entry: &JobResult) -> String {
    let mut rows = String::new();
    for (direction, name, class) in directions(entry) {
        let stats = entry.direction(direction);
        let tiles = [
            ("IOPS", count(stats.iops_mean())),
            ("bandwidth", bandwidth(stats.bytes_per_second())),
            ("mean latency", duration(stats.lat.mean())),
            ("median", duration(stats.clat.percentile(50.0) as f64)),
            ("99 %", duration(stats.clat.percentile(99.0) as f64)),
            ("99.99 %", duration(stats.clat.percentile(99.99) as f64)),
            ("longest", duration(stats.clat.moments.max() as f64)),
        ];
        let tiles: String = tiles.iter().map(|(label, value)| tile(label, value)).collect();
        rows += &format!("<div class=\"tiles {class}\"><h3>{name}</h3>{tiles}</div>\n");
    }
    if rows.is_empty() {
        rows = "<p class=\"quiet\">No reads or writes were measured.</p>\n".to_owned();
    }
    rows
}

fn tile(label: &str, value: &str) -> String {
    format!("<div class=\"tile\"><b>{value}</b><span>{label}</span></div>")
}

/// `47.4k`.
pub(super) fn count(value: f64) -> String {
    scale::decimal(value, "")
}

/// `185 MiB/s`.
pub(super) fn bandwidth(bytes_per_second: f64) -> String {
    let text = scale::binary(bytes_per_second, "B/s");
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    format!("{} {}", &text[..unit], &text[unit..])
}

/// Nanoseconds, with three digits: `672 µs`.
pub(super) fn duration(ns: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];
    let (unit_ns, name) = units.into_iter().find(|(unit, _)| ns >= *unit).unwrap_or((1.0, "ns"));
    let value = ns / unit_ns;
    match value {
        // Shorter than a nanosecond is none.
        _ if unit_ns == 1.0 => format!("{value:.0} {name}"),
        ..9.995 => format!("{value:.2} {name}"),
        ..99.95 => format!("{value:.1} {name}"),
        _ => format!("{value:.0} {name}"),
    }
}

/// 1234567 as `1 234 567`, with spaces that do not break.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}
