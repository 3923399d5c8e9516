//! Where the file is, found by this project's client.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use client::{
    Client, File, Located, MountConfig, MountId, MountOptions, MountState, NfsUrl, Op, Output,
    Submission, locate,
};
use hugepages::Policy;
use reactor::Timestamp;
use rpcrdma::{EndpointConfig, TransportConfig};
use verbs::Provider;
use wire::nfs3::FileHandle;
use wire::rpc::{Auth, AuthSys};

use crate::work::Work;

/// A mount or an open that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file on a server.
pub(crate) struct Site {
    /// The mount.
    pub(crate) located: Located,
    /// Of every call.
    pub(crate) auth: Auth,
    /// The last component of the path.
    pub(crate) name: String,
}

impl Site {
    /// Asks the server's MOUNT.
    pub(crate) fn find(url: &str) -> Result<Self> {
        let url: NfsUrl = url.parse().with_context(|| format!("{url} is no NFS URL"))?;
        let auth = credential();
        let options = MountOptions { auth: auth.clone(), ..MountOptions::default() };
        Self::of(locate(&url, &options)?)
    }

    /// The file that the rest of the URL names.
    pub(crate) fn of(located: Located) -> Result<Self> {
        let name = located.rest.rsplit('/').next().unwrap_or_default().to_owned();
        if name.is_empty() {
            bail!("the URL names an export: name a file in it");
        }
        Ok(Self { located, auth: credential(), name })
    }

    /// A mount that is made, and the time it counts from.
    pub(crate) fn mount<P: Provider>(
        &self,
        provider: &P,
        work: &Work,
    ) -> Result<(Client<P>, MountId, Instant)> {
        let mut transport = TransportConfig::new(self.located.server);
        transport.inline_send = work.inline;
        transport.inline_receive = work.inline;
        transport.max_requests = work.depth.max(16);
        transport.buffers.policy = Policy::Off;
        transport.buffers.buffer_len = 4096;
        transport.buffers.count = work.depth;
        let config = MountConfig {
            root: self.located.root,
            auth: self.auth.clone(),
            queue_depth: work.depth,
            uncommitted_max: 0,
            jukebox_wait_ns: client::JUKEBOX_WAIT_NS,
            transport,
        };
        let mut client = Client::new(provider.clone(), EndpointConfig::default());
        let origin = Instant::now();
        let mount = client.mount(&config, Timestamp(0))?;
        while client.state(mount) == MountState::Mounting {
            turn(&mut client, origin)?;
        }
        match client.state(mount) {
            MountState::Gone(error) => bail!("{error}"),
            _ => Ok((client, mount, origin)),
        }
    }

    /// Handles of the file and of the directory that it is in.
    pub(crate) fn open<P: Provider>(
        &self,
        provider: &P,
        work: &Work,
    ) -> Result<(FileHandle, FileHandle)> {
        let (mut client, mount, origin) = self.mount(provider, work)?;
        let found = self.open_in(&mut client, mount, origin)?;
        client.unmount(mount, now(origin));
        while !matches!(client.state(mount), MountState::Gone(_)) {
            turn(&mut client, origin)?;
        }
        Ok((found.0.handle, found.1.handle))
    }

    /// Directory and file on a mount that is there.
    pub(crate) fn open_in<P: Provider>(
        &self,
        client: &mut Client<P>,
        mount: MountId,
        origin: Instant,
    ) -> Result<(File, File)> {
        let path = &self.located.rest;
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let mut open = |path: &str| -> Result<File> {
            let op = Op::Open { path: path.into(), create: None };
            match self::op(client, mount, origin, op).with_context(|| path.to_owned())? {
                Output::Opened { file, .. } => Ok(file),
                other => bail!("{path}: {other:?}"),
            }
        };
        Ok((open(parent)?, open(path)?))
    }

    /// Makes the file, as long as what is read and written.
    #[cfg(test)]
    pub(crate) fn create<P: Provider>(&self, provider: &P, work: &Work) -> Result<()> {
        let (mut client, mount, origin) = self.mount(provider, work)?;
        let path = self.located.rest.clone();
        let made = op(&mut client, mount, origin, Op::Open { path, create: Some(0o644) })?;
        let Output::Opened { file, .. } = made else { bail!("{made:?}") };
        let attributes = wire::nfs3::Sattr { size: Some(work.span), ..Default::default() };
        op(&mut client, mount, origin, Op::Setattr { file, attributes: attributes.into() })?;
        Ok(())
    }
}

/// One operation from start to end.
fn op<P: Provider>(
    client: &mut Client<P>,
    mount: MountId,
    origin: Instant,
    op: Op,
) -> Result<Output> {
    let submission = Submission { tag: 0, op, buffer: None, pieces: None };
    if client.submit(mount, submission, now(origin)).is_err() {
        bail!("the mount takes no operation");
    }
    loop {
        turn(client, origin)?;
        if let Some(done) = client.next_done(mount) {
            return Ok(done.result?);
        }
    }
}

/// The user of this process.
fn credential() -> Auth {
    let machine = "contenders".into();
    let (uid, gid) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
    Auth::Sys(AuthSys { stamp: 0, machine, uid, gid, gids: Vec::new() })
}

/// The time on a mount's clock.
pub(crate) fn now(origin: Instant) -> Timestamp {
    Timestamp(origin.elapsed().as_nanos() as u64)
}

fn turn<P: Provider>(client: &mut Client<P>, origin: Instant) -> Result<()> {
    if origin.elapsed() > PATIENCE {
        bail!("the server has not answered within {} s", PATIENCE.as_secs());
    }
    if client.turn(now(origin)) == 0 {
        std::thread::yield_now();
    }
    Ok(())
}
