//! What the server serves: a file system in memory ([`MemFs`]) or a directory of the host
//! ([`DirFs`]).
//!
//! Threading: owned by the server's thread; every call returns at once (`DirFs` for as long as
//! the host's file system takes). Nothing here knows RPC: the server turns [`FsError`] into an
//! NFS status and [`Handle`] into the opaque bytes a client sees. Must survive: handles that
//! were never given out or whose file is gone, names of any bytes, offsets of any size.
//!
//! Permissions are not checked: every caller acts as the user the target runs as.

mod any;
mod dir;
mod dir_listing;
mod dir_stat;
mod dir_table;
mod mem;
mod mem_names;
mod pages;
mod unstable;

pub use any::AnyFs;
pub use dir::DirFs;
pub use mem::MemFs;

/// Longest name of a directory entry, as on the usual host file systems.
pub const NAME_BYTES_MAX: usize = 255;

/// Names a file for as long as it exists. One whose file is gone is [`FsError::Stale`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    /// Which object.
    pub id: u64,
    /// Which life of that `id`: a slot or an inode number is reused, a handle is not.
    pub generation: u32,
}

/// Seconds and nanoseconds since 1970, as NFSv3 counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds; wraps in 2106 like the protocol.
    pub seconds: u32,
    /// Nanoseconds below 1,000,000,000.
    pub nanos: u32,
}

impl Time {
    /// From nanoseconds since 1970.
    pub fn from_unix_ns(ns: u64) -> Self {
        Self { seconds: (ns / 1_000_000_000) as u32, nanos: (ns % 1_000_000_000) as u32 }
    }
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link (only on [`DirFs`]; never followed by the server).
    Symlink,
    /// A device, socket or FIFO (only on [`DirFs`]; cannot be opened).
    Special,
}

/// Attributes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes up to its end.
    pub size: u64,
    /// Bytes of storage behind it.
    pub used: u64,
    /// The file system it is on.
    pub fsid: u64,
    /// Its number on that file system.
    pub fileid: u64,
    /// Last access.
    pub atime: Time,
    /// Last change of content.
    pub mtime: Time,
    /// Last change of attributes.
    pub ctime: Time,
}

/// A new value for a time stamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetTime {
    /// Leave it.
    #[default]
    Keep,
    /// The server's clock.
    Now,
    /// The client's value.
    To(Time),
}

/// Attributes to change; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size: cuts, or grows with zeros.
    pub size: Option<u64>,
    /// Last access.
    pub atime: SetTime,
    /// Last change of content.
    pub mtime: SetTime,
}

/// What CREATE does about a name that is taken (RFC 1813 §3.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateHow {
    /// Uses the file that is there.
    Unchecked(SetAttr),
    /// Fails with [`FsError::Exists`].
    Guarded(SetAttr),
    /// Succeeds if the file there was made with the same verifier (a repeated call).
    Exclusive([u8; 8]),
}

/// Space of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All bytes.
    pub total_bytes: u64,
    /// Unused bytes, which here are all available to the caller.
    pub free_bytes: u64,
    /// All file slots.
    pub total_files: u64,
    /// Unused file slots.
    pub free_files: u64,
}

/// An entry on its way to a directory listing.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its number.
    pub fileid: u64,
    /// Where to go on after it.
    pub cookie: u64,
    /// Its handle and attributes, when they could be had.
    pub object: Option<(Handle, Attr)>,
}

/// Why a file system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FsError {
    /// Not the owner.
    #[error("operation not permitted")]
    NotPermitted,
    /// No such name.
    #[error("no such file or directory")]
    NotFound,
    /// The medium failed.
    #[error("input/output error")]
    Io,
    /// The target's own user lacks the right.
    #[error("permission denied")]
    Access,
    /// The name is taken.
    #[error("file exists")]
    Exists,
    /// A directory was needed.
    #[error("not a directory")]
    NotDirectory,
    /// A directory was not expected.
    #[error("is a directory")]
    IsDirectory,
    /// An argument makes no sense for this object.
    #[error("invalid argument")]
    Invalid,
    /// Beyond the largest file.
    #[error("file too large")]
    TooLarge,
    /// The capacity is used up.
    #[error("no space left")]
    NoSpace,
    /// Not writable at all.
    #[error("read-only file system")]
    ReadOnly,
    /// A name is longer than [`NAME_BYTES_MAX`].
    #[error("name too long")]
    NameTooLong,
    /// The directory has entries.
    #[error("directory not empty")]
    NotEmpty,
    /// The object behind the handle is gone.
    #[error("stale file handle")]
    Stale,
    /// The listing position is not one that was given out.
    #[error("bad cookie")]
    BadCookie,
    /// This file system does not do that.
    #[error("not supported")]
    NotSupported,
}

/// Bytes read, and whether they reach the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadDone {
    /// Bytes placed at the start of the destination.
    pub count: u32,
    /// Nothing lies behind them.
    pub eof: bool,
}

/// A file system as NFSv3 sees one.
pub trait FileSystem {
    /// Tells the file system what time it is; files changed from now on carry it.
    fn set_time(&mut self, now: Time);
    /// The directory at the top.
    fn root(&self) -> Handle;
    /// Largest file.
    fn size_max(&self) -> u64;

    /// GETATTR.
    fn getattr(&mut self, object: Handle) -> Result<Attr, FsError>;
    /// SETATTR, without the guard.
    fn setattr(&mut self, object: Handle, set: &SetAttr) -> Result<(), FsError>;
    /// LOOKUP; `.` and `..` are names like any other, `..` of the root is the root.
    fn lookup(&mut self, dir: Handle, name: &[u8]) -> Result<Handle, FsError>;
    /// READLINK; the text as it is stored.
    fn readlink(&mut self, object: Handle) -> Result<Vec<u8>, FsError>;
    /// READ: fills `dst` from its start.
    fn read(&mut self, file: Handle, offset: u64, dst: &mut [u8]) -> Result<ReadDone, FsError>;
    /// WRITE: all of `src` or an error. `stable`: on the medium before this returns.
    fn write(&mut self, file: Handle, offset: u64, src: &[u8], stable: bool)
    -> Result<(), FsError>;
    /// CREATE of a regular file.
    fn create(&mut self, dir: Handle, name: &[u8], how: &CreateHow) -> Result<Handle, FsError>;
    /// MKDIR.
    fn mkdir(&mut self, dir: Handle, name: &[u8], set: &SetAttr) -> Result<Handle, FsError>;
    /// REMOVE: anything but a directory.
    fn remove(&mut self, dir: Handle, name: &[u8]) -> Result<(), FsError>;
    /// RMDIR: an empty directory.
    fn rmdir(&mut self, dir: Handle, name: &[u8]) -> Result<(), FsError>;
    /// COMMIT: everything written so far is on the medium when this returns.
    fn commit(&mut self, file: Handle) -> Result<(), FsError>;
    /// The server crashes: what was written unstable and not committed since may be lost.
    fn crash(&mut self) {}
    /// FSSTAT.
    fn space(&mut self) -> Result<Space, FsError>;
    /// READDIR and READDIRPLUS: hands entries after `cookie` (0: from the start) to `visit` until
    /// it says `false`. Returns whether the end was reached.
    fn readdir(
        &mut self,
        dir: Handle,
        cookie: u64,
        visit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> Result<bool, FsError>;

    /// The object at a slash-separated path below the root; symbolic links are not followed.
    fn resolve(&mut self, path: &str) -> Result<Handle, FsError> {
        path.split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .try_fold(self.root(), |dir, name| self.lookup(dir, name.as_bytes()))
    }

    /// Like [`resolve`](Self::resolve), making directories that are missing.
    fn make_path(&mut self, path: &str) -> Result<Handle, FsError> {
        let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
        let mut dir = self.root();
        for name in parts {
            dir = match self.lookup(dir, name.as_bytes()) {
                Err(FsError::NotFound) => self.mkdir(dir, name.as_bytes(), &SetAttr::default())?,
                found => found?,
            };
        }
        Ok(dir)
    }
}

/// Refuses what no file can be called.
fn check_new_name(name: &[u8]) -> Result<(), FsError> {
    match name {
        b"." | b".." => Err(FsError::Exists),
        b"" => Err(FsError::Access),
        _ if name.len() > NAME_BYTES_MAX => Err(FsError::NameTooLong),
        _ if name.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(FsError::Access),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
