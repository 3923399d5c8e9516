//! The duplicate-request cache: replies to calls that must not be carried out twice.
//!
//! A client whose connection is lost sends its calls again, for it cannot know which of them the
//! server has seen. A REMOVE that was carried out would then fail with NOENT. So replies to such
//! procedures are kept for a while and given once more when the same call comes again, on whatever
//! connection. Calls are told apart as knfsd does: by XID, procedure, version, the client's address
//! without its port, length, and a checksum of the first bytes of the arguments. Procedures that
//! can be repeated (READ, WRITE, COMMIT and all that change nothing) are not looked up at all.
//!
//! What the cache holds is lost when the server crashes, as is everything that is not on disk.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use reactor::Timestamp;
use wire::nfs3::procedure;
use wire::rpc::CallHeader;

/// Replies kept; the oldest goes when another one comes.
pub(super) const REPLIES_MAX: usize = 4096;
/// How long a reply is kept at least, unless there are too many.
pub(super) const KEPT_NS_MIN: u64 = 120_000_000_000;
/// Bytes of the arguments that the checksum covers.
const SUMMED_BYTES: usize = 256;

/// Who calls, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// The client's address; its port differs from connection to connection.
    pub(super) address: Option<IpAddr>,
    pub(super) now: Timestamp,
}

/// What makes a call the same call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    xid: u32,
    procedure: u32,
    version: u32,
    address: Option<IpAddr>,
    length: usize,
    checksum: u32,
}

impl Key {
    /// `None` for a call that may be carried out again.
    pub(super) fn new(header: &CallHeader<'_>, args: &[u8], caller: &Caller) -> Option<Self> {
        must_not_be_repeated(header.procedure).then(|| Self {
            xid: header.xid,
            procedure: header.procedure,
            version: header.vers,
            address: caller.address,
            length: args.len(),
            checksum: crc32c::crc32c(&args[..args.len().min(SUMMED_BYTES)]),
        })
    }
}

fn must_not_be_repeated(number: u32) -> bool {
    use procedure::{CREATE, MKDIR, REMOVE, RMDIR, SETATTR};
    matches!(number, SETATTR | CREATE | MKDIR | REMOVE | RMDIR)
}

/// See the module documentation.
#[derive(Default)]
pub(super) struct Replies {
    kept: HashMap<Key, Box<[u8]>>,
    /// In the order in which they came.
    order: VecDeque<(Timestamp, Key)>,
}

impl Replies {
    /// The reply to this very call, if it was carried out before.
    pub(super) fn get(&self, key: &Key) -> Option<&[u8]> {
        self.kept.get(key).map(|reply| &reply[..])
    }

    /// Keeps the reply to a call that was carried out.
    pub(super) fn keep(&mut self, key: Key, reply: &[u8], now: Timestamp) {
        while let Some(&(since, oldest)) = self.order.front()
            && (now.ns_since(since) > KEPT_NS_MIN || self.order.len() == REPLIES_MAX)
        {
            self.order.pop_front();
            self.kept.remove(&oldest);
        }
        if self.kept.insert(key, reply.into()).is_none() {
            self.order.push_back((now, key));
        }
    }

    /// The server has crashed.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.order.clear();
    }
}

#[cfg(test)]
#[path = "replies_tests.rs"]
mod tests;
