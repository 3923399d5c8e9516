//! The charts of a job.

use super::directions;
use super::figures::{bandwidth, count, duration, grouped};
use super::svg::{Axis, Bar, Line, Scale, chart, linear_ticks, log_range, log_ticks, round_up};
use crate::stats::{DirectionStats, JobResult, Point, class_start_ns};

/// Percentiles over time, with their classes of style.
const OVER_TIME: [(f64, &str, &str); 3] =
    [(50.0, "50 %", "low"), (99.0, "99 %", "mid"), (99.9, "99.9 %", "high")];
/// Where a curve of percentiles is drawn.
const CURVE: [f64; 17] = [
    1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999,
    99.9995, 99.9999,
];

/// Of bandwidth.
const UNITS: [&str; 5] = ["B/s", "KiB/s", "MiB/s", "GiB/s", "TiB/s"];

/// All of them that there is something to draw in.
pub(super) fn all(entry: &JobResult) -> String {
    let mut out = over_time(entry);
    for (direction, name, class) in directions(entry) {
        let stats = entry.direction(direction);
        out += &latency_over_time(stats, name);
        out += &histogram(stats, name, class);
    }
    out += &percentiles(entry);
    format!("<div class=\"charts\">\n{out}</div>\n")
}

/// IOPS and bandwidth.
fn over_time(entry: &JobResult) -> String {
    let lines = |value: fn(&Point) -> f64| -> Vec<Line<'_>> {
        directions(entry)
            .map(|(direction, name, class)| {
                let series = &entry.direction(direction).series;
                let points = series.points().map(|(end, point)| (end, value(point))).collect();
                Line { name, class, points }
            })
            .collect()
    };
    let iops = time_chart("IOPS over time", &lines(Point::iops), &count);
    iops + &bandwidth_chart(&lines(Point::bytes_per_second))
}

fn time_chart(title: &str, lines: &[Line<'_>], text: &dyn Fn(f64) -> String) -> String {
    let Some((_, max)) = range(lines) else { return String::new() };
    let y =
        Axis { scale: Scale::Linear, min: 0.0, max: round_up(max), label: "", text, ticks: vec![] };
    chart(title, &time_axis(lines), &y, lines, &[])
}

/// Grid lines stand at round numbers of the unit, which is a power of two.
fn bandwidth_chart(lines: &[Line<'_>]) -> String {
    let Some((_, max)) = range(lines) else { return String::new() };
    let power = ((max.max(1.0).log2() / 10.0).floor() as usize).min(UNITS.len() - 1);
    let unit = 1024f64.powi(power as i32);
    let top = round_up(max / unit);
    let ticks = linear_ticks(0.0, top);
    let text = |tick: f64| format!("{} {}", trimmed(tick), UNITS[power]);
    let ticks = ticks.into_iter().map(|tick| (tick * unit, text(tick))).collect();
    let y = Axis {
        scale: Scale::Linear,
        min: 0.0,
        max: top * unit,
        label: "",
        text: &bandwidth,
        ticks,
    };
    chart("Bandwidth over time", &time_axis(lines), &y, lines, &[])
}

fn latency_over_time(stats: &DirectionStats, name: &str) -> String {
    let lines = OVER_TIME.map(|(percent, label, class)| {
        let points = stats.series.points();
        let points = points.filter_map(|(end, p)| Some((end, p.percentile(percent)? as f64)));
        Line { name: label, class, points: points.collect() }
    });
    let Some((min, max)) = range(&lines) else { return String::new() };
    let y = latency_axis(min, max, "");
    let title = format!("{name} latency over time");
    chart(&title, &time_axis(&lines), &y, &lines, &[])
}

/// The whole run: latency at each share of the operations, the last ones spread out.
fn percentiles(entry: &JobResult) -> String {
    let lines: Vec<Line<'_>> = directions(entry)
        .map(|(direction, name, class)| {
            let clat = &entry.direction(direction).clat;
            // With so many operations, the next percentile would be one of them or none.
            let told = |percent: &&f64| {
                **percent <= 50.0
                    || (100.0 - **percent) / 100.0 * clat.moments.count() as f64 >= 1.0
            };
            let points = CURVE.iter().filter(told);
            let points = points.map(|&p| (nines(p), clat.percentile(p).max(1) as f64)).collect();
            Line { name, class, points }
        })
        .collect();
    let Some((min, max)) = range(&lines) else { return String::new() };
    let last = lines.iter().flat_map(|line| &line.points).map(|point| point.0).fold(1.0, f64::max);
    let shown = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999];
    let ticks = shown.into_iter().map(|percent| (nines(percent), format!("{percent} %")));
    let x = Axis {
        scale: Scale::Linear,
        min: 0.0,
        max: last,
        label: "share of the operations",
        text: &|nines| format!("{} %", rounded_percent(nines)),
        ticks: ticks.filter(|(at, _)| *at <= last + 1e-9).collect(),
    };
    chart("Latency percentiles", &x, &latency_axis(min, max, ""), &lines, &[])
}

/// 90 % is 1, 99 % is 2, 99.9 % is 3.
fn nines(percent: f64) -> f64 {
    -((100.0 - percent) / 100.0).log10()
}

fn rounded_percent(nines: f64) -> f64 {
    let percent = 100.0 - 100.0 * 10f64.powf(-nines);
    (percent * 1e4).round() / 1e4
}

/// How many operations took how long, in classes of an eighth of an octave.
fn histogram(stats: &DirectionStats, name: &str, class: &str) -> String {
    let counts = stats.clat.by_class();
    let used = |count: &u64| *count > 0;
    let (Some(first), Some(last)) = (counts.iter().position(used), counts.iter().rposition(used))
    else {
        return String::new();
    };
    let start = |class: usize| class_start_ns(class).max(1) as f64;
    let bars: Vec<Bar<'_>> = (first..=last)
        .filter(|&at| counts[at] > 0)
        .map(|at| Bar {
            class,
            from: start(at),
            to: start(at + 1),
            height: counts[at] as f64,
            title: format!(
                "{} to {}: {} operations",
                duration(start(at)),
                duration(start(at + 1)),
                grouped(counts[at])
            ),
        })
        .collect();
    let x = latency_axis(start(first), start(last + 1), "latency");
    let most = counts.iter().max().copied().unwrap_or(1) as f64;
    let y = Axis {
        scale: Scale::Linear,
        min: 0.0,
        max: round_up(most),
        label: "",
        text: &count,
        ticks: vec![],
    };
    chart(&format!("{name} latency histogram"), &x, &y, &[], &bars)
}

/// From and to a round number.
fn latency_axis(min: f64, max: f64, label: &'static str) -> Axis<'static> {
    let (min, max) = log_range(min, max);
    Axis { scale: Scale::Log, min, max, label, text: &duration, ticks: latency_ticks(min, max) }
}

/// `10 ms`, where a value would be `10.0 ms`.
fn latency_ticks(min: f64, max: f64) -> Vec<(f64, String)> {
    let round = |ns: f64| {
        let text = duration(ns);
        let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
        format!("{} {unit}", number.parse().map_or_else(|_| number.to_owned(), trimmed))
    };
    log_ticks(min, max).into_iter().map(|tick| (tick, round(tick))).collect()
}

/// Seconds, or minutes, or hours: whatever is short to write.
fn time_axis(lines: &[Line<'_>]) -> Axis<'static> {
    let end = lines.iter().flat_map(|line| &line.points).map(|point| point.0).fold(0.0, f64::max);
    let (unit, label): (f64, &str) = match end {
        ..300.0 => (1.0, "seconds"),
        ..18_000.0 => (60.0, "minutes"),
        _ => (3600.0, "hours"),
    };
    let ticks = linear_ticks(0.0, end / unit);
    let ticks = ticks.into_iter().map(|tick| (tick * unit, trimmed(tick))).collect();
    let text = &|seconds: f64| format!("{} s", trimmed(seconds));
    Axis { scale: Scale::Linear, min: 0.0, max: end, label, text, ticks }
}

/// At most two digits behind the point, and none that say nothing.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The smallest and the largest value; `None` where there is nothing to draw.
fn range(lines: &[Line<'_>]) -> Option<(f64, f64)> {
    let values = lines.iter().flat_map(|line| &line.points).map(|point| point.1);
    values.fold(None, |range, value| {
        let (min, max) = range.unwrap_or((value, value));
        Some((value.min(min), value.max(max)))
    })
}
