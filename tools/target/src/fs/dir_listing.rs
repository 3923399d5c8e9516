//! Entries of a host directory from a remembered position on.
//!
//! The standard library offers no way to continue a listing by another handle to the directory;
//! the kernel does: every entry carries the position of the next, which `lseek` takes. That
//! position is the NFS cookie, as it is in knfsd.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use super::FsError;
use super::dir::from_errno;

const BUFFER_BYTES: usize = 32 << 10;
/// `struct linux_dirent64`: inode, next position, record length, type, then the name.
const OFFSET_NEXT: usize = 8;
const OFFSET_LENGTH: usize = 16;
const OFFSET_NAME: usize = 19;

/// Moves to where an earlier listing stopped.
pub(super) fn seek(dir: &OwnedFd, cookie: u64) -> Result<(), FsError> {
    let position = i64::try_from(cookie).map_err(|_| FsError::BadCookie)?;
    match lseek(dir, position, Whence::SeekSet) {
        Ok(_) => Ok(()),
        Err(Errno::EINVAL) => Err(FsError::BadCookie),
        Err(errno) => Err(from_errno(errno)),
    }
}

/// Hands name, inode number and following position of each entry to `visit` until it says
/// `false`. Returns whether the end was reached.
pub(super) fn for_each(
    dir: &OwnedFd,
    visit: &mut dyn FnMut(&[u8], u64, u64) -> bool,
) -> Result<bool, FsError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        // SAFETY: the kernel writes at most the given length into a buffer that is ours alone.
        let filled = unsafe {
            libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), buffer.as_mut_ptr(), buffer.len())
        };
        let filled = usize::try_from(filled).map_err(|_| from_errno(Errno::last()))?;
        if filled == 0 {
            return Ok(true);
        }
        let mut rest = &buffer[..filled];
        while let Some((ino, next, name, length)) = parse(rest) {
            if !visit(name, ino, next) {
                return Ok(false);
            }
            rest = &rest[length..];
        }
    }
}

fn parse(record: &[u8]) -> Option<(u64, u64, &[u8], usize)> {
    let word = |at: usize| Some(u64::from_ne_bytes(record.get(at..at + 8)?.try_into().ok()?));
    let length = record.get(OFFSET_LENGTH..OFFSET_LENGTH + 2)?;
    let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?));
    let name = record.get(OFFSET_NAME..length)?;
    let end = name.iter().position(|&byte| byte == 0)?;
    Some((word(0)?, word(OFFSET_NEXT)?, &name[..end], length))
}
