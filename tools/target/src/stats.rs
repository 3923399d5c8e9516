//! What the server counts.
//!
//! Threading: one writer, the server's thread; any number of readers. A count is a plain load and
//! store, so that the hot path pays no locked instruction; a reader sees each count whole, and
//! counts that belong together at slightly different moments.

use std::sync::atomic::{AtomicU64, Ordering};

/// The procedures of NFS version 3, by number (RFC 1813 §3).
pub const PROCEDURES: [&str; 22] = [
    "NULL",
    "GETATTR",
    "SETATTR",
    "LOOKUP",
    "ACCESS",
    "READLINK",
    "READ",
    "WRITE",
    "CREATE",
    "MKDIR",
    "SYMLINK",
    "MKNOD",
    "REMOVE",
    "RMDIR",
    "RENAME",
    "LINK",
    "READDIR",
    "READDIRPLUS",
    "FSSTAT",
    "FSINFO",
    "PATHCONF",
    "COMMIT",
];

/// A count with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What happened since the start.
        #[derive(Debug, Default)]
        pub struct Stats {
            /// Calls by procedure number, whatever came of them.
            pub calls: [Counter; PROCEDURES.len()],
            $($(#[$doc])* pub $name: Counter,)*
        }

        impl Stats {
            /// Names and counts, for reports: first the procedures that were called.
            pub fn report(&self) -> Vec<(&'static str, u64)> {
                let calls = PROCEDURES.into_iter().zip(self.calls.iter().map(Counter::get));
                calls
                    .filter(|(_, count)| *count > 0)
                    .chain([$((stringify!($name), self.$name.get())),*])
                    .collect()
            }
        }
    };
}

counters! {
    /// Connections accepted.
    connections_accepted,
    /// Those of them from a port below 1024.
    connections_reserved,
    /// Connections refused: no room or no memory for another.
    connections_refused,
    /// Connections ended for their silence, when there was no room for another.
    connections_ousted,
    /// Connections whose every resource is back.
    connections_closed,
    /// Messages received.
    receives,
    /// Replies sent.
    replies,
    /// Bytes that READ returned.
    read_bytes,
    /// Bytes that WRITE took.
    write_bytes,
    /// RDMA Reads posted, one a segment.
    rdma_reads,
    /// RDMA Writes posted, one a segment.
    rdma_writes,
    /// Chains of Sends posted.
    doorbells,
    /// Send Queue entries posted.
    send_wrs,
    /// Completions seen, of both queues.
    completions,
    /// Turns in which a call had to wait for a buffer or Send Queue room.
    calls_parked,
    /// Calls that arrived while as many as were granted were still unanswered.
    credit_overruns,
    /// Messages that were no valid call: answered with an error or the connection closed.
    malformed,
    /// Calls answered with an RPC-over-RDMA error.
    rdma_errors,
    /// Calls answered with an RPC error (program, procedure, arguments).
    rpc_errors,
    /// Calls that came again and were answered as before without being carried out.
    calls_repeated,
    /// Calls answered with an NFS status other than NFS3_OK.
    nfs_errors,
    /// Work requests that failed (not those flushed after a disconnect).
    wr_errors,
    /// Calls made to clients.
    backward_calls,
    /// Replies to them.
    backward_replies,
    /// Those of the replies that say that there is no such program.
    backward_refused,
    /// RDMA_ERRORs in their place.
    backward_errors,
    /// Replies falsified, held back or dropped by order.
    misbehaved,
    /// MOUNT calls over TCP.
    mount_calls,
    /// TCP connections to the MOUNT port from a port below 1024.
    mount_reserved,
    /// TCP connections to the MOUNT port closed for what they sent, or for silence.
    mount_dropped,
}
