//! What is measured: all that a user of the client calls for an operation, from giving it to having
//! its result. In functions that are never inlined, by whose names a profiler tells the client's
//! instructions from those of the program around it.

use client::{Client, Error, MountId, Op, Submission};
use hugepages::Buffer;
use reactor::Timestamp;

use crate::instant::Instant;

/// Gives an operation to the client. False: it takes no more.
#[inline(never)]
pub(crate) fn submit(
    client: &mut Client<Instant>,
    mount: MountId,
    tag: u64,
    op: impl FnOnce() -> Op,
    buffer: Option<Buffer>,
    now: Timestamp,
) -> bool {
    let submission = Submission { tag, op: op(), buffer, pieces: None };
    match client.submit(mount, submission, now) {
        Ok(()) => true,
        Err(_refused) => false,
    }
}

/// Sends what was given, takes what has come.
#[inline(never)]
pub(crate) fn turn(client: &mut Client<Instant>, now: Timestamp) {
    client.turn(now);
}

/// Takes a result; the buffer is what the program goes on with.
#[inline(never)]
pub(crate) fn take(
    client: &mut Client<Instant>,
    mount: MountId,
) -> Option<Result<Option<Buffer>, Box<Error>>> {
    client.look_at_done(mount, |done| match done.result {
        Ok(_) => Ok(done.buffer.take()),
        Err(error) => Err(error.clone().into()),
    })
}
