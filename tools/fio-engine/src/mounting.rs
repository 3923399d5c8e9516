//! From a URL to a mount of the calling thread.

use std::time::Duration;

use anyhow::{Context, Result};
use client::{Located, MountConfig, MountOptions, NfsUrl, locate};
use reactor::core_numa_node;
use rpcrdma::BufferConfig;

use crate::embedded::{Embedded, SCHEME};
use crate::memory::SPARE_BUFFERS;
use crate::session::{Mount, Session, Stop};
use crate::settings::{Settings, credential};

/// How long each step of MOUNT over TCP may take.
const MOUNT_STEP: Duration = Duration::from_secs(10);
/// Operations beside fio's own: opening, laying out.
const EXTRA_OPERATIONS: u32 = 16;
/// Buffers begin on pages.
const BUFFER_UNIT: u64 = 4096;

/// What a mount is for.
pub(crate) struct Purpose {
    /// Which of fio's threads, from 0.
    pub(crate) thread: usize,
    /// Blocks in flight, at most.
    pub(crate) depth: u32,
    /// Bytes of the largest.
    pub(crate) block_max: u64,
    /// Whether the thread is to be pinned: the one that does the I/O is.
    pub(crate) pin: bool,
    /// Whether what is written is kept until it is durable.
    pub(crate) keeps: bool,
    /// fio's wish that the thread should end.
    pub(crate) stop: Stop,
}

/// Mounts.
pub(crate) fn mount(settings: &Settings, mut purpose: Purpose) -> Result<Box<dyn Mount>> {
    purpose.keeps &= settings.uncommitted_max > 0;
    let pinned =
        if purpose.pin { crate::cores::pin(&settings.cores, purpose.thread)? } else { None };
    if settings.url.starts_with(SCHEME) {
        let embedded = Embedded::find(&settings.url)?;
        let located = ask(&embedded.url, Some(embedded.mount_port))?;
        let config = config(settings, &located, &purpose, pinned)?;
        let yields = settings.yields.unwrap_or(true);
        return session(embedded.fabric, config, located, purpose, yields, settings);
    }
    let url: NfsUrl = settings.url.parse().with_context(|| "nfs_url=")?;
    let located = ask(&url, settings.mount_port)?;
    let config = config(settings, &located, &purpose, pinned)?;
    over_rdma(config, located, purpose, settings)
}

#[cfg(feature = "rdma")]
fn over_rdma(
    config: MountConfig,
    located: Located,
    purpose: Purpose,
    settings: &Settings,
) -> Result<Box<dyn Mount>> {
    let yields = settings.yields.unwrap_or(false);
    session(verbs::ibv::Ibv, config, located, purpose, yields, settings)
}

#[cfg(not(feature = "rdma"))]
fn over_rdma(_: MountConfig, _: Located, _: Purpose, _: &Settings) -> Result<Box<dyn Mount>> {
    anyhow::bail!("this engine was built without RDMA (feature rdma): only nfs_url=soft: works")
}

fn session<P: verbs::Provider + 'static>(
    provider: P,
    config: MountConfig,
    located: Located,
    purpose: Purpose,
    yields: bool,
    settings: &Settings,
) -> Result<Box<dyn Mount>> {
    let session = Session::mount(provider, &config, &located.rest, purpose, yields);
    Ok(Box::new(session.with_context(|| format!("cannot mount {}", settings.url))?))
}

fn ask(url: &NfsUrl, mount_port: Option<u16>) -> Result<Located> {
    let options = MountOptions {
        mount_port,
        timeout: MOUNT_STEP,
        auth: credential(),
        ..MountOptions::default()
    };
    locate(url, &options).with_context(|| format!("cannot mount {url}"))
}

fn config(
    settings: &Settings,
    located: &Located,
    purpose: &Purpose,
    pinned: Option<usize>,
) -> Result<MountConfig> {
    let mut transport = settings.transport.clone();
    transport.remote = located.server;
    // What is kept is written from a copy, for a block stays where fio has it.
    let copies = if purpose.keeps { purpose.depth } else { 0 };
    let block = purpose.block_max.max(1).next_multiple_of(BUFFER_UNIT);
    transport.buffers = BufferConfig {
        buffer_len: u32::try_from(block).unwrap_or(u32::MAX),
        count: purpose.depth.saturating_add(copies).saturating_add(SPARE_BUFFERS),
        numa_node: pinned.filter(|_| has_numa()).and_then(core_numa_node),
        ..transport.buffers
    };
    transport.validate()?;
    Ok(MountConfig {
        root: located.root,
        auth: credential(),
        queue_depth: purpose.depth.saturating_add(EXTRA_OPERATIONS),
        // Also for those that only lay files out.
        uncommitted_max: settings.uncommitted_max,
        jukebox_wait_ns: client::JUKEBOX_WAIT_NS,
        transport,
    })
}

/// Binding memory to a node matters, and is worth a complaint, only where there are several.
fn has_numa() -> bool {
    hugepages::reserve::status().is_ok_and(|all| all.iter().any(|status| status.node > 0))
}
