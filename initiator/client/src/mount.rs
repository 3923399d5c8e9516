//! One mount on one reactor: its operations in flight and waiting, and its results.

mod durable;
mod kept;
mod later;

use std::collections::VecDeque;

use hugepages::Buffer;
use reactor::Timestamp;
use rpcrdma::{Call, Completed, Endpoint, Pieces, Received, Refusal, State};
use verbs::Provider;
use wire::nfs3::{self, FileHandle};
use wire::rpc::{Auth, CallTemplate};

use crate::Error;
use crate::links::Links;
use crate::op::{Done, File, Op, Output, Submission};
use crate::procedure::{self, Placed, Step};
use crate::walk::Walk;
use durable::OWN_MAX;
use kept::{Kept, Progress};
use later::Later;

/// Largest transfers, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of READ into a buffer of the pool: the smaller of [`Limits::rtmax`] and our buffers.
    pub read_max: u32,
    /// Of WRITE: likewise.
    pub write_max: u32,
    /// Of READ, as the server says.
    pub rtmax: u32,
    /// Of WRITE.
    pub wtmax: u32,
}

/// Where a mount is in its life.
#[derive(Clone, Debug, PartialEq)]
pub enum MountState {
    /// The connection is being made, or the server's limits are being asked for.
    Mounting,
    /// Operations are carried out.
    Mounted,
    /// It failed, or was closed; every operation has come back.
    Gone(Error),
}

/// Whose a task is.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// The caller's, and it has no more to it than its operation.
    Plain,
    /// The FSINFO that every mount begins with.
    Greeting,
    /// The caller's, a write whose data is kept.
    Kept(Progress),
    /// The COMMIT of a file with kept data, sent at `mark`.
    Commit { at: u32, mark: u64 },
    /// An extent of kept data, again.
    Resend { index: usize, progress: Progress },
}

/// An operation on its way.
#[derive(Debug)]
struct Task {
    tag: u64,
    op: Op,
    walk: Walk,
    since: Timestamp,
    /// While it waits for room in the transport; the transport has it otherwise.
    buffer: Option<Buffer>,
    /// Likewise.
    pieces: Option<Pieces>,
    role: Role,
}

/// One mount.
pub(crate) struct Mount {
    index: u32,
    pub(crate) links: Links,
    pub(crate) state: MountState,
    pub(crate) limits: Limits,
    root: FileHandle,
    template: CallTemplate,
    tasks: Box<[Option<Task>]>,
    free: Vec<u32>,
    /// Tasks to be handed to the transport, in order.
    waiting: VecDeque<u32>,
    done: VecDeque<Done>,
    /// Of a soft mount: how long an operation may wait, in nanoseconds, and what it ends with then.
    pub(crate) patience: Option<(u64, rpcrdma::Error)>,
    /// Operations that the server is asked for again later.
    pub(crate) later: Later,
    /// When the mount was last looked after.
    now: Timestamp,
    queue_depth: usize,
    /// Written data that is not proven durable.
    kept: Kept,
    /// Its connections have come up.
    pub(crate) greet: bool,
    /// The transport has no room; it says when there is.
    pub(crate) parked: bool,
    /// Why one of its connections has ended for good: the others are to, as well.
    pub(crate) ending: Option<Error>,
    /// Test-only builds: a mistake that is to be made on purpose.
    #[cfg(feature = "planted-faults")]
    pub(crate) planted: Option<rpcrdma::Fault>,
}

impl Mount {
    pub(crate) fn new(
        index: u32,
        links: Links,
        root: FileHandle,
        auth: &Auth,
        queue_depth: u32,
        exchanged_max: u32,
    ) -> Self {
        // One more for the FSINFO.
        let slots = queue_depth + 1 + OWN_MAX;
        Self {
            index,
            links,
            state: MountState::Mounting,
            limits: Limits { read_max: 0, write_max: 0, rtmax: 0, wtmax: 0 },
            root,
            template: CallTemplate::new(nfs3::PROGRAM, nfs3::VERSION, auth),
            tasks: (0..slots).map(|_| None).collect(),
            free: (0..slots).rev().collect(),
            waiting: VecDeque::with_capacity(slots as usize),
            done: VecDeque::with_capacity(slots as usize),
            patience: None,
            later: Later::new(slots),
            now: Timestamp(0),
            queue_depth: queue_depth as usize,
            kept: Kept::new(exchanged_max),
            greet: false,
            parked: false,
            ending: None,
            #[cfg(feature = "planted-faults")]
            planted: None,
        }
    }

    pub(crate) fn root(&self) -> File {
        File { handle: self.root }
    }

    /// Bytes of a file that are not proven durable.
    pub(crate) fn uncommitted(&self, file: File) -> u64 {
        self.kept.bytes(file)
    }

    /// Whether some of these bytes of a file are not proven durable.
    pub(crate) fn is_uncommitted(&self, file: File, offset: u64, len: u64) -> bool {
        self.kept.overlaps(file, offset, len)
    }

    /// Operations that have not come back.
    pub(crate) fn in_flight(&self) -> usize {
        self.tasks.len() - self.free.len()
    }

    /// The connections are up: asks for the server's limits first.
    pub(crate) fn established<P: Provider>(&mut self, endpoint: &mut Endpoint<P>, now: Timestamp) {
        self.kept.use_pool(self.links.ids().find_map(|id| endpoint.pool(id)));
        let op = Op::Fsinfo { file: self.root() };
        let fsinfo = Submission { tag: 0, op, buffer: None, pieces: None };
        // The slot was set aside for it.
        let _ = self.enqueue(fsinfo, Role::Greeting, endpoint, now);
    }

    /// Takes an operation, or gives it back when the queue is full.
    #[inline]
    pub(crate) fn submit<P: Provider>(
        &mut self,
        submission: Submission,
        endpoint: &mut Endpoint<P>,
        now: Timestamp,
    ) -> Result<(), Submission> {
        if self.done.len() + self.in_flight() - self.kept.own as usize >= self.queue_depth {
            return Err(submission);
        }
        let refusal = match &self.state {
            MountState::Mounted => procedure::check(&submission, &self.limits),
            MountState::Mounting => Err(Error::NotMounted.into()),
            MountState::Gone(error) => Err(error.clone().into()),
        };
        if let Err(error) = refusal {
            let Submission { tag, buffer, pieces, .. } = submission;
            self.done.push_back(Done { pieces, ..Done::new(tag, Err(*error), buffer) });
            return Ok(());
        }
        self.enqueue(submission, Role::Plain, endpoint, now)
    }

    #[inline]
    fn enqueue<P: Provider>(
        &mut self,
        submission: Submission,
        role: Role,
        endpoint: &mut Endpoint<P>,
        now: Timestamp,
    ) -> Result<(), Submission> {
        let Some(slot) = self.free.pop() else { return Err(submission) };
        let Submission { tag, op, buffer, pieces } = submission;
        let walk = Walk::new(self.root);
        let keeps = matches!(op, Op::WriteBack { .. } | Op::Sync { .. });
        self.tasks[slot as usize] = Some(Task { tag, op, walk, since: now, buffer, pieces, role });
        if keeps && !self.admit(slot) {
            return Ok(());
        }
        if self.waiting.is_empty() {
            if !self.start(slot, endpoint, now) {
                self.waiting.push_back(slot);
            }
        } else {
            self.waiting.push_back(slot);
        }
        Ok(())
    }

    /// Hands waiting operations to the transport until it has no room.
    #[inline]
    pub(crate) fn pump<P: Provider>(&mut self, endpoint: &mut Endpoint<P>, now: Timestamp) {
        self.now = now;
        while !self.parked
            && let Some(&slot) = self.waiting.front()
            && self.start(slot, endpoint, now)
        {
            self.waiting.pop_front();
        }
    }

    /// Ends operations of a soft mount that have waited for a connection long enough. (The transport
    /// sees to those that it was handed before it was lost.)
    pub(crate) fn expire<P: Provider>(&mut self, endpoint: &Endpoint<P>, now: Timestamp) {
        let up = |id| endpoint.state(id) == State::Established;
        if self.waiting.is_empty() || self.links.ids().any(up) {
            return;
        }
        let Some((limit_ns, error)) = self.patience.clone() else { return };
        while let Some(&slot) = self.waiting.front()
            && let Some(task) = &self.tasks[slot as usize]
            && now.ns_since(task.since) >= limit_ns
        {
            self.waiting.pop_front();
            self.finish(slot, Err(error.clone().into()), None, None, None);
        }
    }

    /// Makes the call of a task's present step. False: there is no room now.
    #[inline]
    fn start<P: Provider>(
        &mut self,
        slot: u32,
        endpoint: &mut Endpoint<P>,
        now: Timestamp,
    ) -> bool {
        let Some(task) = &mut self.tasks[slot as usize] else { return true };
        let (number, _) = procedure::of(&task.op, &task.walk);
        let reply_room = procedure::reply_room(&task.op, task.buffer.as_ref());
        let payload = procedure::payload(&task.op, &mut task.buffer, &mut task.pieces);
        let token = u64::from(self.index) << 32 | u64::from(slot);
        let reply_max = nfs3::reply_max(number) as u32;
        let template = &self.template;
        let mut call = Call { token, payload, reply_max };
        let mut tries = self.links.len();
        let why = loop {
            let called = endpoint.call(self.links.next(), call, now, |xid, w| {
                template.write(xid, number, w)?;
                procedure::encode(&task.op, &task.walk, reply_room, w)
            });
            let Err(refused) = called else { return true };
            call = refused.call;
            tries -= 1;
            if tries == 0 || matches!(refused.why, Refusal::Invalid(_)) {
                break refused.why;
            }
        };
        let (buffer, pieces) = call.payload.into_memory();
        task.buffer = buffer.or(task.buffer.take());
        task.pieces = pieces.or(task.pieces.take());
        let error = match why {
            Refusal::Busy => {
                self.parked = true;
                return false;
            }
            Refusal::NotConnected => match &self.state {
                MountState::Gone(error) => error.clone(),
                // It is being drained: whoever waits will be told why.
                _ => return false,
            },
            Refusal::Invalid(error) => Error::from(error),
        };
        self.finish(slot, Err(error), None, None, None);
        true
    }

    /// An RPC of one of the tasks has completed. Returns the bytes copied out of its message.
    #[inline]
    pub(crate) fn completed(
        &mut self,
        slot: u32,
        completed: &mut Completed<'_>,
        now: Timestamp,
    ) -> usize {
        let Some(task) = &mut self.tasks[slot as usize] else { return 0 };
        let mut placed = Placed::default();
        let step = procedure::decode(&task.op, &mut task.walk, completed, &mut placed);
        let (buffer, pieces) = (completed.buffer.take(), completed.pieces.take());
        match step {
            Ok(Step::Again) => self.waiting.push_back(slot),
            Ok(Step::Finished(output)) => {
                self.finish(slot, Ok(output), buffer, pieces, placed.received);
            }
            Err(error) if later::is_asked_for(&error) => {
                self.put_off(slot, *error, buffer, pieces, now);
            }
            Err(error) => self.finish(slot, Err(*error), buffer, pieces, None),
        }
        placed.copied
    }

    fn finish(
        &mut self,
        slot: u32,
        result: Result<Output, Error>,
        buffer: Option<Buffer>,
        pieces: Option<Pieces>,
        received: Option<Received>,
    ) {
        let Some(task) = &mut self.tasks[slot as usize] else { return };
        let role = match task.role {
            Role::Plain => return self.answer(slot, result, buffer, pieces, received),
            role => role,
        };
        let buffer = buffer.or_else(|| task.buffer.take());
        if let Role::Greeting = role {
            self.tasks[slot as usize] = None;
            self.free.push(slot);
            return self.mounted(result);
        }
        self.kept_finished(slot, role, result, buffer);
    }

    /// Hands a result to the caller.
    #[inline]
    fn answer(
        &mut self,
        slot: u32,
        result: Result<Output, Error>,
        buffer: Option<Buffer>,
        pieces: Option<Pieces>,
        received: Option<Received>,
    ) {
        let Some(task) = self.tasks[slot as usize].take() else { return };
        self.free.push(slot);
        let (tag, buffer, pieces) = (task.tag, buffer.or(task.buffer), pieces.or(task.pieces));
        #[cfg(feature = "planted-faults")]
        if self.planted == Some(rpcrdma::Fault::CompleteTwice) && tag.is_multiple_of(64) {
            self.done.push_back(Done::new(tag, result.clone(), None));
        }
        self.done.push_back(Done { tag, result, buffer, pieces, received });
    }

    fn mounted(&mut self, fsinfo: Result<Output, Error>) {
        self.state = match fsinfo {
            Ok(Output::Fsinfo(info)) => {
                self.limits.read_max = self.limits.read_max.min(info.rtmax);
                self.limits.write_max = self.limits.write_max.min(info.wtmax);
                (self.limits.rtmax, self.limits.wtmax) = (info.rtmax, info.wtmax);
                MountState::Mounted
            }
            Ok(_) => MountState::Gone(Error::NotMounted),
            Err(error) => MountState::Gone(error),
        };
    }

    /// The connections are gone: what waits for room will find none.
    pub(crate) fn gone(&mut self, error: Error) {
        if !matches!(self.state, MountState::Gone(_)) {
            self.state = MountState::Gone(error.clone());
        }
        self.waiting.extend(self.later.take_all());
        while let Some(slot) = self.waiting.pop_front() {
            self.finish(slot, Err(error.clone()), None, None, None);
        }
        self.kept_gone(&error);
    }

    pub(crate) fn next_done(&mut self) -> Option<Done> {
        self.done.pop_front()
    }
}
