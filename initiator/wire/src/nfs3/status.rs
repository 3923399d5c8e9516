//! How an operation failed.

use crate::codec::status_codes;
use crate::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer};

status_codes! {
    /// Why an operation failed (RFC 1813 §2.6, `nfsstat3`).
    Status, other: "NFS status",
    {
        Perm = 1, "NFS3ERR_PERM", 1, "not owner";
        NoEnt = 2, "NFS3ERR_NOENT", 2, "no such file or directory";
        Io = 5, "NFS3ERR_IO", 5, "I/O error";
        NxIo = 6, "NFS3ERR_NXIO", 6, "no such device or address";
        Access = 13, "NFS3ERR_ACCES", 13, "permission denied";
        Exist = 17, "NFS3ERR_EXIST", 17, "file exists";
        XDev = 18, "NFS3ERR_XDEV", 18, "link across devices";
        NoDev = 19, "NFS3ERR_NODEV", 19, "no such device";
        NotDir = 20, "NFS3ERR_NOTDIR", 20, "not a directory";
        IsDir = 21, "NFS3ERR_ISDIR", 21, "is a directory";
        Invalid = 22, "NFS3ERR_INVAL", 22, "invalid argument";
        FBig = 27, "NFS3ERR_FBIG", 27, "file too large";
        NoSpace = 28, "NFS3ERR_NOSPC", 28, "no space left";
        RoFs = 30, "NFS3ERR_ROFS", 30, "read-only file system";
        MLink = 31, "NFS3ERR_MLINK", 31, "too many links";
        NameTooLong = 63, "NFS3ERR_NAMETOOLONG", 36, "file name too long";
        NotEmpty = 66, "NFS3ERR_NOTEMPTY", 39, "directory not empty";
        DQuot = 69, "NFS3ERR_DQUOT", 122, "quota exceeded";
        Stale = 70, "NFS3ERR_STALE", 116, "stale file handle";
        Remote = 71, "NFS3ERR_REMOTE", 66, "too many levels of remote in path";
        BadHandle = 10001, "NFS3ERR_BADHANDLE", 116, "illegal file handle";
        NotSync = 10002, "NFS3ERR_NOT_SYNC", 5, "the file changed since the guard was taken";
        BadCookie = 10003, "NFS3ERR_BAD_COOKIE", 22, "the directory cookie is no longer valid";
        NotSupported = 10004, "NFS3ERR_NOTSUPP", 95, "operation not supported";
        TooSmall = 10005, "NFS3ERR_TOOSMALL", 22, "the buffer or request is too small";
        ServerFault = 10006, "NFS3ERR_SERVERFAULT", 121, "failure on the server";
        BadType = 10007, "NFS3ERR_BADTYPE", 22, "file type not supported by the server";
        Jukebox = 10008, "NFS3ERR_JUKEBOX", 11, "not ready yet, try again later";
    }
}

/// A failed operation: its status, and the attributes that the RFC returns with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}")]
pub struct Failed<A> {
    /// What went wrong.
    pub status: Status,
    /// Attributes after (and sometimes before) the attempt.
    pub attributes: A,
}

impl<T: Encode, A: Encode> Encode for Result<T, Failed<A>> {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Ok(ok) => {
                w.u32(0)?;
                w.value(ok)
            }
            Err(Failed { status, attributes }) => {
                debug_assert_ne!(*status, Status::Other(0), "0 on the wire is success");
                w.u32((*status).into())?;
                w.value(attributes)
            }
        }
    }
}

impl<'a, T: Decode<'a>, A: Decode<'a>> Decode<'a> for Result<T, Failed<A>> {
    #[inline]
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match r.u32()? {
            0 => Ok(r.value()?),
            code => Err(Failed { status: code.into(), attributes: r.value()? }),
        })
    }
}
