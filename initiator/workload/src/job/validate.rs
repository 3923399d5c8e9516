//! Whether a job's options make sense together. (Each by itself was checked when it was read.)

use super::{Job, Verify};
use crate::error::JobError;
use crate::verify::{HEADER_BYTES, VERIFY_BLOCKS_MAX};

impl Job {
    pub(crate) fn validate(&self) -> Result<(), JobError> {
        self.check_times()?;
        self.check_files()?;
        self.check_sizes()?;
        self.check_blocks()?;
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
        let Some(size) = self.size else {
            if self.rw.writes() {
                return Err(
                    self.error("size", "a job that writes needs size=, for example size=1g")
                );
            }
            return Ok(());
        };
        let bs = self.block_bytes_max();
        let each = self.file_bytes().unwrap_or(0);
        if each < u64::from(bs) {
            let files = self.file_count();
            let message = match files {
                1 => format!("size={size} is smaller than one block (bs={bs})"),
                _ => format!(
                    "size={size} over {files} files is {each} bytes each, smaller than one block (bs={bs})"
                ),
            };
            return Err(self.error("size", message));
        }
        if self.offset.checked_add(each).is_none_or(|end| end > i64::MAX as u64) {
            return Err(self.error("offset", "offset + size is beyond what a file can hold"));
        }
        Ok(())
    }

    fn check_blocks(&self) -> Result<(), JobError> {
        if self.io_size.is_some_and(|io| io < u64::from(self.block_bytes_max())) {
            return Err(self.error("io_size", "io_size is smaller than one block"));
        }
        let mixed = self.rw.reads() && self.rw.writes();
        if mixed && self.rw.random() && !self.norandommap && self.bs[0] != self.bs[1] {
            return Err(self.error(
                "bs",
                "rw=randrw with different read and write block sizes needs norandommap=1",
            ));
        }
        Ok(())
    }

    fn check_verify(&self) -> Result<(), JobError> {
        match (self.verify, &self.verify_pattern) {
            (Verify::None, _) => return Ok(()),
            (Verify::Pattern, None) => {
                return Err(self.error(
                    "verify",
                    "verify=pattern needs verify_pattern=, for example verify_pattern=0xdeadbeef",
                ));
            }
            _ => {}
        }
        let bs = if self.rw.writes() { self.bs[1] } else { self.bs[0] };
        if self.verify == Verify::Crc32c && (bs as usize) < 2 * HEADER_BYTES {
            return Err(self.error(
                "bs",
                format!(
                    "verify=crc32c needs blocks of at least {} bytes, bs={bs}",
                    2 * HEADER_BYTES
                ),
            ));
        }
        let blocks = self.size.unwrap_or(0) / u64::from(bs);
        if self.rw.writes() && blocks > VERIFY_BLOCKS_MAX {
            return Err(self.error(
                "size",
                format!("verify remembers every block: {blocks} blocks are more than {VERIFY_BLOCKS_MAX}; use a larger bs or a smaller size"),
            ));
        }
        let shared = !self.filenames.is_empty() || !self.filename_format.contains("$jobnum");
        if self.verifies_writes() && self.numjobs > 1 && shared {
            return Err(self.error(
                "numjobs",
                format!("{} instances would write the same file and each verify it; leave filename= out, or use filename_format with $jobnum", self.numjobs),
            ));
        }
        Ok(())
    }

    /// The larger block size of the directions that the job has.
    pub(crate) fn block_bytes_max(&self) -> u32 {
        let [read, write] = self.bs;
        match (self.rw.reads(), self.rw.writes()) {
            (true, true) => read.max(write),
            (true, false) => read,
            (false, _) => write,
        }
    }
}
