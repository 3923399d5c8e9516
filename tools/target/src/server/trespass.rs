//! RDMA Writes to where the server has no business, by order. Each is for the client's NIC to
//! refuse, which ends the connection.

use verbs::Op;

use super::connection::Reply;
use super::send_queue::Wr;
use crate::misbehave::{Misbehaviour, Switch};

/// A place in a client's memory, as a chunk told it.
pub(super) type Place = (u64, u32);

/// Where earlier chunks were.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// Of this connection, in an earlier call.
    pub(super) before: Option<Place>,
    /// Of another connection.
    pub(super) elsewhere: Option<Place>,
}

/// Where a work request writes to.
pub(super) fn place(wr: &Wr) -> Option<Place> {
    match wr.op {
        Op::RdmaWrite { remote_addr, rkey } => Some((remote_addr, rkey)),
        _ => None,
    }
}

/// Bends the Writes of a reply as ordered. Says whether it did.
pub(super) fn trespass(switch: &Switch, reply: &mut Reply, known: Known) -> bool {
    let Some(first) = reply.writes.first().copied() else { return false };
    let Some((addr, rkey)) = place(&first) else { return false };
    let write = |(remote_addr, rkey)| Op::RdmaWrite { remote_addr, rkey };
    switch.consult(|orders| {
        if Misbehaviour::take(&mut orders.write_outside) {
            let behind = addr + u64::from(first.sge.length);
            reply.writes[0].op = write((behind, rkey));
        } else if Misbehaviour::take(&mut orders.write_late) {
            reply.late = Some(first);
        } else if let Some((_, stale)) = known.before
            && Misbehaviour::take(&mut orders.write_stale)
        {
            reply.writes[0].op = write((addr, stale));
        } else if let Some(elsewhere) = known.elsewhere
            && Misbehaviour::take(&mut orders.write_elsewhere)
        {
            reply.writes[0].op = write(elsewhere);
        } else {
            return false;
        }
        true
    })
}
