//! Attributes of files, and changes to them.

use crate::codec::{codec, enumeration};
use crate::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer};

/// Kind of file (RFC 1813 §2.6, `ftype3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// Regular file.
    Regular = 1,
    /// Directory.
    Directory = 2,
    /// Block device.
    Block = 3,
    /// Character device.
    Character = 4,
    /// Symbolic link.
    Symlink = 5,
    /// Socket.
    Socket = 6,
    /// Named pipe.
    Fifo = 7,
}

enumeration!(FileType, "file type", [Regular, Directory, Block, Character, Symlink, Socket, Fifo]);

/// Time since 1970 (RFC 1813 §2.6, `nfstime3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    /// Whole seconds.
    pub seconds: u32,
    /// The rest.
    pub nanoseconds: u32,
}

codec!(8 bytes: Time { seconds, nanoseconds });

/// Device numbers of a special file (RFC 1813 §2.6, `specdata3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct DeviceNumber {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

codec!(8 bytes: DeviceNumber { major, minor });

/// Bytes of a [`Fattr`].
pub(super) const FATTR_LEN: usize = 84;
/// Bytes of a [`WccAttr`].
pub(super) const WCC_ATTR_LEN: usize = 24;

/// Attributes of a file (RFC 1813 §2.6, `fattr3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fattr {
    /// Kind of file.
    pub file_type: FileType,
    /// Permission bits.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Bytes on disk.
    pub used: u64,
    /// Which device, for block and character files.
    pub rdev: DeviceNumber,
    /// File system.
    pub fsid: u64,
    /// Inode number.
    pub fileid: u64,
    /// Last access.
    pub atime: Time,
    /// Last change of data.
    pub mtime: Time,
    /// Last change of attributes.
    pub ctime: Time,
}

codec!(84 bytes: Fattr {
    file_type,
    mode,
    nlink,
    uid,
    gid,
    size,
    used,
    rdev,
    fsid,
    fileid,
    atime,
    mtime,
    ctime,
});

/// Attributes that a server may leave out (RFC 1813 §2.6, `post_op_attr`).
pub type PostOpAttr = Option<Fattr>;

/// What tells whether a cached file is still the same (RFC 1813 §2.6, `wcc_attr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WccAttr {
    /// Length in bytes.
    pub size: u64,
    /// Last change of data.
    pub mtime: Time,
    /// Last change of attributes.
    pub ctime: Time,
}

codec!(24 bytes: WccAttr { size, mtime, ctime });

/// Weak cache consistency: attributes around an operation (RFC 1813 §2.6, `wcc_data`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WccData {
    /// Before it.
    pub before: Option<WccAttr>,
    /// After it.
    pub after: PostOpAttr,
}

codec!(WccData { before, after });

/// What to do with a time stamp (RFC 1813 §2.6, `set_atime` and `set_mtime`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SetTime {
    /// Leave it.
    #[default]
    DontChange,
    /// The server's present time.
    ServerTime,
    /// This time.
    Client(Time),
}

impl Encode for SetTime {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::DontChange => w.u32(0),
            Self::ServerTime => w.u32(1),
            Self::Client(time) => {
                w.u32(2)?;
                w.value(time)
            }
        }
    }
}

impl Decode<'_> for SetTime {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = r.position();
        match r.u32()? {
            0 => Ok(Self::DontChange),
            1 => Ok(Self::ServerTime),
            2 => r.value().map(Self::Client),
            found => Err(DecodeError::Value { what: "time_how", offset, found }),
        }
    }
}

/// Attributes to set; the default sets nothing (RFC 1813 §2.6, `sattr3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sattr {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length: truncates or extends.
    pub size: Option<u64>,
    /// Last access.
    pub atime: SetTime,
    /// Last change of data.
    pub mtime: SetTime,
}

codec!(Sattr { mode, uid, gid, size, atime, mtime });
