//! ONC RPC version 2 (RFC 5531): headers of calls and replies, credentials, record marking.
//!
//! A client makes one [`CallTemplate`] per mount and stamps calls from it; a server decodes
//! [`CallHeader`]. Replies are [`Reply`] on both sides. Arguments and results follow in the same
//! reader or writer.

mod auth;
pub mod record;

use crate::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer};

pub use auth::{Auth, AuthSys, AuthSysView, Gids, OpaqueAuth, auth_stat, flavor};

/// The RPC version that all of this is about.
pub const VERSION: u32 = 2;
/// msg_type of a call.
pub const CALL: u32 = 0;
/// msg_type of a reply.
pub const REPLY: u32 = 1;

/// Largest call header: a credential of the greatest length and an empty verifier.
pub const CALL_HEADER_MAX: usize = 24 + 8 + auth::BODY_MAX as usize + 8;
/// Size of the header of a successful reply with an empty verifier, which is what servers send to
/// AUTH_NONE and AUTH_SYS callers.
pub const REPLY_HEADER: usize = 24;
/// Largest reply that carries an error instead of results, with an empty verifier.
pub const ERROR_REPLY_MAX: usize = REPLY_HEADER + 8;

const MSG_ACCEPTED: u32 = 0;
const MSG_DENIED: u32 = 1;

const SUCCESS: u32 = 0;
const PROG_UNAVAIL: u32 = 1;
const PROG_MISMATCH: u32 = 2;
const PROC_UNAVAIL: u32 = 3;
const GARBAGE_ARGS: u32 = 4;
const SYSTEM_ERR: u32 = 5;

const RPC_MISMATCH: u32 = 0;
const AUTH_ERROR: u32 = 1;

/// What follows the XID of a successful reply with an empty verifier: msg_type, reply_stat, verf,
/// accept_stat.
const ACCEPTED: [u8; 20] = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Where in a call's header its procedure number is.
const PROCEDURE_AT: usize = 20;

/// The header of calls to one program with one credential, ready to be copied (RFC 5531 §9).
#[derive(Clone, Debug)]
pub struct CallTemplate {
    /// Its first bytes, with zeros for the XID and the procedure, and behind the last one.
    image: [u8; IMAGE],
    /// How many there are in all.
    len: usize,
    /// Those that the image has no room for: of a caller with a long name or many groups.
    rest: Box<[u8]>,
}

/// Bytes that are copied for every call, few or many as there are: a fixed number is copied fast.
pub(crate) const IMAGE: usize = 128;

impl CallTemplate {
    /// Prepares calls to `prog` version `vers` made as `auth`.
    #[must_use]
    pub fn new(prog: u32, vers: u32, auth: &Auth) -> Self {
        let words = [0, CALL, VERSION, prog, vers, 0].map(u32::to_be_bytes);
        let mut bytes = words.concat();
        bytes.extend_from_slice(&auth.credential_and_verifier());
        let len = bytes.len();
        bytes.resize(len.max(IMAGE), 0);
        let mut image = [0; IMAGE];
        image.copy_from_slice(&bytes[..IMAGE]);
        Self { image, len, rest: bytes[IMAGE..].into() }
    }

    /// Bytes that [`write`](Self::write) appends.
    #[must_use]
    pub fn size(&self) -> usize {
        self.len
    }

    /// Appends the header of one call; the arguments come behind it.
    ///
    /// # Errors
    /// [`Full`] when it does not fit.
    pub fn write(&self, xid: u32, procedure: u32, w: &mut Writer<'_>) -> Result<(), Full> {
        let mut image = self.image;
        Self::stamp(&mut image, xid, procedure);
        w.put(&image[..self.len.min(IMAGE)])?;
        w.put(&self.rest)
    }

    /// Writes the image of the header of one call, which is all of it where [`size`](Self::size) is
    /// not more.
    #[inline]
    pub(crate) fn put_image(&self, xid: u32, procedure: u32, out: &mut [u8]) {
        if let Some(image) = out.first_chunk_mut() {
            *image = self.image;
            Self::stamp(image, xid, procedure);
        }
    }

    #[inline]
    fn stamp(image: &mut [u8; IMAGE], xid: u32, procedure: u32) {
        image[..4].copy_from_slice(&xid.to_be_bytes());
        image[PROCEDURE_AT..PROCEDURE_AT + 4].copy_from_slice(&procedure.to_be_bytes());
    }
}

/// What stands before the arguments of a call (RFC 5531 §9, `call_body`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallHeader<'a> {
    /// Which call.
    pub xid: u32,
    /// The caller's RPC version. If it is not [`VERSION`], nothing behind it was read and the
    /// fields below are zero: see [`check_version`](Self::check_version).
    pub rpc_vers: u32,
    /// Program.
    pub prog: u32,
    /// Version of the program.
    pub vers: u32,
    /// Procedure.
    pub procedure: u32,
    /// Who calls.
    pub cred: OpaqueAuth<'a>,
    /// Proof of that; empty for AUTH_SYS.
    pub verf: OpaqueAuth<'a>,
}

impl CallHeader<'_> {
    /// Whether the call can be looked at at all.
    ///
    /// # Errors
    /// The error to reply with.
    pub fn check_version(&self) -> Result<(), RpcError> {
        match self.rpc_vers {
            VERSION => Ok(()),
            _ => Err(RpcError::RpcMismatch { low: VERSION, high: VERSION }),
        }
    }
}

impl Encode for CallHeader<'_> {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        for word in [self.xid, CALL, self.rpc_vers, self.prog, self.vers, self.procedure] {
            w.u32(word)?;
        }
        w.value(&self.cred)?;
        w.value(&self.verf)
    }
}

impl<'a> Decode<'a> for CallHeader<'a> {
    #[inline]
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let xid = r.u32()?;
        message_type(r, CALL, "call")?;
        let rpc_vers = r.u32()?;
        let mut header = Self {
            xid,
            rpc_vers,
            prog: 0,
            vers: 0,
            procedure: 0,
            cred: OpaqueAuth::NONE,
            verf: OpaqueAuth::NONE,
        };
        if rpc_vers == VERSION {
            header.prog = r.u32()?;
            header.vers = r.u32()?;
            header.procedure = r.u32()?;
            header.cred = r.value()?;
            header.verf = r.value()?;
        }
        Ok(header)
    }
}

/// What stands before the results of a call (RFC 5531 §9, `reply_body`). A reply is written with
/// an empty verifier; any verifier is accepted and skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Which call it answers.
    pub xid: u32,
    /// Whether results follow.
    pub outcome: Result<(), RpcError>,
}

impl Reply {
    /// The header of results.
    #[must_use]
    pub const fn success(xid: u32) -> Self {
        Self { xid, outcome: Ok(()) }
    }

    /// A whole reply that only says what went wrong.
    #[must_use]
    pub const fn error(xid: u32, error: RpcError) -> Self {
        Self { xid, outcome: Err(error) }
    }
}

/// Why a call was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RpcError {
    /// PROG_UNAVAIL.
    #[error("the server does not have this RPC program")]
    ProgUnavail,
    /// PROG_MISMATCH.
    #[error("the server has this RPC program only in versions {low} to {high}")]
    ProgMismatch {
        /// Lowest version it has.
        low: u32,
        /// Highest.
        high: u32,
    },
    /// PROC_UNAVAIL.
    #[error("the server does not have this procedure")]
    ProcUnavail,
    /// GARBAGE_ARGS.
    #[error("the server could not decode the arguments")]
    GarbageArgs,
    /// SYSTEM_ERR.
    #[error("the server had an internal error (out of memory, perhaps)")]
    SystemErr,
    /// RPC_MISMATCH.
    #[error("the server speaks only RPC versions {low} to {high}")]
    RpcMismatch {
        /// Lowest version it speaks.
        low: u32,
        /// Highest.
        high: u32,
    },
    /// AUTH_ERROR with its auth_stat.
    #[error("the server refused the credential: {words} (auth_stat {0})", words = auth_stat::words(*.0))]
    Auth(u32),
    /// An accept_stat that RFC 5531 does not list.
    #[error("the server failed the call for an unknown reason (accept_stat {0})")]
    UnknownAccept(u32),
    /// A reject_stat that RFC 5531 does not list.
    #[error("the server refused the call for an unknown reason (reject_stat {0})")]
    UnknownReject(u32),
}

impl Encode for Reply {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.u32(self.xid)?;
        w.u32(REPLY)?;
        match self.outcome {
            Ok(()) => accepted(w, SUCCESS),
            Err(RpcError::ProgUnavail) => accepted(w, PROG_UNAVAIL),
            Err(RpcError::ProgMismatch { low, high }) => {
                accepted(w, PROG_MISMATCH)?;
                w.u32(low)?;
                w.u32(high)
            }
            Err(RpcError::ProcUnavail) => accepted(w, PROC_UNAVAIL),
            Err(RpcError::GarbageArgs) => accepted(w, GARBAGE_ARGS),
            Err(RpcError::SystemErr) => accepted(w, SYSTEM_ERR),
            Err(RpcError::UnknownAccept(stat)) => accepted(w, stat),
            Err(RpcError::RpcMismatch { low, high }) => {
                denied(w, RPC_MISMATCH)?;
                w.u32(low)?;
                w.u32(high)
            }
            Err(RpcError::Auth(stat)) => {
                denied(w, AUTH_ERROR)?;
                w.u32(stat)
            }
            Err(RpcError::UnknownReject(stat)) => denied(w, stat),
        }
    }
}

#[inline]
fn accepted(w: &mut Writer<'_>, stat: u32) -> Result<(), Full> {
    w.u32(MSG_ACCEPTED)?;
    w.value(&OpaqueAuth::NONE)?;
    w.u32(stat)
}

fn denied(w: &mut Writer<'_>, stat: u32) -> Result<(), Full> {
    w.u32(MSG_DENIED)?;
    w.u32(stat)
}

impl<'a> Decode<'a> for Reply {
    #[inline(always)]
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let xid = r.u32()?;
        // Nearly every reply is this one.
        if r.skip(&ACCEPTED) {
            return Ok(Self::success(xid));
        }
        let outcome = unusual_outcome(r)?;
        Ok(Self { xid, outcome })
    }
}

/// Of a reply that is no success, or has a verifier.
#[inline(never)]
fn unusual_outcome(r: &mut Reader<'_>) -> Result<Result<(), RpcError>, DecodeError> {
    message_type(r, REPLY, "reply")?;
    let offset = r.position();
    match r.u32()? {
        MSG_ACCEPTED => accept_stat(r),
        MSG_DENIED => reject_stat(r).map(Err),
        found => Err(DecodeError::Value { what: "reply_stat", offset, found }),
    }
}

#[inline]
fn accept_stat(r: &mut Reader<'_>) -> Result<Result<(), RpcError>, DecodeError> {
    OpaqueAuth::decode(r)?;
    Ok(Err(match r.u32()? {
        SUCCESS => return Ok(Ok(())),
        PROG_UNAVAIL => RpcError::ProgUnavail,
        PROG_MISMATCH => RpcError::ProgMismatch { low: r.u32()?, high: r.u32()? },
        PROC_UNAVAIL => RpcError::ProcUnavail,
        GARBAGE_ARGS => RpcError::GarbageArgs,
        SYSTEM_ERR => RpcError::SystemErr,
        stat => RpcError::UnknownAccept(stat),
    }))
}

fn reject_stat(r: &mut Reader<'_>) -> Result<RpcError, DecodeError> {
    Ok(match r.u32()? {
        RPC_MISMATCH => RpcError::RpcMismatch { low: r.u32()?, high: r.u32()? },
        AUTH_ERROR => RpcError::Auth(r.u32()?),
        stat => RpcError::UnknownReject(stat),
    })
}

#[inline]
fn message_type(r: &mut Reader<'_>, wanted: u32, what: &'static str) -> Result<(), DecodeError> {
    let offset = r.position();
    match r.u32()? {
        found if found == wanted => Ok(()),
        found => Err(DecodeError::Value { what, offset, found }),
    }
}

#[cfg(test)]
mod tests;
