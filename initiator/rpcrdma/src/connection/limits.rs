//! When the next of a connection's time limits is over.

use verbs::Provider;

use super::{Connection, DRAIN_NS_MAX};
use crate::recovery::Recovery;
use crate::state::State;

impl<P: Provider> Connection<P> {
    /// When [`Connection::on_time`] has something to do, if nothing else happens before.
    pub(crate) fn next_limit_ns(&self) -> Option<u64> {
        let after = |since: u64, limit: u64| since.saturating_add(limit).saturating_add(1);
        let config = &self.config;
        let of_state = match self.state {
            State::Resolving | State::Connecting => {
                Some(after(self.since.0, config.connect_timeout_ns))
            }
            State::Established => self.silence_limit_ns(),
            State::Draining => Some(after(self.since.0, DRAIN_NS_MAX)),
            State::Waiting => Some(self.retry_at.0),
            State::Idle | State::Closed => None,
        };
        let gives_up = matches!(config.recovery, Recovery::Soft | Recovery::SoftErr);
        let first = self.slots.oldest_resend_ns().filter(|_| gives_up);
        let of_calls = first.map(|since| after(since, config.call_limit_ns()));
        of_state.into_iter().chain(of_calls).min()
    }

    /// Of an unanswered call, or else of having none.
    fn silence_limit_ns(&self) -> Option<u64> {
        if let Some(sent) = self.slots.oldest_ns() {
            return Some(sent.saturating_add(self.config.rpc_timeout_ns));
        }
        let idle_ns = self.config.idle_timeout_ns;
        let limit = self.last_call.0.saturating_add(idle_ns).saturating_add(1);
        (idle_ns > 0 && !self.slots.any_pending()).then_some(limit)
    }
}
