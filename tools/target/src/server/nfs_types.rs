//! Between the file system's values and those on the wire.

use wire::nfs3::{
    self, DeviceNumber, Failed, Fattr, FileHandle, FileType, PostOpAttr, Sattr, Status, WccData,
};

use crate::fs::{Attr, CreateHow, FsError, Handle, Kind, SetAttr, SetTime, Time};

/// First in every handle: those of another server are told apart.
const HANDLE_MAGIC: [u8; 4] = *b"itgt";
const HANDLE_BYTES: usize = 16;

/// The bytes a client sees.
pub(crate) fn to_wire(handle: Handle) -> FileHandle {
    let mut bytes = [0; HANDLE_BYTES];
    bytes[..4].copy_from_slice(&HANDLE_MAGIC);
    bytes[4..8].copy_from_slice(&handle.generation.to_be_bytes());
    bytes[8..].copy_from_slice(&handle.id.to_be_bytes());
    FileHandle::from_bytes(&bytes).expect("16 bytes are at most 64")
}

/// The handle behind them, if they have the form of ours.
pub(super) fn from_wire(handle: &FileHandle) -> Option<Handle> {
    let bytes: &[u8; HANDLE_BYTES] = handle.as_bytes().try_into().ok()?;
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (generation, id) = rest.split_first_chunk::<4>()?;
    let id = u64::from_be_bytes(id.try_into().ok()?);
    let generation = u32::from_be_bytes(*generation);
    (*magic == HANDLE_MAGIC).then_some(Handle { id, generation })
}

pub(super) fn status_of(error: FsError) -> Status {
    match error {
        FsError::NotPermitted => Status::Perm,
        FsError::NotFound => Status::NoEnt,
        FsError::Io => Status::Io,
        FsError::Access => Status::Access,
        FsError::Exists => Status::Exist,
        FsError::NotDirectory => Status::NotDir,
        FsError::IsDirectory => Status::IsDir,
        FsError::Invalid => Status::Invalid,
        FsError::TooLarge => Status::FBig,
        FsError::NoSpace => Status::NoSpace,
        FsError::ReadOnly => Status::RoFs,
        FsError::NameTooLong => Status::NameTooLong,
        FsError::NotEmpty => Status::NotEmpty,
        FsError::Stale => Status::Stale,
        FsError::BadCookie => Status::BadCookie,
        FsError::NotSupported => Status::NotSupported,
    }
}

pub(super) fn failed<T, A>(status: Status, attributes: A) -> Result<T, Failed<A>> {
    Err(Failed { status, attributes })
}

pub(super) fn wcc(after: PostOpAttr) -> WccData {
    WccData { before: None, after }
}

pub(super) fn fattr(attr: &Attr) -> Fattr {
    let file_type = match attr.kind {
        Kind::File => FileType::Regular,
        Kind::Directory => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
        Kind::Special => FileType::Fifo,
    };
    Fattr {
        file_type,
        mode: attr.mode,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        size: attr.size,
        used: attr.used,
        rdev: DeviceNumber::default(),
        fsid: attr.fsid,
        fileid: attr.fileid,
        atime: time(attr.atime),
        mtime: time(attr.mtime),
        ctime: time(attr.ctime),
    }
}

pub(super) fn time(time: Time) -> nfs3::Time {
    nfs3::Time { seconds: time.seconds, nanoseconds: time.nanos }
}

/// `None` when a time stamp is no time.
pub(super) fn set_attr(set: &Sattr) -> Option<SetAttr> {
    Some(SetAttr {
        mode: set.mode,
        uid: set.uid,
        gid: set.gid,
        size: set.size,
        atime: set_time(set.atime)?,
        mtime: set_time(set.mtime)?,
    })
}

fn set_time(set: nfs3::SetTime) -> Option<SetTime> {
    match set {
        nfs3::SetTime::DontChange => Some(SetTime::Keep),
        nfs3::SetTime::ServerTime => Some(SetTime::Now),
        nfs3::SetTime::Client(time) => {
            let (seconds, nanos) = (time.seconds, time.nanoseconds);
            (nanos < 1_000_000_000).then_some(SetTime::To(Time { seconds, nanos }))
        }
    }
}

pub(super) fn create_how(how: &nfs3::CreateHow) -> Option<CreateHow> {
    Some(match how {
        nfs3::CreateHow::Unchecked(set) => CreateHow::Unchecked(set_attr(set)?),
        nfs3::CreateHow::Guarded(set) => CreateHow::Guarded(set_attr(set)?),
        nfs3::CreateHow::Exclusive(verifier) => CreateHow::Exclusive(*verifier),
    })
}
