//! What is counted of a job instance, and how instances are merged.
//!
//! Owned by one runner and written on its core only; merged after the run.

mod latency;
mod logged;
mod result;
mod running;
mod series;
#[cfg(test)]
mod tests;

pub use latency::Latencies;
pub(crate) use logged::{HISTOGRAM_CLASSES, class_ns, class_of};
pub use logged::{LogKind, LogLine, Logged};
pub use result::{CpuUse, DepthCounts, JobFailure, JobResult, Steady};
pub use running::{RateSamples, Running};
pub(crate) use series::class_start_ns;
pub use series::{Point, Series};

/// Bandwidth and IOPS are sampled this often (fio's bwavgtime and iopsavgtime).
pub(crate) const SAMPLE_NS: u64 = 500_000_000;

/// One direction's numbers.
#[derive(Clone, Debug, Default)]
pub struct DirectionStats {
    /// Operations completed.
    pub ios: u64,
    /// Bytes they moved.
    pub bytes: u64,
    /// Operations the server did only a part of at first.
    pub short_ios: u64,
    /// Time the direction was running.
    pub runtime_ns: u64,
    /// From the operation being made to the queue taking it.
    pub slat: Running,
    /// From the queue taking it to its result.
    pub clat: Latencies,
    /// Both together.
    pub lat: Running,
    /// Bandwidth samples, KiB/s.
    pub bw: RateSamples,
    /// IOPS samples.
    pub iops: RateSamples,
    /// All of it over time.
    pub series: Series,
}

impl DirectionStats {
    /// Counts an operation that was made, taken and completed at these times.
    pub(crate) fn record(&mut self, bytes: u64, made_ns: u64, taken_ns: u64, done_ns: u64) {
        self.ios += 1;
        self.bytes += bytes;
        self.slat.add(taken_ns.saturating_sub(made_ns));
        self.clat.add(done_ns.saturating_sub(taken_ns));
        self.lat.add(done_ns.saturating_sub(made_ns));
        self.series.record(done_ns.saturating_sub(taken_ns));
    }

    /// Takes in another instance's numbers. Runtime is the longer one's, as in fio.
    pub fn merge(&mut self, other: &DirectionStats) {
        self.ios += other.ios;
        self.bytes += other.bytes;
        self.short_ios += other.short_ios;
        self.runtime_ns = self.runtime_ns.max(other.runtime_ns);
        self.slat.merge(&other.slat);
        self.clat.merge(&other.clat);
        self.lat.merge(&other.lat);
        self.bw.merge(&other.bw);
        self.iops.merge(&other.iops);
        self.series.merge(&other.series);
    }

    /// Operations a second while it ran.
    pub fn iops_mean(&self) -> f64 {
        per_second(self.ios, self.runtime_ns)
    }

    /// Bytes a second while it ran.
    pub fn bytes_per_second(&self) -> f64 {
        per_second(self.bytes, self.runtime_ns)
    }
}

pub(crate) fn per_second(amount: u64, time_ns: u64) -> f64 {
    match time_ns {
        0 => 0.0,
        ns => amount as f64 * 1e9 / ns as f64,
    }
}
