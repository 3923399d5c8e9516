//! Attributes of host files, with the birth time: inode numbers are reused at once by many file
//! systems, an inode number together with its birth time is not.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use super::dir_table::Identity;
use super::{Attr, Kind, Time};

/// What the host knows about a file.
pub(super) struct Stat(libc::statx);

impl Stat {
    /// Of `name` in `dir`, itself even if it is a symbolic link.
    pub(super) fn at(dir: &impl AsFd, name: &[u8]) -> nix::Result<Self> {
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT;
        let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
        let mut stat = MaybeUninit::<libc::statx>::zeroed();
        let fd = dir.as_fd().as_raw_fd();
        // SAFETY: `name` ends in a zero byte and outlives the call, which fills `stat`, ours.
        let code = unsafe { libc::statx(fd, name.as_ptr(), flags, mask, stat.as_mut_ptr()) };
        Errno::result(code)?;
        // SAFETY: plain integers, zeroed above and filled by the call.
        Ok(Self(unsafe { stat.assume_init() }))
    }

    /// Of an open file.
    pub(super) fn of(file: &impl AsFd) -> nix::Result<Self> {
        Self::at(file, b"")
    }

    pub(super) fn nlink(&self) -> u32 {
        self.0.stx_nlink
    }

    pub(super) fn identity(&self) -> Identity {
        let born = &self.0.stx_btime;
        Identity { dev: self.dev(), ino: self.0.stx_ino, born: (born.tv_sec, born.tv_nsec) }
    }

    pub(super) fn kind(&self) -> Kind {
        match u32::from(self.0.stx_mode) & libc::S_IFMT {
            libc::S_IFREG => Kind::File,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFLNK => Kind::Symlink,
            _ => Kind::Special,
        }
    }

    pub(super) fn attr(&self) -> Attr {
        let time =
            |at: &libc::statx_timestamp| Time { seconds: at.tv_sec as u32, nanos: at.tv_nsec };
        let stat = &self.0;
        Attr {
            kind: self.kind(),
            mode: u32::from(stat.stx_mode) & 0o7777,
            nlink: stat.stx_nlink,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            size: stat.stx_size,
            used: stat.stx_blocks * 512,
            fsid: self.dev(),
            fileid: stat.stx_ino,
            atime: time(&stat.stx_atime),
            mtime: time(&stat.stx_mtime),
            ctime: time(&stat.stx_ctime),
        }
    }

    fn dev(&self) -> u64 {
        libc::makedev(self.0.stx_dev_major, self.0.stx_dev_minor)
    }
}
