//! The async API: the queue's operations as futures on a reactor.
//!
//! A [`Driver`] is the poller that turns the client; a [`Session`] makes futures that wait for its
//! results. Buffers are given to an operation and returned with its result, whatever that is.
//!
//! Threading: everything here stays on the reactor that polls the driver. A future that is dropped
//! does not cancel its operation: the buffer goes back to its pool when the result comes.
//!
//! Memory: a buffer is of the mount's pool ([`Session::buffer`]), which was registered when the
//! mount was made, or the caller's own, which is registered the first time that an operation needs
//! to lend it:
//!
//! ```
//! use client::{Error, Piece, Pieces};
//! use client::aio::Session;
//! use hugepages::Buffer;
//! use verbs::Provider;
//!
//! async fn append<P: Provider>(session: &Session<P>, at: u64, data: Vec<u8>) -> Result<(), Error> {
//!     let file = session.create("log", 0o644).await?;
//!     let Ok(data) = Buffer::from_vec(data) else { return Ok(()) };
//!     let len = data.len() as u32;
//!     // A header and the data, in one WRITE and without a copy.
//!     let mut header = Buffer::from_vec(vec![0; 16]).expect("16 bytes");
//!     header[..4].copy_from_slice(&len.to_be_bytes());
//!     let pieces = Pieces::new([Piece::new(header, 0, 16), Piece::new(data, 0, len)]);
//!     let (written, pieces) = file.write_vectored(at, pieces.expect("two are few")).await;
//!     assert_eq!(written?, 16 + len);
//!     // The memory is back: read the data into it again.
//!     let data = pieces.and_then(|pieces| pieces.into_pieces().pop()?.into_buffer());
//!     let (read, data) = file.read(at + 16, len, data.expect("it comes back")).await;
//!     assert_eq!(read?, len);
//!     // And as a Vec, once the mount has forgotten it.
//!     let data = data.expect("it comes back");
//!     session.deregister(&data);
//!     let data: Vec<u8> = data.into_vec().expect("nobody else has it");
//!     assert_eq!(data.len(), len as usize);
//!     file.close().await
//! }
//! ```
//!
//! Faults survived: a session whose mount is gone fails every operation at once, none waits.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use hugepages::Buffer;
use reactor::{Poller, Progress, Timestamp, Turn, WakeSources};
use rpcrdma::Pieces;
use verbs::Provider;
use wire::nfs3::{Fattr, Sattr, StableHow};

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
        self.submit(Submission { tag: 0, op, buffer, pieces: None })
    }

    /// Any operation on pieces.
    pub fn op_vectored(&self, op: Op, pieces: Pieces) -> OpFuture<P> {
        self.submit(Submission { tag: 0, op, buffer: None, pieces: Some(pieces) })
    }

    fn submit(&self, submission: Submission) -> OpFuture<P> {
        OpFuture { shared: self.shared.clone(), submission: Some(submission), tag: None }
    }

    /// Ends the registrations of memory of the caller's own: see [`Client::deregister`].
    pub fn deregister(&self, buffer: &Buffer) -> bool {
        self.shared.client.borrow_mut().deregister(self.shared.mount, buffer)
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
                Ok(OpenFile { session, file, attributes })
            }
            _ => Err(Error::NotMounted),
        }
    }

    /// Begins to unmount: operations under way come back with an error.
    pub fn unmount(&self) {
        self.shared.client.borrow_mut().unmount(self.shared.mount, self.shared.now.get());
    }
}

/// An open file, with the promises of a file on NFS: what [`OpenFile::commit`] or
/// [`OpenFile::close`] has returned for is durable, whatever becomes of the server.
///
/// Dropping it commits nothing and tells nobody: what it has written is committed when another
/// opening of the file does so or when the mount needs the room, and is lost with the mount.
pub struct OpenFile<P: Provider> {
    session: Session<P>,
    file: File,
    attributes: Option<Box<Fattr>>,
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
        self.attributes.as_deref()
    }

    /// Reads up to `len` bytes at `offset` into the buffer; 0 at the end of the file. The buffer
    /// may be of the mount's pool or of the caller's own memory.
    ///
    /// Like every read here it first commits those of the bytes that were written and are not
    /// durable yet: a server that has restarted would return what was there before them.
    pub async fn read(
        &self,
        offset: u64,
        len: u32,
        buffer: Buffer,
    ) -> (Result<u32, Error>, Option<Buffer>) {
        if let Err(error) = self.settle(offset, len).await {
            return (Err(error), Some(buffer));
        }
        let op = Op::Read { file: self.file, offset, len };
        let done = self.session.op(op, Some(buffer)).await.in_buffer();
        (done.result.and_then(read_count), done.buffer)
    }

    /// Reads at `offset` into the pieces, each of which is filled before the next is used, as
    /// preadv(2) does; tells how many bytes there were.
    pub async fn read_vectored(
        &self,
        offset: u64,
        pieces: Pieces,
    ) -> (Result<u32, Error>, Option<Pieces>) {
        let len = length(&pieces);
        if let Err(error) = self.settle(offset, len).await {
            return (Err(error), Some(pieces));
        }
        let op = Op::Read { file: self.file, offset, len };
        let done = self.session.op_vectored(op, pieces).await;
        (done.result.and_then(read_count), done.pieces)
    }

    /// Reads as [`OpenFile::read`] does, and leaves the data where it arrived: it is
    /// [`Done::data`].
    pub async fn read_in_place(&self, offset: u64, len: u32, buffer: Buffer) -> Done {
        if let Err(error) = self.settle(offset, len).await {
            return Done::new(0, Err(error), Some(buffer));
        }
        self.session.op(Op::Read { file: self.file, offset, len }, Some(buffer)).await
    }

    /// Writes the first `len` bytes of the buffer at `offset`, all of them, and tells so. They are
    /// durable after [`OpenFile::commit`]; until then they are kept, so that a buffer of the mount's
    /// pool is exchanged for another one. Memory of the caller's own is copied and comes back.
    pub async fn write(
        &self,
        offset: u64,
        len: u32,
        buffer: Buffer,
    ) -> (Result<u32, Error>, Option<Buffer>) {
        let op = Op::WriteBack { file: self.file, offset, len };
        let done = self.session.op(op, Some(buffer)).await;
        (done.result.and_then(write_count), done.buffer)
    }

    /// Writes the pieces one behind the other at `offset`, as pwritev(2) does; tells how many
    /// bytes the server took. These are durable: pieces are not kept.
    pub async fn write_vectored(
        &self,
        offset: u64,
        pieces: Pieces,
    ) -> (Result<u32, Error>, Option<Pieces>) {
        let (file, len, stable) = (self.file, length(&pieces), StableHow::FileSync);
        if let Err(error) = self.settle(offset, len).await {
            return (Err(error), Some(pieces));
        }
        let op = Op::Write { file, offset, len, stable };
        let done = self.session.op_vectored(op, pieces).await;
        (done.result.and_then(write_count), done.pieces)
    }

    /// Nothing of these bytes is left that might be written again.
    async fn settle(&self, offset: u64, len: u32) -> Result<(), Error> {
        if self.is_uncommitted(offset, len.into()) { self.commit().await } else { Ok(()) }
    }

    /// Makes everything durable whose write has returned, as fsync(2) does. A server that has
    /// restarted costs time: what it lost is written again.
    ///
    /// # Errors
    /// What the server refuses, ENOSPC for instance. The data is still kept: try again.
    pub async fn commit(&self) -> Result<(), Error> {
        self.session.op(Op::Sync { file: self.file }, None).await.result.map(drop)
    }

    /// Sets the size. What was written before is committed first, so that nothing of it is written
    /// again behind the new end.
    ///
    /// # Errors
    /// As [`OpenFile::commit`], and what the server refuses.
    pub async fn set_size(&self, size: u64) -> Result<(), Error> {
        if self.is_uncommitted(0, u64::MAX) {
            self.commit().await?;
        }
        let attributes = Sattr { size: Some(size), ..Sattr::default() }.into();
        let op = Op::Setattr { file: self.file, attributes };
        self.session.op(op, None).await.result.map(drop)
    }

    fn is_uncommitted(&self, offset: u64, len: u64) -> bool {
        let shared = &self.session.shared;
        shared.client.borrow().is_uncommitted(shared.mount, self.file, offset, len)
    }

    /// Closes the file, as close(2) on NFS does: what is not durable is committed first.
    ///
    /// # Errors
    /// As [`OpenFile::commit`]. The data is still kept; who wants to try again opens the file and
    /// commits.
    pub async fn close(self) -> Result<(), Error> {
        if self.is_uncommitted(0, u64::MAX) { self.commit().await } else { Ok(()) }
    }
}

fn read_count(output: Output) -> Result<u32, Error> {
    match output {
        Output::Read { count, .. } => Ok(count),
        _ => Err(Error::NotMounted),
    }
}

fn write_count(output: Output) -> Result<u32, Error> {
    match output {
        Output::Written { count, .. } => Ok(count),
        _ => Err(Error::NotMounted),
    }
}

/// Bytes of pieces; more than any server takes are refused as such.
fn length(pieces: &Pieces) -> u32 {
    u32::try_from(pieces.total_len()).unwrap_or(u32::MAX)
}

/// An operation under way. It begins when it is first polled.
pub struct OpFuture<P: Provider> {
    shared: Rc<Shared<P>>,
    /// What has not been submitted yet.
    submission: Option<Submission>,
    /// Of what has been, until it is done.
    tag: Option<u32>,
}

impl<P: Provider> Future for OpFuture<P> {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        let this = &mut *self;
        if let Some(submission) = this.submission.take() {
            match this.shared.submit(submission, cx.waker()) {
                Ok(tag) => this.tag = Some(tag),
                Err(refused) => this.submission = Some(refused),
            }
            return Poll::Pending;
        }
        let Some(tag) = this.tag else {
            panic!("an operation was polled after it had finished");
        };
        match this.shared.calls.borrow_mut().take(tag, cx.waker()) {
            Some(done) => {
                this.tag = None;
                Poll::Ready(done)
            }
            None => Poll::Pending,
        }
    }
}

impl<P: Provider> Drop for OpFuture<P> {
    fn drop(&mut self) {
        if let Some(tag) = self.tag {
            self.shared.calls.borrow_mut().forget(tag);
        }
    }
}

impl<P: Provider> Shared<P> {
    /// Hands an operation to the client and answers its tag; or waits for room with it.
    fn submit(&self, mut submission: Submission, waker: &Waker) -> Result<u32, Submission> {
        let mut calls = self.calls.borrow_mut();
        let tag = calls.reserve(waker);
        submission.tag = tag.into();
        let submitted = self.client.borrow_mut().submit(self.mount, submission, self.now.get());
        submitted.map(|()| tag).inspect_err(|_| {
            calls.release(tag);
            calls.waiting.push_back(waker.clone());
        })
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
