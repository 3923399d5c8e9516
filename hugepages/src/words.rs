//! A table of words that may outlive its process: in memory, or in a file that is mapped shared.
//!
//! What is stored in a mapped file is the kernel's at once: a process that is killed, in whatever
//! way, leaves the file as its last store made it. Storing is a store: no system call.
//!
//! Faults survived: a file system without room (an error when the table is made, not a SIGBUS at
//! first touch). A file that somebody truncates while it is mapped is not.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicU32;

use memmap2::{MmapOptions, MmapRaw};
use nix::fcntl::posix_fallocate;

/// Bytes in a word.
const WORD_BYTES: usize = size_of::<u32>();

/// See the module documentation.
#[derive(Debug)]
pub struct Words {
    map: MmapRaw,
    /// Bytes in front of the first.
    front: usize,
    count: usize,
}

impl Words {
    /// So many words, all 0, that end with the process.
    ///
    /// # Errors
    /// No memory.
    pub fn in_memory(count: usize) -> io::Result<Words> {
        // A mapping of nothing is no mapping.
        let len = (count * WORD_BYTES).max(WORD_BYTES);
        let map = MmapOptions::new().len(len).map_anon()?.into();
        Ok(Words { map, front: 0, count })
    }

    /// So many words, all 0, in `file` behind `front`, which must be whole words. What was in the
    /// file is gone.
    ///
    /// # Errors
    /// No room, or a file that cannot be mapped.
    pub fn in_file(file: &File, front: &[u8], count: usize) -> io::Result<Words> {
        if !front.len().is_multiple_of(WORD_BYTES) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let len = front.len() + count * WORD_BYTES;
        file.set_len(0)?;
        posix_fallocate(file, 0, len as i64)?;
        file.write_all_at(front, 0)?;
        let map = MmapOptions::new().len(len).map_raw(file)?;
        Ok(Words { map, front: front.len(), count })
    }

    /// The words.
    #[inline]
    pub fn get(&self) -> &[AtomicU32] {
        // SAFETY: the mapping is ours and is unmapped when `self` is dropped, which the borrow
        // forbids meanwhile. It is page-aligned and holds `count` words after `front`, a multiple
        // of a word. Nobody here makes another kind of reference into it, and what another process
        // does that maps the same file is no worse than changing atomics.
        unsafe {
            let first = self.map.as_mut_ptr().add(self.front).cast::<AtomicU32>();
            std::slice::from_raw_parts(first, self.count)
        }
    }
}

#[cfg(test)]
mod tests;
