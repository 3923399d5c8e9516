//! What a lost connection means for the RPCs on it, and when the next one is tried.
//!
//! An RPC is never sent twice on one connection: a call that goes unanswered for `timeo` ends its
//! connection, and the next one sends the same message again. How often, and what the caller sees
//! in the end, has the meaning that nfs(5) gives to `hard`, `soft`, `softerr`, `timeo` and
//! `retrans`.

use crate::Error;
use std::net::SocketAddr;
use std::time::Duration;

/// What becomes of RPCs whose connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// They wait for the next connection, for as long as it takes.
    Hard,
    /// They wait for `retrans` retransmissions of `timeo` each, then fail with EIO.
    Soft,
    /// The same, and fail with ETIMEDOUT.
    SoftErr,
    /// They fail at once, and the mount is gone.
    Never,
}

/// How often a first connection is asked for again that the server rejects as stale, which it does
/// for each connection that it still holds of a client that is no more.
pub(crate) const STALE_ASKS_MAX: u32 = 5;

/// When to try to connect again: at once after a connection that worked, then after pauses that
/// double, with jitter so that the clients of a restarted server do not come all at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    min_ns: u64,
    max_ns: u64,
    next_ns: u64,
    random: u64,
}

impl Backoff {
    pub(crate) fn new(min_ns: u64, max_ns: u64, seed: u32) -> Self {
        Self { min_ns, max_ns, next_ns: 0, random: u64::from(seed) << 1 | 1 }
    }

    /// A connection has answered an RPC: it works.
    pub(crate) fn reset(&mut self) {
        self.next_ns = 0;
    }

    /// The pause before the next attempt: up to a quarter less than the full one.
    pub(crate) fn pause_ns(&mut self) -> u64 {
        let full = self.next_ns;
        self.next_ns = (full * 2).clamp(self.min_ns, self.max_ns);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        full - full / 4 * (self.random >> 32 & 0xff) / 255
    }
}

/// The error that an RPC ends with when its time is up.
pub(crate) fn expired(recovery: Recovery, remote: SocketAddr, limit_ns: u64) -> Error {
    let limit = Duration::from_nanos(limit_ns);
    match recovery {
        Recovery::SoftErr => Error::Timeout { remote, limit },
        _ => Error::GaveUp { remote, limit },
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;

    #[test]
    fn the_first_attempt_is_at_once_and_pauses_double_up_to_a_limit() {
        let mut backoff = Backoff::new(5_000, 60_000, 7);
        assert_eq!(backoff.pause_ns(), 0);
        let mut full = 5_000;
        for _ in 0..8 {
            let pause = backoff.pause_ns();
            assert!(pause <= full && pause >= full - full / 4, "{pause} of {full}");
            full = (full * 2).min(60_000);
        }
        backoff.reset();
        assert_eq!(backoff.pause_ns(), 0);
    }

    #[test]
    fn clients_do_not_come_all_at_once() {
        let pauses: Vec<u64> = (0..20)
            .map(|seed| {
                let mut backoff = Backoff::new(1_000_000, 1_000_000, seed * 77_777);
                backoff.pause_ns();
                (0..5).map(|_| backoff.pause_ns()).last().unwrap_or_default()
            })
            .collect();
        let distinct: std::collections::BTreeSet<_> = pauses.iter().collect();
        assert!(distinct.len() > 10, "{pauses:?}");
    }

    #[test]
    fn the_attempts_of_many_clients_are_spread_evenly_over_a_quarter_of_the_pause() {
        const FULL: u64 = 1_000_000;
        let mut tenths = [0; 10];
        for seed in 0..1_000 {
            let mut backoff = Backoff::new(FULL, FULL, seed);
            backoff.pause_ns();
            for _ in 0..5 {
                let early = FULL - backoff.pause_ns();
                tenths[(early * 10 / (FULL / 4 + 1)) as usize] += 1;
            }
        }
        assert!(tenths.iter().all(|clients| (420..580).contains(clients)), "{tenths:?}");
    }
}
