//! rpcbind version 4 (RFC 1833 §2): where a program listens, for any kind of address. The
//! portmapper's version 2 knows only IPv4.

use crate::codec::codec;
use crate::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer};

/// RPC program, that of the portmapper.
pub const PROGRAM: u32 = crate::portmap::PROGRAM;
/// Its version.
pub const VERSION: u32 = 4;
/// [`Rpcb::netid`] of TCP over IPv6 (RFC 5665 §5).
pub const TCP6: &[u8] = b"tcp6";
/// Longest string of a registration that is taken; addresses are shorter.
const STRING_MAX: u32 = 128;

/// Procedures.
pub mod procedure {
    /// RPCBPROC_GETADDR.
    pub const GETADDR: u32 = 3;
}

/// A registration, and the arguments of GETADDR, which ignores `owner`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rpcb<'a> {
    /// Program.
    pub prog: u32,
    /// Its version.
    pub vers: u32,
    /// Kind of network.
    pub netid: Text<'a>,
    /// Universal address; that of the server as the client sees it, in GETADDR.
    pub addr: Text<'a>,
    /// Who registered it.
    pub owner: Text<'a>,
}

codec!(borrowed Rpcb { prog, vers, netid, addr, owner });

/// A short string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a>(pub &'a [u8]);

impl Encode for Text<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.string(self.0)
    }
}

impl<'a> Decode<'a> for Text<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.string(STRING_MAX).map(Self)
    }
}

impl Text<'_> {
    /// The port of a universal address (RFC 5665 §5.2.3): its last two parts are the port's bytes.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let mut parts = self.0.rsplit(|byte| *byte == b'.');
        let mut byte = || std::str::from_utf8(parts.next()?).ok()?.parse::<u8>().ok();
        let (low, high) = (byte()?, byte()?);
        // A host goes before it.
        parts.next()?;
        Some(u16::from_be_bytes([high, low])).filter(|port| *port != 0)
    }
}

#[cfg(test)]
#[path = "rpcbind_tests.rs"]
mod tests;
