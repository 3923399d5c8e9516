//! What a reactor that sleeps is woken by: completions, connection events, and the next time limit.

use reactor::{Timestamp, WakeSources};
use verbs::{CompletionQueue as _, Connection as _, Provider};

use super::Endpoint;
use crate::connection::Connection;

impl<P: Provider> Endpoint<P> {
    /// Prepares for the reactor to sleep: see [`reactor::Poller::arm`]. [`Endpoint::poll`] and
    /// [`Endpoint::poll_events`] are called once more before it does.
    pub fn arm(&mut self, sources: &mut WakeSources) -> bool {
        // A dead queue brings nothing more: its connections end by their events and limits.
        let mut cqs = self.cqs.iter().filter(|shared| !shared.dead);
        let armed = cqs.all(|shared| match shared.cq.arm() {
            Ok(Some(fd)) => {
                sources.watch(fd);
                true
            }
            // What failed is told by the next poll.
            Ok(None) | Err(_) => false,
        });
        let mut connections = self.places.iter().filter_map(|place| place.connection.as_ref());
        armed && connections.all(|connection| connection.arm(sources))
    }
}

impl<P: Provider> Connection<P> {
    /// False if the next turn has something to do, or if only polling tells what comes next.
    fn arm(&self, sources: &mut WakeSources) -> bool {
        if self.sender.has_chain() {
            return false;
        }
        if let Some(link) = &self.link {
            let Some(fd) = link.event_fd() else { return false };
            sources.watch(fd);
        }
        if let Some(limit_ns) = self.next_limit_ns() {
            sources.no_later_than(Timestamp(limit_ns));
        }
        true
    }
}
