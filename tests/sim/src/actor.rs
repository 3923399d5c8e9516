//! One client with one mount, what it does, and whether each answer is the right one.
//!
//! The rules that it holds the client to: every operation completes exactly once; its result is
//! what the model says; and a buffer that has come back is the caller's. To see that last one it
//! scribbles over each buffer the moment it has it: if a Send, a Read chunk or a retransmission
//! still looks at it, the fabric notices or the server's file goes wrong.

use std::collections::BTreeMap;

use client::{
    Client, Done, Error, File, MountConfig, MountId, MountState, Op, Output, Submission, listing,
};
use fastrand::Rng;
use hugepages::{Buffer, Policy, Pool};
use reactor::Timestamp;
use rpcrdma::{Counters, EndpointConfig, Registration, TransportConfig};
use verbs::soft::SoftFabric;
use wire::nfs3::{CreateHow, FileHandle, Sattr, StableHow, Status};
use wire::rpc::{Auth, AuthSys};

use crate::model::{Access, ModelFile, Name};
use crate::shape::{MountShape, log};

/// What an actor does, in the order of [`MountShape::mix`].
pub const KINDS: [Kind; 9] = [
    Kind::Write,
    Kind::Read,
    Kind::Getattr,
    Kind::Resize,
    Kind::Lookup,
    Kind::Create,
    Kind::Remove,
    Kind::Commit,
    Kind::List,
];

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// WRITE.
    Write,
    /// READ.
    Read,
    /// GETATTR.
    Getattr,
    /// SETATTR of the size.
    Resize,
    /// LOOKUP.
    Lookup,
    /// CREATE, guarded.
    Create,
    /// REMOVE.
    Remove,
    /// COMMIT.
    Commit,
    /// READDIRPLUS.
    List,
}

/// What fills a buffer before the client may write to it.
const POISON: u8 = 0xa5;

/// An operation on its way, with what its answer will be held against.
#[derive(Debug)]
enum Pending {
    Open { index: usize },
    Write { file: usize, offset: u64, data: Vec<u8>, stable: StableHow },
    Read { file: usize, offset: u64, len: u32 },
    Getattr { file: usize, sizes: Option<u64> },
    Resize { file: usize, size: u64 },
    Lookup { name: usize },
    Create { name: usize, retransmissions: u64 },
    Remove { name: usize, retransmissions: u64 },
    Commit,
    List,
}

/// What an answer may be because of the faults of this run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// Operations may fail: the server talks nonsense.
    pub errors: bool,
    /// Reads and writes may be short.
    pub short: bool,
    /// A call that is sent again may be carried out again: the server does not remember it.
    pub repeated: bool,
}

/// Where an actor is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Mounting.
    Mounting,
    /// Making its files.
    Preparing,
    /// At work.
    Working,
    /// Reading everything back.
    Checking,
    /// Unmounting.
    Leaving,
    /// The mount is gone.
    Gone,
}

/// See the module documentation.
pub struct Actor {
    client: Client<SoftFabric>,
    mount: MountId,
    /// Which of the world's mounts it is.
    index: usize,
    shape: MountShape,
    rng: Rng,
    allowed: Allowed,
    phase: Phase,
    files: Vec<ModelFile>,
    names: Vec<(Name, bool)>,
    pending: BTreeMap<u64, Pending>,
    next_tag: u64,
    left: u32,
    /// Operations that change a file's size, so far.
    sizes: u64,
    pool: Option<Pool>,
    last: Counters,
    /// A running digest of everything that was seen.
    pub digest: u64,
}

impl Actor {
    /// A client that begins to mount.
    pub fn new(
        index: usize,
        shape: MountShape,
        allowed: Allowed,
        rng: Rng,
        fabric: &SoftFabric,
        server: (std::net::SocketAddr, FileHandle),
        planted: rpcrdma::PlantedFaults,
    ) -> Result<Self, String> {
        let (remote, root) = server;
        let transport = transport(index, &shape, remote, planted);
        let entries = 8 * (shape.max_requests + 64) * 4;
        let endpoint = EndpointConfig { cq_depth: entries, ..EndpointConfig::default() };
        let mut client = Client::new(fabric.clone(), endpoint);
        let sys = AuthSys { stamp: 0, machine: "sim".into(), uid: 0, gid: 0, gids: vec![1; index] };
        let auth = Auth::Sys(sys);
        let config = MountConfig {
            root,
            auth,
            queue_depth: shape.queue_depth,
            uncommitted_max: 0,
            jukebox_wait_ns: client::JUKEBOX_WAIT_NS,
            transport,
        };
        let now = Timestamp(fabric.now_ns());
        let mount = client.mount(&config, now).map_err(|error| format!("mount: {error}"))?;
        Ok(Self {
            client,
            mount,
            index,
            left: shape.operations,
            sizes: 0,
            names: vec![(Name::Absent, false); shape.names as usize],
            files: Vec::new(),
            shape,
            rng,
            allowed,
            phase: Phase::Mounting,
            pending: BTreeMap::new(),
            next_tag: 0,
            pool: None,
            last: Counters::default(),
            digest: 0,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Which of the world's mounts it is.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Operations in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Operations it has yet to begin.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left
    }

    /// The transport's counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.client.counters(self.mount).unwrap_or(self.last)
    }

    /// The queue pair, to aim faults at.
    #[must_use]
    pub fn qp_num(&self) -> Option<u32> {
        self.client.qp_num(self.mount)
    }

    /// One turn of its reactor. Says whether anything happened.
    pub fn turn(&mut self, now: Timestamp) -> Result<bool, String> {
        let begun = self.begin(now)?;
        let seen = self.client.turn(now);
        let mut ended = 0;
        while let Some(done) = self.client.next_done(self.mount) {
            ended += 1;
            self.end(done)?;
        }
        self.progress(now)?;
        Ok(begun + seen + ended > 0)
    }

    /// Goes on to the next phase when this one is over.
    fn progress(&mut self, now: Timestamp) -> Result<(), String> {
        match (self.phase, self.client.state(self.mount)) {
            (Phase::Mounting, MountState::Mounted) => {
                self.pool = self.client.pool(self.mount).cloned();
                self.phase = Phase::Preparing;
            }
            (Phase::Mounting, MountState::Mounting) => {}
            (Phase::Leaving, MountState::Gone(_)) => {
                self.last = self.client.counters(self.mount).unwrap_or(self.last);
                self.phase = Phase::Gone;
            }
            (Phase::Gone | Phase::Leaving, _) => {}
            (phase, MountState::Gone(error)) => {
                return Err(format!("mount {} is gone while {phase:?}: {error}", self.index));
            }
            (Phase::Preparing, _) if self.files.len() == self.shape.files as usize => {
                self.phase = Phase::Working;
            }
            (Phase::Working, _) if self.left == 0 && self.pending.is_empty() => {
                self.phase = Phase::Checking;
                self.left = self.files.len() as u32;
            }
            (Phase::Checking, _) if self.left == 0 && self.pending.is_empty() => {
                self.client.unmount(self.mount, now);
                self.phase = Phase::Leaving;
            }
            _ => {}
        }
        Ok(())
    }

    /// Begins what there is room for.
    fn begin(&mut self, now: Timestamp) -> Result<usize, String> {
        let mut begun = 0;
        while self.pending.len() < self.shape.queue_depth as usize {
            let next = match self.phase {
                Phase::Preparing if self.pending.is_empty() => self.open(),
                Phase::Working if self.left > 0 => self.draw(),
                Phase::Checking if self.left > 0 => self.read_back(),
                _ => None,
            };
            let Some((op, buffer, pending)) = next else { break };
            begun += 1;
            self.left = self.left.saturating_sub(u32::from(self.phase != Phase::Preparing));
            let tag = self.next_tag;
            self.next_tag += 1;
            self.claim(&pending);
            self.sizes += u64::from(pending.changes_size());
            self.pending.insert(tag, pending);
            let submission = Submission { tag, op, buffer, pieces: None };
            if self.client.submit(self.mount, submission, now).is_err() {
                return Err(format!("mount {}: queue full below its depth", self.index));
            }
        }
        Ok(begun)
    }

    fn open(&mut self) -> Option<Drawn> {
        let index = self.files.len();
        let path = format!("m{}f{index}", self.index);
        Some((Op::Open { path, create: Some(0o644) }, None, Pending::Open { index }))
    }

    /// The next operation; `None` when nothing can be begun now.
    fn draw(&mut self) -> Option<Drawn> {
        let total: u32 = self.shape.mix.iter().sum();
        // A few tries: what is drawn may touch what others are busy with.
        for _ in 0..4 {
            let mut at = self.rng.u32(0..total);
            let kind = KINDS.iter().zip(self.shape.mix).find(|(_, weight)| {
                let hit = at < *weight;
                at = at.wrapping_sub(*weight);
                hit
            });
            let drawn = match kind.map_or(Kind::Getattr, |(kind, _)| *kind) {
                Kind::Write => self.write(),
                Kind::Read => self.read(),
                Kind::Getattr => self.getattr(),
                Kind::Resize => self.resize(),
                Kind::Lookup => self.lookup(),
                Kind::Create => self.create(),
                Kind::Remove => self.remove(),
                Kind::Commit => self.commit(),
                Kind::List => self.list(),
            };
            if drawn.is_some() {
                return drawn;
            }
        }
        // Perhaps nothing that it may touch is known any more, and nothing is to be waited for.
        if self.pending.is_empty() { self.getattr() } else { None }
    }

    fn buffer(&self) -> Option<Buffer> {
        let mut buffer = self.pool.as_ref()?.alloc()?;
        buffer.fill(POISON);
        Some(buffer)
    }

    fn extent(&mut self) -> (usize, u64, u32) {
        let file = self.rng.usize(0..self.files.len());
        let limits = self.client.limits(self.mount);
        let limit = limits.map_or(1, |limits| limits.read_max.min(limits.write_max));
        let len = match self.rng.u8(0..8) {
            0 => 0,
            1 => self.rng.u32(1..=8),
            2 => limit,
            3 => 4096.min(limit),
            _ => log(&mut self.rng, 1, limit.into()) as u32,
        };
        (file, self.rng.u64(0..self.shape.file_len), len)
    }

    fn write(&mut self) -> Option<Drawn> {
        let (file, offset, len) = self.extent();
        if !self.files[file].claim(
            self.next_tag,
            offset..offset + u64::from(len),
            Access::Exclusive,
        ) {
            return None;
        }
        let Some(mut buffer) = self.buffer() else {
            self.files[file].release(self.next_tag);
            return None;
        };
        let data: Vec<u8> = (0..len).map(|_| self.rng.u8(..)).collect();
        buffer[..len as usize].copy_from_slice(&data);
        let stable =
            [StableHow::Unstable, StableHow::DataSync, StableHow::FileSync][self.rng.usize(0..3)];
        let op = Op::Write { file: self.files[file].file, offset, len, stable };
        Some((op, Some(buffer), Pending::Write { file, offset, data, stable }))
    }

    fn read(&mut self) -> Option<Drawn> {
        let (file, offset, len) = self.extent();
        self.read_of(file, offset, len)
    }

    fn read_of(&mut self, file: usize, offset: u64, len: u32) -> Option<Drawn> {
        if !self.files[file].claim(self.next_tag, offset..offset + u64::from(len), Access::Shared) {
            return None;
        }
        let Some(buffer) = self.buffer() else {
            self.files[file].release(self.next_tag);
            return None;
        };
        let op = Op::Read { file: self.files[file].file, offset, len };
        Some((op, Some(buffer), Pending::Read { file, offset, len }))
    }

    /// The end of the run: what is in the files.
    fn read_back(&mut self) -> Option<Drawn> {
        let file = self.left as usize - 1;
        let limit = self.client.limits(self.mount)?.read_max;
        let size = self.files[file].size();
        let offset = size.saturating_sub(limit.into());
        self.read_of(file, offset, limit).or_else(|| self.getattr())
    }

    fn getattr(&mut self) -> Option<Drawn> {
        let file = self.rng.usize(0..self.files.len());
        let quiet = !self.pending.values().any(Pending::changes_size);
        let sizes = quiet.then_some(self.sizes);
        Some((Op::Getattr { file: self.files[file].file }, None, Pending::Getattr { file, sizes }))
    }

    fn resize(&mut self) -> Option<Drawn> {
        let file = self.rng.usize(0..self.files.len());
        if !self.files[file].claim(self.next_tag, 0..u64::MAX, Access::Exclusive) {
            return None;
        }
        let size = self.rng.u64(0..=self.shape.file_len);
        let attributes = Sattr { size: Some(size), ..Sattr::default() };
        let op = Op::Setattr { file: self.files[file].file, attributes };
        Some((op, None, Pending::Resize { file, size }))
    }

    fn idle_name(&mut self) -> Option<usize> {
        let name = self.rng.usize(0..self.names.len());
        let (state, busy) = self.names[name];
        (!busy && state != Name::Unknown).then_some(name)
    }

    fn named(&self, name: usize) -> String {
        format!("m{}n{name}", self.index)
    }

    fn root(&self) -> Option<File> {
        self.client.root(self.mount)
    }

    fn lookup(&mut self) -> Option<Drawn> {
        let name = self.idle_name()?;
        let op = Op::Lookup { dir: self.root()?, name: self.named(name) };
        Some((op, None, Pending::Lookup { name }))
    }

    fn create(&mut self) -> Option<Drawn> {
        let name = self.idle_name()?;
        let how = CreateHow::Guarded(Sattr { mode: Some(0o600), ..Sattr::default() });
        let op = Op::Create { dir: self.root()?, name: self.named(name), how };
        let retransmissions = self.counters().retransmissions;
        Some((op, None, Pending::Create { name, retransmissions }))
    }

    fn remove(&mut self) -> Option<Drawn> {
        let name = self.idle_name()?;
        let op = Op::Remove { dir: self.root()?, name: self.named(name) };
        let retransmissions = self.counters().retransmissions;
        Some((op, None, Pending::Remove { name, retransmissions }))
    }

    fn commit(&mut self) -> Option<Drawn> {
        let file = self.rng.usize(0..self.files.len());
        let op = Op::Commit { file: self.files[file].file, offset: 0, count: 0 };
        Some((op, None, Pending::Commit))
    }

    fn list(&mut self) -> Option<Drawn> {
        // Names must hold still for as long as it takes.
        if self.names.iter().any(|(_, busy)| *busy) {
            return None;
        }
        let buffer = self.buffer()?;
        let op = Op::Readdirplus { dir: self.root()?, cookie: 0, verifier: [0; 8] };
        Some((op, Some(buffer), Pending::List))
    }

    /// Names are claimed when the operation is begun; bytes were when it was drawn.
    fn claim(&mut self, pending: &Pending) {
        match pending {
            Pending::Lookup { name }
            | Pending::Create { name, .. }
            | Pending::Remove { name, .. } => {
                self.names[*name].1 = true;
            }
            Pending::List => self.names.iter_mut().for_each(|(_, busy)| *busy = true),
            _ => {}
        }
    }

    /// An operation has completed.
    fn end(&mut self, done: Done) -> Result<(), String> {
        let Some(pending) = self.pending.remove(&done.tag) else {
            return Err(format!("mount {}: operation {} completed twice", self.index, done.tag));
        };
        let said = format!("{:?}", done.result.as_ref().map(short));
        self.digest = mix(self.digest, done.tag, &said);
        let (mount, tag) = (self.index, done.tag);
        let wrong = |why: String| {
            let shown = match &pending {
                Pending::Write { file, offset, data, stable } => {
                    format!(
                        "Write {{ file: {file}, offset: {offset}, len: {}, {stable:?} }}",
                        data.len()
                    )
                }
                other => format!("{other:?}"),
            };
            format!("mount {mount}, operation {tag}, {shown}: {why} ({said})")
        };
        let takes = matches!(pending, Pending::Write { .. } | Pending::Read { .. } | Pending::List);
        if takes != done.buffer.is_some() {
            return Err(wrong("its buffer did not come back".into()));
        }
        if let Err(error) = &done.result
            && !expected_refusal(error)
            && !self.allowed.errors
        {
            return Err(wrong("it may not fail".into()));
        }
        let verdict = self.judge(&pending, &done).map_err(&wrong);
        // Ours again: whoever still looks at it sees rubbish.
        let mut buffer = done.buffer;
        if let Some(buffer) = &mut buffer {
            let rubbish = self.rng.u8(..);
            buffer.fill(rubbish);
        }
        verdict
    }

    /// Holds a result against the model.
    fn judge(&mut self, pending: &Pending, done: &Done) -> Result<(), String> {
        let (tag, result) = (done.tag, &done.result);
        match (pending, result) {
            (Pending::Open { index }, Ok(Output::Opened { file, .. })) => {
                if *index != self.files.len() {
                    return Err("files are opened one by one".into());
                }
                self.files.push(ModelFile::new(*file));
                Ok(())
            }
            (
                Pending::Write { file, offset, data, stable },
                Ok(Output::Written { count, committed, .. }),
            ) => {
                let (count, len) = (*count as usize, data.len());
                if count > len || (count < len && !self.allowed.short) || committed < stable {
                    return Err("the server took something else than it was given".into());
                }
                let file = &mut self.files[*file];
                file.write(*offset, &data[..count]);
                match count == len {
                    true => file.release(tag),
                    // Sent twice, it may have been whole the first time.
                    false => file.taint(tag),
                }
                Ok(())
            }
            (Pending::Read { file, offset, len }, Ok(Output::Read { count, eof })) => {
                let short = self.allowed.short;
                let file = &mut self.files[*file];
                let verdict = check_read(file, (*offset, *len), (*count, *eof), short, done);
                file.release(tag);
                verdict
            }
            (Pending::Getattr { file, sizes }, Ok(Output::Attributes(Some(found)))) => {
                // Nothing changed a size from its beginning to its end.
                let quiet = *sizes == Some(self.sizes);
                let file = &self.files[*file];
                if quiet && !file.is_tainted() && found.size != file.size() {
                    return Err(format!("size {} instead of {}", found.size, file.size()));
                }
                Ok(())
            }
            (Pending::Resize { file, size }, Ok(Output::Attributes(_))) => {
                self.files[*file].resize(*size);
                self.files[*file].release(tag);
                Ok(())
            }
            (Pending::Commit, Ok(Output::Committed { .. })) => Ok(()),
            (Pending::List, Ok(Output::Listing { len })) => self.check_listing(*len, done.data()),
            (Pending::Write { file, .. } | Pending::Resize { file, .. }, Err(_)) => {
                self.files[*file].taint(tag);
                Ok(())
            }
            (Pending::Read { file, .. }, Err(_)) => {
                self.files[*file].release(tag);
                Ok(())
            }
            (Pending::Open { .. } | Pending::Getattr { .. } | Pending::Commit, Err(_)) => Ok(()),
            (Pending::List, Err(_)) => {
                self.names.iter_mut().for_each(|(_, busy)| *busy = false);
                Ok(())
            }
            (Pending::Lookup { .. } | Pending::Create { .. } | Pending::Remove { .. }, _) => {
                self.judge_name(pending, result)
            }
            _ => Err("a result of another kind".into()),
        }
    }

    /// Names: each change must have happened exactly once.
    fn judge_name(
        &mut self,
        pending: &Pending,
        result: &Result<Output, Error>,
    ) -> Result<(), String> {
        let status = match result {
            Ok(_) => None,
            Err(Error::Nfs { status, .. }) => Some(*status),
            Err(_) => {
                let (Pending::Lookup { name }
                | Pending::Create { name, .. }
                | Pending::Remove { name, .. }) = pending
                else {
                    return Ok(());
                };
                let known = matches!(pending, Pending::Lookup { .. });
                let before = self.names[*name].0;
                self.names[*name] = (if known { before } else { Name::Unknown }, false);
                return Ok(());
            }
        };
        let now = self.counters().retransmissions;
        let (name, again) = match pending {
            Pending::Lookup { name } => (*name, false),
            Pending::Create { name, retransmissions }
            | Pending::Remove { name, retransmissions } => {
                (*name, self.allowed.repeated && now != *retransmissions)
            }
            _ => return Ok(()),
        };
        let before = self.names[name].0;
        let after = match (pending, before, result, status) {
            (
                Pending::Lookup { .. },
                Name::Present(file),
                Ok(Output::Opened { file: found, .. }),
                _,
            ) => {
                if file != *found {
                    return Err("another file than was made".into());
                }
                before
            }
            (Pending::Lookup { .. }, Name::Absent, _, Some(Status::NoEnt)) => before,
            (Pending::Create { .. }, Name::Absent, Ok(Output::Opened { file, .. }), _) => {
                Name::Present(*file)
            }
            (Pending::Create { .. }, Name::Present(_), _, Some(Status::Exist)) => before,
            (Pending::Remove { .. }, Name::Present(_), Ok(_), _) => Name::Absent,
            (Pending::Remove { .. }, Name::Absent, _, Some(Status::NoEnt)) => before,
            // Sent twice to a server that does not remember the first time.
            (Pending::Create { .. }, Name::Absent, _, Some(Status::Exist)) if again => {
                Name::Unknown
            }
            (Pending::Remove { .. }, Name::Present(_), _, Some(Status::NoEnt)) if again => {
                Name::Absent
            }
            (_, _, _, Some(_)) if self.allowed.errors => Name::Unknown,
            _ => return Err(format!("the name was {before:?}")),
        };
        self.names[name] = (after, false);
        Ok(())
    }

    fn check_listing(&mut self, len: u32, message: &[u8]) -> Result<(), String> {
        self.names.iter_mut().for_each(|(_, busy)| *busy = false);
        if message.len() != len as usize {
            return Err(format!("{} bytes of listing instead of {len}", message.len()));
        }
        let listing = listing(message).map_err(|error| error.to_string())?;
        let found: Vec<&[u8]> = listing.entries.iter().map(|entry| entry.name).collect();
        for (name, (state, _)) in self.names.iter().enumerate() {
            let listed = found.contains(&self.named(name).as_bytes());
            let wrong = match state {
                Name::Absent => listed,
                // Behind the end of what fits the buffer is no error.
                Name::Present(_) => !listed && listing.eof,
                Name::Unknown => false,
            };
            if wrong {
                return Err(format!("name {name} is {state:?}, listed: {listed}"));
            }
        }
        Ok(())
    }

    /// What is not at home at the end of it all.
    pub fn leaks(&self) -> Result<(), String> {
        let Some(pool) = &self.pool else { return Ok(()) };
        let (home, all) = (pool.available(), pool.capacity());
        if home != all || pool.abandoned() != 0 {
            let abandoned = pool.abandoned();
            return Err(format!(
                "mount {}: {home} of {all} buffers are home, {abandoned} given up",
                self.index
            ));
        }
        if !self.pending.is_empty() || self.client.in_flight(self.mount) > 0 {
            return Err(format!("mount {}: {} never completed", self.index, self.pending.len()));
        }
        Ok(())
    }
}

type Drawn = (Op, Option<Buffer>, Pending);

impl Pending {
    fn changes_size(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Resize { .. })
    }
}

/// NFS statuses that the model predicts; it judges them itself.
fn expected_refusal(error: &Error) -> bool {
    matches!(error, Error::Nfs { status: Status::Exist | Status::NoEnt, .. })
}

fn check_read(
    file: &ModelFile,
    (offset, len): (u64, u32),
    (count, eof): (u32, bool),
    short: bool,
    done: &Done,
) -> Result<(), String> {
    let data = done.data();
    let expected = file.expected(offset, len.into());
    let got = count as usize;
    if got > expected.len() || (got < expected.len() && !short) {
        return Err(format!("{got} bytes instead of {}", expected.len()));
    }
    if let Some(at) = (0..got).find(|&at| data[at] != expected[at]) {
        return Err(format!("byte {at} is {:#04x} instead of {:#04x}", data[at], expected[at]));
    }
    let buffer = done.buffer.as_deref().unwrap_or_default();
    if buffer[len as usize..].iter().any(|&byte| byte != POISON) {
        return Err("bytes behind what was asked for were touched".into());
    }
    let at_end = offset + got as u64 >= file.size();
    if eof != at_end && !short {
        return Err(format!("end of file: {eof} instead of {at_end}"));
    }
    Ok(())
}

fn transport(
    index: usize,
    shape: &MountShape,
    remote: std::net::SocketAddr,
    planted: rpcrdma::PlantedFaults,
) -> TransportConfig {
    let mut transport = TransportConfig::new(remote);
    transport.max_requests = shape.max_requests;
    transport.send_batch = shape.send_batch;
    transport.inline_send = shape.inline_send;
    transport.inline_receive = shape.inline_receive;
    transport.copy_max = shape.copy_max;
    transport.registration =
        Some(if shape.windows { Registration::Window } else { Registration::Static });
    transport.rpc_timeout_ns = shape.rpc_timeout_ns;
    (transport.reconnect_min_ns, transport.reconnect_max_ns) = shape.reconnect_ns;
    transport.connect_timeout_ns = 50_000_000;
    transport.idle_timeout_ns = shape.idle_timeout_ns;
    transport.xid_seed = Some(index as u32 + 1);
    transport.buffers.policy = Policy::Off;
    transport.buffers.buffer_len = shape.buffer_len;
    transport.buffers.count = shape.buffers;
    transport.planted = planted;
    transport
}

/// A result in so many words as the digest and a report need.
fn short(output: &Output) -> String {
    match output {
        Output::Opened { .. } => "Opened".into(),
        Output::Attributes(Some(found)) => format!("Attributes(size {})", found.size),
        other => format!("{other:?}"),
    }
}

/// Folds a step into a digest (FNV-1a).
fn mix(digest: u64, tag: u64, said: &str) -> u64 {
    let bytes = tag.to_le_bytes().into_iter().chain(said.bytes());
    bytes.fold(digest ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
