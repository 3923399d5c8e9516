//! Where a connection comes from: any port, or one below 1024 (`resvport` in nfs(5)), which shows a
//! server that trusts such ports that the client's system vouches for it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use verbs::Provider;

use crate::{Error, TransportConfig};

/// Ports that are tried, from the last to the first: below 512 are those of services.
const RESERVED: std::ops::RangeInclusive<u16> = 512..=1023;

/// Begins to resolve the server's address.
pub(crate) fn resolve<P: Provider>(
    provider: &P,
    config: &TransportConfig,
) -> Result<P::Connection, Error> {
    if !config.resvport {
        return Ok(provider.resolve(config.remote, config.local)?);
    }
    let any = match config.remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let ip = config.local.map_or(any, |local| local.ip());
    for port in RESERVED.rev() {
        match provider.resolve(config.remote, Some(SocketAddr::new(ip, port))) {
            Err(verbs::Error::Os { errno: libc::EADDRINUSE | libc::EADDRNOTAVAIL, .. }) => {}
            Err(verbs::Error::Os { errno: libc::EACCES | libc::EPERM, .. }) => {
                return Err(Error::ReservedPort {
                    why: "root or CAP_NET_BIND_SERVICE is needed; noresvport does without",
                });
            }
            other => return Ok(other?),
        }
    }
    Err(Error::ReservedPort { why: "all from 512 to 1023 are in use" })
}
