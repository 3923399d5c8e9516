//! What happened when: a direction's numbers in stretches of time, for charts.
//!
//! However long a run is, there are at most [`POINTS_MAX`] stretches: when they are used up, each
//! two become one. Latencies are kept as counts by class, so that stretches, and instances, can be
//! joined without losing their percentiles. Adding allocates nothing.

/// Most stretches: about as many as a chart has room for.
const POINTS_MAX: usize = 256;
/// The first ones' length.
const WIDTH_NS: u64 = 500_000_000;
/// Classes of latency: eight an octave, up to a minute.
pub(super) const CLASSES: usize = 280;

/// A direction's numbers over time.
#[derive(Clone, Debug)]
pub struct Series {
    /// Where time begins; set by the first addition.
    origin_ns: Option<u64>,
    width_ns: u64,
    points: Vec<Point>,
    /// Latencies since the last addition.
    recent: Box<[u32; CLASSES]>,
}

/// One stretch of time.
#[derive(Clone, Debug)]
pub struct Point {
    /// Operations completed in it.
    pub ios: u64,
    /// Bytes they moved.
    pub bytes: u64,
    /// How much of the stretch was measured: the last one is cut short.
    pub time_ns: u64,
    clat: [u32; CLASSES],
}

impl Default for Series {
    fn default() -> Self {
        Self {
            origin_ns: None,
            width_ns: WIDTH_NS,
            points: Vec::with_capacity(POINTS_MAX),
            recent: Box::new([0; CLASSES]),
        }
    }
}

impl Series {
    /// Counts a latency; it belongs to what is added next.
    #[inline]
    pub(crate) fn record(&mut self, latency_ns: u64) {
        let count = &mut self.recent[class_of(latency_ns)];
        *count = count.saturating_add(1);
    }

    /// Takes in what was done between two moments.
    pub(crate) fn add(&mut self, from_ns: u64, to_ns: u64, ios: u64, bytes: u64) {
        let origin_ns = *self.origin_ns.get_or_insert(from_ns);
        let (from, to) = (from_ns.saturating_sub(origin_ns), to_ns.saturating_sub(origin_ns));
        if to <= from {
            return;
        }
        self.make_room((to - 1) / self.width_ns);
        let spread = |amount: u64, until: u64| {
            (u128::from(amount) * u128::from(until) / u128::from(to - from)) as u64
        };
        let (mut at, mut ios_done, mut bytes_done) = (from, 0, 0);
        while at < to {
            let end = (at / self.width_ns + 1).saturating_mul(self.width_ns).min(to);
            let (ios_until, bytes_until) = (spread(ios, end - from), spread(bytes, end - from));
            let point = &mut self.points[(at / self.width_ns) as usize];
            point.ios += ios_until - ios_done;
            point.bytes += bytes_until - bytes_done;
            point.time_ns += end - at;
            (at, ios_done, bytes_done) = (end, ios_until, bytes_until);
        }
        let middle = from + (to - from) / 2;
        add_counts(&mut self.points[(middle / self.width_ns) as usize].clat, &self.recent);
        self.recent.fill(0);
    }

    /// Makes the stretches so long that there is one of this number, and makes it.
    fn make_room(&mut self, mut index: u64) {
        while index >= POINTS_MAX as u64 {
            self.halve();
            index /= 2;
        }
        let wanted = index as usize + 1;
        if self.points.len() < wanted {
            self.points.resize(wanted, Point::EMPTY);
        }
    }

    /// Each two stretches become one.
    fn halve(&mut self) {
        self.width_ns = self.width_ns.saturating_mul(2);
        let half = self.points.len().div_ceil(2);
        for at in 0..half {
            let mut joined = std::mem::replace(&mut self.points[2 * at], Point::EMPTY);
            if let Some(second) = self.points.get(2 * at + 1) {
                joined.join(second);
                joined.time_ns += second.time_ns;
            }
            self.points[at] = joined;
        }
        self.points.truncate(half);
    }

    /// Takes in those of an instance that ran at the same time.
    pub(crate) fn merge(&mut self, other: &Series) {
        let mut other = other.clone();
        while self.width_ns < other.width_ns {
            self.halve();
        }
        while other.width_ns < self.width_ns {
            other.halve();
        }
        self.origin_ns = self.origin_ns.or(other.origin_ns);
        if self.points.len() < other.points.len() {
            self.points.resize(other.points.len(), Point::EMPTY);
        }
        for (mine, theirs) in self.points.iter_mut().zip(&other.points) {
            mine.join(theirs);
            mine.time_ns = mine.time_ns.max(theirs.time_ns);
        }
    }

    /// The stretches, each with the moment of its end in seconds. One that was hardly measured is
    /// left out: its rates would mean nothing.
    pub fn points(&self) -> impl Iterator<Item = (f64, &Point)> {
        let measured = self.points.iter().enumerate();
        measured.filter(|(_, point)| point.time_ns >= self.width_ns / 4).map(|(at, point)| {
            let end_ns = at as u64 * self.width_ns + point.time_ns;
            (end_ns as f64 / 1e9, point)
        })
    }
}

impl Point {
    const EMPTY: Point = Point { ios: 0, bytes: 0, time_ns: 0, clat: [0; CLASSES] };

    fn join(&mut self, other: &Point) {
        self.ios += other.ios;
        self.bytes += other.bytes;
        add_counts(&mut self.clat, &other.clat);
    }

    /// Operations a second.
    pub fn iops(&self) -> f64 {
        super::per_second(self.ios, self.time_ns)
    }

    /// Bytes a second.
    pub fn bytes_per_second(&self) -> f64 {
        super::per_second(self.bytes, self.time_ns)
    }

    /// The latency that `percent` of its operations did not exceed, to an eighth of an octave.
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        let total: u64 = self.clat.iter().map(|&count| u64::from(count)).sum();
        let rank = ((total as f64 * percent / 100.0).ceil() as u64).max(1);
        let mut below = 0;
        let class = self.clat.iter().position(|&count| {
            below += u64::from(count);
            below >= rank
        });
        class.map(class_middle_ns)
    }
}

fn add_counts(into: &mut [u32; CLASSES], from: &[u32; CLASSES]) {
    for (sum, &count) in into.iter_mut().zip(from) {
        *sum = sum.saturating_add(count);
    }
}

/// Which class a latency is of.
#[inline]
pub(super) fn class_of(ns: u64) -> usize {
    let octave = 63 - (ns | 8).leading_zeros() as usize;
    let class =
        if ns < 8 { ns as usize } else { (octave - 2) * 8 + (ns >> (octave - 3) & 7) as usize };
    class.min(CLASSES - 1)
}

/// The smallest latency of a class.
pub(crate) fn class_start_ns(class: usize) -> u64 {
    match class {
        0..8 => class as u64,
        _ => (8 + class as u64 % 8) << (class / 8 - 1),
    }
}

fn class_middle_ns(class: usize) -> u64 {
    class_start_ns(class).midpoint(class_start_ns(class + 1))
}

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
