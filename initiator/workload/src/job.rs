//! A job: what a section of a job file, or the flags of `initiator perf`, ask for.

mod instance;
#[cfg(test)]
mod tests;
mod validate;

use crate::error::{JobError, Place};
use crate::verify::Pattern;
use std::collections::BTreeMap;

pub use instance::Instance;

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

/// What to write so that it can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: data is never looked at.
    None,
    /// A header in each block with the CRC-32C of what follows it.
    Crc32c,
    /// `verify_pattern` over and over.
    Pattern,
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
    /// Percentage of reads in a mix.
    pub rwmixread: u8,
    /// Block sizes in bytes of reads and of writes.
    pub bs: [u32; 2],
    /// Bytes of file that an instance works on, all its files together.
    pub size: Option<u64>,
    /// Bytes to move in one loop.
    pub io_size: Option<u64>,
    /// Where in each file to begin.
    pub offset: u64,
    /// Operations in flight.
    pub iodepth: u32,
    /// Instances of the job.
    pub numjobs: u32,
    /// `runtime=` in nanoseconds.
    pub runtime_ns: Option<u64>,
    /// Go on until `runtime`, whatever the size.
    pub time_based: bool,
    /// `ramp_time=` in nanoseconds.
    pub ramp_ns: u64,
    /// Files an instance works on.
    pub nrfiles: u32,
    /// `randseed=`; the same in every run, as with fio's randrepeat=1.
    pub randseed: u64,
    /// Random offsets may repeat before all have been visited.
    pub norandommap: bool,
    /// COMMIT after so many writes; 0 is never.
    pub fsync: u32,
    /// COMMIT each file at the end.
    pub end_fsync: bool,
    /// `sync=1`: stable writes.
    pub stable: bool,
    /// `verify=`.
    pub verify: Verify,
    /// `verify_pattern=`.
    pub verify_pattern: Option<Pattern>,
    /// Read back and check what was written.
    pub do_verify: bool,
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
            rwmixread: 50,
            bs: [4096, 4096],
            size: None,
            io_size: None,
            offset: 0,
            iodepth: 1,
            numjobs: 1,
            runtime_ns: None,
            time_based: false,
            ramp_ns: 0,
            nrfiles: 1,
            randseed: crate::random::DEFAULT_SEED,
            norandommap: false,
            fsync: 0,
            end_fsync: false,
            stable: false,
            verify: Verify::None,
            verify_pattern: None,
            do_verify: true,
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

    /// Files an instance opens.
    pub fn file_count(&self) -> u32 {
        match self.filenames.len() {
            0 => self.nrfiles,
            n => n as u32,
        }
    }

    /// Does it read back and check what it wrote, after writing?
    pub fn verifies_writes(&self) -> bool {
        self.verify != Verify::None && self.rw.writes() && self.do_verify
    }
}
