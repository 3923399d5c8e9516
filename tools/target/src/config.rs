//! What a target is and how large it may grow.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::misbehave::Misbehaviour;

/// Credits: as many as an XID's slot number can tell apart on any client we know, and more than
/// any queue pair needs.
pub const CREDITS_MAX: u32 = 4096;
/// Inline thresholds that RFC 8797 can express.
pub const INLINE_BYTES: std::ops::RangeInclusive<u32> = 1024..=256 * 1024;
/// Largest READ and WRITE that can be configured.
pub const PAYLOAD_BYTES: std::ops::RangeInclusive<u32> = 4096..=4 << 20;
/// Most connections that can be configured.
pub const CONNECTIONS_MAX: usize = 4096;
/// Most exported paths.
pub const EXPORTS_MAX: usize = 64;
/// Longest exported path (MNTPATHLEN, RFC 1813 §5.1.1).
pub const PATH_BYTES_MAX: usize = 1024;
/// Where NFS/RDMA listens.
pub const PORT_DEFAULT: u16 = 20049;

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory, gone with the target.
    Memory {
        /// Bytes of file content that fit.
        capacity_bytes: u64,
    },
    /// Below a directory of the host.
    Directory(PathBuf),
}

/// Everything that can be said about a target before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where NFS listens, over RPC-over-RDMA; port 0 lets the provider choose.
    pub listen: SocketAddr,
    /// Where MOUNT listens, over TCP; port 0 lets the system choose.
    pub mount: SocketAddr,
    /// Where the files are.
    pub storage: Storage,
    /// Paths that may be mounted. In memory they are made; in a directory they must be there.
    pub exports: Vec<String>,
    /// Credits granted in every reply, as many calls as a client may have open.
    pub credits: u32,
    /// Largest message sent without a chunk.
    pub inline_send_bytes: u32,
    /// Largest message taken without a chunk.
    pub inline_receive_bytes: u32,
    /// Largest READ and WRITE.
    pub payload_bytes_max: u32,
    /// Most connections at once.
    pub connections_max: usize,
    /// Buffers for payload by chunk and long messages, per device, each as large as the largest
    /// payload. Calls wait when they run out.
    pub staging_buffers: usize,
    /// Huge pages for buffers.
    pub hugepages: hugepages::Policy,
    /// How often connection events and the MOUNT port are looked at.
    pub control_interval_ns: u64,
    /// The wall clock when the target's own clock starts: stamps files in memory, makes handles
    /// and the write verifier differ from those of another run.
    pub epoch_unix_ns: u64,
    /// Lose in a restart what was written UNSTABLE and not committed; in memory only.
    pub loses_unstable: bool,
    /// Answer a call that comes again, and must not be carried out again, with the reply that it
    /// had: the duplicate-request cache.
    pub reply_cache: bool,
    /// What to do wrong from the start.
    pub misbehave: Misbehaviour,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            listen: SocketAddr::new(loopback, PORT_DEFAULT),
            mount: SocketAddr::new(loopback, 0),
            storage: Storage::Memory { capacity_bytes: 1 << 30 },
            exports: vec!["/".to_owned()],
            credits: 64,
            inline_send_bytes: 4096,
            inline_receive_bytes: 4096,
            payload_bytes_max: 1 << 20,
            connections_max: 64,
            staging_buffers: 32,
            hugepages: hugepages::Policy::Preferred,
            control_interval_ns: 1_000_000,
            epoch_unix_ns: since_1970.as_nanos() as u64,
            loses_unstable: false,
            reply_cache: true,
            misbehave: Misbehaviour::default(),
        }
    }
}

/// A value that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target: {field} is {found}: {why}")]
pub struct ConfigError {
    /// Which field.
    pub field: &'static str,
    /// Its value.
    pub found: String,
    /// What would be right.
    pub why: String,
}

impl Config {
    /// Checks every value and tidies the exported paths.
    pub fn check(mut self) -> Result<Self, ConfigError> {
        within("credits", self.credits, 1..=CREDITS_MAX)?;
        within("inline_send_bytes", self.inline_send_bytes, INLINE_BYTES)?;
        within("inline_receive_bytes", self.inline_receive_bytes, INLINE_BYTES)?;
        within("payload_bytes_max", self.payload_bytes_max, PAYLOAD_BYTES)?;
        within("connections_max", self.connections_max, 1..=CONNECTIONS_MAX)?;
        within("staging_buffers", self.staging_buffers, 1..=1024)?;
        within("control_interval_ns", self.control_interval_ns, 0..=1_000_000_000)?;
        within("exports", self.exports.len(), 1..=EXPORTS_MAX)?;
        if let Storage::Memory { capacity_bytes } = self.storage {
            within("capacity_bytes", capacity_bytes, 1 << 16..=1 << 40)?;
        } else if self.loses_unstable {
            let why = "only a target in memory can; a directory keeps what the host keeps";
            return Err(wrong("loses_unstable", true, why.to_owned()));
        }
        for (name, bytes) in [
            ("inline_send_bytes", self.inline_send_bytes),
            ("inline_receive_bytes", self.inline_receive_bytes),
        ] {
            // RFC 8797 §4.2 counts in units of 1024.
            if bytes % 1024 != 0 {
                return Err(wrong(name, bytes, "a multiple of 1024 is needed".to_owned()));
            }
        }
        for path in &mut self.exports {
            *path = tidy(path)?;
        }
        Ok(self)
    }
}

fn tidy(path: &str) -> Result<String, ConfigError> {
    let fail = |why: &str| Err(wrong("exports", format!("{path:?}"), why.to_owned()));
    if !path.starts_with('/') {
        return fail("a path that starts with / is needed");
    }
    if path.len() > PATH_BYTES_MAX {
        return fail("at most 1024 bytes are allowed");
    }
    let parts: Vec<_> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return fail("\"..\" has no place in it");
    }
    Ok(format!("/{}", parts.join("/")))
}

fn within<T>(
    field: &'static str,
    found: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<(), ConfigError>
where
    T: PartialOrd + std::fmt::Display,
{
    if range.contains(&found) {
        return Ok(());
    }
    Err(wrong(field, found, format!("{} to {} is allowed", range.start(), range.end())))
}

fn wrong(field: &'static str, found: impl ToString, why: String) -> ConfigError {
    ConfigError { field, found: found.to_string(), why }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
