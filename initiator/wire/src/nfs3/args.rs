//! Arguments of the procedures.

use super::{FileHandle, NAME_MAX, Sattr, Time};
use crate::codec::{codec, enumeration};
use crate::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer};

/// GETATTR (RFC 1813 §3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetattrArgs {
    /// File.
    pub file: FileHandle,
}

codec!(GetattrArgs { file });

/// SETATTR (RFC 1813 §3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetattrArgs {
    /// File.
    pub file: FileHandle,
    /// What to set.
    pub attributes: Sattr,
    /// Only if the file's ctime is this one.
    pub guard: Option<Time>,
}

codec!(SetattrArgs { file, attributes, guard });

/// A name in a directory (RFC 1813 §2.6, `diropargs3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirOpArgs<'a> {
    /// Directory.
    pub dir: FileHandle,
    /// Name, at most [`NAME_MAX`] bytes.
    pub name: &'a [u8],
}

impl Encode for DirOpArgs<'_> {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.value(&self.dir)?;
        w.string(self.name)
    }
}

impl<'a> Decode<'a> for DirOpArgs<'a> {
    #[inline]
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { dir: r.value()?, name: r.string(NAME_MAX)? })
    }
}

/// LOOKUP (RFC 1813 §3.3.3).
pub type LookupArgs<'a> = DirOpArgs<'a>;
/// REMOVE (RFC 1813 §3.3.12).
pub type RemoveArgs<'a> = DirOpArgs<'a>;
/// RMDIR (RFC 1813 §3.3.13).
pub type RmdirArgs<'a> = DirOpArgs<'a>;

/// Bits of [`AccessArgs::access`] (RFC 1813 §3.3.4).
pub mod access {
    /// Read a file or a directory.
    pub const READ: u32 = 0x01;
    /// Look a name up.
    pub const LOOKUP: u32 = 0x02;
    /// Rewrite or truncate a file, change entries of a directory.
    pub const MODIFY: u32 = 0x04;
    /// Append to a file, add entries to a directory.
    pub const EXTEND: u32 = 0x08;
    /// Delete entries.
    pub const DELETE: u32 = 0x10;
    /// Execute a file.
    pub const EXECUTE: u32 = 0x20;
}

/// ACCESS (RFC 1813 §3.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessArgs {
    /// File.
    pub file: FileHandle,
    /// Bits of [`access`] to ask about.
    pub access: u32,
}

codec!(AccessArgs { file, access });

/// READ (RFC 1813 §3.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadArgs {
    /// File.
    pub file: FileHandle,
    /// First byte.
    pub offset: u64,
    /// Bytes wanted.
    pub count: u32,
}

codec!(ReadArgs { file, offset, count });

impl ReadArgs {
    /// What follows the handle, for [`put_call`](super::put_call).
    #[inline]
    #[must_use]
    pub fn words(offset: u64, count: u32) -> [u32; 3] {
        [(offset >> 32) as u32, offset as u32, count]
    }
}

/// When written data must be on stable storage (RFC 1813 §3.3.7, `stable_how`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StableHow {
    /// Some time; COMMIT says when.
    Unstable = 0,
    /// The data before the reply, with what is needed to find it again.
    DataSync = 1,
    /// Data and attributes before the reply.
    FileSync = 2,
}

enumeration!(StableHow, "stable_how", [Unstable, DataSync, FileSync]);

/// WRITE (RFC 1813 §3.3.7) up to and including the length word of the data.
///
/// Whoever encodes appends the data and its pad, or hands the data to the transport as a Read chunk
/// whose position is the writer's position after this (RFC 8166 §3.4.5). Whoever decodes takes the
/// data with [`take_inline_data`](Self::take_inline_data), or from the Read chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteArgs {
    /// File.
    pub file: FileHandle,
    /// First byte.
    pub offset: u64,
    /// Bytes to write.
    pub count: u32,
    /// When they must be stable.
    pub stable: StableHow,
    /// Length of the opaque; a call in which it is not `count` does not decode.
    pub data_len: u32,
}

impl WriteArgs {
    /// What follows the handle up to the data, of a call whose data is as long as its count, for
    /// [`put_call`](super::put_call).
    #[inline]
    #[must_use]
    pub fn words(offset: u64, count: u32, stable: StableHow) -> [u32; 5] {
        [(offset >> 32) as u32, offset as u32, count, stable as u32, count]
    }

    /// Takes the data from an unreduced call and makes sure that the call ends behind its pad.
    ///
    /// # Errors
    /// Fewer or more bytes are there.
    #[inline]
    pub fn take_inline_data<'a>(&self, r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
        take_last_opaque(self.data_len, r)
    }
}

impl Encode for WriteArgs {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.value(&self.file)?;
        w.u64(self.offset)?;
        w.u32(self.count)?;
        w.value(&self.stable)?;
        w.u32(self.data_len)
    }
}

impl Decode<'_> for WriteArgs {
    #[inline]
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (file, offset, count) = (r.value()?, r.u64()?, r.u32()?);
        let stable = r.value()?;
        Ok(Self { file, offset, count, stable, data_len: length_equal_to(count, r)? })
    }
}

/// The length word of file data, which the word before must agree with.
#[inline]
pub(super) fn length_equal_to(count: u32, r: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let offset = r.position();
    match r.u32()? {
        found if found == count => Ok(found),
        found => {
            let what = "data length that agrees with the count";
            Err(DecodeError::Value { what, offset, found })
        }
    }
}

/// Body of an opaque that ends its message.
#[inline]
pub(super) fn take_last_opaque<'a>(len: u32, r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let data = r.opaque_fixed(len as usize)?;
    r.finish()?;
    Ok(data)
}

/// How to create a file (RFC 1813 §3.3.8, `createhow3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateHow {
    /// Take a file that exists.
    Unchecked(Sattr),
    /// Fail if it exists.
    Guarded(Sattr),
    /// Fail if it exists, unless this verifier made it.
    Exclusive([u8; 8]),
}

impl Encode for CreateHow {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Unchecked(attributes) => {
                w.u32(0)?;
                w.value(attributes)
            }
            Self::Guarded(attributes) => {
                w.u32(1)?;
                w.value(attributes)
            }
            Self::Exclusive(verifier) => {
                w.u32(2)?;
                w.value(verifier)
            }
        }
    }
}

impl Decode<'_> for CreateHow {
    #[inline]
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = r.position();
        match r.u32()? {
            0 => r.value().map(Self::Unchecked),
            1 => r.value().map(Self::Guarded),
            2 => r.value().map(Self::Exclusive),
            found => Err(DecodeError::Value { what: "createmode3", offset, found }),
        }
    }
}

/// CREATE (RFC 1813 §3.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateArgs<'a> {
    /// Directory.
    pub dir: FileHandle,
    /// Name, at most [`NAME_MAX`] bytes.
    pub name: &'a [u8],
    /// How.
    pub how: CreateHow,
}

impl Encode for CreateArgs<'_> {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.value(&DirOpArgs { dir: self.dir, name: self.name })?;
        w.value(&self.how)
    }
}

impl<'a> Decode<'a> for CreateArgs<'a> {
    #[inline]
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let DirOpArgs { dir, name } = r.value()?;
        Ok(Self { dir, name, how: r.value()? })
    }
}

/// MKDIR (RFC 1813 §3.3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MkdirArgs<'a> {
    /// Parent directory.
    pub dir: FileHandle,
    /// Name, at most [`NAME_MAX`] bytes.
    pub name: &'a [u8],
    /// Initial attributes.
    pub attributes: Sattr,
}

impl Encode for MkdirArgs<'_> {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.value(&DirOpArgs { dir: self.dir, name: self.name })?;
        w.value(&self.attributes)
    }
}

impl<'a> Decode<'a> for MkdirArgs<'a> {
    #[inline]
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let DirOpArgs { dir, name } = r.value()?;
        Ok(Self { dir, name, attributes: r.value()? })
    }
}

/// RENAME (RFC 1813 §3.3.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenameArgs<'a> {
    /// Present name.
    pub from: DirOpArgs<'a>,
    /// New name.
    pub to: DirOpArgs<'a>,
}

codec!(borrowed RenameArgs { from, to });

/// READDIRPLUS (RFC 1813 §3.3.17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaddirplusArgs {
    /// Directory.
    pub dir: FileHandle,
    /// Cookie of the last entry seen; 0 to begin.
    pub cookie: u64,
    /// Verifier of the last reply; zeros to begin.
    pub verifier: [u8; 8],
    /// Most bytes of names, fileids and cookies wanted.
    pub dircount: u32,
    /// Most bytes of results, not counting the status word.
    pub maxcount: u32,
}

codec!(ReaddirplusArgs { dir, cookie, verifier, dircount, maxcount });

/// FSSTAT (RFC 1813 §3.3.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsstatArgs {
    /// Any file in the file system.
    pub root: FileHandle,
}

codec!(FsstatArgs { root });

/// FSINFO (RFC 1813 §3.3.19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsinfoArgs {
    /// Any file in the file system.
    pub root: FileHandle,
}

codec!(FsinfoArgs { root });

/// COMMIT (RFC 1813 §3.3.21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitArgs {
    /// File.
    pub file: FileHandle,
    /// First byte.
    pub offset: u64,
    /// Bytes; 0 for all to the end.
    pub count: u32,
}

codec!(CommitArgs { file, offset, count });
