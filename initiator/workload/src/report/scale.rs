//! Numbers in four characters, and latencies in the unit that suits them.

const BINARY: [&str; 6] = ["", "Ki", "Mi", "Gi", "Ti", "Pi"];
const DECIMAL: [&str; 6] = ["", "k", "M", "G", "T", "P"];

/// `value` in at most `digits` characters (the point counts), and the index of its prefix.
fn scaled(value: f64, base: f64, digits: usize) -> (String, usize) {
    let limit = 10f64.powi(digits as i32) - 0.5;
    let (mut value, mut prefix) = (value, 0);
    while value >= limit && prefix + 1 < BINARY.len() {
        value /= base;
        prefix += 1;
    }
    if prefix == 0 {
        return (format!("{value:.0}"), 0);
    }
    let text = (1..digits - 1)
        .rev()
        .map(|decimals| format!("{value:.decimals$}"))
        .find(|text| text.len() <= digits);
    (text.unwrap_or_else(|| format!("{value:.0}")), prefix)
}

/// `64.0KiB`, `4096B`.
pub(super) fn binary(bytes: f64, unit: &str) -> String {
    let (number, prefix) = scaled(bytes, 1024.0, 4);
    format!("{number}{}{unit}", BINARY[prefix])
}

/// `65.5kB`.
pub(super) fn decimal(value: f64, unit: &str) -> String {
    let (number, prefix) = scaled(value, 1000.0, 4);
    format!("{number}{}{unit}", DECIMAL[prefix])
}

/// `9362.4k`: as long as the columns of latencies are.
pub(super) fn long(value: f64) -> String {
    let (number, prefix) = scaled(value, 1000.0, 6);
    format!("{number}{}", DECIMAL[prefix])
}

/// A unit of time for a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeUnit {
    pub(super) name: &'static str,
    pub(super) ns: u64,
}

const NSEC: TimeUnit = TimeUnit { name: "nsec", ns: 1 };
const USEC: TimeUnit = TimeUnit { name: "usec", ns: 1_000 };
const MSEC: TimeUnit = TimeUnit { name: "msec", ns: 1_000_000 };

/// The largest unit in which the smallest value still has digits to tell apart and the largest is
/// long: more than 2 and more than 99.999 of the next unit down's thousands, as in fio.
pub(super) fn time_unit(min_ns: u64, max_ns: u64) -> TimeUnit {
    let suits = |unit: TimeUnit| min_ns > 2 * unit.ns && max_ns / (unit.ns / 1000) > 99_999;
    match () {
        () if suits(MSEC) => MSEC,
        () if suits(USEC) => USEC,
        () => NSEC,
    }
}
