//! fio's normal output.

use super::scale::{TimeUnit, binary, decimal, long, time_unit};
use super::{LATENCY_CLASSES, Report, date, latency_shares, shares};
use crate::generate::Direction;
use crate::job::Job;
use crate::stats::{DirectionStats, JobResult, Latencies, RateSamples, Running};
use std::fmt::Write;

const DIRECTIONS: [(Direction, &str); 2] = [(Direction::Read, "read"), (Direction::Write, "write")];
/// Rates above this many KiB/s are shown in MiB/s.
const KIB_RATE_MAX: u64 = 999_999;

pub(super) fn report(report: &Report) -> String {
    let mut out = String::new();
    for entry in &report.entries {
        self::entry(&mut out, report, entry);
    }
    for group in report.groups() {
        group_lines(&mut out, report, group);
    }
    counters(&mut out, report);
    out
}

pub(super) fn banner(jobs: &[Job], version: &str) -> String {
    let mut out = String::new();
    for job in jobs {
        let bs = job.bs.each_ref().map(|bs| {
            let shown = |bytes: u32| binary(bytes.into(), "B");
            format!("{}-{}", shown(bs.min), shown(bs.max))
        });
        line(
            &mut out,
            format_args!(
                "{}: (g={}): rw={}, bs=(R) {r}, (W) {w}, ioengine=initiator, iodepth={}",
                job.name,
                job.group,
                job.rw.name(),
                job.iodepth,
                r = bs[0],
                w = bs[1],
            ),
        );
        if job.numjobs > 1 {
            out.push_str("...\n");
        }
    }
    let instances: u32 = jobs.iter().map(|job| job.numjobs).sum();
    let plural = if instances == 1 { "" } else { "s" };
    line(&mut out, format_args!("{version}\nStarting {instances} thread{plural}"));
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
    out.push('\n');
}

fn entry(out: &mut String, report: &Report, entry: &JobResult) {
    let error = match &entry.failure {
        None => "err= 0".to_owned(),
        Some(failure) => format!("err={:2} ({})", failure.errno, failure.message),
    };
    line(
        out,
        format_args!(
            "\n{}: (groupid={}, jobs={}): {error}: pid={}: {}",
            entry.job.name,
            entry.job.group,
            entry.instances,
            report.info.pid,
            date(report.info.unix_time_ms)
        ),
    );
    if let Some(description) = &entry.job.description {
        line(out, format_args!("  Description  : [{description}]"));
    }
    for (direction, name) in DIRECTIONS {
        let stats = entry.direction(direction);
        if stats.ios > 0 {
            let group_rate = report.group_total(entry.job.group, direction).rate();
            direction_lines(out, name, stats, group_rate, super::percentiles(entry));
        }
    }
    latency_lines(out, entry);
    if entry.sync.moments.count() > 0 {
        out.push_str("  fsync/fdatasync/sync_file_range:\n");
        moments(out, "    sync", &entry.sync.moments);
        percentiles(out, "sync", &entry.sync, super::percentiles(entry));
    }
    tail_lines(out, entry);
}

fn direction_lines(
    out: &mut String,
    name: &str,
    stats: &DirectionStats,
    group_rate: f64,
    list: &[f64],
) {
    let rate = stats.bytes_per_second();
    line(
        out,
        format_args!(
            "  {name}: IOPS={}, BW={} ({})({}/{}msec)",
            decimal(stats.iops_mean().floor(), ""),
            binary(rate, "B/s"),
            decimal(rate, "B/s"),
            binary(stats.bytes as f64, "B"),
            stats.runtime_ns / 1_000_000
        ),
    );
    moments(out, "    slat", &stats.slat);
    moments(out, "    clat", &stats.clat.moments);
    moments(out, "     lat", &stats.lat);
    percentiles(out, "clat", &stats.clat, list);
    if stats.bw.samples > 0 {
        rates(out, &stats.bw, &stats.iops, group_rate);
    }
}

fn moments(out: &mut String, name: &str, values: &Running) {
    let unit = match values.stddev() > 1000.0 {
        true => time_unit(values.min(), values.max()),
        false => TimeUnit { name: "nsec", ns: 1 },
    };
    let scale = unit.ns as f64;
    line(
        out,
        format_args!(
            "{name} ({}): min={}, max={}, avg={:5.2}, stdev={:5.2}",
            unit.name,
            long((values.min() / unit.ns) as f64),
            long((values.max() / unit.ns) as f64),
            values.mean() / scale,
            values.stddev() / scale
        ),
    );
}

fn percentiles(out: &mut String, name: &str, latencies: &Latencies, list: &[f64]) {
    let values: Vec<u64> = list.iter().map(|p| latencies.percentile(*p)).collect();
    let (Some(&first), Some(&last)) = (values.first(), values.last()) else { return };
    let unit = time_unit(first, last);
    line(out, format_args!("    {name} percentiles ({}):", unit.name));
    let cells: Vec<String> = list
        .iter()
        .zip(values)
        .map(|(p, ns)| format!("{p:5.2}th=[{:5}]", (ns as f64 / unit.ns as f64).round()))
        .collect();
    let rows: Vec<String> = cells.chunks(4).map(|row| row.join(", ")).collect();
    line(out, format_args!("     | {}", rows.join(",\n     | ")));
}

fn rates(out: &mut String, bw: &RateSamples, iops: &RateSamples, group_rate: f64) {
    let (unit, scale) = match bw.max > KIB_RATE_MAX {
        true => ("MiB", 1024),
        false => ("KiB", 1),
    };
    let share = match group_rate > 0.0 {
        true => (bw.mean * 1024.0 * 100.0 / group_rate).min(100.0),
        false => 0.0,
    };
    line(
        out,
        format_args!(
            "   bw (  {unit}/s): min={:5}, max={:5}, per={share:3.2}%, avg={:5.2}, stdev={:5.2}, samples={}",
            bw.min / scale,
            bw.max / scale,
            bw.mean / scale as f64,
            bw.stddev / scale as f64,
            bw.samples
        ),
    );
    line(
        out,
        format_args!(
            "   iops        : min={:5}, max={:5}, avg={:5.2}, stdev={:5.2}, samples={}",
            iops.min, iops.max, iops.mean, iops.stddev, iops.samples
        ),
    );
}

fn latency_lines(out: &mut String, entry: &JobResult) {
    let shares = latency_shares(entry);
    for (range, unit, scale) in
        [(0..10, "nsec", 1), (10..20, "usec", 1_000), (20..32, "msec", 1_000_000)]
    {
        let cells: Vec<String> = range
            .filter(|&class| shares[class] > 0.0)
            .map(|class| match LATENCY_CLASSES.get(class) {
                Some(bound) => format!("{}={:.2}%", bound / scale, shares[class]),
                None => format!(">=2000={:.2}%", shares[class]),
            })
            .collect();
        for row in cells.chunks(5) {
            line(out, format_args!("  lat ({unit})   : {}", row.join(", ")));
        }
    }
}

fn tail_lines(out: &mut String, entry: &JobResult) {
    const DEPTHS: [&str; 7] = ["1", "2", "4", "8", "16", "32", ">=64"];
    const BATCHES: [&str; 7] = ["0", "4", "8", "16", "32", "64", ">=64"];
    let busy = |ns: u64| match entry.runtime_ns {
        0 => 0.0,
        total => ns as f64 * 100.0 / total as f64,
    };
    line(
        out,
        format_args!(
            "  cpu          : usr={:3.2}%, sys={:3.2}%, ctx={}, majf={}, minf={}",
            busy(entry.cpu.user_ns),
            busy(entry.cpu.system_ns),
            entry.cpu.context_switches,
            entry.cpu.major_faults,
            entry.cpu.minor_faults
        ),
    );
    let row = |names: [&str; 7], counts: &[u64; 7]| {
        let cells = names.iter().zip(shares(counts, 0.1));
        cells.map(|(name, share)| format!("{name}={share:.1}%")).collect::<Vec<_>>().join(", ")
    };
    line(out, format_args!("  IO depths    : {}", row(DEPTHS, &entry.depth.0)));
    line(out, format_args!("     submit    : {}", row(BATCHES, &entry.submitted.0)));
    line(out, format_args!("     complete  : {}", row(BATCHES, &entry.completed.0)));
    let [reads, writes, syncs] = entry.issued;
    line(
        out,
        format_args!(
            "     issued rwts: total={reads},{writes},0,{syncs} short={},{},0,0 dropped=0,0,0,0",
            entry.directions[0].short_ios, entry.directions[1].short_ios
        ),
    );
    line(
        out,
        format_args!(
            "     latency   : target={}, window={}, percentile={:.2}%, depth={}",
            entry.job.latency_target.target_ns / 1000,
            entry.job.latency_target.window_ns / 1000,
            entry.job.latency_target.percentile,
            entry.latency_depth
        ),
    );
}

fn group_lines(out: &mut String, report: &Report, group: u32) {
    line(out, format_args!("\nRun status group {group} (all jobs):"));
    for (direction, name) in [(Direction::Read, "READ"), (Direction::Write, "WRITE")] {
        let total = report.group_total(group, direction);
        if total.bytes == 0 {
            continue;
        }
        let (low, high) = (total.rate_min, total.rate_max);
        line(
            out,
            format_args!(
                "{name:>7}: bw={} ({}), {}-{} ({}-{}), io={} ({}), run={}-{}msec",
                binary(total.rate(), "B/s"),
                decimal(total.rate(), "B/s"),
                binary(low, "B/s"),
                binary(high, "B/s"),
                decimal(low, "B/s"),
                decimal(high, "B/s"),
                binary(total.bytes as f64, "B"),
                decimal(total.bytes as f64, "B"),
                total.runtime_ns_min / 1_000_000,
                total.runtime_ns_max / 1_000_000
            ),
        );
    }
}

/// The transport's counters, below what fio prints: an object is a line, a number by itself too.
fn counters(out: &mut String, report: &Report) {
    if report.info.counters.is_empty() {
        return;
    }
    out.push_str("\nTransport counters:\n");
    for (name, value) in &report.info.counters {
        let shown = match value {
            serde_json::Value::Object(group) => {
                let cells: Vec<String> =
                    group.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect();
                cells.join(", ")
            }
            other => plain(other),
        };
        line(out, format_args!("  {name:<13}: {shown}"));
    }
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
