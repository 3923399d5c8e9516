//! `nfs://host[:port]/path` — where a mount is and what lies below it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The port that NFS over RDMA listens on (RFC 8267 §6; `nfsrdma` in the services registry).
pub const NFS_RDMA_PORT: u16 = 20049;
/// Longest path that MOUNT can carry.
const PATH_LEN_MAX: usize = 1024;

/// An NFS URL (RFC 2224, of which host, port and path are used).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NfsUrl {
    /// Name or address; IPv6 addresses without their brackets.
    pub host: String,
    /// RDMA port, if the URL names one.
    pub port: Option<u16>,
    /// Absolute, without `.`, `..`, empty components or a trailing slash; `/` at least.
    pub path: String,
}

/// A URL that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad URL {url:?}: {why}; the form is nfs://host[:port]/export/path")]
pub struct UrlError {
    /// As given.
    pub url: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl FromStr for NfsUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let bad = |why| UrlError { url: url.chars().take(200).collect(), why };
        let rest = url.strip_prefix("nfs://").ok_or(bad("it does not begin with nfs://"))?;
        if rest.contains(['?', '#', '@']) {
            return Err(bad("user, query and fragment have no meaning here"));
        }
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let (host, port) = split_port(authority).map_err(bad)?;
        Ok(Self { host: host.to_owned(), port, path: normalise(path).map_err(bad)? })
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("an IPv6 address lacks its ']'")?;
            let port = match rest {
                "" => None,
                _ => Some(rest.strip_prefix(':').ok_or("a port follows ']' behind a colon")?),
            };
            let address = host.split_once('%').map_or(host, |(address, _zone)| address);
            if address.parse::<Ipv6Addr>().is_err() {
                return Err("brackets hold an IPv6 address: nfs://[fe80::1]/path");
            }
            (host, port)
        }
        None => match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address stands in brackets: nfs://[fe80::1]/path");
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    if host.contains(|c: char| c.is_control() || c.is_whitespace() || matches!(c, '[' | ']')) {
        return Err("a host has no blanks, control characters or lone brackets");
    }
    let parse = |port: &str| {
        let number = port.parse().ok().filter(|&number| number != 0);
        number.ok_or("the port is not a number from 1 to 65535")
    };
    Ok((host, port.map(parse).transpose()?))
}

fn normalise(path: &str) -> Result<String, &'static str> {
    let mut out = String::new();
    for component in path.split('/').filter(|component| !matches!(*component, "" | ".")) {
        if component == ".." {
            return Err("'..' would leave the export");
        }
        if component.len() > 255 || component.contains('\0') {
            return Err("a path component is longer than 255 bytes or has a NUL");
        }
        out.push('/');
        out.push_str(component);
    }
    if out.len() > PATH_LEN_MAX {
        return Err("the path is longer than 1024 bytes");
    }
    Ok(if out.is_empty() { "/".to_owned() } else { out })
}

impl fmt::Display for NfsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "nfs://[{}]", self.host)?;
        } else {
            write!(f, "nfs://{}", self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

/// The longest of `exports` that `path` lies in, and the rest of the path below it.
pub(crate) fn longest_export(
    exports: impl Iterator<Item = String>,
    path: &str,
) -> Option<(String, &str)> {
    exports
        .filter_map(|export| {
            let normal = normalise(&export).ok()?;
            let rest = if normal == "/" { Some(path) } else { path.strip_prefix(&normal) };
            let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
            Some((export, rest.trim_start_matches('/')))
        })
        .min_by_key(|(_, rest)| rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<NfsUrl, UrlError> {
        url.parse()
    }

    #[test]
    fn host_port_and_path_are_taken_apart() {
        let url = parse("nfs://server/export/dir/").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.path.as_str()),
            ("server", None, "/export/dir")
        );
        assert_eq!(parse("nfs://server").unwrap().path, "/");
        assert_eq!(parse("nfs://10.0.0.1:2049//a/./b").unwrap().path, "/a/b");
        let six = parse("nfs://[fe80::1]:7/x").unwrap();
        assert_eq!((six.host.as_str(), six.port), ("fe80::1", Some(7)));
        assert_eq!(six.to_string(), "nfs://[fe80::1]:7/x");
    }

    #[test]
    fn a_bad_url_says_what_is_wrong() {
        for (url, why) in [
            ("http://server/x", "begin with nfs://"),
            ("nfs:///x", "host is missing"),
            ("nfs://server:0/x", "port"),
            ("nfs://server:99999/x", "port"),
            ("nfs://server:/x", "port"),
            ("nfs://fe80::1/x", "brackets"),
            ("nfs://[fe80::1/x", "lacks its"),
            ("nfs://[fe80::1]x/x", "colon"),
            ("nfs://[server]/x", "IPv6"),
            ("nfs://ser ver/x", "blanks"),
            ("nfs://ser]ver/x", "brackets"),
            ("nfs://server/a/../b", "'..'"),
            ("nfs://user@server/a", "user"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
            assert!(error.contains("nfs://host[:port]/export/path"), "{error}");
        }
    }

    #[test]
    fn any_text_in_brackets_was_taken_for_a_host() {
        assert!(parse("nfs://[[\0]:200//[").is_err());
        assert_eq!(parse("nfs://[fe80::1%eth0]/x").unwrap().host, "fe80::1%eth0");
    }

    #[test]
    fn the_longest_exported_prefix_is_mounted() {
        let exports = || ["/", "/srv", "/srv/nfs", "/srv/nf"].into_iter().map(str::to_owned);
        let found = |path| longest_export(exports(), path).unwrap();
        assert_eq!(found("/srv/nfs/a/b"), ("/srv/nfs".to_owned(), "a/b"));
        assert_eq!(found("/srv/nfsx"), ("/srv".to_owned(), "nfsx"));
        assert_eq!(found("/srv"), ("/srv".to_owned(), ""));
        assert_eq!(found("/home"), ("/".to_owned(), "home"));
        assert_eq!(longest_export(["/srv".to_owned()].into_iter(), "/home"), None);
    }
}
