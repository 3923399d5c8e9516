//! The line of `fio --minimal` (terse version 3): fields between semicolons, in fio's order.

use super::{Report, latency_shares, percentiles, shares};
use crate::generate::Direction;
use crate::stats::{DirectionStats, JobResult, Running};

/// Percentiles in a line, whether there are so many or not.
const PERCENTILES_SHOWN: usize = 20;

pub(super) fn report(report: &Report) -> String {
    report.entries.iter().map(|entry| line(report, entry)).collect()
}

fn line(report: &Report, entry: &JobResult) -> String {
    let error = entry.failure.as_ref().map_or(0, |failure| failure.errno);
    let mut fields: Vec<String> = vec![
        "3".into(),
        report.info.version.clone(),
        entry.job.name.clone(),
        entry.job.group.to_string(),
        error.to_string(),
    ];
    for way in [Direction::Read, Direction::Write] {
        let group_rate = report.group_total(entry.job.group, way).rate();
        direction(&mut fields, entry.direction(way), percentiles(entry), group_rate);
    }
    let share = |ns: u64| match entry.runtime_ns {
        0 => 0.0,
        total => ns as f64 * 100.0 / total as f64,
    };
    fields.push(format!("{:.6}%", share(entry.cpu.user_ns)));
    fields.push(format!("{:.6}%", share(entry.cpu.system_ns)));
    let cpu = entry.cpu;
    fields
        .extend([cpu.context_switches, cpu.major_faults, cpu.minor_faults].map(|n| n.to_string()));
    fields.extend(shares(&entry.depth.0, 0.1).iter().map(|share| format!("{share:3.1}%")));
    let latencies = latency_shares(entry);
    // What took less than a microsecond counts as two of them.
    let below: f64 = latencies[..10].iter().sum();
    for (class, share) in latencies[10..].iter().enumerate() {
        let share = if class == 0 { share + below } else { *share };
        fields.push(format!("{share:3.2}%"));
    }
    fields.extend(entry.job.description.clone());
    fields.join(";") + "\n"
}

fn direction(fields: &mut Vec<String>, stats: &DirectionStats, list: &[f64], group_rate: f64) {
    let rate = stats.bytes_per_second();
    let counts = [
        stats.bytes / 1024,
        (rate / 1024.0) as u64,
        stats.iops_mean() as u64,
        stats.runtime_ns / 1_000_000,
    ];
    fields.extend(counts.map(|count| count.to_string()));
    fields.extend(moments(&stats.slat));
    fields.extend(moments(&stats.clat.moments));
    for at in 0..PERCENTILES_SHOWN {
        fields.push(match list.get(at).filter(|_| stats.ios > 0) {
            Some(p) => format!("{p:.6}%={}", stats.clat.percentile(*p) / 1000),
            None => "0%=0".into(),
        });
    }
    fields.extend(moments(&stats.lat));
    let share = if group_rate > 0.0 {
        (stats.bw.mean * 1024.0 * 100.0 / group_rate).min(100.0)
    } else {
        0.0
    };
    fields.extend([
        stats.bw.min.to_string(),
        stats.bw.max.to_string(),
        format!("{share:.6}%"),
        format!("{:.6}", stats.bw.mean),
        format!("{:.6}", stats.bw.stddev),
    ]);
}

/// In microseconds.
fn moments(values: &Running) -> [String; 4] {
    [
        (values.min() / 1000).to_string(),
        (values.max() / 1000).to_string(),
        format!("{:.6}", values.mean() / 1000.0),
        format!("{:.6}", values.stddev() / 1000.0),
    ]
}
