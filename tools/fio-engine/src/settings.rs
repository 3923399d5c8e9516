//! The engine's options, from fio's structure to the client's settings.

use std::ffi::{CStr, c_char, c_uint, c_void};

use anyhow::{Result, bail};
use rpcrdma::{BufferConfig, Recovery, Registration, TransportConfig};
use wire::rpc::{Auth, AuthSys};

/// `struct initiator_settings` of `shim/engine.h`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct RawSettings {
    pad: *mut c_void,
    pub(crate) nfs_url: *const c_char,
    pub(crate) cores: *const c_char,
    pub(crate) registration: c_uint,
    pub(crate) recovery: c_uint,
    pub(crate) hugepages: c_uint,
    pub(crate) idle: c_uint,
    pub(crate) max_requests: c_uint,
    pub(crate) inline_send: c_uint,
    pub(crate) inline_receive: c_uint,
    pub(crate) copy_max: c_uint,
    pub(crate) timeo: c_uint,
    pub(crate) retrans: c_uint,
    pub(crate) mountport: c_uint,
    pub(crate) nconnect: c_uint,
    pub(crate) uncommitted_max: c_uint,
}

/// What the user asked for, checked as far as it can be without a server.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) cores: Vec<usize>,
    pub(crate) mount_port: Option<u16>,
    /// Whether to offer the core while waiting; `None` leaves it to the kind of server.
    pub(crate) yields: Option<bool>,
    /// Bytes that are kept until they are durable.
    pub(crate) uncommitted_max: u64,
    /// Everything but the server's address and the buffers' sizes.
    pub(crate) transport: TransportConfig,
}

impl Settings {
    /// # Safety
    /// `raw` points to what fio filled in: its texts are null or end with a NUL.
    pub(crate) unsafe fn read(raw: *const RawSettings) -> Result<Self> {
        // SAFETY: the caller's promise; fio keeps the structure for as long as the job.
        let raw = unsafe { &*raw };
        // SAFETY: the caller's promise.
        let (url, cores) = unsafe { (text(raw.nfs_url), text(raw.cores)) };
        let Some(url) = url else {
            bail!("nfs_url= is missing: nfs://HOST[:PORT]/EXPORT/PATH, or soft:");
        };
        let mut transport = TransportConfig::new(([0, 0, 0, 0], 0).into());
        transport.max_requests = raw.max_requests;
        transport.inline_send = raw.inline_send;
        transport.inline_receive = raw.inline_receive;
        transport.copy_max = raw.copy_max;
        transport.rpc_timeout_ns = u64::from(raw.timeo) * 100_000_000;
        transport.retrans = raw.retrans;
        transport.nconnect = raw.nconnect;
        transport.recovery = match raw.recovery {
            1 => Recovery::Soft,
            2 => Recovery::SoftErr,
            3 => Recovery::Never,
            _ => Recovery::Hard,
        };
        transport.registration = match raw.registration {
            1 => Some(Registration::Window),
            2 => Some(Registration::Static),
            _ => None,
        };
        let policy = match raw.hugepages {
            1 => hugepages::Policy::Required,
            2 => hugepages::Policy::Off,
            _ => hugepages::Policy::Preferred,
        };
        transport.buffers = BufferConfig { policy, ..BufferConfig::default() };
        transport.validate()?;
        Ok(Self {
            url,
            cores: cores.map_or(Ok(Vec::new()), |list| crate::cores::parse(&list))?,
            mount_port: u16::try_from(raw.mountport).ok().filter(|&port| port != 0),
            yields: [None, Some(false), Some(true)].get(raw.idle as usize).copied().flatten(),
            uncommitted_max: raw.uncommitted_max.into(),
            transport,
        })
    }
}

/// Whom the calls come from: the user that fio runs as.
pub(crate) fn credential() -> Auth {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Auth::Sys(AuthSys {
        stamp: std::process::id(),
        machine: host.trim().to_owned(),
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        gids: Vec::new(),
    })
}

/// # Safety
/// `from` is null or a text that ends with a NUL.
pub(crate) unsafe fn text(from: *const c_char) -> Option<String> {
    if from.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { CStr::from_ptr(from) }.to_string_lossy().into_owned())
}
