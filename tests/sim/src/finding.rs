//! What a run may find, by who looks for it.
//!
//! The checkers watch from outside: what the fabric saw of memory and queues, what the server saw
//! of calls, what came back to the caller and when. None of them asks the client whether all is
//! well; its own assertions are counted apart.

use std::fmt;

/// Who has found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Checker {
    /// Memory lent to a posted work request is unchanged until that has completed or was flushed:
    /// compared at every transmission and again at the completion. What comes back is at once
    /// filled with rubbish, so memory that is released early is memory that changes.
    Memory,
    /// Each operation completes exactly once, with a result that it may have.
    Results,
    /// Neither queue is asked for more than it holds, and no call goes out beyond the grant.
    Queues,
    /// Calls that must not be repeated are carried out once, where the server keeps its cache.
    Once,
    /// Files hold what a model of them holds, and committed data survives a restart.
    Contents,
    /// In the end every buffer, slot, window, credit and request is home.
    Leaks,
    /// Once nothing goes wrong any more everything ends, in time.
    Liveness,
    /// An assertion of the client's own, or another panic.
    Assertion,
}

impl Checker {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Memory,
        Self::Results,
        Self::Queues,
        Self::Once,
        Self::Contents,
        Self::Leaks,
        Self::Liveness,
        Self::Assertion,
    ];

    /// What it has to say.
    pub fn says(self, what: impl Into<String>) -> Finding {
        Finding { checker: self, what: what.into() }
    }
}

impl fmt::Display for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Memory => "memory",
            Self::Results => "results",
            Self::Queues => "queues",
            Self::Once => "once",
            Self::Contents => "contents",
            Self::Leaks => "leaks",
            Self::Liveness => "liveness",
            Self::Assertion => "assertion",
        })
    }
}

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Who has found it.
    pub checker: Checker,
    /// What it is.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.what)
    }
}
