//! MOUNT version 3 (RFC 1813 appendix I): from an export's path to its root file handle. Goes
//! over TCP (RFC 8267 §5.1).

use crate::codec::{list, status_codes};
use crate::nfs3::FileHandle;
use crate::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer};

/// RPC program.
pub const PROGRAM: u32 = 100_005;
/// Its version.
pub const VERSION: u32 = 3;
/// Longest path (MNTPATHLEN).
pub const PATH_MAX: u32 = 1024;
/// Longest name of a group (MNTNAMLEN).
pub const NAME_MAX: u32 = 255;
/// Most authentication flavors in a reply that are accepted; Linux stops at 12.
pub const FLAVORS_MAX: usize = 32;
/// Most exports in a list that are accepted.
pub const EXPORTS_MAX: u32 = 4096;
/// Most groups of one export that are accepted.
pub const GROUPS_MAX: u32 = 4096;

/// Procedures.
pub mod procedure {
    /// MOUNTPROC3_NULL.
    pub const NULL: u32 = 0;
    /// MOUNTPROC3_MNT.
    pub const MNT: u32 = 1;
    /// MOUNTPROC3_DUMP.
    pub const DUMP: u32 = 2;
    /// MOUNTPROC3_UMNT.
    pub const UMNT: u32 = 3;
    /// MOUNTPROC3_UMNTALL.
    pub const UMNTALL: u32 = 4;
    /// MOUNTPROC3_EXPORT.
    pub const EXPORT: u32 = 5;
}

status_codes! {
    /// Why MNT failed (RFC 1813 §5.1.5, `mountstat3`).
    MountStatus, other: "MOUNT status",
    {
        Perm = 1, "MNT3ERR_PERM", 1, "not owner";
        NoEnt = 2, "MNT3ERR_NOENT", 2, "no such file or directory";
        Io = 5, "MNT3ERR_IO", 5, "I/O error";
        Access = 13, "MNT3ERR_ACCES", 13, "permission denied";
        NotDir = 20, "MNT3ERR_NOTDIR", 20, "not a directory";
        Invalid = 22, "MNT3ERR_INVAL", 22, "invalid argument";
        NameTooLong = 63, "MNT3ERR_NAMETOOLONG", 36, "file name too long";
        NotSupported = 10004, "MNT3ERR_NOTSUPP", 95, "operation not supported";
        ServerFault = 10006, "MNT3ERR_SERVERFAULT", 121, "failure on the server";
    }
}

/// Arguments of MNT and UMNT (RFC 1813 §5.2.1): the path of an export, at most [`PATH_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirPath<'a>(pub &'a [u8]);

impl Encode for DirPath<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.string(self.0)
    }
}

impl<'a> Decode<'a> for DirPath<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.string(PATH_MAX).map(Self)
    }
}

/// Result of MNT (RFC 1813 §5.2.1).
pub type MountRes = Result<MountOk, MountStatus>;

/// A mounted export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountOk {
    /// Its root directory.
    pub handle: FileHandle,
    /// Authentication flavors that the server takes for it.
    pub flavors: Flavors,
}

impl Encode for MountRes {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Ok(ok) => {
                w.u32(0)?;
                w.value(&ok.handle)?;
                w.value(&ok.flavors)
            }
            Err(status) => w.u32((*status).into()),
        }
    }
}

impl<'a> Decode<'a> for MountRes {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match r.u32()? {
            0 => Ok(MountOk { handle: r.value()?, flavors: r.value()? }),
            code => Err(code.into()),
        })
    }
}

/// A short list of authentication flavors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flavors {
    list: [u32; FLAVORS_MAX],
    count: usize,
}

impl Flavors {
    /// Makes a list; `None` if it is longer than [`FLAVORS_MAX`].
    #[must_use]
    pub fn from_slice(flavors: &[u32]) -> Option<Self> {
        let mut list = [0; FLAVORS_MAX];
        list.get_mut(..flavors.len())?.copy_from_slice(flavors);
        Some(Self { list, count: flavors.len() })
    }

    /// The flavors, in the server's order of preference.
    #[must_use]
    pub fn as_slice(&self) -> &[u32] {
        &self.list[..self.count]
    }
}

impl Encode for Flavors {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.u32(self.count as u32)?;
        self.as_slice().iter().try_for_each(|flavor| w.u32(*flavor))
    }
}

impl Decode<'_> for Flavors {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = r.position();
        let (found, max) = (r.u32()?, FLAVORS_MAX as u32);
        if found > max {
            return Err(DecodeError::TooLong { what: "count of flavors", offset, found, max });
        }
        let mut list = [0; FLAVORS_MAX];
        for flavor in &mut list[..found as usize] {
            *flavor = r.u32()?;
        }
        Ok(Self { list, count: found as usize })
    }
}

/// Result of EXPORT (RFC 1813 §5.2.5): a validated list to iterate over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exports<'a> {
    bytes: &'a [u8],
}

/// One export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export<'a> {
    /// Where it is.
    pub path: &'a [u8],
    /// Who may mount it; everybody if empty.
    pub groups: Groups<'a>,
}

/// A validated list of names of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups<'a> {
    bytes: &'a [u8],
}

impl<'a> Exports<'a> {
    /// The exports in the server's order.
    pub fn iter(&self) -> impl Iterator<Item = Export<'a>> + use<'a> {
        let mut r = Reader::new(self.bytes);
        std::iter::from_fn(move || r.option().ok().flatten())
    }

    /// Appends a list: paths, each with the names of those who may mount it.
    ///
    /// # Errors
    /// [`Full`] when it does not fit.
    pub fn write<'e, G>(
        exports: impl IntoIterator<Item = (&'e [u8], G)>,
        w: &mut Writer<'_>,
    ) -> Result<(), Full>
    where
        G: IntoIterator<Item = &'e [u8]>,
    {
        for (path, groups) in exports {
            w.bool(true)?;
            w.string(path)?;
            for group in groups {
                w.bool(true)?;
                w.string(group)?;
            }
            w.bool(false)?;
        }
        w.bool(false)
    }
}

impl<'a> Groups<'a> {
    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut r = Reader::new(self.bytes);
        std::iter::from_fn(move || r.option::<Group<'a>>().ok().flatten().map(|group| group.0))
    }
}

struct Group<'a>(&'a [u8]);

impl<'a> Decode<'a> for Group<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.string(NAME_MAX).map(Self)
    }
}

impl<'a> Decode<'a> for Groups<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (bytes, _) = list::<Group<'a>>(r, GROUPS_MAX, "count of groups")?;
        Ok(Self { bytes })
    }
}

impl<'a> Decode<'a> for Export<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { path: r.string(PATH_MAX)?, groups: r.value()? })
    }
}

impl<'a> Decode<'a> for Exports<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (bytes, _) = list::<Export<'a>>(r, EXPORTS_MAX, "count of exports")?;
        Ok(Self { bytes })
    }
}

impl Encode for Exports<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.put(self.bytes)
    }
}

#[cfg(test)]
#[path = "mount_tests.rs"]
mod tests;
