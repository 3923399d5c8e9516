//! What can go wrong with a reactor, each in one line.

use nix::errno::Errno;

/// An error of any kind from a caller's setup function.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a reactor could not be made, extended or joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReactorError {
    /// The core does not exist, is offline, or the process may not run there.
    #[error("core {core} cannot be used: this process may run on cores {usable}")]
    CoreNotUsable {
        /// The core asked for.
        core: usize,
        /// The cores there are, as a list of ranges.
        usable: String,
    },
    /// The kernel did not put the thread where it was asked to.
    #[error("cannot pin {reactor} to core {core}: {reason}")]
    Pin {
        /// The reactor's name.
        reactor: String,
        /// The core asked for.
        core: usize,
        /// What the kernel did instead.
        reason: String,
    },
    /// A configuration value is out of range.
    #[error("reactor configuration: {key} = {value}: {expected}")]
    Config {
        /// Field of [`ReactorConfig`](crate::ReactorConfig).
        key: &'static str,
        /// The value it had.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The text names no idle policy.
    #[error("unknown idle policy {text:?}: {expected}")]
    UnknownIdlePolicy {
        /// The text.
        text: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The kernel refused the scheduling that an idle policy asks for.
    #[error("idle policy {policy} on {reactor}: {errno}; {hint}")]
    IdlePolicy {
        /// The reactor's name.
        reactor: String,
        /// The policy, as written in a configuration.
        policy: String,
        /// What the kernel said.
        errno: Errno,
        /// What would help.
        hint: String,
    },
    /// The operating system gave no thread.
    #[error("cannot start a thread for {reactor}: {source}")]
    Thread {
        /// The reactor's name.
        reactor: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The caller's setup function failed.
    #[error("setting up {reactor}: {source}")]
    Setup {
        /// The reactor's name.
        reactor: String,
        /// What the function returned.
        source: BoxError,
    },
    /// The reactor's thread panicked.
    #[error("{reactor} panicked: {message}")]
    Panicked {
        /// The reactor's name.
        reactor: String,
        /// The panic's message.
        message: String,
    },
    /// The reactor stopped before the future it was running had finished.
    #[error("{reactor} was stopped before its work was finished")]
    Stopped {
        /// The reactor's name.
        reactor: String,
    },
    /// The table of pollers is full.
    #[error("{reactor} already has {limit} pollers (max_pollers); {poller} was not added")]
    TooManyPollers {
        /// The reactor's name.
        reactor: String,
        /// The poller that found no room.
        poller: String,
        /// [`ReactorConfig::max_pollers`](crate::ReactorConfig).
        limit: usize,
    },
    /// A timed poller needs a period.
    #[error(
        "timed poller {poller}: a period of 0 ns; give at least 1, or add it as an every-turn poller"
    )]
    ZeroPeriod {
        /// The poller's name.
        poller: String,
    },
    /// The table of tasks is full.
    #[error("{reactor} already has {limit} tasks (max_tasks)")]
    TooManyTasks {
        /// The reactor's name.
        reactor: String,
        /// [`ReactorConfig::max_tasks`](crate::ReactorConfig).
        limit: usize,
    },
    /// The reactor behind the handle is gone.
    #[error("{reactor} has ended")]
    Ended {
        /// The reactor's name.
        reactor: String,
    },
    /// A signal handler could not be installed.
    #[error("cannot handle {signal}: {errno}")]
    Signals {
        /// The signal's name.
        signal: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
}
