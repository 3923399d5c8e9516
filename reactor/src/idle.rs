//! What a reactor does with a turn in which nothing happened.
//!
//! Threading: a policy's scheduling is applied by the reactor's own thread, to that thread only.

use std::fmt;
use std::str::FromStr;

use nix::errno::Errno;

use crate::error::ReactorError;

const EXPECTED: &str = "write spin, yield, nice:N (-20..19), sched-batch or sched-idle";

/// How a reactor shares its core. Scheduling is changed only for threads that
/// [`spawn`](crate::spawn) made; a reactor run on the caller's thread yields and no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdlePolicy {
    /// Turn again at once: lowest latency, the core is ours.
    #[default]
    Spin,
    /// Offer the core to others (`sched_yield`) after an idle turn.
    Yield,
    /// Run at this nice value, and yield after an idle turn.
    Nice(i32),
    /// Run as SCHED_BATCH, and yield after an idle turn.
    SchedBatch,
    /// Run as SCHED_IDLE (only when nothing else wants the core), and yield after an idle turn.
    SchedIdle,
}

impl IdlePolicy {
    pub(crate) fn validate(self) -> Result<(), ReactorError> {
        match self {
            IdlePolicy::Nice(nice) if !(-20..=19).contains(&nice) => {
                Err(ReactorError::UnknownIdlePolicy { text: self.to_string(), expected: EXPECTED })
            }
            _ => Ok(()),
        }
    }

    /// Whether an idle turn gives the core away.
    pub(crate) fn yields(self) -> bool {
        self != IdlePolicy::Spin
    }

    /// Sets the calling thread's scheduling.
    pub(crate) fn apply(self, reactor: &str) -> Result<(), ReactorError> {
        let applied = match self {
            IdlePolicy::Spin | IdlePolicy::Yield => Ok(()),
            IdlePolicy::Nice(nice) => set_nice(nice),
            IdlePolicy::SchedBatch => set_class(libc::SCHED_BATCH),
            IdlePolicy::SchedIdle => set_class(libc::SCHED_IDLE),
        };
        applied.map_err(|errno| ReactorError::IdlePolicy {
            reactor: reactor.to_owned(),
            policy: self.to_string(),
            errno,
            hint: self.hint(),
        })
    }

    fn hint(self) -> String {
        match self {
            IdlePolicy::Nice(nice) => format!(
                "a higher priority needs CAP_SYS_NICE or an RLIMIT_NICE (ulimit -e) of at least {}",
                20 - nice
            ),
            _ => "the scheduling class needs CAP_SYS_NICE here; use yield or spin".to_owned(),
        }
    }
}

fn set_nice(nice: i32) -> Result<(), Errno> {
    // On Linux `who` = 0 names the calling thread, not the whole process.
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

fn set_class(class: libc::c_int) -> Result<(), Errno> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: `param` is ours and outlives the call; 0 names the calling thread.
    Errno::result(unsafe { libc::sched_setscheduler(0, class, &param) }).map(drop)
}

impl fmt::Display for IdlePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdlePolicy::Spin => f.write_str("spin"),
            IdlePolicy::Yield => f.write_str("yield"),
            IdlePolicy::Nice(nice) => write!(f, "nice:{nice}"),
            IdlePolicy::SchedBatch => f.write_str("sched-batch"),
            IdlePolicy::SchedIdle => f.write_str("sched-idle"),
        }
    }
}

impl FromStr for IdlePolicy {
    type Err = ReactorError;

    fn from_str(text: &str) -> Result<IdlePolicy, ReactorError> {
        let unknown =
            || ReactorError::UnknownIdlePolicy { text: text.to_owned(), expected: EXPECTED };
        let policy = match text {
            "spin" => IdlePolicy::Spin,
            "yield" => IdlePolicy::Yield,
            "sched-batch" => IdlePolicy::SchedBatch,
            "sched-idle" => IdlePolicy::SchedIdle,
            _ => {
                let nice = text.strip_prefix("nice:").ok_or_else(unknown)?;
                IdlePolicy::Nice(nice.parse().map_err(|_| unknown())?)
            }
        };
        policy.validate()?;
        Ok(policy)
    }
}
