//! `initiator target`: the embedded server by itself, on an RDMA device.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::TargetArgs;

/// There are no RDMA devices to this build.
#[cfg(not(feature = "rdma"))]
pub(crate) fn run(_args: &TargetArgs) -> Result<ExitCode> {
    crate::doctor::require_rdma().map(|()| ExitCode::SUCCESS)
}

/// Serves until a signal comes.
#[cfg(feature = "rdma")]
pub(crate) fn run(args: &TargetArgs) -> Result<ExitCode> {
    use anyhow::Context;
    use crossbeam_channel::bounded;
    use reactor::{ReactorConfig, signals};
    use target::Target;

    let stop = signals::install()?;
    let usable = reactor::usable_cores();
    let core = args.core.or(usable.first().copied()).context("no core that can be used")?;
    let idle = args.idle.as_ref().map_or_else(Default::default, |idle| idle.0);
    let config = config(args);
    let (tell, told) = bounded(1);
    let reactor_config = ReactorConfig { idle, stop, ..ReactorConfig::default() };
    let reactor = reactor::spawn(core, reactor_config, move |reactor| {
        let target = Target::start(&verbs::ibv::Ibv, config)?;
        tell.send((target.nfs_addr(), target.mount_addr(), target.stats()))?;
        reactor.add_poller(target)?;
        Ok(())
    })
    .context("cannot start the target")?;
    let (nfs, mount, stats) = told.recv().context("the target does not answer")?;
    println!("serving {nfs} over RDMA, MOUNT on TCP port {} (core {core})", mount.port());
    println!("mount it with: initiator perf nfs://{nfs}/ --mountport {}", mount.port());
    reactor.join()?;
    for (name, count) in stats.report() {
        println!("{name}: {count}");
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "rdma")]
fn config(args: &TargetArgs) -> target::Config {
    use std::net::SocketAddr;
    use target::Storage;

    let default = target::Config::default();
    let capacity_bytes = args.space.as_ref().map_or(1 << 30, |space| space.0);
    target::Config {
        listen: SocketAddr::new(args.listen, args.port),
        mount: SocketAddr::new(args.listen, args.mount_port),
        storage: match &args.directory {
            Some(directory) => Storage::Directory(directory.clone()),
            None => Storage::Memory { capacity_bytes },
        },
        exports: match args.exports.is_empty() {
            true => default.exports,
            false => args.exports.clone(),
        },
        credits: args.credits.unwrap_or(default.credits),
        misbehave: args.misbehave.clone().unwrap_or_default(),
        reply_cache: !args.no_drc,
        loses_unstable: args.directory.is_none()
            && args.misbehave.as_ref().is_some_and(|orders| orders.restart_every.is_some()),
        ..default
    }
}
