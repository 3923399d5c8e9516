//! One fio thread's mount: I/O by slots, events in order, and the few operations that wait.
//!
//! Threading: everything happens on the thread that made it.
//!
//! Faults survived: results that say an I/O failed, or was done in part; a server that has
//! restarted between a write and its COMMIT (what was lost is written again, from copies; with
//! `uncommitted_max=0` the COMMIT fails); fio being told to stop while a server is silent (the mount
//! is then given up, and what was in flight comes back).

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_void};

use client::{Client, Done, Error, File, MountConfig, MountId, MountState, Op, Output, Submission};
use hugepages::{Buffer, Pool};
use reactor::{Clock, Timestamp};
use rpcrdma::EndpointConfig;
use verbs::Provider;
use wire::nfs3::{FileType, StableHow};

use crate::life::ServerLife;
use crate::memory::{Blocks, copy_in, copy_out};
use crate::mounting::Purpose;

/// After fio's wish to stop, operations have so long to come back before the mount is given up.
const STOP_PATIENCE_NS: u64 = 2_000_000_000;
/// Permission bits of the files that jobs make.
const FILE_MODE: u32 = 0o644;
/// Tags that are not a slot's.
pub(crate) const TAG_WAITED_FOR: u64 = 1 << 32;

/// Something went wrong: for fio, and for its user.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) errno: i32,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(errno: i32, message: impl Into<String>) -> Self {
        Self { errno, message: message.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { errno: error.errno(), message: error.to_string() }
    }
}

/// fio's wish that a thread should end.
#[derive(Clone, Copy)]
pub(crate) struct Stop {
    /// Asks for it.
    pub(crate) asked: extern "C" fn(*mut c_void) -> bool,
    /// What it wants to be given.
    pub(crate) context: *mut c_void,
}

impl Stop {
    fn is_wanted(&self) -> bool {
        (self.asked)(self.context)
    }
}

/// What an I/O does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write(StableHow),
    Commit,
}

/// An I/O of fio's.
#[derive(Clone, Copy)]
pub(crate) struct Io {
    pub(crate) slot: usize,
    pub(crate) kind: Kind,
    pub(crate) file: File,
    pub(crate) memory: *mut u8,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// One that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) slot: usize,
    pub(crate) errno: i32,
    /// Bytes that were not moved.
    pub(crate) residual: u64,
}

/// A mount, whatever its provider.
pub(crate) trait Mount {
    /// fio's blocks; `total` bytes are wanted the first time.
    fn blocks(&mut self, total: usize) -> Result<&Blocks, Failure>;
    /// Finds or makes a file; answers its size too.
    fn open(&mut self, path: &str, create: bool) -> Result<(File, u64), Failure>;
    fn remove(&mut self, path: &str) -> Result<(), Failure>;
    fn lay_out(&mut self, order: &mut crate::layout::Order<'_>) -> Result<(), Failure>;
    /// False: there is no room now.
    fn queue(&mut self, io: &Io) -> bool;
    /// Sends what was queued.
    fn commit(&mut self);
    /// Waits for `min` events, and says how many of up to `max` may be taken.
    fn get_events(&mut self, min: usize, max: usize, timeout_ns: Option<u64>) -> usize;
    fn next_event(&mut self) -> Option<Event>;
    /// What was wrong with a slot's last I/O.
    fn error(&self, slot: usize) -> Option<&CStr>;
}

/// What is known of a slot's I/O.
#[derive(Default)]
struct Slot {
    io: Option<Io>,
    /// Bytes of it that the server has done.
    moved: u64,
    /// Whether a spare buffer carries it.
    stands_in: bool,
    error: Option<CString>,
}

/// See the module documentation.
pub(crate) struct Session<P: Provider> {
    pub(crate) client: Client<P>,
    pub(crate) mount: MountId,
    clock: Clock,
    yields: bool,
    /// What is written is kept until it is durable.
    keeps: bool,
    stop: Stop,
    stop_seen: Option<Timestamp>,
    /// Put before every path: empty, or a directory with its slash.
    prefix: String,
    pub(crate) pool: Pool,
    blocks: Option<Blocks>,
    slots: Box<[Slot]>,
    in_flight: usize,
    events: VecDeque<Event>,
    /// Slots whose I/O the server has done in part, and that wait for room to go on.
    unfinished: VecDeque<usize>,
    /// Results of operations that somebody here waits for.
    pub(crate) waited_for: VecDeque<Done>,
    server: ServerLife,
}

impl<P: Provider> Session<P> {
    /// Mounts, and waits for it.
    pub(crate) fn mount(
        provider: P,
        config: &MountConfig,
        directory: &str,
        purpose: Purpose,
        yields: bool,
    ) -> anyhow::Result<Self> {
        let Purpose { depth, keeps, stop, .. } = purpose;
        let clock = Clock::new();
        let connections_max = config.transport.nconnect as u16;
        let endpoint = EndpointConfig { connections_max, ..EndpointConfig::default() };
        let mut client = Client::new(provider, endpoint);
        let mount = client.mount(config, clock.now())?;
        loop {
            match client.state(mount) {
                MountState::Mounting if stop.is_wanted() => client.unmount(mount, clock.now()),
                MountState::Mounting => {}
                MountState::Mounted => break,
                MountState::Gone(error) => return Err(error.into()),
            }
            if client.turn(clock.now()) == 0 {
                std::thread::yield_now();
            }
        }
        let pool = client.pool(mount).cloned();
        let slots = depth as usize;
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        Ok(Self {
            pool: pool.ok_or_else(|| anyhow::anyhow!("the mount has no buffers"))?,
            client,
            mount,
            clock,
            yields,
            keeps,
            stop,
            stop_seen: None,
            prefix,
            blocks: None,
            slots: (0..slots).map(|_| Slot::default()).collect(),
            in_flight: 0,
            events: VecDeque::with_capacity(slots),
            unfinished: VecDeque::with_capacity(slots),
            waited_for: VecDeque::with_capacity(slots),
            server: ServerLife::default(),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One turn: sends, takes what has completed. False: there was nothing.
    pub(crate) fn turn(&mut self) -> bool {
        let now = self.clock.now();
        let worked = self.client.turn(now) > 0;
        while let Some(done) = self.client.next_done(self.mount) {
            if done.tag < TAG_WAITED_FOR {
                self.finished(done);
            } else {
                self.waited_for.push_back(done);
            }
        }
        while let Some(&slot) = self.unfinished.front()
            && self.go_on(slot)
        {
            self.unfinished.pop_front();
        }
        worked
    }

    /// Nothing came. Others may have the core, and fio may want an end.
    pub(crate) fn pause(&mut self) {
        if self.stop.is_wanted() {
            let now = self.clock.now();
            let since = *self.stop_seen.get_or_insert(now);
            if now.ns_since(since) > STOP_PATIENCE_NS {
                self.client.unmount(self.mount, now);
            }
        }
        if self.yields {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }

    /// Does one operation, and waits for it.
    pub(crate) fn call(&mut self, op: Op) -> Result<Output, Failure> {
        let mut submission = Submission { tag: TAG_WAITED_FOR, op, buffer: None, pieces: None };
        while let Err(refused) = self.client.submit(self.mount, submission, self.clock.now()) {
            submission = refused;
            self.turn();
        }
        loop {
            if let Some(done) = self.waited_for.pop_front() {
                return Ok(done.result?);
            }
            if !self.turn() {
                self.pause();
            }
        }
    }

    pub(crate) fn full_path(&self, path: &str) -> String {
        format!("{}{}", self.prefix, path.trim_start_matches('/'))
    }

    /// An I/O of fio's has come back: its buffer is fio's again, and there is an event, unless the
    /// server did only a part.
    fn finished(&mut self, done: Done) {
        // fio looks for the data where its block is.
        let done = done.in_buffer();
        let at = done.tag as usize;
        let (moved, end) = match done.result {
            Ok(Output::Read { count, eof }) => (u64::from(count), eof || count == 0),
            Ok(Output::Written { count, verifier, .. }) => {
                self.server.see(verifier);
                (u64::from(count), count == 0)
            }
            // What a read was to return is durable now: see `go_on`.
            Ok(Output::Committed { .. }) if self.keeps => (0, false),
            Ok(Output::Committed { verifier }) => {
                self.server.see(verifier);
                if self.server.has_restarted() {
                    return self.failed(at, done.buffer, &Error::VerifierChanged);
                }
                (0, true)
            }
            Ok(_) => (0, true),
            Err(error) => return self.failed(at, done.buffer, &error),
        };
        let Some(io) = self.slots[at].io else { return };
        if let (true, Kind::Read, Some(buffer)) = (self.slots[at].stands_in, io.kind, &done.buffer)
        {
            let into = io.memory.wrapping_add(self.slots[at].moved as usize);
            let arrived = moved.min(io.length - self.slots[at].moved);
            // SAFETY: fio gave this memory with the I/O, for `length` bytes, and does not touch it
            // before the event; the block's own buffer, if that is where it is, is only kept.
            unsafe { copy_out(buffer, into, arrived as usize) };
        }
        self.put_back(at, done.buffer);
        let slot = &mut self.slots[at];
        slot.moved = (slot.moved + moved).min(io.length);
        let residual = io.length - slot.moved;
        if io.kind != Kind::Commit && residual > 0 && !end {
            if !self.go_on(at) {
                self.unfinished.push_back(at);
            }
            return;
        }
        let residual = if io.kind == Kind::Commit { 0 } else { residual };
        self.tell(Event { slot: at, errno: 0, residual });
    }

    fn failed(&mut self, at: usize, buffer: Option<Buffer>, error: &Error) {
        self.put_back(at, buffer);
        let slot = &mut self.slots[at];
        slot.error = CString::new(format!("initiator: {error}")).ok();
        let residual = slot.io.map_or(0, |io| io.length - slot.moved);
        self.tell(Event { slot: at, errno: error.errno(), residual });
    }

    fn tell(&mut self, event: Event) {
        self.in_flight -= 1;
        self.events.push_back(event);
    }

    fn put_back(&mut self, at: usize, buffer: Option<Buffer>) {
        if let (false, Some(blocks), Some(buffer)) =
            (self.slots[at].stands_in, &mut self.blocks, buffer)
        {
            blocks.put(at, buffer);
        }
    }

    /// Sends what is left of a slot's I/O. False: there is no room now.
    fn go_on(&mut self, at: usize) -> bool {
        let Some(io) = self.slots[at].io else { return true };
        let moved = self.slots[at].moved;
        let (file, offset) = (io.file, io.offset + moved);
        // A length that does not fit is refused by the client, which knows the limits.
        let len = u32::try_from(io.length - moved).unwrap_or(u32::MAX);
        let op = match io.kind {
            Kind::Commit if self.keeps => Op::Sync { file },
            Kind::Commit => Op::Commit { file, offset: 0, count: 0 },
            // A server that has restarted would return what was there before.
            Kind::Read
                if self.keeps
                    && self.client.is_uncommitted(self.mount, file, offset, len.into()) =>
            {
                Op::Sync { file }
            }
            Kind::Read => Op::Read { file, offset, len },
            Kind::Write(StableHow::Unstable) if self.keeps => Op::WriteBack { file, offset, len },
            Kind::Write(stable) => Op::Write { file, offset, len, stable },
        };
        let buffer = match op {
            Op::Commit { .. } | Op::Sync { .. } => None,
            _ => match self.buffer(&io, moved, matches!(op, Op::WriteBack { .. })) {
                None => return false,
                some => some,
            },
        };
        let submission = Submission { tag: at as u64, op, buffer, pieces: None };
        match self.client.submit(self.mount, submission, self.clock.now()) {
            Ok(()) => true,
            Err(refused) => {
                self.put_back(at, refused.buffer);
                false
            }
        }
    }

    /// The buffer that an I/O travels in: its block's own if it begins there, or a spare one, which
    /// also carries what is kept. `None`: all of these are out.
    fn buffer(&mut self, io: &Io, moved: u64, kept: bool) -> Option<Buffer> {
        let memory = io.memory.wrapping_add(moved as usize);
        let blocks = self.blocks.as_mut().filter(|_| !kept);
        let own = blocks.and_then(|blocks| blocks.lend(io.slot, memory));
        self.slots[io.slot].stands_in = own.is_none();
        if own.is_some() {
            return own;
        }
        let mut spare = self.pool.alloc()?;
        if io.kind != Kind::Read {
            let len = ((io.length - moved) as usize).min(spare.len());
            // SAFETY: fio gave this memory with the I/O, and leaves it alone until the event; the
            // blocks' own buffers are only kept, never looked into.
            unsafe { copy_in(&mut spare, memory, len) };
        }
        Some(spare)
    }
}

impl<P: Provider> Mount for Session<P> {
    fn blocks(&mut self, total: usize) -> Result<&Blocks, Failure> {
        if self.blocks.is_none() {
            let taken = Blocks::take(&self.pool, self.slots.len(), total);
            self.blocks = Some(taken.map_err(|why| Failure::new(libc::ENOMEM, why))?);
        }
        self.blocks.as_ref().ok_or_else(|| Failure::new(libc::ENOMEM, "there is no buffer"))
    }

    fn open(&mut self, path: &str, create: bool) -> Result<(File, u64), Failure> {
        let path = self.full_path(path);
        let create = create.then_some(FILE_MODE);
        let opened = self.call(Op::Open { path: path.clone(), create })?;
        let Output::Opened { file, attributes } = opened else {
            return Err(Failure::new(libc::EIO, format!("{path:?} was not opened")));
        };
        let attributes = match attributes {
            Some(attributes) => Some(attributes),
            None => match self.call(Op::Getattr { file })? {
                Output::Attributes(attributes) => attributes.map(Box::new),
                _ => None,
            },
        };
        let silent =
            || Failure::new(libc::EIO, format!("the server does not tell {path:?}'s size"));
        let attributes = attributes.ok_or_else(silent)?;
        match attributes.file_type {
            FileType::Regular => Ok((file, attributes.size)),
            FileType::Directory => {
                Err(Failure::new(libc::EISDIR, format!("{path:?} is a directory")))
            }
            _ => Err(Failure::new(libc::EINVAL, format!("{path:?} is no regular file"))),
        }
    }

    fn remove(&mut self, path: &str) -> Result<(), Failure> {
        let path = self.full_path(path);
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let opened = self.call(Op::Open { path: parent.to_owned(), create: None })?;
        let Output::Opened { file: dir, .. } = opened else {
            return Err(Failure::new(libc::EIO, format!("{parent:?} was not opened")));
        };
        self.call(Op::Remove { dir, name: name.to_owned() }).map(drop)
    }

    fn lay_out(&mut self, order: &mut crate::layout::Order<'_>) -> Result<(), Failure> {
        crate::layout::lay_out(self, order)
    }

    fn queue(&mut self, io: &Io) -> bool {
        self.slots[io.slot] = Slot { io: Some(*io), ..Slot::default() };
        let queued = self.go_on(io.slot);
        self.in_flight += usize::from(queued);
        queued
    }

    fn commit(&mut self) {
        self.turn();
    }

    fn get_events(&mut self, min: usize, max: usize, timeout_ns: Option<u64>) -> usize {
        let mut deadline = None;
        loop {
            let worked = self.turn();
            let ready = self.events.len();
            if ready >= min || self.in_flight == 0 {
                return ready.min(max);
            }
            if worked {
                continue;
            }
            if let Some(timeout_ns) = timeout_ns {
                let now = self.clock.now();
                if now >= *deadline.get_or_insert_with(|| now.add_ns(timeout_ns)) {
                    return ready.min(max);
                }
            }
            self.pause();
        }
    }

    fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn error(&self, slot: usize) -> Option<&CStr> {
        self.slots.get(slot)?.error.as_deref()
    }
}

impl<P: Provider> Drop for Session<P> {
    /// Unmounts: nothing of the memory may go before the connection has. The transport ends a
    /// connection in bounded time, whatever the server does.
    fn drop(&mut self) {
        self.client.unmount(self.mount, self.clock.now());
        while !matches!(self.client.state(self.mount), MountState::Gone(_))
            || self.client.in_flight(self.mount) > 0
        {
            if !self.turn() {
                std::thread::yield_now();
            }
        }
        self.turn();
    }
}
