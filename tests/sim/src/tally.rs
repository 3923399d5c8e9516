//! How often everything that may go wrong did go wrong: not how often it was ordered, but how often
//! it happened to a message, a request, a connection or a turn.

use std::collections::BTreeMap;
use std::fmt;

use rpcrdma::State;

/// What has to go wrong in the seeds of every change, in the words of a list of faults, with the
/// counts that show it: each of them.
pub const WANTED: &[(&str, &[&str])] = &[
    ("Send completions behind their Replies", &["Reply before its Send had completed"]),
    ("acknowledgements late and lost", &["acknowledgement held back", "acknowledgement lost"]),
    ("retransmissions that read memory again", &["message transmitted again", "message lost"]),
    ("completions in any order", &["completion before that of another queue"]),
    ("receiver not ready", &["no Receive found"]),
    ("queue pair error at the n-th request", &["work request failed"]),
    (
        "posts that fail, also part-way",
        &["post failed at once", "post failed part-way", "post of Receives failed"],
    ),
    ("a flush with a completion for each request", &["unsignaled request flushed"]),
    ("completions polled late", &["turn missed by a client", "turn missed by the server"]),
    (
        "connections that do not come about",
        &["connection rejected", "connection request unanswered", "address not resolved"],
    ),
    (
        "connections lost in every state",
        &[
            "link cut",
            "server ended connections",
            "trouble while resolving",
            "trouble while connecting",
            "trouble while established",
            "trouble while draining",
            "trouble while waiting",
            "trouble while idle",
        ],
    ),
    ("silence", &["card fell silent"]),
    ("device removal and moved addresses", &["device removed", "address moved"]),
    (
        "restarts with and without the reply cache",
        &["server restarted, remembers", "server restarted, forgets", "server without memory"],
    ),
    ("another write verifier", &["change-verifier"]),
    ("credits cut to one and to none", &["credits=0", "credits=1"]),
    (
        "replies late, not at all, and twice",
        &["delay-replies", "drop-replies", "duplicate-replies"],
    ),
    ("completions of an old connection", &["completion of a queue pair that is gone"]),
    (
        "replies to nobody, truncated, garbage",
        &["wrong-xid", "truncate-replies", "garbage-replies"],
    ),
    ("replies that are none", &["wrong-version", "foreign-message", "IO"]),
    ("wrong chunk lengths", &["long-chunk", "gap-chunk", "read-count"]),
    ("foreign handles", &["foreign-rkey", "foreign-offset", "swap-segments"]),
    ("errors of both kinds", &["err-chunk", "err-vers"]),
    ("writes by keys that are none", &["write-late", "write-stale", "write-elsewhere"]),
    ("less than was asked for", &["short-read", "short-write"]),
    ("a server that is not ready", &["JUKEBOX", "operation asked again later"]),
    ("calls of the server's", &["backward-calls", "backward-chunks"]),
    ("a reactor that stalls", &["client stood still", "server stood still"]),
    ("mailbox full", &["mailbox full"]),
    ("pool dry", &["pool dry"]),
];

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// Counts what happened.
    pub fn count(&mut self, name: &'static str, times: u64) {
        *self.0.entry(name).or_default() += times;
    }

    /// Adds counts that somebody else has kept.
    pub fn extend(&mut self, counts: impl IntoIterator<Item = (&'static str, u64)>) {
        counts.into_iter().for_each(|(name, times)| self.count(name, times));
    }

    /// Adds those of another.
    pub fn add(&mut self, other: &Self) {
        self.extend(other.0.iter().map(|(name, times)| (*name, *times)));
    }

    /// How often something happened.
    #[must_use]
    pub fn times(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// All of [`WANTED`] that never happened.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let names = WANTED.iter().flat_map(|(_, names)| names.iter().copied());
        names.filter(|name| self.times(name) == 0).collect()
    }
}

/// The list, a line each.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, names) in WANTED {
            let counts: Vec<_> =
                names.iter().map(|name| format!("{name} {}", self.times(name))).collect();
            writeln!(f, "  {what}: {}", counts.join(", "))?;
        }
        Ok(())
    }
}

/// The name under which trouble is counted that meets a connection in this state.
#[must_use]
pub fn trouble_while(state: State) -> &'static str {
    match state {
        State::Resolving => "trouble while resolving",
        State::Connecting => "trouble while connecting",
        State::Established => "trouble while established",
        State::Draining => "trouble while draining",
        State::Waiting => "trouble while waiting",
        State::Idle => "trouble while idle",
        State::Closed => "trouble after the end",
    }
}
