//! Counting and timing what was done.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};

use crate::work::Work;

/// Latencies above are counted as this.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Measures between the end of the ramp and the end of the run.
pub(crate) struct Meter {
    origin: Instant,
    ramp: Duration,
    end: Duration,
    latencies: Histogram<u64>,
    who: UsageWho,
    /// CPU time when measuring began.
    cpu_before: Option<Duration>,
}

impl Meter {
    /// Starts now; counts the CPU time of the calling thread, or of the process.
    pub(crate) fn start(work: &Work, who: UsageWho) -> Result<Self> {
        let (ramp, runtime) = work.times();
        let latencies = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
        Ok(Self {
            origin: Instant::now(),
            ramp,
            end: ramp + runtime,
            latencies: latencies.context("the histogram's bounds")?,
            who,
            cpu_before: None,
        })
    }

    /// The time since the start: one clock read.
    pub(crate) fn now(&mut self) -> Duration {
        let now = self.origin.elapsed();
        if now >= self.ramp && self.cpu_before.is_none() {
            self.cpu_before = Some(cpu(self.who));
        }
        now
    }

    /// Whether it is time to stop.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        now >= self.end
    }

    /// A call that began and ended then.
    pub(crate) fn record(&mut self, began: Duration, now: Duration) {
        if now >= self.ramp && now < self.end {
            self.latencies.saturating_record((now - began).as_nanos() as u64);
        }
    }

    /// Adds what another thread has measured beside.
    pub(crate) fn merge(&mut self, other: &Meter) -> Result<()> {
        self.latencies.add(&other.latencies).context("histograms of the same bounds")
    }

    /// What it comes to; to be called when it is over.
    pub(crate) fn outcome(self, work: &Work) -> Outcome {
        let cpu_used = cpu(self.who).saturating_sub(self.cpu_before.unwrap_or_default());
        let count = self.latencies.len();
        let seconds = (self.end - self.ramp).as_secs_f64();
        Outcome {
            count,
            iops: count as f64 / seconds,
            bytes: count * u64::from(work.bytes),
            mean_us: self.latencies.mean() / 1000.0,
            p50_us: self.latencies.value_at_quantile(0.5) as f64 / 1000.0,
            p99_us: self.latencies.value_at_quantile(0.99) as f64 / 1000.0,
            cpu_us: cpu_used.as_secs_f64() * 1e6 / count.max(1) as f64,
        }
    }
}

/// User and system time.
fn cpu(who: UsageWho) -> Duration {
    let Ok(usage) = getrusage(who) else { return Duration::ZERO };
    let part = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000)
    };
    part(usage.user_time()) + part(usage.system_time())
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Calls.
    pub(crate) count: u64,
    /// A second.
    pub(crate) iops: f64,
    /// Moved.
    pub(crate) bytes: u64,
    /// Mean latency.
    pub(crate) mean_us: f64,
    /// Median.
    pub(crate) p50_us: f64,
    /// One in a hundred takes longer.
    pub(crate) p99_us: f64,
    /// CPU time of ours for each call.
    pub(crate) cpu_us: f64,
}

impl Outcome {
    /// One line.
    pub(crate) fn json(&self) -> String {
        format!(
            "{{\"count\":{},\"iops\":{:.1},\"bytes\":{},\"mean_us\":{:.2},\"p50_us\":{:.2},\
             \"p99_us\":{:.2},\"cpu_us\":{:.3}}}",
            self.count, self.iops, self.bytes, self.mean_us, self.p50_us, self.p99_us, self.cpu_us
        )
    }
}
