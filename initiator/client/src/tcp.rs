//! TCP connections for MOUNT and portmap, from a reserved port where that is asked for: servers
//! that export `secure` take calls from no other.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// Ports that are tried, from the last to the first: below 512 are those of services.
const RESERVED: std::ops::RangeInclusive<u16> = 512..=1023;

/// Connects, within `timeout`.
pub(crate) fn connect(remote: SocketAddr, timeout: Duration, resvport: bool) -> Result<TcpStream> {
    if !resvport {
        return TcpStream::connect_timeout(&remote, timeout);
    }
    for port in RESERVED.rev() {
        match connect_from(port, remote, timeout) {
            // Somebody has it, or had it for this very connection a moment ago.
            Err(error)
                if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let why = "resvport needs a source port below 1024, and so root or \
                           CAP_NET_BIND_SERVICE; noresvport does without";
                return Err(Error::new(ErrorKind::PermissionDenied, why));
            }
            other => return other,
        }
    }
    let why = "resvport: all ports from 512 to 1023 are in use";
    Err(Error::new(ErrorKind::AddrInUse, why))
}

fn connect_from(port: u16, remote: SocketAddr, timeout: Duration) -> Result<TcpStream> {
    let any = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(any, port).into())?;
    socket.connect_timeout(&remote.into(), timeout)?;
    Ok(socket.into())
}
