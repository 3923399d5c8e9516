//! What goes into a job's logs: a line for each operation, or for each stretch of time.
//!
//! Room for lines is made before the job begins, up to a maximum that is said when it is reached;
//! adding one allocates nothing. Only histograms, of which there are few a second, are allocated as
//! they come.

use crate::generate::Direction;
use crate::job::{Job, LogOptions};
use crate::stats::{HISTOGRAM_CLASSES, LogKind, LogLine, Logged, class_of};

/// Most lines of one log.
pub(crate) const LINES_MAX: usize = 1 << 20;
/// Most histograms of one log.
const HISTOGRAMS_MAX: usize = 1 << 14;
const MS: u64 = 1_000_000;

/// An operation that is complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completed {
    pub(super) direction: Direction,
    pub(super) bytes: u64,
    pub(super) offset: u64,
    pub(super) slat_ns: u64,
    pub(super) clat_ns: u64,
    pub(super) done_ns: u64,
}

/// What is summed up over a stretch of time.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    ios: u64,
    bytes: u64,
    /// Submission, completion and total latency.
    sums_ns: [u64; 3],
    largest_ns: [u64; 3],
}

/// A job's logs in the making.
#[derive(Debug)]
pub(super) struct Logger {
    options: LogOptions,
    logged: Logged,
    start_ns: u64,
    sums: [Sum; 2],
    sums_since_ns: u64,
    classes: [Box<[u32]>; 2],
    classes_since_ns: u64,
    block: [u32; 2],
}

impl Logger {
    /// `None` where no log is asked for. `ios` is how many operations are expected, if that is known.
    pub(super) fn new(job: &Job, thread: u32, ios: Option<u64>) -> Option<Self> {
        if !job.logs.any() {
            return None;
        }
        let lines = match (job.logs.average_ms, job.runtime_ns, ios) {
            (0, _, Some(ios)) => ios,
            (1.., Some(runtime_ns), _) => 2 * (runtime_ns / MS / job.logs.average_ms + 16),
            _ => LINES_MAX as u64,
        };
        let room = lines.min(LINES_MAX as u64) as usize;
        let asked = [
            (job.logs.latency.is_some(), LogKind::SubmissionLatency),
            (job.logs.latency.is_some(), LogKind::CompletionLatency),
            (job.logs.latency.is_some(), LogKind::Latency),
            (job.logs.bandwidth.is_some(), LogKind::Bandwidth),
            (job.logs.iops.is_some(), LogKind::Iops),
        ];
        let mut logged = Logged::new(thread);
        for (_, kind) in asked.into_iter().filter(|(asked, _)| *asked) {
            logged.lines.push((kind, Vec::with_capacity(room)));
        }
        let classes = [(); 2].map(|()| match job.logs.histogram {
            Some(_) => vec![0; HISTOGRAM_CLASSES].into(),
            None => Box::default(),
        });
        Some(Logger {
            options: job.logs.clone(),
            logged,
            start_ns: 0,
            sums: Default::default(),
            sums_since_ns: 0,
            classes,
            classes_since_ns: 0,
            block: [job.bs[0].min, job.bs[1].min],
        })
    }

    /// The measurement begins, in a job that began at `start_ns`.
    pub(super) fn start(&mut self, start_ns: u64, now_ns: u64) {
        self.start_ns = start_ns;
        (self.sums_since_ns, self.classes_since_ns) = (now_ns, now_ns);
        self.sums = Default::default();
    }

    /// Adds an operation.
    pub(super) fn add(&mut self, io: Completed) {
        let direction = io.direction as usize;
        let latencies = [io.slat_ns, io.clat_ns, io.slat_ns + io.clat_ns];
        if !self.classes[direction].is_empty() {
            self.turn_histograms(io.done_ns);
            self.classes[direction][class_of(io.clat_ns)] += 1;
        }
        if self.options.average_ms > 0 {
            self.turn_sums(io.done_ns);
            let sum = &mut self.sums[direction];
            sum.ios += 1;
            sum.bytes += io.bytes;
            for (at, ns) in latencies.into_iter().enumerate() {
                sum.sums_ns[at] += ns;
                sum.largest_ns[at] = sum.largest_ns[at].max(ns);
            }
            return;
        }
        let [slat, clat, lat] = latencies;
        let time_ms = io.done_ns.saturating_sub(self.start_ns) / MS;
        let bandwidth =
            (u128::from(io.bytes) * 1_000_000_000 / 1024 / u128::from(lat.max(1))) as u64;
        for (kind, lines) in &mut self.logged.lines {
            let value = match kind {
                LogKind::SubmissionLatency => slat,
                LogKind::CompletionLatency => clat,
                LogKind::Latency => lat,
                LogKind::Bandwidth => bandwidth,
                LogKind::Iops => 1,
            };
            let line = LogLine {
                time_ms,
                value,
                direction: io.direction,
                bytes: io.bytes as u32,
                offset: io.offset,
            };
            push(lines, line, &mut self.logged.dropped);
        }
    }

    /// Closes every stretch of time that is over.
    fn turn_sums(&mut self, now_ns: u64) {
        let stretch_ns = self.options.average_ms * MS;
        let mut lines = 0;
        while now_ns.saturating_sub(self.sums_since_ns) >= stretch_ns && lines < LINES_MAX {
            self.close_sums(self.sums_since_ns + stretch_ns, stretch_ns);
            lines += 1;
        }
    }

    fn close_sums(&mut self, end_ns: u64, stretch_ns: u64) {
        let time_ms = end_ns.saturating_sub(self.start_ns) / MS;
        for (direction, sum) in [Direction::Read, Direction::Write].into_iter().zip(self.sums) {
            let a_second = |amount: u64| {
                (u128::from(amount) * 1_000_000_000 / u128::from(stretch_ns.max(1))) as u64
            };
            for (kind, lines) in &mut self.logged.lines {
                let latency = match kind {
                    LogKind::SubmissionLatency => 0,
                    LogKind::CompletionLatency => 1,
                    LogKind::Latency => 2,
                    LogKind::Bandwidth | LogKind::Iops => 3,
                };
                let value = match (kind, sum.ios) {
                    // A stretch in which nothing came is a fact about the rate.
                    (LogKind::Bandwidth, _) => a_second(sum.bytes) / 1024,
                    (LogKind::Iops, _) => a_second(sum.ios),
                    (_, 0) => continue,
                    _ if self.options.largest => sum.largest_ns[latency],
                    (_, ios) => sum.sums_ns[latency] / ios,
                };
                let rate = latency == 3;
                if rate && !self.logged.seen[direction as usize] && sum.ios == 0 {
                    continue;
                }
                let line = LogLine { time_ms, value, direction, bytes: 0, offset: 0 };
                push(lines, line, &mut self.logged.dropped);
            }
            self.logged.seen[direction as usize] |= sum.ios > 0;
        }
        self.sums = Default::default();
        self.sums_since_ns = end_ns;
    }

    fn turn_histograms(&mut self, now_ns: u64) {
        let stretch_ns = self.options.histogram_ms * MS;
        let over = now_ns.saturating_sub(self.classes_since_ns) / stretch_ns.max(1);
        if over > 0 {
            self.classes_since_ns += over * stretch_ns;
            self.close_histograms(self.classes_since_ns);
        }
    }

    fn close_histograms(&mut self, end_ns: u64) {
        let time_ms = end_ns.saturating_sub(self.start_ns) / MS;
        for direction in [Direction::Read, Direction::Write] {
            let classes = &mut self.classes[direction as usize];
            if classes.iter().all(|&n| n == 0) {
                continue;
            }
            if self.logged.histograms.len() == HISTOGRAMS_MAX {
                self.logged.dropped += 1;
            } else {
                let block = self.block[direction as usize];
                self.logged.histograms.push((time_ms, direction, block, classes.clone()));
            }
            classes.fill(0);
        }
    }

    /// What was logged.
    pub(super) fn finish(mut self, now_ns: u64) -> Logged {
        if self.sums.iter().any(|sum| sum.ios > 0) {
            self.turn_sums(now_ns);
            let rest_ns = now_ns.saturating_sub(self.sums_since_ns);
            if self.sums.iter().any(|sum| sum.ios > 0) {
                self.close_sums(now_ns, rest_ns);
            }
        }
        self.close_histograms(now_ns);
        self.logged
    }
}

/// Without growing.
fn push(lines: &mut Vec<LogLine>, line: LogLine, dropped: &mut u64) {
    match lines.len() < lines.capacity() {
        true => lines.push(line),
        false => *dropped += 1,
    }
}
