//! A job: what a section of a job file, or the flags of `initiator perf`, ask for.

mod instance;
mod links;
mod model;
#[cfg(test)]
mod tests;
mod validate;

use crate::backend::Durability;
use crate::error::{JobError, Place};
use std::collections::BTreeMap;

pub use instance::Instance;
pub(crate) use links::Links;
pub use model::{
    BlockSizes, DepthOptions, Distribution, ExitWhat, FileService, Generated, LatencyTarget,
    LogOptions, PaceOptions, RandomOptions, RateProcess, Sequence, Skew, SteadyState, ThinkOptions,
    Verify, VerifyOptions, Zone,
};

/// One number for reads and one for writes.
pub type Direction2 = [u64; 2];

/// Which operations a job does and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rw {
    /// Sequential reads.
    Read,
    /// Sequential writes.
    Write,
    /// Random reads.
    RandRead,
    /// Random writes.
    RandWrite,
    /// Sequential reads and writes mixed.
    ReadWrite,
    /// Random reads and writes mixed.
    RandRw,
}

impl Rw {
    /// fio's name.
    pub fn name(self) -> &'static str {
        match self {
            Rw::Read => "read",
            Rw::Write => "write",
            Rw::RandRead => "randread",
            Rw::RandWrite => "randwrite",
            Rw::ReadWrite => "rw",
            Rw::RandRw => "randrw",
        }
    }

    /// Does it read?
    pub fn reads(self) -> bool {
        !matches!(self, Rw::Write | Rw::RandWrite)
    }

    /// Does it write?
    pub fn writes(self) -> bool {
        !matches!(self, Rw::Read | Rw::RandRead)
    }

    /// Does it pick offsets at random?
    pub fn random(self) -> bool {
        matches!(self, Rw::RandRead | Rw::RandWrite | Rw::RandRw)
    }
}

/// A job. Fields are fio's options of the same names unless said otherwise.
#[derive(Clone, Debug)]
pub struct Job {
    /// What reports call it: the section's name, or `name=`.
    pub name: String,
    /// The section's name, which default file names start with.
    pub section: String,
    /// `description=`.
    pub description: Option<String>,
    /// `nfs_url=`: which mount. Not interpreted here.
    pub nfs_url: Option<String>,
    /// `directory=`, before every file name.
    pub directory: Option<String>,
    /// `filename=`, split at `:`.
    pub filenames: Vec<String>,
    /// `filename_format=`.
    pub filename_format: String,
    /// `rw=`.
    pub rw: Rw,
    /// What follows it after a colon.
    pub sequence: Sequence,
    /// Percentage of reads in a mix.
    pub rwmixread: u8,
    /// Block sizes of reads and of writes.
    pub bs: [BlockSizes; 2],
    /// Sizes between the smallest and the largest need not be multiples of the smallest.
    pub bs_unaligned: bool,
    /// The two block sizes are for sequential and for random operations.
    pub bs_is_seq_rand: bool,
    /// Bytes of file that an instance works on, all its files together.
    pub size: Option<u64>,
    /// The same as a part of what the files have.
    pub size_percent: Option<u8>,
    /// Bytes to move in one loop.
    pub io_size: Option<u64>,
    /// The same as a part of `size`.
    pub io_size_percent: Option<u8>,
    /// Where in each file to begin.
    pub offset: u64,
    /// The same as a part of what the file has.
    pub offset_percent: Option<u8>,
    /// So much later for each instance.
    pub offset_increment: u64,
    /// What an offset in percent is rounded up to a multiple of.
    pub offset_align: Option<u64>,
    /// Each file's size, or the range that it is drawn from.
    pub filesize: Option<(u64, u64)>,
    /// Operations to do.
    pub number_ios: Option<u64>,
    /// Operations in flight.
    pub iodepth: u32,
    /// In what batches.
    pub depth: DepthOptions,
    /// Instances of the job.
    pub numjobs: u32,
    /// `runtime=` in nanoseconds.
    pub runtime_ns: Option<u64>,
    /// Go on until `runtime`, whatever the size.
    pub time_based: bool,
    /// `ramp_time=` in nanoseconds.
    pub ramp_ns: u64,
    /// `startdelay=` in nanoseconds, or the range that it is drawn from.
    pub start_delay_ns: (u64, u64),
    /// Files an instance works on.
    pub nrfiles: u32,
    /// So many of them at a time.
    pub openfiles: Option<u32>,
    /// Which of them next.
    pub file_service: FileService,
    /// Operations on one before the next.
    pub file_service_run: u32,
    /// Files are made by the job's own writes, not before.
    pub create_on_open: bool,
    /// Lay the files out and end.
    pub create_only: bool,
    /// Random numbers.
    pub random: RandomOptions,
    /// Rates.
    pub pace: PaceOptions,
    /// Pauses.
    pub think: ThinkOptions,
    /// Depth by latency.
    pub latency_target: LatencyTarget,
    /// An operation that takes longer ends the job; 0 is never.
    pub max_latency_ns: Direction2,
    /// Completion latency counts from when an operation was made, not from when the queue took it.
    pub lat_percentiles: bool,
    /// Percentiles to report; fio's when empty.
    pub percentiles: Vec<f64>,
    /// Bandwidth and IOPS are sampled this often.
    pub sample_ns: u64,
    /// COMMIT after so many writes; 0 is never.
    pub fsync: u32,
    /// COMMIT each file at the end.
    pub end_fsync: bool,
    /// `sync=1`: stable writes.
    pub stable: bool,
    /// Written data is zeros.
    pub zero_buffers: bool,
    /// Written data repeats this.
    pub buffer_pattern: Option<crate::verify::Pattern>,
    /// `verify=`.
    pub verify: Verify,
    /// The rest of its family.
    pub verify_options: VerifyOptions,
    /// Read back and check what was written.
    pub do_verify: bool,
    /// Logs.
    pub logs: LogOptions,
    /// End when the rate is steady.
    pub steadystate: Option<SteadyState>,
    /// It must be so for this long.
    pub steadystate_ns: u64,
    /// Counted from after this.
    pub steadystate_ramp_ns: u64,
    /// Its end ends others.
    pub exitall: bool,
    /// Its failure ends others.
    pub exitall_on_error: bool,
    /// Which others.
    pub exit_what: ExitWhat,
    /// Begin when the job of this name has ended.
    pub wait_for: Option<String>,
    /// One report for all instances (and for the group's other jobs).
    pub group_reporting: bool,
    /// How often to do it all.
    pub loops: u32,
    /// Starts a new stage.
    pub stonewall: bool,
    /// Starts a new reporting group.
    pub new_group: bool,
    /// Jobs of one stage run together, stages one after another.
    pub stage: u32,
    /// fio's groupid.
    pub group: u32,
    /// The job's own options as written, for the report.
    pub options: Vec<(String, String)>,
    pub(crate) place: Option<Place>,
    pub(crate) places: BTreeMap<&'static str, Place>,
}

/// An option given on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// As the user typed it: `-b`. Errors name it.
    pub flag: String,
    /// The job option it sets: `bs`.
    pub option: String,
    /// Its value, if it takes one.
    pub value: Option<String>,
}

impl Job {
    /// A job with fio's defaults.
    pub(crate) fn named(name: &str) -> Job {
        Job {
            name: name.to_owned(),
            section: name.to_owned(),
            description: None,
            nfs_url: None,
            directory: None,
            filenames: Vec::new(),
            filename_format: "$jobname.$jobnum.$filenum".into(),
            rw: Rw::Read,
            sequence: Sequence { every: 1, add: 0, identical: false },
            rwmixread: 50,
            bs: [BlockSizes::fixed(4096), BlockSizes::fixed(4096)],
            bs_unaligned: false,
            bs_is_seq_rand: false,
            size: None,
            size_percent: None,
            io_size: None,
            io_size_percent: None,
            offset: 0,
            offset_percent: None,
            offset_increment: 0,
            offset_align: None,
            filesize: None,
            number_ios: None,
            iodepth: 1,
            depth: DepthOptions { batch: None, complete_min: 1, complete_max: None, low: None },
            numjobs: 1,
            runtime_ns: None,
            time_based: false,
            ramp_ns: 0,
            start_delay_ns: (0, 0),
            nrfiles: 1,
            openfiles: None,
            file_service: FileService::RoundRobin,
            file_service_run: 1,
            create_on_open: false,
            create_only: false,
            random: RandomOptions {
                seed: 0x89,
                seed_given: false,
                repeat: true,
                repeat_all: false,
                generator: Generated::Tausworthe,
                distribution: Distribution::Uniform,
                percentage: [100; 2],
                no_map: false,
            },
            pace: PaceOptions {
                rate: [0; 2],
                rate_iops: [0; 2],
                rate_min: [0; 2],
                rate_iops_min: [0; 2],
                cycle_ns: 1_000_000_000,
                process: RateProcess::Linear,
                ignores_think: false,
            },
            think: ThinkOptions { blocks: 1, ..ThinkOptions::default() },
            latency_target: LatencyTarget {
                target_ns: 0,
                window_ns: 0,
                percentile: 100.0,
                keeps_running: false,
            },
            max_latency_ns: [0; 2],
            lat_percentiles: false,
            percentiles: Vec::new(),
            sample_ns: crate::stats::SAMPLE_NS,
            fsync: 0,
            end_fsync: false,
            stable: false,
            zero_buffers: false,
            buffer_pattern: None,
            verify: Verify::None,
            verify_options: VerifyOptions {
                pattern: None,
                interval: 0,
                offset: 0,
                backlog: 0,
                backlog_batch: 0,
                fatal: false,
                dump: false,
                only: false,
                state_save: false,
                state_load: false,
            },
            do_verify: true,
            logs: LogOptions::default(),
            steadystate: None,
            steadystate_ns: 0,
            steadystate_ramp_ns: 0,
            exitall: false,
            exitall_on_error: false,
            exit_what: ExitWhat::Group,
            wait_for: None,
            group_reporting: false,
            loops: 1,
            stonewall: false,
            new_group: false,
            stage: 0,
            group: 0,
            options: Vec::new(),
            place: None,
            places: BTreeMap::new(),
        }
    }

    /// A job from command-line flags, each standing for a job option.
    pub fn from_flags(name: &str, flags: impl IntoIterator<Item = Flag>) -> Result<Job, JobError> {
        let mut job = Job::named(name);
        for Flag { flag, option, value } in flags {
            crate::jobfile::apply(&mut job, &option, value.as_deref(), Place::Flag(flag))?;
            job.options.push((option, value.unwrap_or_else(|| "1".into())));
        }
        job.validate()?;
        Ok(job)
    }

    /// Where `option` was given, or the job itself when it was not.
    pub fn place(&self, option: &str) -> Place {
        self.places
            .get(option)
            .or(self.place.as_ref())
            .cloned()
            .unwrap_or_else(|| Place::Job(self.name.clone()))
    }

    pub(crate) fn error(&self, option: &str, message: impl Into<String>) -> JobError {
        JobError::new(self.place(option), message)
    }

    /// Bytes of each file that the job works on, when `size=` says.
    pub fn file_bytes(&self) -> Option<u64> {
        self.size.map(|size| size / u64::from(self.file_count()))
    }

    /// Does a random pass visit each block once?
    pub(crate) fn has_random_map(&self) -> bool {
        let aligned = self.bs.iter().all(|bs| bs.align.is_none_or(|align| align == bs.min));
        !self.random.no_map && aligned && self.random.distribution == Distribution::Uniform
    }

    /// Files an instance opens.
    pub fn file_count(&self) -> u32 {
        match self.filenames.len() {
            0 => self.nrfiles,
            n => n as u32,
        }
    }

    /// What it wants of its writes. Who asks for no COMMIT and reads nothing back has no use for
    /// data that is kept; who reads back before a COMMIT may only find what is durable.
    pub fn durability(&self) -> Durability {
        let asks = self.fsync > 0 || self.end_fsync || self.verify.is_on();
        let stable = self.stable || (self.verifies_writes() && self.verify_options.backlog > 0);
        match (stable, asks) {
            (true, _) => Durability::Stable,
            (false, true) => Durability::Kept,
            (false, false) => Durability::Bare,
        }
    }

    /// Does it keep what it writes in a file, for a later run to check?
    pub(crate) fn saves_state(&self) -> bool {
        self.verify_options.state_save
            && self.verify.is_on()
            && self.rw.writes()
            && !self.only_checks()
    }

    /// Does it check what an earlier run wrote, and nothing else?
    pub(crate) fn only_checks(&self) -> bool {
        self.verify_options.state_load || (self.verify_options.only && self.rw.writes())
    }

    /// Does it check, when all that it does is done?
    pub(crate) fn checks_at_end(&self) -> bool {
        self.verifies_writes() || self.verify_options.state_load
    }

    /// Does it read back and check what it wrote, after writing?
    pub fn verifies_writes(&self) -> bool {
        self.verify.is_on() && self.rw.writes() && self.do_verify
    }
}
