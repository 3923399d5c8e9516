//! Minimum, maximum, mean and deviation without keeping the values.

/// Running moments of a series (Welford's method).
#[derive(Clone, Copy, Debug, Default)]
pub struct Running {
    count: u64,
    min: u64,
    max: u64,
    mean: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
}

impl Running {
    pub(crate) fn add(&mut self, value: u64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.count += 1;
        let delta = value as f64 - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (value as f64 - self.mean);
    }

    /// Takes in another series.
    pub fn merge(&mut self, other: &Running) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let delta = other.mean - self.mean;
        self.squares += other.squares + delta * delta * a * b / (a + b);
        self.mean += delta * b / (a + b);
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest, or 0.
    pub fn min(&self) -> u64 {
        self.min
    }

    /// The largest, or 0.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean, or 0.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Sample standard deviation, or 0.
    pub fn stddev(&self) -> f64 {
        match self.count {
            0 | 1 => 0.0,
            n => (self.squares / (n - 1) as f64).sqrt(),
        }
    }
}

/// Samples of a rate. Instances that run side by side add up, as fio's group reports do.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateSamples {
    /// How many samples.
    pub samples: u64,
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
    /// Their mean.
    pub mean: f64,
    /// Their deviation.
    pub stddev: f64,
    squares: f64,
}

impl RateSamples {
    pub(crate) fn add(&mut self, rate: u64) {
        let mut series = Running {
            count: self.samples,
            min: self.min,
            max: self.max,
            mean: self.mean,
            squares: self.squares,
        };
        series.add(rate);
        *self = RateSamples {
            samples: series.count,
            min: series.min,
            max: series.max,
            mean: series.mean,
            stddev: series.stddev(),
            squares: series.squares,
        };
    }

    /// Adds the rate of an instance that ran at the same time.
    pub fn merge(&mut self, other: &RateSamples) {
        self.samples += other.samples;
        self.min += other.min;
        self.max += other.max;
        self.mean += other.mean;
        // Independent series: variances add.
        self.stddev = self.stddev.hypot(other.stddev);
    }
}
