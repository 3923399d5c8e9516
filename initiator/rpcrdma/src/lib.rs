//! RPC-over-RDMA version 1 (RFC 8166): the transport.
//!
//! It does for an RPC what the Linux client's `xprtrdma` does, without its fault: nothing that a
//! Send may still read is released or reused because a Reply arrived. **An RPC completes to its
//! caller when its Reply has arrived and, where its Send gathered the caller's payload, that Send
//! has completed.** Read [`sendctx`] first; the rule itself is in `request`.
//!
//! Threading: an [`Endpoint`] and all its connections belong to one reactor. Nothing blocks, and on
//! the path of an RPC nothing locks, allocates, reads a clock or makes a system call of its own.
//!
//! Faults survived: Send completions that come late or never; replies that are malformed, late,
//! duplicate, or claim what was not offered; credits cut to nothing; posts that fail part-way;
//! connections refused, lost, or unanswered; devices and completion queues that go away. RPCs of a
//! lost connection are sent again on the next, under the same XID, or fail with their buffers, as
//! the mount's [`Recovery`] says.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

mod arrival;
mod backward;
mod call;
pub mod config;
mod connection;
mod credits;
mod endpoint;
mod error;
#[cfg(test)]
mod fixtures;
mod holdings;
mod inline;
mod long_call;
mod lots;
mod marshal;
mod memory;
mod payloads;
mod piece;
mod plain;
mod planted;
mod receives;
mod recovery;
mod registrations;
mod reply;
mod request;
mod rpc;
pub mod sendctx;
mod sender;
mod slots;
mod source;
mod state;
mod stats;
mod sync;
mod table;
mod upcalls;
mod windows;
mod work_id;
mod xid;

pub use call::{Call, Completed, Payload, PlainReply, Refusal, Reply};
pub use config::{BufferConfig, EndpointConfig, Registration, TransportConfig};
pub use endpoint::{ConnectionId, Endpoint};
pub use error::{BadReply, Error, Loss};
pub use holdings::Holdings;
pub use inline::{Inline, Received};
pub use piece::{Piece, Pieces, SEGMENTS_MAX};
pub use plain::{PlainCall, PlainMessage, PlainPayload};
#[cfg(feature = "planted-faults")]
pub use planted::{Fault, PlantedFaults};
pub use recovery::Recovery;
pub use state::State;
pub use stats::Counters;
pub use upcalls::{Event, Upcalls};
