//! Operations that the server cannot do yet: NFS3ERR_JUKEBOX (RFC 1813 §2.6), which a server gives
//! whose data is on slow media, and knfsd while it stops.
//!
//! Such an operation has not been done. It waits, with its memory, and is then made again as a new
//! call under a new XID: the answer to the old one may stand in the server's duplicate-request
//! cache. A hard mount asks for ever, as the Linux client does. A soft one stops when the next
//! attempt would be later than its limit for an operation.
//!
//! Faults survived: a mount that goes away while operations wait (they come back at once), and a
//! server that is never ready.

use std::collections::VecDeque;

use reactor::Timestamp;
use wire::nfs3::Status;

use super::Mount;
use crate::Error;
use crate::client::JUKEBOX_WAIT_NS;

/// Operations that wait for their server. All wait equally long, so they are in order.
#[derive(Debug)]
pub(crate) struct Later {
    pub(crate) wait_ns: u64,
    queue: VecDeque<(Timestamp, u32)>,
    /// How often an operation was put off.
    pub(crate) waits: u64,
}

/// Whether this is no more than a request to come again.
pub(super) fn is_asked_for(error: &Error) -> bool {
    matches!(error, Error::Nfs { status: Status::Jukebox, .. })
}

impl Later {
    /// Room for every operation of the mount.
    pub(super) fn new(slots: u32) -> Self {
        let queue = VecDeque::with_capacity(slots as usize);
        Self { wait_ns: JUKEBOX_WAIT_NS, queue, waits: 0 }
    }

    /// When the first of them is to be asked for.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.queue.front().map(|(at, _)| *at)
    }

    /// All of them, before their time.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = u32> {
        self.queue.drain(..).map(|(_, slot)| slot)
    }
}

impl Mount {
    /// The server wants an operation to be asked for later.
    #[allow(clippy::boxed_local, reason = "errors are boxed on the way, so that results are small")]
    pub(super) fn put_off(&mut self, slot: u32, error: Box<Error>, now: Timestamp) {
        let task = &self.tasks[slot as usize];
        let at = now.add_ns(self.later.wait_ns);
        if let Some((limit_ns, expired)) = &self.patience
            && at.ns_since(task.since) > *limit_ns
        {
            let error = error.put_off_for(*limit_ns, expired);
            return self.finish_failed(slot, error.into());
        }
        self.later.waits += 1;
        self.later.queue.push_back((at, slot));
    }

    /// Operations whose time has come go before those that came after them.
    pub(crate) fn ask_again(&mut self, now: Timestamp) {
        let due = self.later.queue.iter().take_while(|(at, _)| *at <= now).count();
        for (_, slot) in self.later.queue.drain(..due).rev() {
            self.waiting.push_front(slot);
        }
    }
}
