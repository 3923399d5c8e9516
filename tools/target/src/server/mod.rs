//! The NFS server over RPC-over-RDMA (RFC 8166, RFC 8267): a state machine that is polled.
//!
//! Threading: one thread owns it; nothing blocks and nothing is locked. Each turn polls the
//! completion queue of each device once, serves what arrived, and posts one chain a connection.
//! Listener and connection events are looked at now and then, since that may cost system calls.
//!
//! Faults survived: any bytes from any client; clients that leave at any moment, or overstep their
//! credits; clients that are gone and never said so; too little memory for another connection. A
//! connection's memory is released only when
//! its queue pair has given everything back, and otherwise stays mapped for ever.

mod answer;
mod backward;
mod connection;
mod credits;
mod falsify;
mod nfs;
mod nfs_meta;
mod nfs_types;
mod plan;
mod plane;
mod replies;
mod send_queue;
mod trespass;

use std::net::SocketAddr;
use std::sync::Arc;

use reactor::{Timestamp, WakeSources};
use verbs::{Completion, CompletionQueue, Connection as _, Incoming, Listener, Provider};

use crate::config::Config;
use crate::fs::{AnyFs, FileSystem, Time};
use crate::misbehave::Switch;
use crate::stats::Stats;
use connection::{Connection, Sizes};
use nfs::{Nfs, Recorded};
pub(crate) use nfs_types::to_wire;
use plane::Plane;
use send_queue::GROUP_BITS;

/// Completions taken from one queue in one turn.
const COMPLETIONS_PER_TURN: usize = 64;
/// Connection requests taken at a time.
const INCOMING_PER_TURN: usize = 16;
/// Turns in which a server that is dropped waits for its queue pairs to drain.
const LAST_TURNS: usize = 100_000;
const BACKLOG: u32 = 128;
/// A client that has been silent for so long gives way when every place is taken. One at work is
/// heard of all the time; one that is idle connects again when it is needed.
const SILENCE_NS_MIN: u64 = 1_000_000_000;

/// Why there is no server, or no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A configuration value makes no sense.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The RDMA side.
    #[error(transparent)]
    Verbs(#[from] verbs::Error),
    /// Memory for buffers.
    #[error(transparent)]
    Memory(#[from] hugepages::Error),
    /// The directory to be served, or an exported path in it.
    #[error("target: cannot serve {path}: {why}")]
    Storage {
        /// Which path.
        path: String,
        /// What the system says.
        why: String,
    },
    /// The MOUNT port.
    #[error("target: MOUNT cannot listen on {addr}: {why}")]
    Mount {
        /// Where.
        addr: SocketAddr,
        /// What the system says.
        why: std::io::Error,
    },
    /// The completion queue of the device is spoken for.
    #[error("target: no completion queue entries left for another connection")]
    CompletionQueueFull,
}

/// What all connections serve from.
struct Service {
    nfs: Nfs,
    /// The grant in every reply.
    credits: u32,
    /// It is ordered that the server restarts.
    restart: bool,
    /// Where a chunk of some connection was, and of which, for those who are told to trespass.
    chunk_seen: Option<(u16, trespass::Place)>,
}

/// See the module documentation.
pub(crate) struct Server<P: Provider> {
    listener: P::Listener,
    connections: Vec<Option<Box<Connection<P>>>>,
    planes: Vec<Plane<P>>,
    plane_of: Vec<usize>,
    service: Service,
    config: Config,
    next_control: Timestamp,
    completions: [Completion; COMPLETIONS_PER_TURN],
}

impl<P: Provider> Server<P> {
    /// Listens. `config` has been checked.
    pub(crate) fn new(
        provider: &P,
        config: Config,
        fs: AnyFs,
        stats: Arc<Stats>,
        switch: Switch,
    ) -> Result<Self, StartError> {
        let listener = provider.listen(config.listen, BACKLOG)?;
        let nfs = Nfs {
            fs,
            stats,
            switch,
            payload_bytes_max: config.payload_bytes_max,
            verifier: config.epoch_unix_ns,
            entries: vec![0; nfs::LISTING_BYTES_MAX],
            replies: config.reply_cache.then(Default::default),
            recorded: None,
        };
        Ok(Self {
            listener,
            connections: Vec::new(),
            planes: Vec::new(),
            plane_of: Vec::new(),
            service: Service { nfs, credits: config.credits, restart: false, chunk_seen: None },
            config,
            next_control: Timestamp::default(),
            completions: [Completion::default(); COMPLETIONS_PER_TURN],
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// The file system, for MOUNT.
    pub(crate) fn fs(&mut self) -> &mut AnyFs {
        &mut self.service.nfs.fs
    }

    /// Connections that hold resources.
    pub(crate) fn open_connections(&self) -> usize {
        self.connections.iter().flatten().count()
    }

    /// One turn. Says whether there was anything to do.
    pub(crate) fn poll(&mut self, now: Timestamp) -> bool {
        let unix_ns = self.config.epoch_unix_ns.saturating_add(now.0);
        self.service.nfs.fs.set_time(Time::from_unix_ns(unix_ns));
        let (mut busy, caught_up) = self.complete(now);
        if now >= self.next_control {
            self.next_control = now.add_ns(self.config.control_interval_ns);
            busy |= self.control(now, caught_up);
        }
        if std::mem::take(&mut self.service.restart) {
            self.restart(now);
        }
        for (index, connection) in self.connections.iter_mut().enumerate() {
            if let Some(connection) = connection {
                let plane = &self.planes[self.plane_of[index]];
                busy |= connection.turn(now, plane, &mut self.service);
            }
        }
        busy
    }

    /// Says what is to wake a target that sleeps. False if only polling tells what comes next.
    pub(crate) fn arm(&mut self, sources: &mut WakeSources) -> bool {
        // The next turn, the last before the sleep, looks at events.
        self.next_control = Timestamp::default();
        let Some(fd) = self.listener.event_fd() else { return false };
        sources.watch(fd);
        let armed = self.planes.iter().all(|plane| match plane.cq.arm() {
            Ok(Some(fd)) => {
                sources.watch(fd);
                true
            }
            Ok(None) | Err(_) => false,
        });
        let mut connections = self.connections.iter().flatten();
        let interval_ns = self.config.control_interval_ns;
        armed && connections.all(|connection| connection.arm(sources, interval_ns))
    }

    /// Whether there were completions, and whether those were all.
    fn complete(&mut self, now: Timestamp) -> (bool, bool) {
        let (mut busy, mut caught_up) = (false, true);
        for plane in &self.planes {
            let count = match plane.cq.poll(&mut self.completions) {
                Ok(count) => count,
                Err(error) => {
                    tracing::error!(%error, "completion queue lost");
                    self.connections.iter_mut().flatten().for_each(|c| c.disconnect(now));
                    0
                }
            };
            busy |= count > 0;
            caught_up &= count < COMPLETIONS_PER_TURN;
            self.service.nfs.stats.completions.add(count as u64);
            for done in &self.completions[..count] {
                let index = (done.wr_id >> GROUP_BITS) as usize & 0xffff;
                if let Some(Some(connection)) = self.connections.get_mut(index) {
                    connection.completed(done, now, &mut self.service);
                }
            }
        }
        (busy, caught_up)
    }

    /// Events, new connections and the remains of old ones. Who has not `caught_up` cannot say that
    /// a queue pair does not drain.
    fn control(&mut self, now: Timestamp, caught_up: bool) -> bool {
        let mut busy = false;
        for index in 0..self.connections.len() {
            let Some(connection) = &mut self.connections[index] else { continue };
            busy |= connection.control(now);
            if caught_up && connection.overdue(now) {
                tracing::error!("a queue pair does not drain: its memory is given up");
                connection.give_up();
            }
            if connection.drained() {
                self.connections[index] = None;
                let plane = &mut self.planes[self.plane_of[index]];
                plane.cqe_free += plane.cqe_each;
                self.service.nfs.stats.connections_closed.add(1);
                busy = true;
            }
        }
        for _ in 0..INCOMING_PER_TURN {
            match self.listener.poll() {
                Ok(Some(incoming)) => {
                    busy = true;
                    self.accept(incoming, now);
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "listener");
                    break;
                }
            }
        }
        busy
    }

    fn accept(&mut self, incoming: Incoming<P::Connection>, now: Timestamp) {
        let stats = Arc::clone(&self.service.nfs.stats);
        let peer = incoming.connection.peer_addr();
        stats.connections_reserved.add(u64::from(peer.is_some_and(|peer| peer.port() < 1024)));
        if self.open_connections() == self.config.connections_max {
            let mut connection = incoming.connection;
            let _ = connection.reject(&[]);
            stats.connections_refused.add(1);
            self.make_room(now);
            return;
        }
        match self.admit(incoming, now) {
            Ok(()) => stats.connections_accepted.add(1),
            Err(error) => {
                tracing::warn!(%error, "connection refused");
                stats.connections_refused.add(1);
            }
        }
    }

    /// Every place is taken: that of the client which has been silent for longest becomes free, for
    /// whoever comes next.
    fn make_room(&mut self, now: Timestamp) {
        let silent = self.connections.iter_mut().flatten().filter_map(|connection| {
            let heard = connection.heard()?;
            (now.ns_since(heard) >= SILENCE_NS_MIN).then_some((heard, connection))
        });
        if let Some((_, connection)) = silent.min_by_key(|(heard, _)| *heard) {
            tracing::info!(peer = ?connection.peer, "silent for longest, when there was no room");
            self.service.nfs.stats.connections_ousted.add(1);
            connection.disconnect(now);
        }
    }

    fn admit(
        &mut self,
        incoming: Incoming<P::Connection>,
        now: Timestamp,
    ) -> Result<(), StartError> {
        let Incoming { mut connection, private_data } = incoming;
        let (plane, sizes) = match self.plane(&connection) {
            Ok(found) => found,
            Err(error) => {
                let _ = connection.reject(&[]);
                return Err(error);
            }
        };
        let vacant = self.connections.iter().position(Option::is_none);
        let index = vacant.unwrap_or(self.connections.len());
        let shared = &self.planes[plane];
        let tag = index as u16;
        let config = &self.config;
        let accepted =
            Connection::accept(connection, tag, &private_data, &sizes, shared, config, now)?;
        if vacant.is_none() {
            self.connections.push(None);
            self.plane_of.push(plane);
        }
        self.connections[index] = Some(Box::new(accepted));
        self.plane_of[index] = plane;
        let plane = &mut self.planes[plane];
        plane.cqe_free -= plane.cqe_each;
        Ok(())
    }

    /// The plane of the connection's device, which may be the first of its kind.
    fn plane(&mut self, id: &P::Connection) -> Result<(usize, Sizes), StartError> {
        let no_device = || verbs::Error::NoDevice("connection without a device".to_owned());
        let device = id.device().ok_or_else(no_device)?;
        let sizes = Sizes::new(&self.config, device);
        let known = self.planes.iter().position(|plane| plane.key == device.key);
        let index = match known {
            Some(index) => index,
            None => {
                self.planes.push(Plane::new(id, device, &self.config, sizes.cqe())?);
                self.planes.len() - 1
            }
        };
        if self.planes[index].cqe_free < sizes.cqe() {
            return Err(StartError::CompletionQueueFull);
        }
        Ok((index, sizes))
    }

    /// Keeps the RPC messages of the next calls.
    pub(crate) fn record_calls(&mut self, calls_max: usize) {
        self.service.nfs.recorded = Some(Recorded { calls: Vec::new(), calls_max });
    }

    /// Ends the recording.
    pub(crate) fn take_recorded(&mut self) -> Vec<Vec<u8>> {
        self.service.nfs.recorded.take().map_or_else(Vec::new, |recorded| recorded.calls)
    }

    /// Inline thresholds of connections to come.
    pub(crate) fn set_inline_bytes(&mut self, bytes: u32) {
        self.config.inline_send_bytes = bytes;
        self.config.inline_receive_bytes = bytes;
    }

    /// Crashes and starts again.
    pub(crate) fn restart(&mut self, now: Timestamp) {
        self.service.nfs.crash();
        self.disconnect_all(now);
    }

    /// Starts to close every connection.
    pub(crate) fn disconnect_all(&mut self, now: Timestamp) {
        self.connections.iter_mut().flatten().for_each(|connection| connection.disconnect(now));
    }
}

impl<P: Provider> Drop for Server<P> {
    fn drop(&mut self) {
        self.disconnect_all(Timestamp::default());
        for _ in 0..LAST_TURNS {
            if self.connections.iter().flatten().all(|connection| connection.drained()) {
                break;
            }
            self.complete(Timestamp::default());
        }
        // What has not drained by now gives its memory up when it is dropped.
        self.connections.clear();
    }
}

#[cfg(test)]
mod tests;
