//! A reactor's limits and manners.

use std::time::Duration;

use crate::error::ReactorError;
use crate::idle::IdlePolicy;
use crate::stop::StopToken;

/// The most messages one mailbox may be configured for.
const MESSAGES_MAX: usize = 1 << 20;
/// The most tasks one reactor may be configured for.
const TASKS_MAX: usize = 1 << 20;
/// The most timers one reactor may be configured for.
const TIMERS_MAX: usize = 1 << 24;
/// The most pollers one reactor may be configured for.
const POLLERS_MAX: usize = 1 << 16;

/// How a reactor behaves and how large its tables are. Everything is allocated at the start.
#[derive(Clone, Debug)]
pub struct ReactorConfig {
    /// What to do with a turn in which nothing happened.
    pub idle: IdlePolicy,
    /// Stops this reactor and whatever else holds a clone of the token. A panic in this reactor
    /// sets it too, so that siblings drain instead of waiting for ever.
    pub stop: StopToken,
    /// How long pollers and tasks may drain after a stop.
    pub shutdown_grace: Duration,
    /// A turn longer than this is a stall, counted and reported with the poller's name.
    pub stall_threshold: Duration,
    /// Messages a mailbox holds.
    pub mailbox_capacity: usize,
    /// Messages taken from the mailbox in one turn.
    pub mailbox_batch: usize,
    /// Pollers, every-turn and timed together.
    pub max_pollers: usize,
    /// Futures that live at one time.
    pub max_tasks: usize,
    /// Sleeps that are armed at one time.
    pub max_timers: usize,
}

impl Default for ReactorConfig {
    fn default() -> ReactorConfig {
        ReactorConfig {
            idle: IdlePolicy::Spin,
            stop: StopToken::new(),
            shutdown_grace: Duration::from_secs(5),
            stall_threshold: Duration::from_millis(100),
            mailbox_capacity: 256,
            mailbox_batch: 16,
            max_pollers: 64,
            max_tasks: 4096,
            max_timers: 4096,
        }
    }
}

impl ReactorConfig {
    pub(crate) fn validate(&self) -> Result<(), ReactorError> {
        self.idle.validate()?;
        at_least_one("mailbox_capacity", self.mailbox_capacity, MESSAGES_MAX)?;
        at_least_one("mailbox_batch", self.mailbox_batch, usize::MAX)?;
        at_least_one("max_pollers", self.max_pollers, POLLERS_MAX)?;
        at_least_one("max_tasks", self.max_tasks, TASKS_MAX)?;
        at_least_one("max_timers", self.max_timers, TIMERS_MAX)?;
        if self.stall_threshold < Duration::from_millis(1) {
            return Err(ReactorError::Config {
                key: "stall_threshold",
                value: format!("{:?}", self.stall_threshold),
                expected: "at least 1 ms",
            });
        }
        Ok(())
    }
}

fn at_least_one(key: &'static str, value: usize, max: usize) -> Result<(), ReactorError> {
    let expected = match value {
        0 => "at least 1",
        _ if value > max => "too large",
        _ => return Ok(()),
    };
    Err(ReactorError::Config { key, value: value.to_string(), expected })
}
