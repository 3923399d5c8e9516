//! The embedded target of `perf` and `run --embedded`: a server on a reactor of its own in this
//! process, reached over the in-process fabric. Its MOUNT port is real TCP on loopback.
//!
//! Faults survived: a target that cannot start, or that dies: an error in one line, after its
//! reactor is joined.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use client::NfsUrl;
use crossbeam_channel::bounded;
use reactor::{ReactorConfig, ReactorHandle, ReactorStats, StopToken};
use target::{Stats, Storage, Target};
use verbs::soft::{Clock, SoftFabric};
use workload::Job;

use crate::cli::EmbeddedArgs;
use crate::config::Settings;
use crate::engine::{self, STALL, Site};
use crate::placement::Placement;

/// Bytes that the target stores unless told.
const SPACE_DEFAULT: u64 = 1 << 30;
/// Largest READ and WRITE: as large as the jobs' blocks, within these bounds. The upper one is
/// what Linux servers have.
const PAYLOAD_MIN: u32 = 64 << 10;
const PAYLOAD_MAX: u32 = 1 << 20;
/// Most staging buffers.
const STAGING_MAX: usize = 1024;

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
    /// Starts it and asks its MOUNT service for the export.
    pub(crate) fn start(
        args: &EmbeddedArgs,
        settings: &Settings,
        jobs: &[Job],
        placement: &Placement,
    ) -> Result<Self> {
        let core = placement.target.unwrap_or(placement.jobs[0]);
        let fabric = SoftFabric::new(Clock::Real);
        let stop = StopToken::new();
        let reactor_config = ReactorConfig {
            idle: placement.idle,
            stop: stop.clone(),
            stall_threshold: STALL,
            ..ReactorConfig::default()
        };
        let config = target_config(args, settings, jobs, placement.jobs.len());
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
        let url = NfsUrl { host: nfs.ip().to_string(), port: Some(nfs.port()), path: "/".into() };
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

/// A target for these jobs, over so many connections.
fn target_config(
    args: &EmbeddedArgs,
    settings: &Settings,
    jobs: &[Job],
    connections: usize,
) -> target::Config {
    let default = target::Config::default();
    let capacity_bytes = args.target_space.as_ref().map_or(SPACE_DEFAULT, |space| space.0);
    let storage = match &args.target_directory {
        Some(directory) => Storage::Directory(directory.clone()),
        None => Storage::Memory { capacity_bytes },
    };
    let credits = args.target_credits.unwrap_or(default.credits);
    target::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        mount: ([127, 0, 0, 1], 0).into(),
        storage,
        credits,
        payload_bytes_max: engine::buffer_len(jobs.iter()).clamp(PAYLOAD_MIN, PAYLOAD_MAX),
        // One for each call that can be open, so that no call waits for another's.
        staging_buffers: (credits as usize * connections).clamp(32, STAGING_MAX),
        misbehave: args.target_misbehave.clone().unwrap_or_default(),
        loses_unstable: args
            .target_misbehave
            .as_ref()
            .is_some_and(|orders| orders.restart_every.is_some()),
        // "required" is about the client's buffers: the target takes what is left.
        hugepages: match settings.hugepages() {
            hugepages::Policy::Off => hugepages::Policy::Off,
            _ => hugepages::Policy::Preferred,
        },
        ..default
    }
}
