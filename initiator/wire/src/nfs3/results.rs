//! Results of the procedures. What comes with a failure is the parameter of [`Failed`].

use super::args::{length_equal_to, take_last_opaque};
use super::{Failed, Fattr, FileHandle, PostOpAttr, StableHow, Time, WccData};
use crate::codec::codec;
use crate::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer};

/// GETATTR (RFC 1813 §3.3.1).
pub type GetattrRes = Result<Fattr, Failed<()>>;
/// SETATTR (RFC 1813 §3.3.2).
pub type SetattrRes = Result<WccData, Failed<WccData>>;
/// LOOKUP (RFC 1813 §3.3.3); the directory's attributes come with a failure.
pub type LookupRes = Result<LookupOk, Failed<PostOpAttr>>;
/// ACCESS (RFC 1813 §3.3.4).
pub type AccessRes = Result<AccessOk, Failed<PostOpAttr>>;
/// READ (RFC 1813 §3.3.6).
pub type ReadRes = Result<ReadOk, Failed<PostOpAttr>>;
/// WRITE (RFC 1813 §3.3.7).
pub type WriteRes = Result<WriteOk, Failed<WccData>>;
/// CREATE (RFC 1813 §3.3.8); the directory's attributes come with a failure.
pub type CreateRes = Result<CreateOk, Failed<WccData>>;
/// MKDIR (RFC 1813 §3.3.9).
pub type MkdirRes = CreateRes;
/// REMOVE (RFC 1813 §3.3.12): attributes of the directory.
pub type RemoveRes = Result<WccData, Failed<WccData>>;
/// RMDIR (RFC 1813 §3.3.13): attributes of the parent directory.
pub type RmdirRes = RemoveRes;
/// RENAME (RFC 1813 §3.3.14).
pub type RenameRes = Result<RenameWcc, Failed<RenameWcc>>;
/// FSSTAT (RFC 1813 §3.3.18).
pub type FsstatRes = Result<FsstatOk, Failed<PostOpAttr>>;
/// FSINFO (RFC 1813 §3.3.19).
pub type FsinfoRes = Result<FsinfoOk, Failed<PostOpAttr>>;
/// COMMIT (RFC 1813 §3.3.21).
pub type CommitRes = Result<CommitOk, Failed<WccData>>;

/// What LOOKUP found (RFC 1813 §3.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupOk {
    /// The file.
    pub handle: FileHandle,
    /// Its attributes.
    pub attributes: PostOpAttr,
    /// Those of the directory.
    pub dir_attributes: PostOpAttr,
}

codec!(LookupOk { handle, attributes, dir_attributes });

/// What is allowed (RFC 1813 §3.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessOk {
    /// Attributes of the file.
    pub attributes: PostOpAttr,
    /// Bits of [`access`](super::access).
    pub access: u32,
}

codec!(AccessOk { attributes, access });

/// Data was read (RFC 1813 §3.3.6): results up to and including the length word of the data.
///
/// In an unreduced reply the data and its pad follow:
/// [`take_inline_data`](Self::take_inline_data). Where the data came by Write chunk nothing
/// follows (RFC 8166 §3.4.4.1, §3.4.4.4; RFC 8267 §4), and `data_len` must be what the chunk
/// returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOk {
    /// Attributes of the file.
    pub attributes: PostOpAttr,
    /// Bytes read. May be fewer than asked for; the caller makes sure that it is not more.
    pub count: u32,
    /// The last byte read is the file's last.
    pub eof: bool,
    /// Length of the opaque; a reply in which it is not `count` does not decode.
    pub data_len: u32,
}

impl ReadOk {
    /// Takes the data from an unreduced reply and makes sure that the reply ends behind its pad.
    ///
    /// # Errors
    /// Fewer or more bytes are there.
    #[inline]
    pub fn take_inline_data<'a>(&self, r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
        take_last_opaque(self.data_len, r)
    }
}

impl Encode for ReadOk {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.value(&self.attributes)?;
        w.u32(self.count)?;
        w.bool(self.eof)?;
        w.u32(self.data_len)
    }
}

impl Decode<'_> for ReadOk {
    #[inline]
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (attributes, count, eof) = (r.value()?, r.u32()?, r.bool()?);
        Ok(Self { attributes, count, eof, data_len: length_equal_to(count, r)? })
    }
}

/// Data was written (RFC 1813 §3.3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOk {
    /// Attributes of the file.
    pub wcc: WccData,
    /// Bytes written.
    pub count: u32,
    /// How stable they are; at least as stable as asked for.
    pub committed: StableHow,
    /// Changes when the server may have lost unstable data.
    pub verifier: [u8; 8],
}

codec!(WriteOk { wcc, count, committed, verifier });

/// A file or directory was created (RFC 1813 §3.3.8, §3.3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateOk {
    /// The file; look it up if the server does not say.
    pub handle: Option<FileHandle>,
    /// Its attributes.
    pub attributes: PostOpAttr,
    /// Those of the directory.
    pub dir_wcc: WccData,
}

codec!(CreateOk { handle, attributes, dir_wcc });

/// Attributes of the two directories of RENAME (RFC 1813 §3.3.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RenameWcc {
    /// Where the file was.
    pub from: WccData,
    /// Where it is.
    pub to: WccData,
}

codec!(RenameWcc { from, to });

/// Space in a file system (RFC 1813 §3.3.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsstatOk {
    /// Attributes of its root.
    pub attributes: PostOpAttr,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes free.
    pub free_bytes: u64,
    /// Bytes free for the caller.
    pub available_bytes: u64,
    /// Files in all.
    pub total_files: u64,
    /// Files free.
    pub free_files: u64,
    /// Files free for the caller.
    pub available_files: u64,
    /// Seconds for which this is not expected to change.
    pub invarsec: u32,
}

codec!(FsstatOk {
    attributes,
    total_bytes,
    free_bytes,
    available_bytes,
    total_files,
    free_files,
    available_files,
    invarsec,
});

/// Bits of [`FsinfoOk::properties`] (RFC 1813 §3.3.19).
pub mod properties {
    /// Hard links.
    pub const LINK: u32 = 0x01;
    /// Symbolic links.
    pub const SYMLINK: u32 = 0x02;
    /// PATHCONF is the same for every file.
    pub const HOMOGENEOUS: u32 = 0x08;
    /// SETATTR can set times.
    pub const CAN_SET_TIME: u32 = 0x10;
}

/// Limits and preferences of a server, in bytes (RFC 1813 §3.3.19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsinfoOk {
    /// Attributes of the file system's root.
    pub attributes: PostOpAttr,
    /// Largest READ.
    pub rtmax: u32,
    /// Preferred size of READ.
    pub rtpref: u32,
    /// READ sizes should be multiples of this.
    pub rtmult: u32,
    /// Largest WRITE.
    pub wtmax: u32,
    /// Preferred size of WRITE.
    pub wtpref: u32,
    /// WRITE sizes should be multiples of this.
    pub wtmult: u32,
    /// Preferred size of READDIR.
    pub dtpref: u32,
    /// Largest file.
    pub maxfilesize: u64,
    /// Resolution of time stamps.
    pub time_delta: Time,
    /// Bits of [`properties`].
    pub properties: u32,
}

codec!(FsinfoOk {
    attributes,
    rtmax,
    rtpref,
    rtmult,
    wtmax,
    wtpref,
    wtmult,
    dtpref,
    maxfilesize,
    time_delta,
    properties,
});

/// Written data is stable (RFC 1813 §3.3.21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitOk {
    /// Attributes of the file.
    pub wcc: WccData,
    /// Data is safe if this is the verifier that its WRITE returned.
    pub verifier: [u8; 8],
}

codec!(CommitOk { wcc, verifier });
