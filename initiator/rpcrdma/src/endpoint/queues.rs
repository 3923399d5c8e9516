//! The completion queues of an endpoint: one for each device, of whose entries every connection has
//! its share.

use reactor::Timestamp;
use verbs::{Connection as _, Provider};

use super::Endpoint;
use crate::error::{Error, Loss};

/// One of them.
pub(super) struct SharedCq<P: Provider> {
    device_key: u64,
    pub(super) cq: P::Cq,
    pub(super) depth: u32,
    entries_free: u32,
    pub(super) dead: bool,
}

impl<P: Provider> Endpoint<P> {
    /// The route may lead to another device than the one before.
    pub(super) fn leave_other_device(&mut self, index: usize) {
        let Some(connection) = &mut self.places[index].connection else { return };
        if connection.has_moved() {
            connection.release_device();
            if let Some((at, entries)) = connection.cq.take() {
                self.return_entries(at, entries);
            }
        }
    }

    /// Sets entries aside on the device's completion queue, which is made on first use.
    pub(super) fn reserve_cq(&mut self, index: usize) -> Result<(usize, u32), Error> {
        let Some(connection) = &self.places[index].connection else {
            return Err(verbs::Error::WrongState { call: "start", state: "closed" }.into());
        };
        let (Some(device), Some(link)) = (connection.device(), &connection.link) else {
            return Err(verbs::Error::WrongState { call: "start", state: "resolving" }.into());
        };
        if let Some(kept) = connection.cq {
            return Ok(kept);
        }
        let entries = connection.cq_entries();
        let known = self.cqs.iter().position(|cq| cq.device_key == device.key && !cq.dead);
        let at = match known {
            Some(at) => at,
            None => {
                let depth = self.config.cq_depth.min(device.max_cqe);
                let cq = link.new_completion_queue(depth)?;
                let (device_key, entries_free) = (device.key, depth);
                self.cqs.push(SharedCq { device_key, cq, depth, entries_free, dead: false });
                self.cqs.len() - 1
            }
        };
        let free = self.cqs[at].entries_free;
        if free < entries {
            self.return_entries(at, 0);
            let what = "completion queue entries (raise cq_depth)";
            let (asked, limit) = (entries.into(), free.into());
            return Err(verbs::Error::Limit { what, asked, limit }.into());
        }
        self.cqs[at].entries_free -= entries;
        Ok((at, entries))
    }

    /// A completion queue is dead, and every connection on it: there will be no completions, so
    /// their queue pairs are destroyed without a drain.
    pub(super) fn cq_failed(&mut self, at: usize, error: &verbs::Error, now: Timestamp) {
        if std::mem::replace(&mut self.cqs[at].dead, true) {
            return;
        }
        tracing::error!(%error, "completion queue failed");
        for place in &mut self.places {
            let Some(connection) = &mut place.connection else {
                continue;
            };
            if connection.cq.is_some_and(|(cq, _)| cq == at) {
                match error {
                    verbs::Error::NoDevice(_) => connection.device_removed(now),
                    _ => connection.lose(Loss::CompletionQueue, now),
                }
                connection.abort_drain();
            }
        }
    }

    /// A completion queue that nobody has entries of goes: a device cannot while it is there.
    pub(super) fn return_entries(&mut self, at: usize, entries: u32) {
        let shared = &mut self.cqs[at];
        shared.entries_free += entries;
        if shared.entries_free < shared.depth {
            return;
        }
        self.cqs.swap_remove(at);
        let moved = self.cqs.len();
        for connection in self.places.iter_mut().filter_map(|place| place.connection.as_mut()) {
            if let Some((of, _)) = &mut connection.cq
                && *of == moved
            {
                *of = at;
            }
        }
    }
}
