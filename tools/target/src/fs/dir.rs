//! A directory of the host.
//!
//! A handle stands for a name below the exported directory. Every use walks from there, one
//! component at a time and never through a symbolic link, and checks that device and inode are
//! still those of the handle: nothing outside is reached, and what was replaced on the host is
//! stale. Files in use stay open. After a restart all old handles are stale.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmodat, mkdirat, utimensat};
use nix::sys::statvfs::fstatvfs;
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};

use super::dir_listing;
use super::dir_stat::Stat;
use super::dir_table::{Node, Nodes, OpenFiles, ROOT};
use super::{
    Attr, CreateHow, DirEntry, FileSystem, FsError, Handle, Kind, ReadDone, SetAttr, SetTime,
    Space, Time, check_new_name,
};

/// A directory of the host as a file system.
#[derive(Debug)]
pub struct DirFs {
    top: OwnedFd,
    nodes: Nodes,
    open: OpenFiles,
}

/// Where an object is: its directory, opened, and its name there (`.` for the top).
struct Place {
    dir: OwnedFd,
    name: Box<[u8]>,
}

impl DirFs {
    /// Serves what lies below `path`. `instance` sets the handles of one run apart from those of
    /// another.
    pub fn new(path: &Path, instance: u32) -> io::Result<Self> {
        let top = OwnedFd::from(File::open(path)?);
        let stat = Stat::of(&top)?;
        if stat.kind() != Kind::Directory {
            return Err(io::Error::from(ErrorKind::NotADirectory));
        }
        let nodes = Nodes::new(stat.identity(), instance);
        Ok(Self { top, nodes, open: OpenFiles::default() })
    }

    fn place(&self, handle: Handle) -> Result<Place, FsError> {
        let names = self.nodes.path(handle)?;
        let mut dir = self.top.try_clone().map_err(|error| from_io(&error))?;
        let Some((last, parents)) = names.split_last() else {
            return Ok(Place { dir, name: b".".as_slice().into() });
        };
        for name in parents {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            dir = openat(&dir, *name, flags, Mode::empty()).map_err(gone)?;
        }
        Ok(Place { dir, name: (*last).into() })
    }

    /// The object's place and what it is now, if it is still the object the handle was given for.
    fn find(&self, handle: Handle) -> Result<(Place, Stat), FsError> {
        let place = self.place(handle)?;
        let stat = Stat::at(&place.dir, &place.name).map_err(gone)?;
        if stat.identity() != self.nodes.get(handle)?.identity {
            return Err(FsError::Stale);
        }
        Ok((place, stat))
    }

    fn open_dir(&self, handle: Handle) -> Result<OwnedFd, FsError> {
        let (place, stat) = self.find(handle)?;
        if stat.kind() != Kind::Directory {
            return Err(FsError::NotDirectory);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&place.dir, &*place.name, flags, Mode::empty()).map_err(from_errno)
    }

    /// The file, open; for reading only when it cannot be had for writing and need not.
    fn open_file(&mut self, handle: Handle, writable: bool) -> Result<&File, FsError> {
        let id = self.nodes.get(handle).map(|_: &Node| handle.id)?;
        if self.open.get(id, writable).is_some() {
            return self.open.get(id, writable).ok_or(FsError::Stale);
        }
        let (place, stat) = self.find(handle)?;
        match stat.kind() {
            Kind::File => {}
            Kind::Directory => return Err(FsError::IsDirectory),
            Kind::Symlink | Kind::Special => return Err(FsError::Invalid),
        }
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let open = |access| openat(&place.dir, &*place.name, access | flags, Mode::empty());
        let (fd, can_write) = match open(OFlag::O_RDWR) {
            Err(Errno::EACCES | Errno::EROFS | Errno::EPERM | Errno::ETXTBSY) if !writable => {
                (open(OFlag::O_RDONLY).map_err(from_errno)?, false)
            }
            opened => (opened.map_err(from_errno)?, true),
        };
        if Stat::of(&fd).map_err(from_errno)?.identity() != stat.identity() {
            return Err(FsError::Stale);
        }
        Ok(self.open.insert(id, File::from(fd), can_write))
    }

    fn set_times(place: &Place, set: &SetAttr) -> Result<(), FsError> {
        if (set.atime, set.mtime) == (SetTime::Keep, SetTime::Keep) {
            return Ok(());
        }
        let spec = |time| match time {
            SetTime::Keep => TimeSpec::UTIME_OMIT,
            SetTime::Now => TimeSpec::UTIME_NOW,
            SetTime::To(time) => TimeSpec::new(i64::from(time.seconds), i64::from(time.nanos)),
        };
        let follow = UtimensatFlags::NoFollowSymlink;
        utimensat(&place.dir, &*place.name, &spec(set.atime), &spec(set.mtime), follow)
            .map_err(from_errno)
    }

    fn made(&mut self, dir: Handle, fd: &OwnedFd, name: &[u8]) -> Result<Handle, FsError> {
        let stat = Stat::at(fd, name).map_err(from_errno)?;
        self.nodes.intern(dir.id, name, stat.identity())
    }

    fn existing(
        &mut self,
        dir: Handle,
        fd: &OwnedFd,
        name: &[u8],
        how: &CreateHow,
    ) -> Result<Handle, FsError> {
        let stat = Stat::at(fd, name).map_err(from_errno)?;
        let is_file = stat.kind() == Kind::File;
        match how {
            CreateHow::Unchecked(set) if is_file => {
                let found = self.nodes.intern(dir.id, name, stat.identity())?;
                if set.size.is_some() {
                    self.setattr(found, &SetAttr { size: set.size, ..SetAttr::default() })?;
                }
                Ok(found)
            }
            CreateHow::Exclusive(verifier) if is_file => {
                let times = exclusive_times(verifier);
                let attr = stat.attr();
                if (SetTime::To(attr.atime), SetTime::To(attr.mtime)) != (times.atime, times.mtime)
                {
                    return Err(FsError::Exists);
                }
                self.nodes.intern(dir.id, name, stat.identity())
            }
            _ => Err(FsError::Exists),
        }
    }

    fn unlink(&mut self, dir: Handle, name: &[u8], flags: UnlinkatFlags) -> Result<(), FsError> {
        let fd = self.open_dir(dir)?;
        let stat = Stat::at(&fd, name).map_err(from_errno)?;
        unlinkat(&fd, name, flags).map_err(from_errno)?;
        if stat.nlink() == 1 || matches!(flags, UnlinkatFlags::RemoveDir) {
            let handle = self.nodes.intern(dir.id, name, stat.identity())?;
            self.open.close(handle.id);
            self.nodes.forget(handle);
        }
        Ok(())
    }
}

impl FileSystem for DirFs {
    fn set_time(&mut self, _now: Time) {
        // The host stamps its files itself.
    }

    fn root(&self) -> Handle {
        self.nodes.handle(ROOT)
    }

    fn size_max(&self) -> u64 {
        i64::MAX as u64
    }

    fn getattr(&mut self, object: Handle) -> Result<Attr, FsError> {
        let id = self.nodes.get(object).map(|_: &Node| object.id)?;
        if let Some(file) = self.open.get(id, false) {
            let stat = Stat::of(file).map_err(from_errno)?;
            if stat.nlink() == 0 {
                self.open.close(id);
                return Err(FsError::Stale);
            }
            return Ok(stat.attr());
        }
        self.find(object).map(|(_, stat)| stat.attr())
    }

    fn setattr(&mut self, object: Handle, set: &SetAttr) -> Result<(), FsError> {
        if let Some(size) = set.size {
            let file = self.open_file(object, true)?;
            file.set_len(size).map_err(|error| from_io(&error))?;
        }
        let (place, stat) = self.find(object)?;
        if set.uid.is_some() || set.gid.is_some() {
            let (uid, gid) = (set.uid.map(Uid::from_raw), set.gid.map(Gid::from_raw));
            fchownat(&place.dir, &*place.name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)
                .map_err(from_errno)?;
        }
        if let Some(mode) = set.mode
            && stat.kind() != Kind::Symlink
        {
            let mode = Mode::from_bits_truncate(mode & 0o7777);
            fchmodat(&place.dir, &*place.name, mode, FchmodatFlags::FollowSymlink)
                .map_err(from_errno)?;
        }
        Self::set_times(&place, set)
    }

    fn lookup(&mut self, dir: Handle, name: &[u8]) -> Result<Handle, FsError> {
        let fd = self.open_dir(dir)?;
        match name {
            b"." => Ok(dir),
            b".." => Ok(self.nodes.handle(self.nodes.get(dir)?.parent)),
            _ => {
                check_new_name(name)?;
                self.made(dir, &fd, name)
            }
        }
    }

    fn readlink(&mut self, object: Handle) -> Result<Vec<u8>, FsError> {
        let (place, _) = self.find(object)?;
        let text = readlinkat(&place.dir, &*place.name).map_err(from_errno)?;
        Ok(text.as_bytes().to_vec())
    }

    fn read(&mut self, file: Handle, offset: u64, dst: &mut [u8]) -> Result<ReadDone, FsError> {
        if offset > self.size_max() {
            return Ok(ReadDone { count: 0, eof: true });
        }
        let file = self.open_file(file, false)?;
        let mut count = 0;
        while count < dst.len() {
            match file.read_at(&mut dst[count..], offset + count as u64) {
                Ok(0) => {
                    return Ok(ReadDone { count: count as u32, eof: true });
                }
                Ok(n) => count += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(from_io(&error)),
            }
        }
        let size = file.metadata().map_err(|error| from_io(&error))?.len();
        Ok(ReadDone { count: count as u32, eof: offset + count as u64 >= size })
    }

    fn write(
        &mut self,
        file: Handle,
        offset: u64,
        src: &[u8],
        stable: bool,
    ) -> Result<(), FsError> {
        let end = offset.checked_add(src.len() as u64);
        if end.is_none_or(|end| end > self.size_max()) {
            return Err(FsError::TooLarge);
        }
        let file = self.open_file(file, true)?;
        file.write_all_at(src, offset).map_err(|error| from_io(&error))?;
        if stable {
            file.sync_data().map_err(|error| from_io(&error))?;
        }
        Ok(())
    }

    fn create(&mut self, dir: Handle, name: &[u8], how: &CreateHow) -> Result<Handle, FsError> {
        check_new_name(name)?;
        let fd = self.open_dir(dir)?;
        let set = match how {
            CreateHow::Unchecked(set) | CreateHow::Guarded(set) => *set,
            CreateHow::Exclusive(verifier) => exclusive_times(verifier),
        };
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&fd, name, flags, Mode::from_bits_truncate(0o644)) {
            Ok(_) => {
                let file = self.made(dir, &fd, name)?;
                self.setattr(file, &set)?;
                Ok(file)
            }
            Err(Errno::EEXIST) => self.existing(dir, &fd, name, how),
            Err(errno) => Err(from_errno(errno)),
        }
    }

    fn mkdir(&mut self, dir: Handle, name: &[u8], set: &SetAttr) -> Result<Handle, FsError> {
        check_new_name(name)?;
        let fd = self.open_dir(dir)?;
        mkdirat(&fd, name, Mode::from_bits_truncate(0o755)).map_err(from_errno)?;
        let made = self.made(dir, &fd, name)?;
        self.setattr(made, &SetAttr { size: None, ..*set })?;
        Ok(made)
    }

    fn remove(&mut self, dir: Handle, name: &[u8]) -> Result<(), FsError> {
        check_new_name(name).map_err(|_| FsError::NotFound)?;
        self.unlink(dir, name, UnlinkatFlags::NoRemoveDir)
    }

    fn rmdir(&mut self, dir: Handle, name: &[u8]) -> Result<(), FsError> {
        check_new_name(name).map_err(|_| FsError::Invalid)?;
        self.unlink(dir, name, UnlinkatFlags::RemoveDir)
    }

    fn commit(&mut self, file: Handle) -> Result<(), FsError> {
        self.open_file(file, false)?.sync_all().map_err(|error| from_io(&error))
    }

    fn space(&mut self) -> Result<Space, FsError> {
        let stat = fstatvfs(&self.top).map_err(from_errno)?;
        let block = stat.fragment_size();
        Ok(Space {
            total_bytes: stat.blocks().saturating_mul(block),
            free_bytes: stat.blocks_available().saturating_mul(block),
            total_files: stat.files(),
            free_files: stat.files_available(),
        })
    }

    fn readdir(
        &mut self,
        dir: Handle,
        cookie: u64,
        visit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> Result<bool, FsError> {
        let fd = self.open_dir(dir)?;
        dir_listing::seek(&fd, cookie)?;
        let parent = self.nodes.handle(self.nodes.get(dir)?.parent);
        let nodes = &mut self.nodes;
        let (top, at_top) = (Stat::of(&self.top).map_err(from_errno)?.identity(), dir.id == ROOT);
        dir_listing::for_each(&fd, &mut |name, ino, next| {
            let stat = match (name, at_top) {
                (b"..", true) => Stat::of(&self.top).ok(),
                _ => Stat::at(&fd, name).ok(),
            };
            let object = stat.as_ref().and_then(|stat| {
                let handle = match name {
                    b"." => Some(dir),
                    b".." => Some(parent),
                    _ => nodes.intern(dir.id, name, stat.identity()).ok(),
                };
                handle.map(|handle| (handle, stat.attr()))
            });
            let fileid = if name == b".." && at_top { top.ino } else { ino };
            visit(DirEntry { name, fileid, cookie: next, object })
        })
    }
}

/// An exclusive create is recognised when repeated by its verifier, kept in the time stamps; in
/// 31 bits each, because some host file systems end in 2038.
fn exclusive_times(verifier: &[u8; 8]) -> SetAttr {
    let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|i| verifier[at + i])) >> 1;
    let time = |seconds| SetTime::To(Time { seconds, nanos: 0 });
    SetAttr { mtime: time(word(0)), atime: time(word(4)), ..SetAttr::default() }
}

/// For names that a handle stands for: when they lead nowhere any more, the handle is stale.
fn gone(errno: Errno) -> FsError {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP => FsError::Stale,
        other => from_errno(other),
    }
}

fn from_io(error: &io::Error) -> FsError {
    error.raw_os_error().map_or(FsError::Io, |errno| from_errno(Errno::from_raw(errno)))
}

pub(super) fn from_errno(errno: Errno) -> FsError {
    match errno {
        Errno::EPERM => FsError::NotPermitted,
        Errno::ENOENT => FsError::NotFound,
        Errno::EACCES => FsError::Access,
        Errno::EEXIST => FsError::Exists,
        Errno::ENOTDIR => FsError::NotDirectory,
        Errno::EISDIR => FsError::IsDirectory,
        Errno::EINVAL | Errno::ELOOP => FsError::Invalid,
        Errno::EFBIG | Errno::EOVERFLOW => FsError::TooLarge,
        Errno::ENOSPC | Errno::EDQUOT => FsError::NoSpace,
        Errno::EROFS => FsError::ReadOnly,
        Errno::ENAMETOOLONG => FsError::NameTooLong,
        Errno::ENOTEMPTY => FsError::NotEmpty,
        Errno::ESTALE => FsError::Stale,
        Errno::EOPNOTSUPP | Errno::ENOSYS => FsError::NotSupported,
        _ => FsError::Io,
    }
}
