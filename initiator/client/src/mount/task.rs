//! The places for operations of a mount: from submission to result an operation stays where it is,
//! and every table of the mount tells it by its index.

use hugepages::Buffer;
use reactor::Timestamp;
use rpcrdma::{Pieces, Received};
use wire::nfs3::FileHandle;

use super::kept::Progress;
use crate::Error;
use crate::op::{Op, Output, Submission};
use crate::walk::Walk;

/// Whose a task is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// Nobody's: it is over, or has never been.
    Vacant,
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

/// A place for an operation, from its submission until its result is taken: it stays where it is,
/// and the tables of the mount tell it by its index.
#[derive(Debug)]
pub(crate) struct Task {
    pub(super) tag: u64,
    pub(super) op: Op,
    /// Of an [`Op::Open`].
    pub(super) walk: Walk,
    pub(super) since: Timestamp,
    /// While the transport does not have it.
    pub(super) buffer: Option<Buffer>,
    /// Likewise.
    pub(super) pieces: Option<Pieces>,
    pub(super) role: Role,
    /// What came of it, once it is done.
    pub(super) result: Result<Output, Error>,
    pub(super) received: Option<Received>,
}

impl Task {
    pub(super) fn vacant(root: FileHandle) -> Self {
        Self {
            tag: 0,
            op: Op::Null,
            walk: Walk::new(root),
            since: Timestamp(0),
            buffer: None,
            pieces: None,
            role: Role::Vacant,
            result: Ok(Output::Nothing),
            received: None,
        }
    }

    /// Takes over what came of it.
    #[inline]
    pub(super) fn put(&mut self, result: Result<Output, Error>) {
        debug_assert!(matches!(self.result, Ok(Output::Nothing)), "the last result was taken");
        // Nothing is in the place that would have to be dropped.
        std::mem::forget(std::mem::replace(&mut self.result, result));
    }

    /// Becomes what a caller has submitted. There is no memory in it.
    #[inline(always)]
    pub(crate) fn take(&mut self, submission: Submission, now: Timestamp) {
        let Submission { tag, op, buffer, pieces } = submission;
        debug_assert!(!self.op.is_rich(), "the last operation was retired");
        // Nothing is in the places that would have to be dropped.
        std::mem::forget(std::mem::replace(&mut self.op, op));
        std::mem::forget(std::mem::replace(&mut self.buffer, buffer));
        std::mem::forget(std::mem::replace(&mut self.pieces, pieces));
        (self.tag, self.since, self.role) = (tag, now, Role::Plain);
    }

    /// Its operation is over, and has a result: memory that only rare ones have is given back.
    pub(super) fn retire(&mut self) {
        self.role = Role::Vacant;
        if self.op.is_rich() {
            self.op = Op::Null;
        }
    }

    /// Memory that the transport gives back, if it had any.
    #[inline(always)]
    pub(super) fn take_back(&mut self, (buffer, pieces): (Option<Buffer>, Option<Pieces>)) {
        // Nothing is in the places that would have to be dropped.
        if buffer.is_some() {
            debug_assert!(self.buffer.is_none(), "the transport has the buffer");
            std::mem::forget(std::mem::replace(&mut self.buffer, buffer));
        }
        if pieces.is_some() {
            debug_assert!(self.pieces.is_none(), "the transport has the pieces");
            std::mem::forget(std::mem::replace(&mut self.pieces, pieces));
        }
    }

    /// Its result has been looked at: gives back what nobody has taken.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        // Nothing in these has to be dropped.
        let light = matches!(
            self.result,
            Ok(Output::Read { .. } | Output::Written { .. } | Output::Attributes(_))
        );
        let empty = self.buffer.is_none() && self.pieces.is_none() && self.received.is_none();
        if light && empty {
            std::mem::forget(self.result());
        } else {
            self.drop_rest();
        }
    }

    #[cold]
    fn drop_rest(&mut self) {
        drop(self.result());
        (self.buffer, self.pieces, self.received) = (None, None, None);
    }

    /// Takes the result out.
    #[inline(always)]
    pub(super) fn result(&mut self) -> Result<Output, Error> {
        std::mem::replace(&mut self.result, Ok(Output::Nothing))
    }
}
