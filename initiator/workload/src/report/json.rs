//! The shape of `fio --output-format=json`, with our own things under "initiator".

use super::{LATENCY_CLASSES, Report, date, latency_shares, shares};
use crate::generate::Direction;
use crate::stats::{DepthCounts, DirectionStats, JobResult, Latencies, Running};
use serde::ser::{Serialize, SerializeMap, Serializer};

pub(super) fn report(report: &Report, bins: bool) -> String {
    let run = Run {
        version: &report.info.version,
        timestamp: report.info.unix_time_ms / 1000,
        timestamp_ms: report.info.unix_time_ms,
        time: date(report.info.unix_time_ms),
        global_options: Ordered(report.info.global_options.clone()),
        jobs: report.entries.iter().map(|entry| job(report, entry, bins)).collect(),
        initiator: &report.info.counters,
    };
    // Strings, numbers and lists of them: there is nothing in it that could fail.
    serde_json::to_string_pretty(&run).unwrap_or_default()
}

/// A map that keeps its order, as fio's do.
struct Ordered<V>(Vec<(String, V)>);

impl<V: Serialize> Serialize for Ordered<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct Run<'a> {
    #[serde(rename = "fio version")]
    version: &'a str,
    timestamp: u64,
    timestamp_ms: u64,
    time: String,
    #[serde(rename = "global options")]
    global_options: Ordered<String>,
    jobs: Vec<JobJson>,
    initiator: &'a serde_json::Map<String, serde_json::Value>,
}

#[derive(serde::Serialize)]
struct JobJson {
    jobname: String,
    groupid: u32,
    error: i32,
    eta: u64,
    elapsed: u64,
    #[serde(rename = "job options")]
    options: Ordered<String>,
    read: DirectionJson,
    write: DirectionJson,
    trim: DirectionJson,
    sync: SyncJson,
    job_runtime: u64,
    usr_cpu: f64,
    sys_cpu: f64,
    ctx: u64,
    majf: u64,
    minf: u64,
    iodepth_level: Ordered<f64>,
    iodepth_submit: Ordered<f64>,
    iodepth_complete: Ordered<f64>,
    latency_ns: Ordered<f64>,
    latency_us: Ordered<f64>,
    latency_ms: Ordered<f64>,
    latency_depth: u32,
    latency_target: u64,
    latency_percentile: f64,
    latency_window: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    steadystate: Option<SteadyJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    desc: Option<String>,
    initiator: Extra,
}

#[derive(serde::Serialize)]
struct SteadyJson {
    ss: String,
    duration: u64,
    attained: u8,
    criterion: String,
    data: SteadyMeans,
}

#[derive(serde::Serialize)]
struct SteadyMeans {
    bw_mean: u64,
    iops_mean: u64,
}

fn steady(entry: &JobResult) -> Option<SteadyJson> {
    let (rule, found) = (entry.job.steadystate?, entry.steady?);
    let what = if rule.bandwidth { "bw" } else { "iops" };
    let slope = if rule.slope { "_slope" } else { "" };
    let percent = if rule.percent { "%" } else { "" };
    Some(SteadyJson {
        ss: format!("{what}{slope}:{:.6}{percent}", rule.limit),
        duration: entry.job.steadystate_ns / 1_000_000_000,
        attained: found.attained.into(),
        criterion: format!("{:.6}{percent}", found.criterion),
        data: SteadyMeans {
            bw_mean: (found.bytes_mean / 1024.0) as u64,
            iops_mean: found.iops_mean as u64,
        },
    })
}

/// What fio has no key for.
#[derive(serde::Serialize)]
struct Extra {
    instances: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

#[derive(serde::Serialize)]
struct DirectionJson {
    io_bytes: u64,
    io_kbytes: u64,
    bw_bytes: u64,
    bw: u64,
    iops: f64,
    runtime: u64,
    total_ios: u64,
    short_ios: u64,
    drop_ios: u64,
    slat_ns: MomentsJson,
    clat_ns: MomentsJson,
    lat_ns: MomentsJson,
    bw_min: u64,
    bw_max: u64,
    bw_agg: f64,
    bw_mean: f64,
    bw_dev: f64,
    bw_samples: u64,
    iops_min: u64,
    iops_max: u64,
    iops_mean: f64,
    iops_stddev: f64,
    iops_samples: u64,
}

#[derive(serde::Serialize)]
struct SyncJson {
    total_ios: u64,
    lat_ns: MomentsJson,
}

#[derive(serde::Serialize)]
struct MomentsJson {
    min: u64,
    max: u64,
    mean: f64,
    stddev: f64,
    #[serde(rename = "N")]
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    percentile: Option<Ordered<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bins: Option<Ordered<u64>>,
}

fn job(report: &Report, entry: &JobResult, bins: bool) -> JobJson {
    let wanted = Wanted {
        percentiles: super::percentiles(entry),
        bins,
        of_whole: entry.job.lat_percentiles,
    };
    let share = |ns: u64| match entry.runtime_ns {
        0 => 0.0,
        total => ns as f64 * 100.0 / total as f64,
    };
    let group_rate = |d: Direction| report.group_total(entry.job.group, d).rate();
    let latencies = latency_shares(entry);
    JobJson {
        jobname: entry.job.name.clone(),
        groupid: entry.job.group,
        error: entry.failure.as_ref().map_or(0, |f| f.errno),
        eta: 0,
        elapsed: entry.elapsed_ns.div_ceil(1_000_000_000),
        options: Ordered(entry.job.options.clone()),
        read: direction(entry.direction(Direction::Read), group_rate(Direction::Read), &wanted),
        write: direction(entry.direction(Direction::Write), group_rate(Direction::Write), &wanted),
        trim: direction(&DirectionStats::default(), 0.0, &wanted),
        sync: SyncJson {
            total_ios: entry.sync.moments.count(),
            lat_ns: latencies_json(&entry.sync, &wanted),
        },
        job_runtime: entry.runtime_ns / 1_000_000,
        usr_cpu: share(entry.cpu.user_ns),
        sys_cpu: share(entry.cpu.system_ns),
        ctx: entry.cpu.context_switches,
        majf: entry.cpu.major_faults,
        minf: entry.cpu.minor_faults,
        iodepth_level: depths(["1", "2", "4", "8", "16", "32", ">=64"], &entry.depth),
        iodepth_submit: depths(["0", "4", "8", "16", "32", "64", ">=64"], &entry.submitted),
        iodepth_complete: depths(["0", "4", "8", "16", "32", "64", ">=64"], &entry.completed),
        latency_ns: classes(&latencies, 0..10, 1),
        latency_us: classes(&latencies, 10..20, 1_000),
        latency_ms: classes(&latencies, 20..32, 1_000_000),
        latency_depth: entry.latency_depth,
        // fio has the one in nanoseconds and the other in microseconds.
        latency_target: entry.job.latency_target.target_ns,
        latency_percentile: entry.job.latency_target.percentile,
        latency_window: entry.job.latency_target.window_ns / 1000,
        steadystate: steady(entry),
        desc: entry.job.description.clone(),
        initiator: Extra {
            instances: entry.instances,
            error_message: entry.failure.as_ref().map(|f| f.message.clone()),
        },
    }
}

fn direction(stats: &DirectionStats, group_rate: f64, wanted: &Wanted<'_>) -> DirectionJson {
    let rate = stats.bytes_per_second();
    DirectionJson {
        io_bytes: stats.bytes,
        io_kbytes: stats.bytes / 1024,
        bw_bytes: rate as u64,
        bw: (rate / 1024.0) as u64,
        iops: stats.iops_mean(),
        runtime: stats.runtime_ns / 1_000_000,
        total_ios: stats.ios,
        short_ios: stats.short_ios,
        drop_ios: 0,
        slat_ns: moments(&stats.slat),
        clat_ns: latencies_json(&stats.clat, wanted),
        lat_ns: match wanted.of_whole {
            true => latencies_json(&stats.clat, wanted),
            false => moments(&stats.lat),
        },
        bw_min: stats.bw.min,
        bw_max: stats.bw.max,
        bw_agg: match group_rate > 0.0 {
            true => (stats.bw.mean * 1024.0 * 100.0 / group_rate).min(100.0),
            false => 0.0,
        },
        bw_mean: stats.bw.mean,
        bw_dev: stats.bw.stddev,
        bw_samples: stats.bw.samples,
        iops_min: stats.iops.min,
        iops_max: stats.iops.max,
        iops_mean: stats.iops.mean,
        iops_stddev: stats.iops.stddev,
        iops_samples: stats.iops.samples,
    }
}

fn moments(values: &Running) -> MomentsJson {
    MomentsJson {
        min: values.min(),
        max: values.max(),
        mean: values.mean(),
        stddev: values.stddev(),
        count: values.count(),
        percentile: None,
        bins: None,
    }
}

fn latencies_json(latencies: &Latencies, wanted: &Wanted<'_>) -> MomentsJson {
    let named = |p: &f64| (format!("{p:.6}"), latencies.percentile(*p));
    if latencies.moments.count() == 0 {
        return moments(&latencies.moments);
    }
    let percentile = Some(Ordered(wanted.percentiles.iter().map(named).collect()));
    let bin = |(ns, count): (u64, u64)| (ns.to_string(), count);
    let bins = wanted.bins.then(|| Ordered(latencies.bins().into_iter().map(bin).collect()));
    MomentsJson { percentile, bins, ..moments(&latencies.moments) }
}

/// What is wanted of latencies.
struct Wanted<'a> {
    percentiles: &'a [f64],
    /// json+: the histogram itself.
    bins: bool,
    /// `lat_percentiles`: they are of the whole latency too.
    of_whole: bool,
}

fn depths(names: [&str; 7], counts: &DepthCounts) -> Ordered<f64> {
    let names = names.into_iter().map(str::to_owned);
    Ordered(names.zip(shares(&counts.0, 0.1)).collect())
}

fn classes(shares: &[f64], range: std::ops::Range<usize>, unit_ns: u64) -> Ordered<f64> {
    let name = |class: usize| match LATENCY_CLASSES.get(class) {
        Some(bound) => (bound / unit_ns).to_string(),
        None => ">=2000".to_owned(),
    };
    Ordered(range.map(|class| (name(class), shares[class])).collect())
}
