//! Settings: one declaration for the flag and for the key of the configuration file. A flag wins
//! over the file, the file over the default.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use client::MountOptions;
use reactor::IdlePolicy;
use rpcrdma::{BufferConfig, EndpointConfig, TransportConfig};
use serde::Deserialize;
use wire::rpc::{Auth, AuthSys};
use workload::backend::Durability;
use workload::{Instance, Job};

use crate::values::{
    Cores, HugepagePolicy, Idle, PageSize, Recovery, Registration, Security, SecurityFlavor, Size,
};

/// Largest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Default of `uncommitted_max`: fits beside the rest where little memory may be locked.
const UNCOMMITTED_MAX: u64 = 4 << 20;
/// How long each step of MOUNT over TCP may take.
const MOUNT_STEP: Duration = Duration::from_secs(10);

/// Declares a section: a struct of optional settings, and how one lies over another.
macro_rules! section {
    ($heading:literal, $name:ident { $($(#[$field_attr:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Clone, Debug, Default, clap::Args, Deserialize)]
        #[command(next_help_heading = $heading)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name { $($(#[$field_attr])* pub(crate) $field: Option<$type>,)* }

        impl $name {
            fn over(self, below: Self) -> Self {
                Self { $($field: self.$field.or(below.$field),)* }
            }
        }
    };
}

section! {
    "Transport",
    Transport {
        /// Connections of each reactor to a mount's server, 1 to 16; calls go round them [default: 1]
        #[arg(long, value_name = "N")]
        nconnect: u32,
        /// Calls in flight on a connection; the server may grant fewer [default: 128]
        #[arg(long, value_name = "N")]
        max_requests: u32,
        /// Ask for a completion with every Nth Send, 0 or 1 with each [default: 7]
        #[arg(long, value_name = "N")]
        send_batch: u32,
        /// Inline threshold of both directions [default: 4k]
        #[arg(long, value_name = "SIZE")]
        inline: Size,
        /// Largest message sent inline [default: --inline]
        #[arg(long, value_name = "SIZE")]
        inline_send: Size,
        /// Largest message received inline [default: --inline]
        #[arg(long, value_name = "SIZE")]
        inline_receive: Size,
        /// Data up to this size is copied into the Send, larger data gathered [default: 512]
        #[arg(long, value_name = "SIZE")]
        copy_max: Size,
        /// Data read inline up to this size is copied, larger data left in the Receive [default: 512]
        #[arg(long, value_name = "SIZE")]
        receive_copy_max: Size,
        /// RDMA port of the server, for URLs that name none [default: 20049]
        #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
        /// Come from ports below 1024, as in nfs(5); needs root or CAP_NET_BIND_SERVICE
        #[arg(long, num_args = 0, default_missing_value = "true", overrides_with = "noresvport")]
        resvport: bool,
        /// Come from any port [default]
        #[arg(long, num_args = 0, default_missing_value = "true", overrides_with = "resvport")]
        #[serde(skip)]
        noresvport: bool,
        /// Port of MOUNT; the server's rpcbind is asked unless told
        #[arg(long, value_name = "PORT")]
        mountport: u16,
        /// How long a call may go unanswered, in tenths of a second as in nfs(5) [default: 600]
        #[arg(long, value_name = "DECISECONDS")]
        timeo: u32,
        /// When a connection is lost: hard, soft or softerr as in nfs(5), or never, which gives
        /// the mount up [default: hard]
        #[arg(long, value_name = "HOW")]
        recovery: Recovery,
        /// Retransmissions before a soft mount's call fails [default: 2]
        #[arg(long, value_name = "N")]
        retrans: u32,
        /// When the server answers NFS3ERR_JUKEBOX, ask again after so many seconds, 1 to 3600 [default: 5]
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
        jukebox_wait: u32,
        /// How long a connection may take to be made, in seconds; a mount whose first one takes longer
        /// fails [default: 5]
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
        connect_timeout: u32,
        /// First pause between attempts to connect again, in seconds; pauses double [default: 5]
        #[arg(long, value_name = "SECONDS")]
        reconnect_min: u32,
        /// Longest pause between attempts to connect again, in seconds [default: 60]
        #[arg(long, value_name = "SECONDS")]
        reconnect_max: u32,
        /// Close a connection without calls after this long, in seconds; 0 never [default: 300]
        #[arg(long, value_name = "SECONDS")]
        idle_timeout: u32,
        /// Credential: sys (AUTH_SYS) or none [default: sys]
        #[arg(long, value_name = "FLAVOR")]
        sec: Security,
        /// User of sec=sys [default: yours]
        #[arg(long, value_name = "UID")]
        uid: u32,
        /// Group of sec=sys [default: yours]
        #[arg(long, value_name = "GID")]
        gid: u32,
    }
}

section! {
    "Memory",
    Memory {
        /// Buffers on huge pages: required, preferred or off [default: preferred]
        #[arg(long, value_name = "POLICY")]
        hugepages: HugepagePolicy,
        /// Which huge pages: 2M or 1G [default: 2M]
        #[arg(long, value_name = "SIZE")]
        page_size: PageSize,
        /// How the server reaches buffers: window (a key for each I/O), static (one key), or auto
        /// (window where the device can) [default: auto]
        #[arg(long, value_name = "HOW")]
        registration: Registration,
        /// Written data that is kept until it is proven durable, on each mount, in buffers of
        /// their own; with more than that out, writes wait for a COMMIT [default: 4m]
        #[arg(long, value_name = "SIZE")]
        uncommitted_max: Size,
    }
}

section! {
    "Reactors",
    ReactorSection {
        /// Cores to run jobs on, one pinned reactor each: 0,1 or 2-5 [default: as many as jobs]
        #[arg(short = 'c', long, value_name = "LIST")]
        cores: Cores,
        /// When there is nothing to do: spin, yield, nice:N, sched-batch, sched-idle, adaptive
        /// (spin, yield, then sleep) or adaptive:spin_us=N,yield_us=N [default: spin]
        #[arg(long, value_name = "POLICY")]
        idle: Idle,
        /// Entries of a completion queue [default: 16384]
        #[arg(long, value_name = "N")]
        cq_depth: u32,
        /// Completions taken in one poll [default: 64]
        #[arg(long, value_name = "N")]
        poll_batch: u32,
    }
}

/// All of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) transport: Transport,
    pub(crate) memory: Memory,
    pub(crate) reactor: ReactorSection,
}

impl Settings {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let size = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
        if size > FILE_BYTES_MAX {
            bail!("{shown} has {size} bytes; a configuration file has at most {FILE_BYTES_MAX}");
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        Self::parse(&text, &shown.to_string())
    }

    /// Reads text; `name` is where errors say it stands.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let before = &text.as_bytes()[..at];
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            let key = key_of_line(text, line);
            let message = error.message().replace('\n', "; ");
            anyhow::anyhow!("{name}:{line}: {key}{message}")
        })
    }

    /// These where they are set, `below` where not.
    pub(crate) fn over(self, below: Self) -> Self {
        Self {
            transport: self.transport.over(below.transport),
            memory: self.memory.over(below.memory),
            reactor: self.reactor.over(below.reactor),
        }
    }

    /// The connection to `remote`, with buffers still to be sized.
    pub(crate) fn transport_config(&self, remote: std::net::SocketAddr) -> Result<TransportConfig> {
        let set = &self.transport;
        let mut config = TransportConfig::new(remote);
        let inline = |own: &Option<Size>, name, default| match own.as_ref().or(set.inline.as_ref())
        {
            Some(size) => size.bytes_u32(name),
            None => Ok(default),
        };
        config.inline_send = inline(&set.inline_send, "inline_send", config.inline_send)?;
        config.inline_receive =
            inline(&set.inline_receive, "inline_receive", config.inline_receive)?;
        config.resvport = self.resvport();
        config.nconnect = set.nconnect.unwrap_or(config.nconnect);
        config.max_requests = set.max_requests.unwrap_or(config.max_requests);
        config.send_batch = set.send_batch;
        if let Some(size) = &set.copy_max {
            config.copy_max = size.bytes_u32("copy_max")?;
        }
        if let Some(size) = &set.receive_copy_max {
            config.receive_copy_max = size.bytes_u32("receive_copy_max")?;
        }
        if let Some(timeo) = set.timeo {
            if timeo == 0 {
                bail!("timeo = 0: at least 1 (a tenth of a second)");
            }
            config.rpc_timeout_ns = u64::from(timeo) * 100_000_000;
        }
        let seconds_ns = |seconds: u32| u64::from(seconds) * 1_000_000_000;
        config.recovery = set.recovery.as_ref().map_or(config.recovery, |how| how.0);
        config.retrans = set.retrans.unwrap_or(config.retrans);
        config.connect_timeout_ns =
            set.connect_timeout.map_or(config.connect_timeout_ns, seconds_ns);
        config.reconnect_min_ns = set.reconnect_min.map_or(config.reconnect_min_ns, seconds_ns);
        config.reconnect_max_ns = set.reconnect_max.map_or(config.reconnect_max_ns, seconds_ns);
        if config.reconnect_min_ns > config.reconnect_max_ns {
            bail!("reconnect_min is longer than reconnect_max");
        }
        config.idle_timeout_ns = set.idle_timeout.map_or(config.idle_timeout_ns, seconds_ns);
        config.registration = self.memory.registration.as_ref().and_then(|how| how.0);
        config.buffers = BufferConfig {
            policy: self.hugepages(),
            page_size: self.memory.page_size.as_ref().map_or_else(Default::default, |s| s.0),
            ..BufferConfig::default()
        };
        #[cfg(feature = "planted-faults")]
        plant(&mut config.planted)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks what can be checked before anything is started.
    pub(crate) fn check(&self) -> Result<()> {
        let nowhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        self.transport_config(nowhere)?;
        self.jukebox_wait_ns()?;
        self.endpoint_config().map(drop)
    }

    /// Memory for what these jobs write and will ask to be made durable.
    pub(crate) fn uncommitted_max(&self, instances: &[Instance]) -> u64 {
        let keeps = |job: &Job| job.rw.writes() && job.durability() == Durability::Kept;
        // Files to read may have to be laid out.
        let lays_out = |job: &Job| job.rw.reads() && job.size.is_some();
        let needed = instances.iter().any(|of| keeps(&of.job) || lays_out(&of.job));
        let max = self.memory.uncommitted_max.as_ref().map_or(UNCOMMITTED_MAX, |size| size.0);
        if needed { max } else { 0 }
    }

    /// How long to wait after NFS3ERR_JUKEBOX.
    pub(crate) fn jukebox_wait_ns(&self) -> Result<u64> {
        match self.transport.jukebox_wait {
            None => Ok(client::JUKEBOX_WAIT_NS),
            Some(seconds @ 1..=3600) => Ok(u64::from(seconds) * 1_000_000_000),
            Some(seconds) => bail!("jukebox_wait = {seconds}: allowed is 1 to 3600 (seconds)"),
        }
    }

    pub(crate) fn hugepages(&self) -> hugepages::Policy {
        self.memory.hugepages.as_ref().map_or_else(Default::default, |policy| policy.0)
    }

    pub(crate) fn idle(&self) -> Option<IdlePolicy> {
        self.reactor.idle.as_ref().map(|idle| idle.0)
    }

    pub(crate) fn endpoint_config(&self) -> Result<EndpointConfig> {
        let default = EndpointConfig::default();
        let cq_depth = self.reactor.cq_depth.unwrap_or(default.cq_depth);
        let poll_batch = self.reactor.poll_batch.map_or(default.poll_batch, |n| n as usize);
        if !(1..=4096).contains(&poll_batch) {
            bail!("poll_batch = {poll_batch}: allowed is 1 to 4096");
        }
        if cq_depth == 0 {
            bail!("cq_depth = 0: at least 1 is needed, and every queue entry has its place");
        }
        let connections_max = self.transport.nconnect.unwrap_or(1) as u16;
        Ok(EndpointConfig { connections_max, cq_depth, poll_batch })
    }

    pub(crate) fn mount_options(&self) -> MountOptions {
        MountOptions {
            mount_port: self.transport.mountport,
            port: self.transport.port,
            resvport: self.resvport(),
            timeout: MOUNT_STEP,
            auth: self.credential(),
            ..MountOptions::default()
        }
    }

    /// `noresvport` is a flag, and so stands above a file's `resvport`; a flag `resvport` above it.
    fn resvport(&self) -> bool {
        self.transport.noresvport != Some(true) && self.transport.resvport == Some(true)
    }

    pub(crate) fn credential(&self) -> Auth {
        let set = &self.transport;
        if matches!(set.sec, Some(Security(SecurityFlavor::None))) {
            return Auth::None;
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Auth::Sys(AuthSys {
            stamp: std::process::id(),
            machine: host.trim().to_owned(),
            uid: set.uid.unwrap_or_else(|| nix::unistd::geteuid().as_raw()),
            gid: set.gid.unwrap_or_else(|| nix::unistd::getegid().as_raw()),
            gids: Vec::new(),
        })
    }
}

/// What this build does on purpose: the mistake `INITIATOR_PLANTED` names, and an end of each
/// connection every `INITIATOR_DISCONNECT_EVERY` calls. Neither is known to other builds.
#[cfg(feature = "planted-faults")]
fn plant(planted: &mut rpcrdma::PlantedFaults) -> Result<()> {
    if let Ok(name) = std::env::var("INITIATOR_PLANTED") {
        planted.fault = Some(name.parse().map_err(|error: String| anyhow::anyhow!(error))?);
    }
    if let Ok(every) = std::env::var("INITIATOR_DISCONNECT_EVERY") {
        let calls = every.parse().ok().filter(|&calls: &u64| calls > 0);
        let wrong = || format!("INITIATOR_DISCONNECT_EVERY wants a number of calls, not '{every}'");
        planted.disconnect_every = Some(calls.with_context(wrong)?);
    }
    Ok(())
}

/// The key on a line, for a message about its value; the message names unknown keys itself.
fn key_of_line(text: &str, line: usize) -> String {
    let content = text.lines().nth(line - 1).unwrap_or("");
    match content.split_once('=') {
        Some((key, _)) => format!("{}: ", key.trim()),
        None => String::new(),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
