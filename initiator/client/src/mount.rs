//! One mount on one reactor: its operations in flight and waiting, and its results.

mod durable;
mod kept;
mod later;
mod line;
mod queue;
mod task;

use std::collections::VecDeque;
use std::ops::Range;

use hugepages::Buffer;
use reactor::Timestamp;
use rpcrdma::{Completed, Endpoint, PlainReply, Received, State};
use verbs::Provider;
use wire::nfs3::{self, FileHandle};
use wire::rpc::{Auth, CallTemplate};

use crate::Error;
use crate::links::Links;
use crate::op::{Done, File, Finished, Op, Output, Submission};
use crate::procedure::{self, Answer, Placed, Step};
use crate::walk::Walk;
use durable::OWN_MAX;
use kept::Kept;
use later::Later;
use line::Line;
use queue::Queue;
use task::{Role, Task};

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

impl MountState {
    /// Why no operation is taken.
    #[cold]
    fn refusal(&self) -> Box<Error> {
        match self {
            Self::Gone(error) => error.clone().into(),
            _ => Error::NotMounted.into(),
        }
    }
}

/// One mount.
pub(crate) struct Mount {
    index: u32,
    pub(crate) links: Links,
    pub(crate) state: MountState,
    pub(crate) limits: Limits,
    root: FileHandle,
    template: CallTemplate,
    tasks: Box<[Task]>,
    free: Vec<u32>,
    /// Tasks to be handed to the transport, in order.
    waiting: VecDeque<u32>,
    /// Tasks with results, in order.
    done: Queue,
    /// Of a soft mount: how long an operation may wait, in nanoseconds, and what it ends with then.
    pub(crate) patience: Option<(u64, rpcrdma::Error)>,
    /// Operations that the server is asked for again later.
    pub(crate) later: Later,
    /// When an operation last came or went that is not of the usual kind.
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
    #[cfg(feature = "planted-faults")]
    twice: VecDeque<Done>,
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
            tasks: (0..slots).map(|_| Task::vacant(root)).collect(),
            free: (0..slots).rev().collect(),
            waiting: VecDeque::with_capacity(slots as usize),
            done: Queue::new(slots),
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
            #[cfg(feature = "planted-faults")]
            twice: VecDeque::new(),
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
        self.taken() - self.done.len()
    }

    /// Places that are not free.
    #[inline]
    fn taken(&self) -> usize {
        self.tasks.len() - self.free.len()
    }

    /// The connections are up: asks for the server's limits first.
    pub(crate) fn established<P: Provider>(&mut self, endpoint: &mut Endpoint<P>, now: Timestamp) {
        self.kept.use_pool(self.links.ids().find_map(|id| endpoint.pool(id)));
        // The slot was set aside for it.
        let Some(slot) = self.free.pop() else { return };
        let (op, role) = (Op::Fsinfo { file: self.root() }, Role::Greeting);
        let task = Task { op, role, since: now, ..Task::vacant(self.root) };
        self.tasks[slot as usize] = task;
        self.enqueue(slot, endpoint, now);
    }

    /// Takes an operation of the caller's, if there is room, and starts it at once, if it is of the
    /// usual kind and can be. False: it may wait.
    #[inline(always)]
    pub(crate) fn submit<P: Provider>(
        &mut self,
        submission: Submission,
        endpoint: &mut Endpoint<P>,
        now: Timestamp,
    ) -> Result<bool, Submission> {
        if self.taken() - (self.kept.own as usize) >= self.queue_depth {
            return Err(submission);
        }
        let Some(&slot) = self.free.last() else { return Err(submission) };
        let Some(task) = self.tasks.get_mut(slot as usize) else { return Err(submission) };
        task.take(submission, now);
        self.free.pop();
        let at_once = matches!(self.state, MountState::Mounted) && self.waiting.is_empty();
        let token = u64::from(self.index) << 32 | u64::from(slot);
        let mut line = Line { links: &mut self.links, template: &self.template, endpoint, now };
        let started = at_once && line.call_usual(task, token, &self.limits);
        if !started {
            self.submit_any(slot, endpoint, now);
        }
        Ok(started)
    }

    /// Takes an operation that is not of the usual kind, or cannot go out at once.
    #[cold]
    fn submit_any<P: Provider>(&mut self, slot: u32, endpoint: &mut Endpoint<P>, now: Timestamp) {
        self.now = now;
        let task = &mut self.tasks[slot as usize];
        let refusal = match &self.state {
            MountState::Mounted => {
                procedure::check(&task.op, &task.buffer, &task.pieces, &self.limits)
            }
            state => Err(state.refusal()),
        };
        match refusal {
            Ok(()) => self.enqueue(slot, endpoint, now),
            Err(error) => self.finish_failed(slot, error),
        }
    }

    /// Starts a task, or has it wait for its turn.
    fn enqueue<P: Provider>(&mut self, slot: u32, endpoint: &mut Endpoint<P>, now: Timestamp) {
        let task = &mut self.tasks[slot as usize];
        if let Op::Open { .. } = task.op {
            task.walk = Walk::new(self.root);
        }
        let keeps = matches!(task.op, Op::WriteBack { .. } | Op::Sync { .. });
        if keeps && !self.admit(slot) {
            return;
        }
        if !self.waiting.is_empty() || !self.start_any(slot, endpoint, now) {
            self.waiting.push_back(slot);
        }
    }

    /// Whether operations wait that the transport may have room for.
    pub(crate) fn may_go_on(&self) -> bool {
        !self.parked && !self.waiting.is_empty()
    }

    /// Hands waiting operations to the transport until it has no room.
    pub(crate) fn pump<P: Provider>(&mut self, endpoint: &mut Endpoint<P>, now: Timestamp) {
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
            && now.ns_since(self.tasks[slot as usize].since) >= limit_ns
        {
            self.waiting.pop_front();
            self.finish_failed(slot, Box::new(error.clone().into()));
        }
    }

    /// An RPC of one of the tasks has completed with a plain reply. True: as usual, and the task has
    /// its result; otherwise nothing has happened.
    #[inline(always)]
    pub(crate) fn completed_plain(
        &mut self,
        slot: u32,
        plain: &PlainReply<'_>,
        buffer: &mut Option<Buffer>,
    ) -> bool {
        let Some(task) = self.tasks.get_mut(slot as usize) else { return false };
        let usual = matches!(task.role, Role::Plain)
            && procedure::usual(&task.op, plain.rpc, plain.written, &mut task.result).is_some();
        if usual {
            // Only one of the two has it.
            task.take_back((buffer.take(), None));
            self.done.push_back(slot);
        }
        usual
    }

    /// The same where the data of a READ came with the reply: where that is. The task has its result
    /// and is done by [`Mount::completed_inline`].
    #[inline(always)]
    pub(crate) fn inline_data(
        &mut self,
        slot: u32,
        rpc: &[u8],
        room: usize,
    ) -> Option<Range<usize>> {
        let task = self.tasks.get_mut(slot as usize)?;
        let usual = matches!(task.role, Role::Plain);
        usual.then(|| procedure::usual_data(&task.op, rpc, room, &mut task.result)).flatten()
    }

    /// The data is in its place.
    #[inline(always)]
    pub(crate) fn completed_inline(
        &mut self,
        slot: u32,
        buffer: &mut Option<Buffer>,
        received: Option<Received>,
    ) {
        let Some(task) = self.tasks.get_mut(slot as usize) else { return };
        task.take_back((buffer.take(), None));
        task.received = received;
        self.done.push_back(slot);
    }

    /// An RPC of one of the tasks has completed. Returns the bytes copied out of its message.
    #[inline(never)]
    pub(crate) fn completed(
        &mut self,
        slot: u32,
        completed: Completed<'_>,
        now: Timestamp,
    ) -> usize {
        self.now = now;
        let Some(task) = self.tasks.get_mut(slot as usize) else { return 0 };
        let Completed { result, buffer, pieces, inline, .. } = completed;
        task.take_back((buffer, pieces));
        let Task { op, walk, buffer, pieces, result: output, received, .. } = task;
        let mut answer = Answer { result, inline, buffer, pieces };
        let mut placed = Placed { output, received, copied: 0 };
        let step = procedure::decode(op, walk, &mut answer, &mut placed);
        let copied = placed.copied;
        match step {
            Ok(Step::Finished) => match task.role {
                Role::Plain => self.answer(slot),
                role => self.finish_own(slot, role),
            },
            Ok(Step::Again) => self.waiting.push_back(slot),
            Err(error) => self.refused_by_server(slot, error, now),
        }
        copied
    }

    /// The server has refused an operation, or its answer is no good.
    #[cold]
    fn refused_by_server(&mut self, slot: u32, error: Box<Error>, now: Timestamp) {
        if later::is_asked_for(&error) {
            self.put_off(slot, error, now);
        } else {
            self.finish_failed(slot, error);
        }
    }

    #[cold]
    #[allow(clippy::boxed_local, reason = "errors are boxed on the way, so that results are small")]
    fn finish_failed(&mut self, slot: u32, error: Box<Error>) {
        self.tasks[slot as usize].put(Err(*error));
        self.finish(slot);
    }

    /// A task has its result.
    fn finish(&mut self, slot: u32) {
        match self.tasks[slot as usize].role {
            Role::Plain => self.answer(slot),
            role => self.finish_own(slot, role),
        }
    }

    /// A task that is not only the caller's has its result.
    #[inline(never)]
    fn finish_own(&mut self, slot: u32, role: Role) {
        let task = &mut self.tasks[slot as usize];
        let result = task.result();
        if let Role::Greeting = role {
            self.vacate(slot);
            return self.mounted(result);
        }
        let buffer = task.buffer.take();
        self.kept_finished(slot, role, result, buffer);
    }

    /// Has the caller take the result that is there.
    fn answer(&mut self, slot: u32) {
        self.tasks[slot as usize].retire();
        self.done.push_back(slot);
    }

    /// The next result.
    #[inline(always)]
    pub(crate) fn next_done(&mut self) -> Option<Done> {
        #[cfg(feature = "planted-faults")]
        if let Some(done) = self.twice.pop_front() {
            return Some(done);
        }
        let slot = self.done.pop_front()?;
        self.free.push(slot);
        let task = &mut self.tasks[slot as usize];
        let (tag, result) = (task.tag, task.result());
        #[cfg(feature = "planted-faults")]
        if self.planted == Some(rpcrdma::Fault::CompleteTwice) && tag.is_multiple_of(64) {
            self.twice.push_back(Done::new(tag, result.clone(), None));
        }
        let (buffer, pieces, received) =
            (task.buffer.take(), task.pieces.take(), task.received.take());
        Some(Done { tag, result, buffer, pieces, received })
    }

    /// Looks at the next result in its place.
    #[inline(always)]
    pub(crate) fn look_at_done<R>(&mut self, look: impl FnOnce(Finished<'_>) -> R) -> Option<R> {
        #[cfg(feature = "planted-faults")]
        if self.planted.is_some() {
            let mut done = self.next_done()?;
            return Some(look(done.finished()));
        }
        let slot = self.done.pop_front()?;
        let task = &mut self.tasks[slot as usize];
        let Task { tag, result, buffer, pieces, received, .. } = task;
        let looked = look(Finished { tag: *tag, result, buffer, pieces, received });
        task.clear();
        self.free.push(slot);
        Some(looked)
    }

    /// Ends a task that nobody waits for.
    fn vacate(&mut self, slot: u32) {
        self.tasks[slot as usize] = Task::vacant(self.root);
        self.free.push(slot);
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
            self.finish_failed(slot, error.clone().into());
        }
        self.kept_gone(&error);
    }
}

#[cfg(test)]
#[path = "mount_tests.rs"]
mod tests;
