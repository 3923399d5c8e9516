//! Socket addresses to and from what librdmacm reads and writes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// A `sockaddr_storage` filled in, with a pointer that C may read.
pub(super) struct CAddr(libc::sockaddr_storage);

impl CAddr {
    /// Valid while `self` is; librdmacm copies what it points to and does not write.
    pub(super) fn as_ptr(&self) -> *mut libc::sockaddr {
        (&raw const self.0).cast::<libc::sockaddr>().cast_mut()
    }
}

impl From<SocketAddr> for CAddr {
    fn from(addr: SocketAddr) -> Self {
        // SAFETY: sockaddr_storage is plain data for which all zeroes is a value (AF_UNSPEC).
        let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        match addr {
            SocketAddr::V4(v4) => {
                // SAFETY: the storage is ours, large enough and aligned for any socket address.
                let sin = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in>() };
                sin.sin_family = libc::AF_INET as libc::sa_family_t;
                sin.sin_port = v4.port().to_be();
                sin.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            }
            SocketAddr::V6(v6) => {
                // SAFETY: as above.
                let sin6 = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in6>() };
                sin6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                sin6.sin6_port = v6.port().to_be();
                sin6.sin6_flowinfo = v6.flowinfo();
                sin6.sin6_addr.s6_addr = v6.ip().octets();
                sin6.sin6_scope_id = v6.scope_id();
            }
        }
        Self(storage)
    }
}

/// The address in `storage`; `None` for families other than IPv4 and IPv6.
pub(super) fn socket_addr(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which address the storage holds, and any bytes are one.
            let sin = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(sin.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(sin.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let sin6 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(sin6.sin6_addr.s6_addr);
            let port = u16::from_be(sin6.sin6_port);
            Some(SocketAddrV6::new(ip, port, sin6.sin6_flowinfo, sin6.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_to_c_and_back() {
        for text in ["192.168.99.1:20049", "[fe80::1:2]:20049", "[::1]:1", "0.0.0.0:0"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(socket_addr(&CAddr::from(addr).0), Some(addr), "{text}");
        }
        let scoped: SocketAddr = SocketAddrV6::new("fe80::9".parse().unwrap(), 7, 0, 3).into();
        assert_eq!(socket_addr(&CAddr::from(scoped).0), Some(scoped));
    }

    #[test]
    fn an_unset_address_is_none() {
        // SAFETY: plain data, zeroes are AF_UNSPEC.
        let empty: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        assert_eq!(socket_addr(&empty), None);
    }
}
