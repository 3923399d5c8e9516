//! What a reactor does with a turn in which nothing happened.
//!
//! Threading: a policy's scheduling is applied by the reactor's own thread, to that thread only.

use std::fmt;
use std::str::FromStr;

use nix::errno::Errno;

use crate::alarm::Alarm;
use crate::error::ReactorError;
use crate::stop::StopToken;

const EXPECTED: &str = "write spin, yield, nice:N (-20..19), sched-batch, sched-idle, adaptive or \
     adaptive:spin_us=N,yield_us=N";

/// Longer than a round trip to a server that has the answer in memory.
const SPIN_US_DEFAULT: u32 = 100;
/// Together with the spinning, longer than most answers take.
const YIELD_US_DEFAULT: u32 = 400;

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
    /// After `spin_us` without work yield, `yield_us` later sleep until something happens. The
    /// first work returns to spinning.
    Adaptive {
        /// Microseconds without work in which to turn again at once.
        spin_us: u32,
        /// Microseconds after those in which to yield after each turn.
        yield_us: u32,
    },
}

impl IdlePolicy {
    /// [`IdlePolicy::Adaptive`] with the usual times.
    pub const ADAPTIVE: IdlePolicy =
        IdlePolicy::Adaptive { spin_us: SPIN_US_DEFAULT, yield_us: YIELD_US_DEFAULT };

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

    /// What wakes a reactor of this policy; `stop` will too.
    pub(crate) fn alarm(self, stop: &StopToken, reactor: &str) -> Result<Alarm, ReactorError> {
        let sleeps = matches!(self, IdlePolicy::Adaptive { .. });
        let stop = if sleeps { stop.wake_fd().map(drop) } else { Ok(()) };
        let alarm = stop.and_then(|()| Alarm::new(sleeps));
        alarm.map_err(|errno| ReactorError::IdlePolicy {
            reactor: reactor.to_owned(),
            policy: self.to_string(),
            errno,
            hint: "it needs two file descriptors; raise the limit on them (ulimit -n)".to_owned(),
        })
    }

    /// Sets the calling thread's scheduling.
    pub(crate) fn apply(self, reactor: &str) -> Result<(), ReactorError> {
        let applied = match self {
            IdlePolicy::Spin | IdlePolicy::Yield | IdlePolicy::Adaptive { .. } => Ok(()),
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
            IdlePolicy::Adaptive { spin_us, yield_us } => {
                write!(f, "adaptive:spin_us={spin_us},yield_us={yield_us}")
            }
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
            "adaptive" => IdlePolicy::ADAPTIVE,
            _ => {
                let (name, value) = text.split_once(':').ok_or_else(unknown)?;
                match name {
                    "nice" => IdlePolicy::Nice(value.parse().map_err(|_| unknown())?),
                    "adaptive" => adaptive(value).ok_or_else(unknown)?,
                    _ => return Err(unknown()),
                }
            }
        };
        policy.validate()?;
        Ok(policy)
    }
}

/// The times of an adaptive policy, those that are given: `spin_us=N,yield_us=N`.
fn adaptive(times: &str) -> Option<IdlePolicy> {
    let (mut spin_us, mut yield_us) = (SPIN_US_DEFAULT, YIELD_US_DEFAULT);
    for time in times.split(',') {
        let (name, value) = time.split_once('=')?;
        let place = match name {
            "spin_us" => &mut spin_us,
            "yield_us" => &mut yield_us,
            _ => return None,
        };
        *place = value.parse().ok()?;
    }
    Some(IdlePolicy::Adaptive { spin_us, yield_us })
}
