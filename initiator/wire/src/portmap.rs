//! Portmapper version 2 (RFC 1833 §3): where a program listens.

use crate::codec::codec;
use crate::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer};

/// RPC program.
pub const PROGRAM: u32 = 100_000;
/// Its version.
pub const VERSION: u32 = 2;
/// TCP and UDP port of the portmapper itself.
pub const PORT: u16 = 111;
/// [`Mapping::prot`] of TCP.
pub const TCP: u32 = 6;
/// [`Mapping::prot`] of UDP.
pub const UDP: u32 = 17;

/// Procedures.
pub mod procedure {
    /// PMAPPROC_NULL.
    pub const NULL: u32 = 0;
    /// PMAPPROC_GETPORT.
    pub const GETPORT: u32 = 3;
}

/// A registration, and the arguments of GETPORT (RFC 1833 §3.1), which ignores `port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Program.
    pub prog: u32,
    /// Its version.
    pub vers: u32,
    /// [`TCP`] or [`UDP`].
    pub prot: u32,
    /// Port.
    pub port: u32,
}

codec!(Mapping { prog, vers, prot, port });

/// Result of GETPORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub Option<u16>);

impl Encode for Port {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.u32(self.0.unwrap_or(0).into())
    }
}

/// 0 on the wire says that the program is not registered.
impl Decode<'_> for Port {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = r.position();
        let found = r.u32()?;
        match u16::try_from(found) {
            Ok(0) => Ok(Self(None)),
            Ok(port) => Ok(Self(Some(port))),
            Err(_) => Err(DecodeError::Value { what: "port", offset, found }),
        }
    }
}

#[cfg(test)]
#[path = "portmap_tests.rs"]
mod tests;
