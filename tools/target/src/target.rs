//! The whole target: file system, server and MOUNT port, started together and polled together.

use std::net::SocketAddr;
use std::sync::Arc;

use reactor::{Poller, Progress, Timestamp, Turn, WakeSources};
use verbs::Provider;

use crate::config::{Config, ConfigError, Storage};
use crate::fs::{AnyFs, DirFs, FileSystem, Kind, MemFs};
use crate::misbehave::Switch;
use crate::mountd::Mountd;
use crate::server::{Server, StartError, to_wire};
use crate::stats::Stats;

/// A running target. Dropping it ends every connection and closes its ports.
pub struct Target<P: Provider> {
    server: Server<P>,
    mountd: Mountd,
    stats: Arc<Stats>,
    switch: Switch,
    next_mount: Timestamp,
    control_interval_ns: u64,
    stopping: bool,
}

impl<P: Provider> Target<P> {
    /// Checks `config`, prepares the file system and listens on both ports. Nothing happens
    /// before the target is polled.
    pub fn start(provider: &P, config: Config) -> Result<Self, StartError> {
        let config = config.check()?;
        let fs = file_system(&config)?;
        let (stats, switch) = (Arc::<Stats>::default(), Switch::new(config.misbehave.clone()));
        let mountd = Mountd::listen(config.mount, &config.exports, Arc::clone(&stats))
            .map_err(|why| StartError::Mount { addr: config.mount, why })?;
        let control_interval_ns = config.control_interval_ns;
        let server = Server::new(provider, config, fs, Arc::clone(&stats), switch.clone())?;
        let next_mount = Timestamp::default();
        Ok(Self { server, mountd, stats, switch, next_mount, control_interval_ns, stopping: false })
    }

    /// Where NFS listens, over RPC-over-RDMA.
    pub fn nfs_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where MOUNT listens, over TCP.
    pub fn mount_addr(&self) -> SocketAddr {
        self.mountd.local_addr()
    }

    /// The root of the file system, as MOUNT would give it.
    pub fn root(&mut self) -> wire::nfs3::FileHandle {
        to_wire(self.server.fs().root())
    }

    /// What has happened so far; may be read from any thread.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// Changes what the target does wrong, from any thread.
    pub fn switch(&self) -> Switch {
        self.switch.clone()
    }

    /// Connections that hold resources: 0 when everything that was ever lent is back.
    pub fn open_connections(&self) -> usize {
        self.server.open_connections()
    }

    /// Does what can be done at `now` and says whether there was anything. Time must not go back.
    pub fn poll(&mut self, now: Timestamp) -> bool {
        let mut busy = self.server.poll(now);
        if now >= self.next_mount {
            self.next_mount = now.add_ns(self.control_interval_ns);
            busy |= self.mountd.poll(now, self.server.fs());
        }
        busy
    }

    /// Crashes and starts again, all in this moment: every connection ends, what was written
    /// UNSTABLE and not committed is lost if [`Config::loses_unstable`], and the write verifier is
    /// another one, and answers to calls that may come again are forgotten. Files and handles stay.
    pub fn restart(&mut self, now: Timestamp) {
        self.server.restart(now);
    }

    /// Keeps the RPC messages of the next calls, at most so many, as the server puts them together
    /// from what came inline and by chunk.
    pub fn record_calls(&mut self, calls_max: usize) {
        self.server.record_calls(calls_max);
    }

    /// Ends the recording and gives what there is of it.
    pub fn take_recorded(&mut self) -> Vec<Vec<u8>> {
        self.server.take_recorded()
    }

    /// Changes both inline thresholds for connections to come, as a server that is started again
    /// with other settings. A value that [`Config::check`] would refuse is an error.
    pub fn set_inline_bytes(&mut self, bytes: u32) -> Result<(), ConfigError> {
        let field = "inline_send_bytes";
        let wanted = Config { inline_send_bytes: bytes, ..Config::default() };
        wanted.check().map_err(|error| ConfigError { field, ..error })?;
        self.server.set_inline_bytes(bytes);
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn server(&mut self) -> &mut Server<P> {
        &mut self.server
    }

    /// Begins to end every connection; [`open_connections`](Self::open_connections) tells when it
    /// is done.
    pub fn disconnect_all(&mut self, now: Timestamp) {
        self.server.disconnect_all(now);
    }
}

impl<P: Provider> Poller for Target<P> {
    fn name(&self) -> &str {
        "target"
    }

    fn poll(&mut self, turn: &mut Turn<'_>) -> Progress {
        if turn.stopping() && !self.stopping {
            self.stopping = true;
            self.disconnect_all(turn.now());
        }
        match Target::poll(self, turn.now()) {
            true => Progress::Busy,
            false => Progress::Idle,
        }
    }

    fn arm(&mut self, sources: &mut WakeSources) -> bool {
        self.next_mount = Timestamp::default();
        self.mountd.arm(sources, self.control_interval_ns);
        self.server.arm(sources)
    }

    fn drained(&self) -> bool {
        self.stopping && self.open_connections() == 0
    }
}

fn file_system(config: &Config) -> Result<AnyFs, StartError> {
    // Two runs never share a handle: their start times differ by more than the 1,024 ns a unit.
    let instance = (config.epoch_unix_ns >> 10) as u32;
    match &config.storage {
        Storage::Memory { capacity_bytes } => {
            let mut fs = MemFs::new(*capacity_bytes, instance);
            if config.loses_unstable {
                fs = fs.losing_unstable();
            }
            for path in &config.exports {
                fs.make_path(path).map_err(|why| storage(path, why))?;
            }
            Ok(AnyFs::Memory(fs))
        }
        Storage::Directory(top) => {
            let shown = top.display().to_string();
            let mut fs = DirFs::new(top, instance).map_err(|why| storage(&shown, why))?;
            for path in &config.exports {
                let found = fs.resolve(path).and_then(|found| fs.getattr(found));
                let kind = found.map_err(|why| storage(path, why))?.kind;
                if kind != Kind::Directory {
                    return Err(storage(path, crate::fs::FsError::NotDirectory));
                }
            }
            Ok(AnyFs::Directory(fs))
        }
    }
}

fn storage(path: &str, why: impl ToString) -> StartError {
    StartError::Storage { path: path.to_owned(), why: why.to_string() }
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
