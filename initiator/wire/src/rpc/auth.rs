//! Credentials: AUTH_NONE and AUTH_SYS (RFC 5531 §8.2, §10, appendix A).

use crate::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer};

/// Longest credential or verifier body (RFC 5531 §8.2).
pub(super) const BODY_MAX: u32 = 400;
/// Longest machine name in AUTH_SYS.
const MACHINE_MAX: u32 = 255;
/// Most supplementary groups in AUTH_SYS.
const GIDS_MAX: usize = 16;

/// Authentication flavors.
pub mod flavor {
    /// AUTH_NONE.
    pub const NONE: u32 = 0;
    /// AUTH_SYS, also called AUTH_UNIX.
    pub const SYS: u32 = 1;
    /// AUTH_SHORT.
    pub const SHORT: u32 = 2;
    /// RPCSEC_GSS.
    pub const GSS: u32 = 6;
}

/// Values of `auth_stat` (RFC 5531 §9).
pub mod auth_stat {
    /// AUTH_BADCRED.
    pub const BAD_CRED: u32 = 1;
    /// AUTH_REJECTEDCRED.
    pub const REJECTED_CRED: u32 = 2;
    /// AUTH_BADVERF.
    pub const BAD_VERF: u32 = 3;
    /// AUTH_REJECTEDVERF.
    pub const REJECTED_VERF: u32 = 4;
    /// AUTH_TOOWEAK.
    pub const TOO_WEAK: u32 = 5;

    /// What a value means.
    #[must_use]
    pub const fn words(stat: u32) -> &'static str {
        match stat {
            BAD_CRED => "it is malformed",
            REJECTED_CRED => "a new session must begin",
            BAD_VERF => "the verifier is malformed",
            REJECTED_VERF => "the verifier has expired or was replayed",
            TOO_WEAK => "a stronger flavor or a privileged port is required",
            6 => "the server's response verifier is invalid",
            _ => "unknown reason",
        }
    }
}

/// Who a client says that it is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Auth {
    /// Nobody.
    #[default]
    None,
    /// A Unix user.
    Sys(AuthSys),
}

impl Auth {
    /// The two opaque_auth of a call: credential and empty verifier.
    pub(super) fn credential_and_verifier(&self) -> Box<[u8]> {
        let (mut body, mut both) = ([0; BODY_MAX as usize], [0; BODY_MAX as usize + 16]);
        let mut w = Writer::new(&mut body);
        let flavor = match self {
            Self::None => flavor::NONE,
            Self::Sys(sys) => {
                w.value(sys).expect("AUTH_SYS takes at most 340 of the 400 bytes");
                flavor::SYS
            }
        };
        let len = w.position();
        let mut w = Writer::new(&mut both);
        w.value(&OpaqueAuth { flavor, body: &body[..len] })
            .and_then(|()| w.value(&OpaqueAuth::NONE))
            .expect("the body is at most 400 bytes and its frame is 16");
        let len = w.position();
        both[..len].into()
    }
}

/// An AUTH_SYS credential (RFC 5531 appendix A).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AuthSys {
    /// Any number.
    pub stamp: u32,
    /// Name of the client's host. Bytes after the 255th are not sent.
    pub machine: String,
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups. Those after the 16th are not sent: the protocol has no room for them.
    pub gids: Vec<u32>,
}

impl Encode for AuthSys {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        let machine = self.machine.as_bytes();
        let gids = &self.gids[..self.gids.len().min(GIDS_MAX)];
        w.u32(self.stamp)?;
        w.string(&machine[..machine.len().min(MACHINE_MAX as usize)])?;
        w.u32(self.uid)?;
        w.u32(self.gid)?;
        w.u32(gids.len() as u32)?;
        gids.iter().try_for_each(|gid| w.u32(*gid))
    }
}

/// A credential or verifier as it is on the wire (RFC 5531 §8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpaqueAuth<'a> {
    /// One of [`flavor`], or another.
    pub flavor: u32,
    /// What the flavor defines, at most 400 bytes.
    pub body: &'a [u8],
}

impl<'a> OpaqueAuth<'a> {
    /// AUTH_NONE.
    pub const NONE: OpaqueAuth<'static> = OpaqueAuth { flavor: flavor::NONE, body: &[] };

    /// Reads the body as AUTH_SYS.
    ///
    /// # Errors
    /// The flavor is another one, or the body is malformed; offsets count from its start.
    pub fn auth_sys(&self) -> Result<AuthSysView<'a>, DecodeError> {
        if self.flavor != flavor::SYS {
            return Err(DecodeError::Value { what: "AUTH_SYS", offset: 0, found: self.flavor });
        }
        let mut r = Reader::new(self.body);
        let view = r.value()?;
        r.finish()?;
        Ok(view)
    }
}

impl Encode for OpaqueAuth<'_> {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.u32(self.flavor)?;
        w.opaque(self.body)
    }
}

impl<'a> Decode<'a> for OpaqueAuth<'a> {
    #[inline]
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { flavor: r.u32()?, body: r.opaque(BODY_MAX)? })
    }
}

/// An AUTH_SYS credential as received (RFC 5531 appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthSysView<'a> {
    /// Any number.
    pub stamp: u32,
    /// Name that the client's host claims.
    pub machine: &'a [u8],
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub gids: Gids,
}

impl<'a> Decode<'a> for AuthSysView<'a> {
    #[inline]
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            stamp: r.u32()?,
            machine: r.string(MACHINE_MAX)?,
            uid: r.u32()?,
            gid: r.u32()?,
            gids: r.value()?,
        })
    }
}

/// Up to 16 supplementary groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gids {
    list: [u32; GIDS_MAX],
    count: usize,
}

impl Gids {
    /// The groups.
    #[must_use]
    pub fn as_slice(&self) -> &[u32] {
        &self.list[..self.count]
    }
}

impl Decode<'_> for Gids {
    #[inline]
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = r.position();
        let (found, max) = (r.u32()?, GIDS_MAX as u32);
        if found > max {
            return Err(DecodeError::TooLong { what: "count of groups", offset, found, max });
        }
        let mut list = [0; GIDS_MAX];
        for gid in &mut list[..found as usize] {
            *gid = r.u32()?;
        }
        Ok(Self { list, count: found as usize })
    }
}
