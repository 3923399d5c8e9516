//! The embedded target of `perf` and `run --embedded`: a server on a reactor of its own in this
//! process, reached over the in-process fabric. Its MOUNT port is real TCP on loopback.
//!
//! Faults survived: a target that cannot start, or that dies: an error in one line, after its
//! reactor is joined.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use client::NfsUrl;
use crossbeam_channel::bounded;
use reactor::{IdlePolicy, ReactorConfig, ReactorHandle, ReactorStats, StopToken};
use target::{Misbehaviour, Stats, Storage, Target};
use verbs::soft::{Clock, SoftFabric};

use crate::cli::EmbeddedArgs;
use crate::config::Settings;
use crate::engine::Site;

/// Bytes that the target stores unless told.
const SPACE_DEFAULT: u64 = 1 << 30;
/// The target maps its buffers when the first client comes, which takes that turn some time.
const STALL: Duration = Duration::from_millis(500);

/// See the module documentation.
pub(crate) struct Embedded {
    /// The fabric that leads to it.
    pub(crate) fabric: SoftFabric,
    /// Its export.
    pub(crate) site: Site,
    reactor: ReactorHandle,
    stop: StopToken,
    stats: Arc<Stats>,
}

/// What the target did.
pub(crate) struct Served {
    pub(crate) reactor: ReactorStats,
    pub(crate) counters: Vec<(&'static str, u64)>,
}

impl Embedded {
    /// Starts it on `core` and asks its MOUNT service for the export.
    pub(crate) fn start(
        args: &EmbeddedArgs,
        settings: &Settings,
        core: usize,
        idle: IdlePolicy,
    ) -> Result<Self> {
        let fabric = SoftFabric::new(Clock::Real);
        let stop = StopToken::new();
        let reactor_config = ReactorConfig {
            idle,
            stop: stop.clone(),
            stall_threshold: STALL,
            ..ReactorConfig::default()
        };
        let config = target_config(args, settings);
        let (tell, told) = bounded(1);
        let provider = fabric.clone();
        let reactor = reactor::spawn(core, reactor_config, move |reactor| {
            let target = Target::start(&provider, config)?;
            tell.send((target.nfs_addr(), target.mount_addr(), target.stats()))?;
            reactor.add_poller(target)?;
            Ok(())
        })
        .context("cannot start the embedded target")?;
        let (nfs, mount, stats) = told.recv().context("the embedded target does not answer")?;
        let url = NfsUrl { host: nfs.ip().to_string(), port: nfs.port(), path: "/".into() };
        let mut options = settings.mount_options();
        options.mount_port = Some(mount.port());
        let located = client::locate(&url, &options)?;
        let site = Site { url: url.to_string(), located };
        Ok(Self { fabric, site, reactor, stop, stats })
    }

    /// Stops it. Nobody may be connected any more.
    ///
    /// # Errors
    /// It has died, or a client changed memory that it had lent to the fabric.
    pub(crate) fn finish(self) -> Result<Served> {
        self.stop.stop();
        let reactor = self.reactor.join()?;
        let violations = self.fabric.violation_count();
        if violations > 0 {
            bail!("{violations} buffers were changed while the fabric could still read them");
        }
        Ok(Served { reactor, counters: self.stats.report() })
    }
}

fn target_config(args: &EmbeddedArgs, settings: &Settings) -> target::Config {
    let default = target::Config::default();
    let capacity_bytes = args.target_space.as_ref().map_or(SPACE_DEFAULT, |space| space.0);
    target::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        mount: ([127, 0, 0, 1], 0).into(),
        storage: Storage::Memory { capacity_bytes },
        credits: args.target_credits.unwrap_or(default.credits),
        misbehave: args.target_misbehave.clone().unwrap_or_else(Misbehaviour::default),
        // "required" is about the client's buffers: the target takes what is left.
        hugepages: match settings.hugepages() {
            hugepages::Policy::Off => hugepages::Policy::Off,
            _ => hugepages::Policy::Preferred,
        },
        ..default
    }
}
