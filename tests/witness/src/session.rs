//! A mount over a real device and the thread that turns it.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail};
use client::{
    Client, Done, File, MountConfig, MountId, MountOptions, MountState, Op, Output, Submission,
    locate,
};
use hugepages::{Buffer, Pool};
use reactor::Clock;
use rpcrdma::{Counters, EndpointConfig, Registration, TransportConfig};
use verbs::ibv::Ibv;
use wire::rpc::{Auth, AuthSys};

/// Operations on the way at once, at most.
pub(crate) const DEPTH: usize = 16;
/// Bytes that one of them moves, at most.
pub(crate) const TRANSFER: usize = 64 << 10;
/// Pauses between attempts to connect again: short, as a test's are.
const PAUSE_NS: (u64, u64) = (1_000_000_000, 4_000_000_000);

pub(crate) struct Session {
    client: Client<Ibv>,
    mount: MountId,
    pool: Pool,
    /// Where the URL led, below the export.
    pub(crate) path: String,
    clock: Clock,
    done: VecDeque<Done>,
}

impl Session {
    /// Mounts what the URL is in; waits until that is there or refused.
    pub(crate) fn mount(url: &str, registration: Option<Registration>) -> Result<Self> {
        let (uid, gid) = (0, 0);
        let auth =
            Auth::Sys(AuthSys { stamp: 0, machine: "witness".into(), uid, gid, gids: Vec::new() });
        let options = MountOptions { auth: auth.clone(), ..MountOptions::default() };
        let located = locate(&url.parse()?, &options)?;
        let mut transport = TransportConfig::new(located.server);
        transport.registration = registration;
        transport.max_requests = DEPTH as u32;
        (transport.reconnect_min_ns, transport.reconnect_max_ns) = PAUSE_NS;
        transport.buffers.buffer_len = TRANSFER as u32;
        transport.buffers.count = DEPTH as u32;
        let config = MountConfig {
            root: located.root,
            auth,
            queue_depth: DEPTH as u32,
            uncommitted_max: 4 << 20,
            jukebox_wait_ns: client::JUKEBOX_WAIT_NS,
            transport,
        };
        let clock = Clock::new();
        let mut client = Client::new(Ibv, EndpointConfig::default());
        let mount = client.mount(&config, clock.now())?;
        loop {
            client.turn(clock.now());
            match client.state(mount) {
                MountState::Mounted => break,
                MountState::Gone(error) => return Err(error.into()),
                MountState::Mounting => std::thread::yield_now(),
            }
        }
        let pool = client.pool(mount).context("a mount has buffers")?.clone();
        Ok(Self { client, mount, pool, path: located.rest, clock, done: VecDeque::new() })
    }

    pub(crate) fn buffer(&self) -> Result<Buffer> {
        self.pool.alloc().context("every buffer is taken")
    }

    pub(crate) fn counters(&self) -> Counters {
        self.client.counters(self.mount).unwrap_or_default()
    }

    pub(crate) fn root(&self) -> Result<File> {
        self.client.root(self.mount).context("not mounted")
    }

    /// Gives an operation to the client.
    pub(crate) fn submit(&mut self, tag: u64, op: Op, buffer: Option<Buffer>) -> Result<()> {
        let submission = Submission { tag, op, buffer, pieces: None };
        let now = self.clock.now();
        match self.client.submit(self.mount, submission, now) {
            Ok(()) => Ok(()),
            Err(_) => bail!("the client takes no more operations"),
        }
    }

    /// The next that is finished.
    pub(crate) fn next_done(&mut self) -> Done {
        loop {
            if let Some(done) = self.done.pop_front() {
                return done;
            }
            if self.client.turn(self.clock.now()) == 0 {
                std::thread::yield_now();
            }
            while let Some(done) = self.client.next_done(self.mount) {
                self.done.push_back(done);
            }
        }
    }

    /// One operation from start to end, while there is no other.
    pub(crate) fn op(&mut self, op: Op, buffer: Option<Buffer>) -> Result<Done> {
        let what = format!("{op:?}");
        self.submit(0, op, buffer)?;
        let done = self.next_done();
        if let Err(error) = &done.result {
            return Err(error.clone()).context(what);
        }
        Ok(done)
    }

    /// One that makes or finds a file.
    pub(crate) fn opened(&mut self, op: Op) -> Result<(File, u64)> {
        match self.op(op, None)?.result? {
            Output::Opened { file, attributes } => {
                Ok((file, attributes.map_or(0, |attributes| attributes.size)))
            }
            other => bail!("no file, but {other:?}"),
        }
    }
}
