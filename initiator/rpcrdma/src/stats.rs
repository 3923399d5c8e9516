//! Counters of one connection, under the kernel's names where the meaning is the same
//! (`/proc/self/mountstats`, line `xprt: rdma`). Plain integers: one thread writes them, and they
//! are copied out on the control path.

/// Declares the counters once: the struct, their names for reports, and their sum.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a connection has done since it was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// Name and value of each, in declaration order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }

            /// Adds another connection's counts to these.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Calls that offered a Read chunk.
    read_chunk_count,
    /// Calls that offered a Write chunk.
    write_chunk_count,
    /// Calls that offered a Reply chunk.
    reply_chunk_count,
    /// Bytes that calls offered for results, in Write and Reply chunks.
    total_rdma_request,
    /// Payload bytes that came in by Write or Reply chunk.
    total_rdma_reply,
    /// Payload bytes that went out by Read chunk.
    read_chunk_bytes,
    /// Payload bytes copied into the Send buffer because a copy is cheaper than an SGE.
    pullup_copy_count,
    /// Payload bytes copied out of the Receive buffer.
    fixup_copy_count,
    /// Replies whose data was handed over in the Receive that it came in.
    kept_receives,
    /// Bytes of callers' own memory that were registered on first use.
    hardway_register_count,
    /// Regions of callers' own memory that were registered.
    own_regions_registered,
    /// Registrations given up for want of room.
    own_regions_evicted,
    /// Times a caller was told to wait because calls used every registration of own memory.
    own_region_waits,
    /// Calls that could not be marshalled.
    failed_marshal_count,
    /// Replies that did not make sense.
    bad_reply_count,
    /// Calls sent as RDMA_NOMSG: too long to go inline.
    nomsg_call_count,
    /// Memory windows allocated.
    mrs_allocated,
    /// Memory windows given up with their queue pair.
    mrs_recycled,
    /// Keys that the server left for us to invalidate.
    local_inv_needed,
    /// Times a caller was told to wait because the sendctx ring was empty.
    empty_sendctx_q,
    /// Replies whose XID matched no call in flight.
    bad_xids,
    /// Connections established.
    connect_count,
    /// Calls sent again, on another connection than before.
    retransmissions,
    /// Calls posted, and replies to the server's calls.
    sends,
    /// Replies matched to their call.
    recvs,
    /// Times a caller was told to wait because the server's credits were used up.
    credit_waits,
    /// Times a caller was told to wait because every buffer for long calls was taken.
    long_call_waits,
    /// Times a caller was told to wait because every request slot was taken.
    slot_waits,
    /// Replies that arrived before their gathered Send had completed, and waited for it.
    replies_before_send,
    /// Calls from the server.
    backward_calls,
    /// Those of them that were dropped, for they were more than it was granted.
    backward_dropped,
    /// Completions for Sends that were not in flight.
    stale_completions,
    /// Send Queue entries posted: Sends, and operations on windows.
    send_wrs,
    /// Chains of them.
    send_doorbells,
    /// Chains of Receives posted.
    recv_doorbells,
    /// Sends that asked for a completion.
    signaled_sends,
    /// Completion queue entries taken, of all kinds.
    cqes,
    /// Calls whose payload was gathered into the Send.
    gathered_sends,
    /// Calls and replies that RDMA_ERROR answered.
    rdma_errors,
}
