//! The async API: the queue's operations as futures on a reactor.
//!
//! A [`Driver`] is the poller that turns the client; a [`Session`] makes futures that wait for its
//! results. Buffers are given to an operation and returned with its result, whatever that is.
//!
//! Threading: everything here stays on the reactor that polls the driver. A future that is dropped
//! does not cancel its operation: the buffer goes back to its pool when the result comes.
//!
//! Faults survived: a session whose mount is gone fails every operation at once, none waits.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use hugepages::Buffer;
use reactor::{Poller, Progress, Timestamp, Turn, WakeSources};
use verbs::Provider;
use wire::nfs3::{Fattr, StableHow};

use crate::mount::{Limits, MountState};
use crate::op::{Done, File, Op, Output, Submission};
use crate::{Client, Error, MountId};

/// A mount, for asynchronous code. Clones name the same one.
pub struct Session<P: Provider> {
    shared: Rc<Shared<P>>,
}

/// The poller behind a [`Session`].
pub struct Driver<P: Provider> {
    shared: Rc<Shared<P>>,
}

struct Shared<P: Provider> {
    client: RefCell<Client<P>>,
    mount: MountId,
    now: Cell<Timestamp>,
    calls: RefCell<Calls>,
}

/// Operations that a future waits for; the index is the operation's tag.
#[derive(Default)]
struct Calls {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Futures that wait for room in the queue, or for the mount.
    waiting: VecDeque<Waker>,
}

#[allow(clippy::large_enum_variant, reason = "most slots of a busy session hold a result")]
enum Slot {
    Free,
    Pending(Waker),
    Ready(Done),
    /// The future was dropped.
    Unwanted,
}

impl<P: Provider> Clone for Session<P> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<P: Provider> Session<P> {
    /// Takes over a client with one mount under way. Add the driver to the reactor.
    #[must_use]
    pub fn new(client: Client<P>, mount: MountId, now: Timestamp) -> (Self, Driver<P>) {
        let shared = Rc::new(Shared {
            client: RefCell::new(client),
            mount,
            now: Cell::new(now),
            calls: RefCell::default(),
        });
        (Self { shared: shared.clone() }, Driver { shared })
    }

    /// Waits until the mount is made, and tells its limits.
    ///
    /// # Errors
    /// Why it could not be made.
    pub async fn mounted(&self) -> Result<Limits, Error> {
        std::future::poll_fn(|cx| {
            let client = self.shared.client.borrow();
            match client.state(self.shared.mount) {
                MountState::Mounting => {
                    self.shared.calls.borrow_mut().waiting.push_back(cx.waker().clone());
                    Poll::Pending
                }
                MountState::Mounted => {
                    Poll::Ready(client.limits(self.shared.mount).ok_or(Error::NotMounted))
                }
                MountState::Gone(error) => Poll::Ready(Err(error)),
            }
        })
        .await
    }

    /// A registered buffer, if one is free.
    #[must_use]
    pub fn buffer(&self) -> Option<Buffer> {
        self.shared.client.borrow().pool(self.shared.mount)?.alloc()
    }

    /// Any operation.
    pub fn op(&self, op: Op, buffer: Option<Buffer>) -> OpFuture<P> {
        OpFuture { shared: self.shared.clone(), state: OpState::New(op, buffer) }
    }

    /// Opens the file at a path below the mount's root.
    ///
    /// # Errors
    /// Among others that it is not there.
    pub async fn open(&self, path: &str) -> Result<OpenFile<P>, Error> {
        self.open_with(path, None).await
    }

    /// Opens the file at a path, making it with this mode if it is not there.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn create(&self, path: &str, mode: u32) -> Result<OpenFile<P>, Error> {
        self.open_with(path, Some(mode)).await
    }

    async fn open_with(&self, path: &str, create: Option<u32>) -> Result<OpenFile<P>, Error> {
        let done = self.op(Op::Open { path: path.to_owned(), create }, None).await;
        match done.result? {
            Output::Opened { file, attributes } => {
                let session = self.clone();
                Ok(OpenFile { session, file, attributes, unstable: Cell::new(None) })
            }
            _ => Err(Error::NotMounted),
        }
    }

    /// Begins to unmount: operations under way come back with an error.
    pub fn unmount(&self) {
        self.shared.client.borrow_mut().unmount(self.shared.mount, self.shared.now.get());
    }
}

/// An open file.
pub struct OpenFile<P: Provider> {
    session: Session<P>,
    file: File,
    attributes: Option<Fattr>,
    /// Verifier of writes that are not durable yet.
    unstable: Cell<Option<[u8; 8]>>,
}

impl<P: Provider> OpenFile<P> {
    /// The file, for operations that have no method here.
    #[must_use]
    pub fn file(&self) -> File {
        self.file
    }

    /// Attributes as of opening, where the server told.
    #[must_use]
    pub fn attributes(&self) -> Option<&Fattr> {
        self.attributes.as_ref()
    }

    /// Reads up to `len` bytes at `offset` into the buffer; 0 at the end of the file.
    pub async fn read(
        &self,
        offset: u64,
        len: u32,
        buffer: Buffer,
    ) -> (Result<u32, Error>, Option<Buffer>) {
        let op = Op::Read { file: self.file, offset, len };
        let done = self.session.op(op, Some(buffer)).await.in_buffer();
        let count = done.result.and_then(|output| match output {
            Output::Read { count, .. } => Ok(count),
            _ => Err(Error::NotMounted),
        });
        (count, done.buffer)
    }

    /// Reads as [`OpenFile::read`] does, and leaves the data where it arrived: it is
    /// [`Done::data`].
    pub async fn read_in_place(&self, offset: u64, len: u32, buffer: Buffer) -> Done {
        self.session.op(Op::Read { file: self.file, offset, len }, Some(buffer)).await
    }

    /// Writes the first `len` bytes of the buffer at `offset`; tells how many the server took.
    /// The data is durable after [`OpenFile::commit`].
    pub async fn write(
        &self,
        offset: u64,
        len: u32,
        buffer: Buffer,
    ) -> (Result<u32, Error>, Option<Buffer>) {
        let stable = StableHow::Unstable;
        let op = Op::Write { file: self.file, offset, len, stable };
        let done = self.session.op(op, Some(buffer)).await;
        let count = done.result.and_then(|output| match output {
            Output::Written { count, committed, verifier } => {
                self.wrote(committed, verifier).map(|()| count)
            }
            _ => Err(Error::NotMounted),
        });
        (count, done.buffer)
    }

    fn wrote(&self, committed: StableHow, verifier: [u8; 8]) -> Result<(), Error> {
        if committed != StableHow::Unstable {
            return Ok(());
        }
        match self.unstable.replace(Some(verifier)) {
            Some(before) if before != verifier => Err(Error::VerifierChanged),
            _ => Ok(()),
        }
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// [`Error::VerifierChanged`] when the server restarted in between: write again.
    pub async fn commit(&self) -> Result<(), Error> {
        let op = Op::Commit { file: self.file, offset: 0, count: 0 };
        match self.session.op(op, None).await.result? {
            Output::Committed { verifier } => match self.unstable.take() {
                Some(before) if before != verifier => Err(Error::VerifierChanged),
                _ => Ok(()),
            },
            _ => Err(Error::NotMounted),
        }
    }

    /// Closes the file, as close(2) on NFS does: what is not durable is committed first.
    ///
    /// # Errors
    /// As [`OpenFile::commit`].
    pub async fn close(self) -> Result<(), Error> {
        if self.unstable.get().is_some() { self.commit().await } else { Ok(()) }
    }
}

/// An operation under way. It begins when it is first polled.
pub struct OpFuture<P: Provider> {
    shared: Rc<Shared<P>>,
    state: OpState,
}

enum OpState {
    New(Op, Option<Buffer>),
    Submitted(u32),
    Finished,
}

impl<P: Provider> Future for OpFuture<P> {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        let this = &mut *self;
        match std::mem::replace(&mut this.state, OpState::Finished) {
            OpState::New(op, buffer) => {
                this.state = this.shared.submit(op, buffer, cx.waker());
                Poll::Pending
            }
            OpState::Submitted(tag) => match this.shared.calls.borrow_mut().take(tag, cx.waker()) {
                Some(done) => Poll::Ready(done),
                None => {
                    this.state = OpState::Submitted(tag);
                    Poll::Pending
                }
            },
            OpState::Finished => panic!("an operation was polled after it had finished"),
        }
    }
}

impl<P: Provider> Drop for OpFuture<P> {
    fn drop(&mut self) {
        if let OpState::Submitted(tag) = self.state {
            self.shared.calls.borrow_mut().forget(tag);
        }
    }
}

impl<P: Provider> Shared<P> {
    fn submit(&self, op: Op, buffer: Option<Buffer>, waker: &Waker) -> OpState {
        let mut calls = self.calls.borrow_mut();
        let tag = calls.reserve(waker);
        let submission = Submission { tag: tag.into(), op, buffer };
        let submitted = self.client.borrow_mut().submit(self.mount, submission, self.now.get());
        match submitted {
            Ok(()) => OpState::Submitted(tag),
            Err(Submission { op, buffer, .. }) => {
                calls.release(tag);
                calls.waiting.push_back(waker.clone());
                OpState::New(op, buffer)
            }
        }
    }
}

impl Calls {
    fn reserve(&mut self, waker: &Waker) -> u32 {
        let tag = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::Free);
            self.slots.len() as u32 - 1
        });
        self.slots[tag as usize] = Slot::Pending(waker.clone());
        tag
    }

    fn release(&mut self, tag: u32) {
        self.slots[tag as usize] = Slot::Free;
        self.free.push(tag);
    }

    fn take(&mut self, tag: u32, waker: &Waker) -> Option<Done> {
        match std::mem::replace(&mut self.slots[tag as usize], Slot::Free) {
            Slot::Ready(done) => {
                self.free.push(tag);
                Some(done)
            }
            _ => {
                self.slots[tag as usize] = Slot::Pending(waker.clone());
                None
            }
        }
    }

    fn forget(&mut self, tag: u32) {
        match &self.slots[tag as usize] {
            Slot::Ready(_) => self.release(tag),
            _ => self.slots[tag as usize] = Slot::Unwanted,
        }
    }

    fn deliver(&mut self, done: Done) {
        let tag = done.tag as u32;
        match std::mem::replace(&mut self.slots[tag as usize], Slot::Ready(done)) {
            Slot::Pending(waker) => waker.wake(),
            _ => self.release(tag),
        }
    }
}

impl<P: Provider> Poller for Driver<P> {
    fn name(&self) -> &str {
        "nfs_session"
    }

    fn poll(&mut self, turn: &mut Turn<'_>) -> Progress {
        let Shared { client, mount, now, calls } = &*self.shared;
        now.set(turn.now());
        let (mut client, mut calls) = (client.borrow_mut(), calls.borrow_mut());
        let completions = client.turn(turn.now());
        let mut delivered = 0;
        while let Some(done) = client.next_done(*mount) {
            calls.deliver(done);
            delivered += 1;
        }
        let settled = client.state(*mount) != MountState::Mounting;
        if settled && !calls.waiting.is_empty() {
            // One may try again for each place that has become free; all, when nothing is under
            // way that would wake them later.
            let idle = client.in_flight(*mount) == 0;
            let count = if idle { calls.waiting.len() } else { delivered.min(calls.waiting.len()) };
            calls.waiting.drain(..count).for_each(Waker::wake);
            delivered += count;
        }
        if completions + delivered > 0 { Progress::Busy } else { Progress::Idle }
    }

    fn arm(&mut self, sources: &mut WakeSources) -> bool {
        self.shared.client.borrow_mut().arm(sources)
    }

    fn drained(&self) -> bool {
        self.shared.client.borrow().in_flight(self.shared.mount) == 0
    }
}
