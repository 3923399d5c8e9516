//! How long, how deep, how fast, with whom; and what is written about it.

use super::values::{
    by_direction, bytes, decimal, milliseconds, number, one_of, range, set_said, text, time,
    time_us,
};
use super::{OptionDoc, works};
use crate::job::{ExitWhat, Job, RateProcess, SteadyState};
use crate::jobfile::size::{flag, time_ns};

/// Most operations a job may keep in flight.
const IODEPTH_MAX: u64 = 65_536;
/// Most instances of a job.
const NUMJOBS_MAX: u64 = 1024;
/// Most percentiles, as in fio.
const PERCENTILES_MAX: usize = 20;

#[rustfmt::skip]
pub(super) static OPTIONS: &[OptionDoc] = &[
    works("iodepth", "", "N", "operations in flight; 1 unless told; counts whatever ioengine= says",
        |j, v| number(v, 1, IODEPTH_MAX).map(|n| j.iodepth = n as u32)),
    works("iodepth_batch", "iodepth_batch_submit", "N", "submit at most so many at once; all there is room for unless told",
        |j, v| number(v, 1, IODEPTH_MAX).map(|n| j.depth.batch = Some(n as u32))),
    works("iodepth_batch_complete_min", "iodepth_batch_complete", "N", "when the depth is reached, submit again after so many completions",
        |j, v| number(v, 0, IODEPTH_MAX).map(|n| j.depth.complete_min = n as u32)),
    works("iodepth_batch_complete_max", "", "N", "take at most so many completions at once, but not fewer than the minimum; all that have come unless told",
        |j, v| number(v, 0, IODEPTH_MAX).map(|n| j.depth.complete_max = (n > 0).then_some(n as u32))),
    works("iodepth_low", "", "N", "when the depth is reached, submit again when only so many are left",
        |j, v| number(v, 0, IODEPTH_MAX).map(|n| j.depth.low = (n > 0).then_some(n as u32))),
    works("numjobs", "", "N", "instances of the job",
        |j, v| number(v, 1, NUMJOBS_MAX).map(|n| j.numjobs = n as u32)),
    works("loops", "", "N", "how often to do it all",
        |j, v| number(v, 1, u64::from(u32::MAX)).map(|n| j.loops = n as u32)),
    works("number_ios", "", "N", "end after so many operations",
        |j, v| number(v, 0, i64::MAX as u64).map(|n| j.number_ios = (n > 0).then_some(n))),
    works("runtime", "timeout", "TIME", "stop after this long",
        |j, v| time(v).map(|t| j.runtime_ns = (t > 0).then_some(t))),
    works("time_based", "", "", "go on until runtime is over, again from the start when size is done",
        |j, v| flag(v).map(|b| j.time_based = b)),
    works("ramp_time", "", "TIME", "run this long before measuring",
        |j, v| time(v).map(|t| j.ramp_ns = t)),
    works("startdelay", "", "TIME[-TIME]", "begin this much later; drawn from the range, if it is one",
        |j, v| range(v.unwrap_or(""), time_ns).map(|r| j.start_delay_ns = r)),
    works("stonewall", "wait_for_previous", "", "wait for the jobs above to finish; a new reporting group",
        |j, v| flag(v).map(|b| j.stonewall = b)),
    works("wait_for", "", "JOB", "begin when all instances of that job, written above, have ended",
        |j, v| text(v).map(|t| j.wait_for = Some(t))),
    works("exitall", "", "", "when an instance ends, so do the others that exit_what names",
        |j, v| flag(v).map(|b| j.exitall = b)),
    works("exitall_on_error", "", "", "when an instance fails, the others that exit_what names end",
        |j, v| flag(v).map(|b| j.exitall_on_error = b)),
    works("exit_what", "", "group|stonewall|all", "whom exitall and exitall_on_error end: the reporting group unless told",
        exit_what),
    works("new_group", "", "", "a new reporting group",
        |j, v| flag(v).map(|b| j.new_group = b)),
    works("group_reporting", "", "", "one report for all instances of a group",
        |j, v| flag(v).map(|b| j.group_reporting = b)),
    works("rate", "", "SIZE[,SIZE]", "bytes a second; latencies then count from when an operation was due",
        |j, v| by_direction(v, |t| bytes(Some(t), 0)).map(|said| set_said(&mut j.pace.rate, said))),
    works("rate_iops", "", "N[,N]", "operations a second; latencies then count from when an operation was due",
        |j, v| by_direction(v, |t| number(Some(t), 0, 1 << 32)).map(|said| set_said(&mut j.pace.rate_iops, said))),
    works("rate_min", "ratemin", "SIZE[,SIZE]", "less than so many bytes a second end the job",
        |j, v| by_direction(v, |t| bytes(Some(t), 0)).map(|said| set_said(&mut j.pace.rate_min, said))),
    works("rate_iops_min", "", "N[,N]", "fewer than so many operations a second end the job",
        |j, v| by_direction(v, |t| number(Some(t), 0, 1 << 32)).map(|said| set_said(&mut j.pace.rate_iops_min, said))),
    works("rate_cycle", "ratecycle", "MSEC", "how often the minimum is looked at; 1000 unless told",
        |j, v| milliseconds(v).map(|ms| j.pace.cycle_ns = ms.max(1) * 1_000_000)),
    works("rate_process", "", "linear|poisson", "operations at equal distances, or as independent arrivals come",
        |j, v| match v.unwrap_or("") {
            "linear" => { j.pace.process = RateProcess::Linear; Ok(()) }
            "poisson" => { j.pace.process = RateProcess::Poisson; Ok(()) }
            other => Err(format!("'{other}' is not linear or poisson")),
        }),
    works("rate_ignore_thinktime", "", "", "what was missed while thinking is not caught up with",
        |j, v| flag(v).map(|b| j.pace.ignores_think = b)),
    works("thinktime", "", "TIME", "pause this long after thinktime_blocks operations; microseconds unless it says",
        |j, v| time_us(v).map(|t| j.think.time_ns = t)),
    works("thinktime_spin", "", "TIME", "the part of thinktime to spend on the CPU: a reactor that spins always does",
        |_, v| time_us(v).map(drop)),
    works("thinktime_blocks", "", "N", "operations between pauses; 1 unless told",
        |j, v| number(v, 1, i64::MAX as u64).map(|n| { j.think.blocks = n; j.think.blocks_given = true; })),
    works("thinktime_blocks_type", "", "complete|issue", "which operations count",
        |j, v| { one_of(v, &["complete", "issue"])?; j.think.counts_issued = v == Some("issue"); Ok(()) }),
    works("thinktime_iotime", "", "TIME", "pause after working for this long; seconds unless it says",
        |j, v| time(v).map(|t| j.think.io_time_ns = t)),
    works("latency_target", "", "TIME", "find the depth at which latency stays below this; microseconds unless it says",
        |j, v| time_us(v).map(|t| j.latency_target.target_ns = t)),
    works("latency_window", "", "TIME", "watch a depth for so long; microseconds unless it says",
        |j, v| time_us(v).map(|t| j.latency_target.window_ns = t)),
    works("latency_percentile", "", "PERCENT", "so many of the operations must stay below latency_target; 100 unless told",
        |j, v| decimal(v.unwrap_or(""), 0.0, 100.0).map(|p| j.latency_target.percentile = p)),
    works("latency_run", "", "", "go on when the depth is found",
        |j, v| flag(v).map(|b| j.latency_target.keeps_running = b)),
    works("max_latency", "", "TIME[,TIME]", "an operation that takes longer ends the job; microseconds unless it says",
        |j, v| by_direction(v, |t| time_us(Some(t))).map(|said| set_said(&mut j.max_latency_ns, said))),
    works("lat_percentiles", "", "", "percentiles of the whole latency, which completion latency then is too: nothing is counted as submitting",
        |j, v| flag(v).map(|b| j.lat_percentiles = b)),
    works("percentile_list", "", "P[:P...]", "percentiles to report, from lowest to highest",
        percentiles),
    works("bwavgtime", "", "MSEC", "how often bandwidth and IOPS are sampled for the report; 500 unless told",
        |j, v| milliseconds(v).map(|ms| j.sample_ns = ms.max(1) * 1_000_000)),
    works("steadystate", "ss", "iops|iops_slope|bw|bw_slope:LIMIT[%]", "end when the rate has been steady for steadystate_duration",
        steadystate),
    works("steadystate_duration", "ss_dur", "TIME", "how long it must be steady",
        |j, v| time(v).map(|t| j.steadystate_ns = t)),
    works("steadystate_ramp_time", "ss_ramp", "TIME", "do not look before this",
        |j, v| time(v).map(|t| j.steadystate_ramp_ns = t)),
    works("write_bw_log", "", "", "write PREFIX_bw.N.log: bandwidth over time",
        |j, v| log_prefix(j, v).map(|p| j.logs.bandwidth = Some(p))),
    works("write_lat_log", "", "", "write PREFIX_slat.N.log, PREFIX_clat.N.log and PREFIX_lat.N.log",
        |j, v| log_prefix(j, v).map(|p| j.logs.latency = Some(p))),
    works("write_iops_log", "", "", "write PREFIX_iops.N.log",
        |j, v| log_prefix(j, v).map(|p| j.logs.iops = Some(p))),
    works("write_hist_log", "", "", "write PREFIX_clat_hist.N.log: histograms over time",
        |j, v| log_prefix(j, v).map(|p| j.logs.histogram = Some(p))),
    works("log_avg_msec", "", "MSEC", "one line of the logs for so long; 0 (unless told) is one an operation",
        |j, v| milliseconds(v).map(|ms| j.logs.average_ms = ms)),
    works("log_max_value", "", "", "the largest of log_avg_msec, not the mean",
        |j, v| flag(v).map(|b| j.logs.largest = b)),
    works("log_offset", "", "", "a column with the offset",
        |j, v| flag(v).map(|b| j.logs.offset = b)),
    works("log_hist_msec", "", "MSEC", "one histogram for so long",
        |j, v| milliseconds(v).map(|ms| j.logs.histogram_ms = ms)),
    works("log_hist_coarseness", "", "N", "join 2^N classes of a histogram",
        |j, v| number(v, 0, 6).map(|n| j.logs.coarseness = n as u32)),
    works("per_job_logs", "", "", "the instance's number in the names of logs; on unless told",
        |j, v| flag(v).map(|b| j.logs.not_per_job = !b)),
];

fn exit_what(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    job.exit_what = match value.unwrap_or("") {
        "group" => ExitWhat::Group,
        "stonewall" => ExitWhat::Stonewall,
        "all" => ExitWhat::All,
        other => return Err(format!("'{other}' is not group, stonewall or all")),
    };
    Ok(())
}

fn percentiles(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    let list = value.unwrap_or("").split(':').map(|text| decimal(text.trim(), 0.0, 100.0));
    job.percentiles = list.collect::<Result<_, _>>()?;
    match job.percentiles.len() {
        1..=PERCENTILES_MAX => Ok(()),
        n => Err(format!("{n} percentiles; give 1 to {PERCENTILES_MAX}")),
    }
}

fn steadystate(job: &mut Job, value: Option<&str>) -> Result<(), String> {
    let value = value.unwrap_or("");
    let (what, limit) = value
        .split_once(':')
        .ok_or_else(|| format!("'{value}' has no limit; write for example iops:2%"))?;
    let (bandwidth, slope) = match what {
        "iops" => (false, false),
        "iops_slope" => (false, true),
        "bw" => (true, false),
        "bw_slope" => (true, true),
        other => {
            return Err(format!("'{other}' is not iops, iops_slope, bw or bw_slope"));
        }
    };
    let (limit, percent) = match limit.strip_suffix('%') {
        Some(percent) => (decimal(percent, 0.0, 100.0)?, true),
        None if bandwidth => (bytes(Some(limit), 0)? as f64, false),
        None => (decimal(limit, 0.0, 1e12)?, false),
    };
    job.steadystate = Some(SteadyState { bandwidth, slope, limit, percent });
    Ok(())
}

/// Without a value the job's name.
fn log_prefix(job: &Job, value: Option<&str>) -> Result<String, String> {
    match text(value)?.as_str() {
        "" => Ok(job.name.clone()),
        prefix => Ok(prefix.to_owned()),
    }
}
