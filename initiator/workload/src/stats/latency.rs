//! Latencies: a histogram and exact moments.

use super::series::{self, CLASSES};
use super::{Running, class_ns, class_of};
use hdrhistogram::Histogram;

/// Latencies are told apart up to here, an hour; longer ones count as this.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;
/// Three digits: finer than fio's own histogram.
const DIGITS: u8 = 3;

/// Latencies in nanoseconds. Adding allocates nothing.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Exact minimum, maximum, mean and deviation.
    pub moments: Running,
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS)
            .expect("the bounds are constants that hdrhistogram accepts");
        Latencies { moments: Running::default(), histogram }
    }
}

impl Latencies {
    pub(crate) fn add(&mut self, ns: u64) {
        self.moments.add(ns);
        self.histogram.saturating_record(ns);
    }

    /// Takes in another's.
    pub fn merge(&mut self, other: &Latencies) {
        self.moments.merge(&other.moments);
        self.histogram.add(&other.histogram).expect("both histograms have the same bounds");
    }

    /// The latency that `percent` of the operations did not exceed.
    pub fn percentile(&self, percent: f64) -> u64 {
        self.histogram.value_at_percentile(percent).min(self.moments.max())
    }

    /// Counts by the classes of fio's histograms, named by the latency in their middle.
    pub fn bins(&self) -> Vec<(u64, u64)> {
        let mut bins: Vec<(usize, u64)> = Vec::new();
        for step in self.histogram.iter_recorded() {
            let ns = self.histogram.lowest_equivalent(step.value_iterated_to());
            let (class, count) = (class_of(ns), step.count_at_value());
            match bins.last_mut().filter(|(last, _)| *last == class) {
                Some((_, sum)) => *sum += count,
                None => bins.push((class, count)),
            }
        }
        bins.into_iter().map(|(class, count)| (class_ns(class), count)).collect()
    }

    /// How many of each class of latency there were.
    pub(crate) fn by_class(&self) -> [u64; CLASSES] {
        let mut counts = [0; CLASSES];
        for step in self.histogram.iter_recorded() {
            let ns = self.histogram.lowest_equivalent(step.value_iterated_to());
            counts[series::class_of(ns)] += step.count_at_value();
        }
        counts
    }

    /// How many took at most each of `bounds_ns` (ascending) and more than the bound before; the
    /// last number is those above all bounds.
    pub fn classes(&self, bounds_ns: &[u64]) -> Vec<u64> {
        let mut counts = vec![0; bounds_ns.len() + 1];
        for step in self.histogram.iter_recorded() {
            let ns = self.histogram.lowest_equivalent(step.value_iterated_to());
            counts[bounds_ns.partition_point(|&bound| bound < ns)] += step.count_at_value();
        }
        counts
    }
}
