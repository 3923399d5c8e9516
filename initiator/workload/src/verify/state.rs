//! The state of a job that writes what can be verified (`verify_state_save`), in a file of its own
//! beside the user, so that a later run (`verify_state_load`) checks what was written, and no more.
//!
//! The file is the job's [`WrittenMap`], mapped: it says at any moment what has been written, and a
//! run that is killed leaves it so. Little-endian:
//!
//! ```text
//!  0  magic "INITVST1"     8  bytes of a unit     12  who wrote (as in the blocks' headers)
//! 16  units               24  sum over the files: names, where the job begins and ends
//! 32  for each unit: 0 when never written, or the number of the last write to it, with bit 31 while
//!     that write is in flight, bit 30 when it was verified already
//! ```
//!
//! fio has a file of the same name, and another format: the last writes of each thread, from which
//! it repeats the job up to there.

use super::{Sum, WrittenMap};
use hugepages::Words;
use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::PathBuf;

const MAGIC: [u8; 8] = *b"INITVST1";
const HEAD_BYTES: usize = 32;

/// fio's name of the file: `local-JOB-INSTANCE-verify.state` in the present directory.
pub(crate) fn path(job: &str, instance: u32) -> PathBuf {
    format!("local-{}-{instance}-verify.state", job.replace('/', "_")).into()
}

/// What a state is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) unit_bytes: u32,
    pub(crate) units: u64,
    /// [`Shape::sum`] of the files.
    pub(crate) files: u64,
}

impl Shape {
    /// Over names, first bytes and lengths of the files' parts.
    pub(crate) fn sum<'a>(parts: impl Iterator<Item = (&'a str, u64, u64)>) -> u64 {
        let text = |(name, offset, len)| format!("{name}\0{offset}\0{len}\0");
        let (digest, _) = Sum::Crc64.digest(parts.map(text).collect::<String>().as_bytes());
        u64::from_le_bytes(digest[..8].try_into().unwrap_or_default())
    }
}

/// A state that is kept as the job goes on.
#[derive(Debug)]
pub(crate) struct Saved {
    path: PathBuf,
    /// Locked as long as it is open.
    _file: File,
}

impl Saved {
    /// Begins a state; an older one of that name is gone.
    pub(crate) fn begin(
        path: PathBuf,
        shape: Shape,
        writer: u32,
    ) -> Result<(Saved, WrittenMap), String> {
        let shown = path.display();
        let cannot = |error| format!("verify_state_save: './{shown}' cannot be made: {error}");
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(cannot)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                format!("verify_state_save: './{shown}' is another run's, which goes on")
            }
            TryLockError::Error(error) => cannot(error),
        })?;
        let mut head = [0; HEAD_BYTES];
        head[0..8].copy_from_slice(&MAGIC);
        head[8..12].copy_from_slice(&shape.unit_bytes.to_le_bytes());
        head[12..16].copy_from_slice(&writer.to_le_bytes());
        head[16..24].copy_from_slice(&shape.units.to_le_bytes());
        head[24..32].copy_from_slice(&shape.files.to_le_bytes());
        let words = Words::in_file(&file, &head, shape.units as usize).map_err(cannot)?;
        Ok((Saved { path, _file: file }, WrittenMap::over(words)))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// All that it says was written has been verified: there is nothing more to load.
    pub(crate) fn remove(self) {
        // If it stays, a later run verifies once more.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What an earlier run has left: what was written, and by whom.
pub(crate) fn load(path: PathBuf, shape: Shape) -> Result<(WrittenMap, u32), String> {
    let bytes = read(&path)?;
    let wrong = |what: String| format!("verify_state_load: './{}' {what}", path.display());
    if bytes.len() < HEAD_BYTES || bytes[0..8] != MAGIC {
        return Err(wrong(
            "is not a state that this client saved (fio's own are different)".into(),
        ));
    }
    let (head, words) = bytes.split_at(HEAD_BYTES);
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap_or_default());
    let long = |at: usize| {
        u64::from(word(&head[at..at + 4])) | u64::from(word(&head[at + 4..at + 8])) << 32
    };
    let found = Shape { unit_bytes: word(&head[8..12]), units: long(16), files: long(24) };
    if found.unit_bytes != shape.unit_bytes {
        let (found, wanted) = (found.unit_bytes, shape.unit_bytes);
        return Err(wrong(format!("is of units of {found} bytes, this job verifies {wanted}")));
    }
    if found != shape {
        return Err(wrong("is of other files, or of other parts of them, than this job's".into()));
    }
    if words.len() as u64 != shape.units * 4 {
        let wanted = HEAD_BYTES as u64 + shape.units * 4;
        return Err(wrong(format!("has {} bytes, not {wanted}: it was cut off", bytes.len())));
    }
    let map = WrittenMap::new(shape.units).map_err(|error| wrong(error.to_string()))?;
    for (block, bytes) in words.chunks_exact(4).enumerate() {
        map.recall(block as u64, word(bytes));
    }
    Ok((map, word(&head[12..16])))
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let cannot = |error| format!("verify_state_load: './{shown}' cannot be read: {error}");
    let mut file = File::open(path).map_err(cannot)?;
    file.try_lock_shared().map_err(|error| match error {
        TryLockError::WouldBlock => {
            format!("verify_state_load: the run that writes './{shown}' still goes on")
        }
        TryLockError::Error(error) => cannot(error),
    })?;
    let most = HEAD_BYTES as u64 + super::VERIFY_BLOCKS_MAX * 4 + 1;
    let mut bytes = Vec::new();
    file.by_ref().take(most).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(bytes)
}
