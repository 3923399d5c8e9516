//! Whether a job's options make sense together. (Each by itself was checked when it was read.)

use super::{Job, Verify};
use crate::error::JobError;
use crate::verify::{Sum, VERIFY_BLOCKS_MAX, header_bytes};

impl Job {
    pub(crate) fn validate(&self) -> Result<(), JobError> {
        self.check_times()?;
        self.check_files()?;
        self.check_sizes()?;
        self.check_blocks()?;
        self.check_pace()?;
        self.check_verify()
    }

    /// Checks what only the mount knows: how much one operation may carry.
    pub(crate) fn check_payload(&self, payload_bytes_max: u32) -> Result<(), JobError> {
        let largest = self.block_bytes_max();
        if largest > payload_bytes_max {
            return Err(self.error(
                "bs",
                format!("bs={largest} is more than one operation carries on this mount ({payload_bytes_max} bytes)"),
            ));
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), JobError> {
        if self.time_based && self.runtime_ns.is_none_or(|t| t == 0) {
            return Err(
                self.error("time_based", "time_based needs runtime=, for example runtime=10s")
            );
        }
        Ok(())
    }

    fn check_files(&self) -> Result<(), JobError> {
        let named = self.filenames.len();
        if named > 0 && self.nrfiles > 1 && self.nrfiles as usize != named {
            return Err(self.error(
                "nrfiles",
                format!("nrfiles={} but filename= names {named}; leave one out", self.nrfiles),
            ));
        }
        let format = &self.filename_format;
        if named == 0 && self.nrfiles > 1 && !format.contains("$filenum") {
            return Err(self.error(
                "filename_format",
                format!("nrfiles={} files would all be '{format}'; add $filenum", self.nrfiles),
            ));
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), JobError> {
        let smallest = self.block_bytes_min();
        if let Some((low, _)) = self.filesize.filter(|(low, _)| *low < u64::from(smallest)) {
            let message = format!("filesize={low} is smaller than one block (bs={smallest})");
            return Err(self.error("filesize", message));
        }
        let Some(size) = self.size else {
            // A file that is named may be there already.
            let sized = self.filesize.is_some()
                || self.size_percent.is_some()
                || !self.filenames.is_empty();
            if self.rw.writes() && !sized {
                return Err(
                    self.error("size", "a job that writes needs size=, for example size=1g")
                );
            }
            return Ok(());
        };
        let each = self.file_bytes().unwrap_or(0);
        if each < u64::from(smallest) && self.filesize.is_none() {
            let files = self.file_count();
            let message = match files {
                1 => format!("size={size} is smaller than one block (bs={smallest})"),
                _ => format!(
                    "size={size} over {files} files is {each} bytes each, smaller than one block (bs={smallest})"
                ),
            };
            return Err(self.error("size", message));
        }
        let last = self.offset_increment.checked_mul(self.numjobs.into());
        let end = last.and_then(|last| self.offset.checked_add(last)?.checked_add(each));
        if end.is_none_or(|end| end > i64::MAX as u64) {
            return Err(self.error("offset", "offset + size is beyond what a file can hold"));
        }
        Ok(())
    }

    fn check_blocks(&self) -> Result<(), JobError> {
        if self.io_size.is_some_and(|io| io < u64::from(self.block_bytes_min())) {
            return Err(self.error("io_size", "io_size is smaller than one block"));
        }
        if self.iodepth < self.depth.complete_min {
            return Err(self.error(
                "iodepth_batch_complete_min",
                format!("more than iodepth={} can never complete at once", self.iodepth),
            ));
        }
        Ok(())
    }

    fn check_pace(&self) -> Result<(), JobError> {
        let on = |rates: [u64; 2]| rates.iter().any(|&rate| rate > 0);
        let pace = &self.pace;
        if on(pace.rate) && on(pace.rate_iops) {
            return Err(self.error("rate_iops", "rate and rate_iops exclude each other"));
        }
        if on(pace.rate_min) && on(pace.rate_iops_min) {
            let message = "rate_min and rate_iops_min exclude each other";
            return Err(self.error("rate_iops_min", message));
        }
        for (rates, least, name) in [
            (pace.rate, pace.rate_min, "rate_min"),
            (pace.rate_iops, pace.rate_iops_min, "rate_iops_min"),
        ] {
            if rates.iter().zip(least).any(|(&rate, least)| rate > 0 && rate < least) {
                return Err(self.error(name, "the minimum is larger than the rate itself"));
            }
        }
        if self.latency_target.target_ns > 0 && self.latency_target.window_ns == 0 {
            let message = "latency_target needs latency_window=, for example latency_window=5s";
            return Err(self.error("latency_target", message));
        }
        if self.steadystate.is_some() && self.steadystate_ns < 1_000_000_000 {
            let message = "steadystate needs steadystate_duration= of at least 1s";
            return Err(self.error("steadystate", message));
        }
        if self.logs.histogram.is_some() && self.logs.histogram_ms == 0 {
            let message = "write_hist_log needs log_hist_msec=, for example log_hist_msec=1000";
            return Err(self.error("write_hist_log", message));
        }
        Ok(())
    }

    fn check_verify(&self) -> Result<(), JobError> {
        let sum = match (self.verify, &self.verify_options.pattern) {
            (Verify::None, _) if self.verify_options.only => {
                return Err(self.error("verify_only", "verify_only needs verify="));
            }
            (Verify::None, _) if self.verify_options.state_load => {
                return Err(self.error("verify_state_load", "verify_state_load needs verify="));
            }
            (Verify::None, _) => return Ok(()),
            (Verify::Pattern | Verify::Sum(Sum::PatternHeader), None) => {
                return Err(self.error(
                    "verify",
                    "verify=pattern needs verify_pattern=, for example verify_pattern=0xdeadbeef",
                ));
            }
            (Verify::Sum(sum), _) => Some(sum),
            _ => None,
        };
        self.check_headers(sum)?;
        if self.verify_options.state_load && self.rw.writes() && !self.verify_options.only {
            let message = "a job that writes would write over what it is to verify: add verify_only=1, or only read";
            return Err(self.error("verify_state_load", message));
        }
        let unit = u64::from(self.verify_unit());
        let blocks = self.size.unwrap_or(0) / unit;
        if self.rw.writes() && blocks > VERIFY_BLOCKS_MAX {
            return Err(self.error(
                "size",
                format!("verify remembers every block: {blocks} blocks are more than {VERIFY_BLOCKS_MAX}; use a larger bs or a smaller size"),
            ));
        }
        let align = self.bs[1].align.map_or(0, u64::from);
        if self.rw.writes()
            && (!align.is_multiple_of(unit)
                || !self.sequence.add.unsigned_abs().is_multiple_of(unit))
        {
            let message = format!("writes that are verified begin at multiples of {unit} bytes");
            return Err(self.error("verify", message));
        }
        let shared = !self.filenames.is_empty() || !self.filename_format.contains("$jobnum");
        if self.verifies_writes() && self.numjobs > 1 && shared && self.offset_increment == 0 {
            return Err(self.error(
                "numjobs",
                format!("{} instances would write the same file and each verify it; leave filename= out, or use filename_format with $jobnum", self.numjobs),
            ));
        }
        Ok(())
    }

    fn check_headers(&self, sum: Option<Sum>) -> Result<(), JobError> {
        if self.bs_unaligned && !self.verified_sizes().is_fixed() {
            let message = "what is verified has sizes that are multiples of the smallest";
            return Err(self.error("bs_unaligned", message));
        }
        let Some(sum) = sum else { return Ok(()) };
        let (unit, header) = (self.verify_unit(), header_bytes(sum) as u32);
        if unit < 2 * header {
            return Err(self.error(
                "bs",
                format!(
                    "verify={} needs blocks of at least {} bytes, bs={unit}",
                    sum.name(),
                    2 * header
                ),
            ));
        }
        let at = self.verify_options.offset;
        if at > 0 && (at < header || at + header > unit) {
            return Err(self.error(
                "verify_offset",
                format!(
                    "a header of {header} bytes in a block of {unit} can be at {header} to {}",
                    unit - header
                ),
            ));
        }
        Ok(())
    }

    /// The larger block size of the directions that the job has.
    pub fn block_bytes_max(&self) -> u32 {
        let [read, write] = [self.bs[0].max, self.bs[1].max];
        match (self.rw.reads(), self.rw.writes()) {
            _ if self.bs_is_seq_rand => read.max(write),
            (true, true) => read.max(write),
            (true, false) => read,
            (false, _) => write,
        }
    }

    /// The smaller.
    pub(crate) fn block_bytes_min(&self) -> u32 {
        let [read, write] = [self.bs[0].min, self.bs[1].min];
        match (self.rw.reads(), self.rw.writes()) {
            _ if self.bs_is_seq_rand => read.min(write),
            (true, true) => read.min(write),
            (true, false) => read,
            (false, _) => write,
        }
    }

    /// Sizes of what is verified.
    pub(crate) fn verified_sizes(&self) -> &super::BlockSizes {
        &self.bs[usize::from(self.rw.writes())]
    }

    /// Bytes that are verified by themselves: `verify_interval`, made to fit the block sizes.
    pub(crate) fn verify_unit(&self) -> u32 {
        let sizes = self.verified_sizes();
        let asked = match self.verify_options.interval {
            0 => sizes.min,
            asked => asked.min(sizes.min),
        };
        let fits = sizes.min.is_multiple_of(asked) && sizes.max.is_multiple_of(asked);
        if fits { asked } else { gcd(sizes.min, sizes.max) }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
