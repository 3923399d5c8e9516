//! What a run tells its user: text that reads like fio's, JSON that tools made for fio's read.
//!
//! Built off the I/O path from results of any number of cores. Where the numbers cannot mean what
//! fio's mean, the difference is said at the field.

mod html;
mod json;
mod scale;
mod terse;
#[cfg(test)]
mod tests;
mod text;

use crate::generate::Direction;
use crate::job::Job;
use crate::stats::{JobFailure, JobResult, per_second};

/// fio's default percentiles.
const PERCENTILES: [f64; 17] = [
    1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95,
    99.99,
];

/// What a job reports.
fn percentiles(entry: &JobResult) -> &[f64] {
    match entry.job.percentiles.is_empty() {
        true => &PERCENTILES,
        false => &entry.job.percentiles,
    }
}

/// fio's classes of latency, in nanoseconds: ten of nanoseconds, ten of microseconds, eleven of
/// milliseconds, and the rest.
const LATENCY_CLASSES: [u64; 31] = latency_classes();

const fn latency_classes() -> [u64; 31] {
    const STEPS: [u64; 10] = [2, 4, 10, 20, 50, 100, 250, 500, 750, 1000];
    let mut classes = [0; 31];
    let mut i = 0;
    while i < 30 {
        classes[i] = STEPS[i % 10] * [1, 1_000, 1_000_000][i / 10];
        i += 1;
    }
    classes[30] = 2_000_000_000;
    classes
}

/// What the runner of the whole knows and the jobs do not.
#[derive(Clone, Debug, Default)]
pub struct RunInfo {
    /// Who ran it: `initiator-0.1.0`.
    pub version: String,
    /// When it ended, milliseconds since 1970.
    pub unix_time_ms: u64,
    /// Process.
    pub pid: u32,
    /// `[global]` as written.
    pub global_options: Vec<(String, String)>,
    /// The transport's counters, in any shape; groups of them (objects) become lines of text.
    pub counters: serde_json::Map<String, serde_json::Value>,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Report {
    info: RunInfo,
    entries: Vec<JobResult>,
}

impl Report {
    /// Joins results, in any order, into a report. With `group_reporting` a group is one entry.
    pub fn new(info: RunInfo, mut results: Vec<JobResult>) -> Report {
        results.sort_by_key(|result| result.index);
        let mut entries: Vec<JobResult> = Vec::new();
        for result in results {
            let joins = |entry: &&mut JobResult| {
                entry.job.group == result.job.group
                    && entry.job.group_reporting
                    && result.job.group_reporting
            };
            match entries.last_mut().filter(joins) {
                Some(entry) => entry.merge(&result),
                None => entries.push(result),
            }
        }
        Report { info, entries }
    }

    /// The entries: one an instance, or one a group.
    pub fn entries(&self) -> &[JobResult] {
        &self.entries
    }

    /// The first thing that went wrong.
    pub fn failure(&self) -> Option<&JobFailure> {
        self.entries.iter().find_map(|entry| entry.failure.as_ref())
    }

    /// As fio prints it.
    pub fn text(&self) -> String {
        text::report(self)
    }

    /// As `fio --output-format=json` prints it.
    pub fn json(&self) -> String {
        json::report(self, false)
    }

    /// As `fio --output-format=json+` prints it: with the histograms of latencies.
    pub fn json_plus(&self) -> String {
        json::report(self, true)
    }

    /// As `fio --minimal` prints it: a line an entry, version 3.
    pub fn terse(&self) -> String {
        terse::report(self)
    }

    /// As one page for a browser; see docs/running.md.
    pub fn html(&self) -> String {
        html::page(self)
    }

    fn groups(&self) -> Vec<u32> {
        let mut groups: Vec<u32> = self.entries.iter().map(|entry| entry.job.group).collect();
        groups.dedup();
        groups
    }

    fn group_total(&self, group: u32, direction: Direction) -> GroupTotal {
        let mut total = GroupTotal::default();
        for entry in self.entries.iter().filter(|entry| entry.job.group == group) {
            let stats = entry.direction(direction);
            if stats.ios > 0 {
                total.add(stats.bytes, stats.runtime_ns);
            }
        }
        total
    }
}

/// The lines that fio prints before a run starts.
pub fn banner(jobs: &[Job], version: &str) -> String {
    text::banner(jobs, version)
}

/// A group's sum in one direction.
#[derive(Clone, Copy, Debug, Default)]
struct GroupTotal {
    bytes: u64,
    rate_min: f64,
    rate_max: f64,
    runtime_ns_min: u64,
    runtime_ns_max: u64,
}

impl GroupTotal {
    fn add(&mut self, bytes: u64, runtime_ns: u64) {
        let rate = per_second(bytes, runtime_ns);
        if self.bytes == 0 {
            (self.rate_min, self.runtime_ns_min) = (rate, runtime_ns);
        }
        self.bytes += bytes;
        self.rate_min = self.rate_min.min(rate);
        self.rate_max = self.rate_max.max(rate);
        self.runtime_ns_min = self.runtime_ns_min.min(runtime_ns);
        self.runtime_ns_max = self.runtime_ns_max.max(runtime_ns);
    }

    fn rate(&self) -> f64 {
        per_second(self.bytes, self.runtime_ns_max)
    }
}

/// An entry's operations by class of latency, in percent; tiny shares are not rounded to nothing.
fn latency_shares(entry: &JobResult) -> Vec<f64> {
    let mut counts = vec![0; LATENCY_CLASSES.len() + 1];
    for stats in &entry.directions {
        for (sum, n) in counts.iter_mut().zip(stats.clat.classes(&LATENCY_CLASSES)) {
            *sum += n;
        }
    }
    shares(&counts, 0.01)
}

/// Percent of the whole; what is not zero is at least `smallest`.
fn shares(counts: &[u64], smallest: f64) -> Vec<f64> {
    let total: u64 = counts.iter().sum();
    let share = |&count: &u64| match count {
        0 => 0.0,
        n => (n as f64 * 100.0 / total as f64).max(smallest),
    };
    counts.iter().map(share).collect()
}

/// The date as ctime(3) writes it, in UTC.
fn date(unix_time_ms: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = unix_time_ms / 1000;
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of year 0, so that leap days come last in their year.
    let from_march = day + 719_468;
    let (era, day_of_era) = (from_march / 146_097, from_march % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    format!(
        "{} {} {:>2} {:02}:{:02}:{:02} {year}",
        DAYS[(day % 7) as usize],
        MONTHS[month as usize],
        day_of_month,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}
