//! The line that shows how far a run is, when there is a terminal to show it on.
//!
//! Threading: the main thread's; it reads counters that the runners store once a turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use workload::{Instance, Phase, Progress, Snapshot};

/// How often the line changes.
const EVERY: Duration = Duration::from_millis(500);
/// Steps of the bar.
const STEPS: u64 = 1000;

/// See the module documentation.
pub(crate) struct ProgressLine {
    bar: Option<ProgressBar>,
    watched: Vec<Watched>,
    /// Connections that are down, of each mount.
    reconnecting: Vec<Arc<AtomicUsize>>,
    drawn: Instant,
    ios: u64,
    bytes: u64,
}

/// A job thread.
struct Watched {
    instance: Instance,
    progress: Arc<Progress>,
    /// Its clock when its files were ready: time limits count from there.
    ready_ns: Option<u64>,
}

impl ProgressLine {
    /// A line on the terminal, or one that nobody sees.
    pub(crate) fn new(visible: bool) -> Self {
        let bar = visible.then(|| {
            let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stdout());
            let style = ProgressStyle::with_template("[{bar:20}] {percent:>3}% {msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self {
            bar,
            watched: Vec::new(),
            reconnecting: Vec::new(),
            drawn: Instant::now(),
            ios: 0,
            bytes: 0,
        }
    }

    /// More jobs to watch.
    pub(crate) fn add(
        &mut self,
        watched: Vec<(Instance, Arc<Progress>)>,
        reconnecting: Arc<AtomicUsize>,
    ) {
        self.reconnecting.push(reconnecting);
        let watch = |(instance, progress)| Watched { instance, progress, ready_ns: None };
        self.watched.extend(watched.into_iter().map(watch));
    }

    /// Does something to the terminal that the line is on.
    pub(crate) fn aside(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Draws the line, if it is time.
    pub(crate) fn draw(&mut self) {
        let since = self.drawn.elapsed();
        let Some(bar) = self.bar.as_ref().filter(|_| since >= EVERY && !self.watched.is_empty())
        else {
            return;
        };
        let now: Vec<_> = self.watched.iter().map(|job| job.progress.snapshot()).collect();
        let ios: u64 = now.iter().map(|snapshot| snapshot.ios).sum();
        let bytes: u64 = now.iter().map(|snapshot| snapshot.bytes).sum();
        let per_second = |delta: u64| delta as f64 / since.as_secs_f64();
        let jobs = self.watched.iter_mut().zip(&now);
        let done = jobs.map(|(job, snapshot)| job.fraction(snapshot)).sum::<f64>();
        bar.set_position((done / now.len() as f64 * STEPS as f64) as u64);
        let (iops, rate) = (per_second(ios - self.ios), per_second(bytes - self.bytes));
        let down = self.reconnecting.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        bar.set_message(message(&now, iops, rate, down));
        (self.ios, self.bytes, self.drawn) = (ios, bytes, Instant::now());
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn message(now: &[Snapshot], iops: f64, rate: f64, down: usize) -> String {
    let busy = now.iter().filter(|job| job.phase != Phase::Finished).count();
    let in_flight: u64 = now.iter().map(|job| job.in_flight).sum();
    let phase = match now.iter().map(|job| job.phase).min().unwrap_or(Phase::Finished) {
        Phase::Opening => "opening",
        Phase::LayingOut => "laying out",
        Phase::Ramping => "ramping",
        Phase::Running => "running",
        Phase::Syncing => "syncing",
        Phase::Verifying => "verifying",
        Phase::Finished => "done",
    };
    let mib = rate / f64::from(1 << 20);
    let down = match down {
        0 => String::new(),
        _ => format!(", {down} connection(s) lost: reconnecting"),
    };
    format!("{busy} job(s) {phase}, {iops:.0} IOPS, {mib:.1} MiB/s, {in_flight} in flight{down}")
}

impl Watched {
    /// How much of it is done, by time where that ends it, else by bytes.
    fn fraction(&mut self, snapshot: &Snapshot) -> f64 {
        if snapshot.phase == Phase::Finished {
            return 1.0;
        }
        if snapshot.phase < Phase::Ramping {
            return 0.0;
        }
        let ready_ns = *self.ready_ns.get_or_insert(snapshot.elapsed_ns);
        let job = &self.instance.job;
        let of = |part: u64, whole: u64| (part as f64 / whole.max(1) as f64).min(1.0);
        let by_time =
            |limit_ns| of(snapshot.elapsed_ns.saturating_sub(ready_ns), job.ramp_ns + limit_ns);
        match (job.runtime_ns, job.io_size.or(job.size)) {
            (Some(limit_ns), _) if job.time_based => by_time(limit_ns),
            (_, Some(size)) => {
                // What is verified is read a second time.
                let passes = u64::from(job.loops) * if job.verifies_writes() { 2 } else { 1 };
                of(snapshot.bytes, size.saturating_mul(passes))
            }
            (Some(limit_ns), None) => by_time(limit_ns),
            (None, None) => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn a_run_without_a_server_looked_like_one_that_does_nothing() {
        assert!(message(&[], 0.0, 0.0, 2).contains("2 connection(s) lost: reconnecting"));
        assert!(!message(&[], 0.0, 0.0, 0).contains("reconnecting"));
    }
}
