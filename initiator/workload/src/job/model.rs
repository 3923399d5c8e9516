//! The parts of a job that come in groups of options.

use super::Direction2;
use crate::verify::Pattern;

/// Block sizes of one direction: `bs`, `bsrange`, `bssplit`, `blockalign`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSizes {
    /// Smallest.
    pub min: u32,
    /// Largest.
    pub max: u32,
    /// Sizes with their shares in percent, when there are several.
    pub split: Vec<(u32, u8)>,
    /// Random offsets are multiples of this, when not of `min`.
    pub align: Option<u32>,
}

impl BlockSizes {
    /// One size.
    pub fn fixed(bytes: u32) -> Self {
        BlockSizes { min: bytes, max: bytes, split: Vec::new(), align: None }
    }

    /// Are all blocks of one size?
    pub fn is_fixed(&self) -> bool {
        self.min == self.max
    }
}

/// `rw=...:N` and `rw_sequencer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// A random job draws an offset every so many operations.
    pub every: u32,
    /// A sequential job leaves a gap of so many bytes, or goes backwards.
    pub add: i64,
    /// Between draws the same offset again, not the next.
    pub identical: bool,
}

/// `random_generator`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// 32 bits.
    Tausworthe,
    /// 64 bits.
    Tausworthe64,
    /// A shift register: each block once without a map.
    Lfsr,
}

/// A distribution in which some places are likelier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Skew {
    /// Zipf's law with this theta.
    Zipf(f64),
    /// Pareto's with this h.
    Pareto(f64),
    /// Normal with this deviation, in percent.
    Normal(f64),
}

/// Some of the accesses to some of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Percent of the accesses.
    pub access_percent: u8,
    /// Percent of the file, or bytes.
    pub size: u64,
}

/// `random_distribution`.
#[derive(Clone, Debug, PartialEq)]
pub enum Distribution {
    /// Every block is as likely as every other.
    Uniform,
    /// Some are likelier; around this part of the file, if said.
    Skewed(Skew, Option<f64>),
    /// By percent of the file, for each direction.
    Zoned([Vec<Zone>; 2]),
    /// By bytes.
    ZonedAbsolute([Vec<Zone>; 2]),
}

/// What random numbers a job draws, and what for.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomOptions {
    /// `randseed`.
    pub seed: u64,
    /// It was given.
    pub seed_given: bool,
    /// `randrepeat`.
    pub repeat: bool,
    /// `allrandrepeat`.
    pub repeat_all: bool,
    /// `random_generator`.
    pub generator: Generated,
    /// `random_distribution`.
    pub distribution: Distribution,
    /// `percentage_random`, for each direction.
    pub percentage: [u8; 2],
    /// Blocks may be visited again before all were.
    pub no_map: bool,
}

impl RandomOptions {
    /// Does each pass go where the one before went? Not with a seed of the user's, as in fio.
    pub(crate) fn repeats_passes(&self) -> bool {
        self.repeat && !self.seed_given
    }
}

/// `file_service_type`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FileService {
    /// Each in turn.
    RoundRobin,
    /// One to its end, then the next.
    Sequential,
    /// Any.
    Random,
    /// Some are likelier.
    Skewed(Skew, Option<f64>),
}

/// `rate_process`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateProcess {
    /// At equal distances.
    Linear,
    /// At distances as of independent arrivals.
    Poisson,
}

/// How fast: rates for each direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaceOptions {
    /// `rate`, bytes a second; 0 is as fast as it goes.
    pub rate: Direction2,
    /// `rate_iops`.
    pub rate_iops: Direction2,
    /// `rate_min`: less ends the job.
    pub rate_min: Direction2,
    /// `rate_iops_min`.
    pub rate_iops_min: Direction2,
    /// `rate_cycle`: the minimum is looked at this often.
    pub cycle_ns: u64,
    /// `rate_process`.
    pub process: RateProcess,
    /// `rate_ignore_thinktime`.
    pub ignores_think: bool,
}

impl PaceOptions {
    /// Is there any rate?
    pub fn is_on(&self) -> bool {
        self.rate.iter().chain(&self.rate_iops).any(|&rate| rate > 0)
    }
}

/// The `thinktime` family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThinkOptions {
    /// How long.
    pub time_ns: u64,
    /// After so many operations.
    pub blocks: u64,
    /// `thinktime_blocks` was given.
    pub blocks_given: bool,
    /// Operations count when they are issued, not when they complete.
    pub counts_issued: bool,
    /// Think after working for this long (`thinktime_iotime`).
    pub io_time_ns: u64,
}

/// How deep, and in what batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthOptions {
    /// `iodepth_batch`: most operations submitted at once.
    pub batch: Option<u32>,
    /// `iodepth_batch_complete_min`: refill when so many have completed.
    pub complete_min: u32,
    /// `iodepth_batch_complete_max`: take at most so many completions at once.
    pub complete_max: Option<u32>,
    /// `iodepth_low`: refill when so few are left.
    pub low: Option<u32>,
}

/// The `latency_target` family.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyTarget {
    /// Latency to stay below; 0 is off.
    pub target_ns: u64,
    /// Decide after watching for this long.
    pub window_ns: u64,
    /// Percent of the operations that must.
    pub percentile: f64,
    /// Go on searching when found.
    pub keeps_running: bool,
}

/// What to write so that it can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: data is never looked at.
    None,
    /// A header with a checksum of what follows it.
    Sum(crate::verify::Sum),
    /// `verify_pattern` over and over, without a header.
    Pattern,
    /// Read back, not looked at.
    Null,
}

impl Verify {
    /// Is anything written for later looks?
    pub fn is_on(self) -> bool {
        self != Verify::None
    }
}

/// The verify family, beyond `verify` itself.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// `verify_pattern`.
    pub pattern: Option<Pattern>,
    /// `verify_interval`: a header for each so many bytes; 0 is one a block.
    pub interval: u32,
    /// `verify_offset`: where in its block the header is.
    pub offset: u32,
    /// `verify_backlog`: check after so many writes, not at the end only.
    pub backlog: u64,
    /// `verify_backlog_batch`: so many at a time.
    pub backlog_batch: u64,
    /// The first bad block ends the job.
    pub fatal: bool,
    /// A bad block is written to a file.
    pub dump: bool,
    /// Check what an earlier run wrote.
    pub only: bool,
    /// Keep in a file what has been written so far.
    pub state_save: bool,
    /// Check what such a file says was written.
    pub state_load: bool,
}

/// `steadystate`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SteadyState {
    /// Bandwidth, not IOPS.
    pub bandwidth: bool,
    /// The slope must be small, not the deviation.
    pub slope: bool,
    /// How small; in percent, if so.
    pub limit: f64,
    /// The limit is in percent of the mean.
    pub percent: bool,
}

/// Files that are written while a job runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// `write_bw_log`, `write_lat_log`, `write_iops_log`, `write_hist_log`: prefixes.
    pub bandwidth: Option<String>,
    /// Latency: three files.
    pub latency: Option<String>,
    /// IOPS.
    pub iops: Option<String>,
    /// Histograms of completion latency.
    pub histogram: Option<String>,
    /// `log_avg_msec`: one line for so long; 0 is one an operation.
    pub average_ms: u64,
    /// `log_max_value`: the largest of that time, not the mean.
    pub largest: bool,
    /// `log_offset`: a column more.
    pub offset: bool,
    /// `log_hist_msec`.
    pub histogram_ms: u64,
    /// `log_hist_coarseness`.
    pub coarseness: u32,
    /// `per_job_logs`: the job's number in the name.
    pub not_per_job: bool,
}

impl LogOptions {
    /// Is any written?
    pub fn any(&self) -> bool {
        [&self.bandwidth, &self.latency, &self.iops, &self.histogram].iter().any(|l| l.is_some())
    }
}

/// Whom the end of a job ends (`exit_what`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitWhat {
    /// Its reporting group.
    Group,
    /// What runs with it.
    Stonewall,
    /// Everything.
    All,
}
