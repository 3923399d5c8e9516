//! SIGINT and SIGTERM as a [`StopToken`].
//!
//! The first signal asks for an orderly stop. The second, of either kind, restores the default
//! action and kills the process at once, so that a shell sees the conventional status (130 for
//! SIGINT, 143 for SIGTERM).
//!
//! Threading: the handler may run on any thread; it touches atomics and at most one
//! event counter, by write(2).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::error::ReactorError;
use crate::stop::StopToken;

static TOKEN: OnceLock<StopToken> = OnceLock::new();
static FIRST: AtomicI32 = AtomicI32::new(0);

/// Takes over SIGINT and SIGTERM for the process. Calling it again returns the same token.
pub fn install() -> Result<StopToken, ReactorError> {
    // The token must exist before the handler can look for it.
    let token = TOKEN.get_or_init(StopToken::new).clone();
    let action =
        SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: `on_signal` is async-signal-safe: atomics, write(2), and signal(2) and raise(3) when the
        // process is to die. It borrows nothing but statics.
        unsafe { sigaction(signal, &action) }
            .map_err(|errno| ReactorError::Signals { signal: signal.as_str(), errno })?;
    }
    Ok(token)
}

/// The signal that asked for the stop (`SIGINT`, `SIGTERM`), if one did.
#[must_use]
pub fn received() -> Option<i32> {
    match FIRST.load(Ordering::Acquire) {
        0 => None,
        signal => Some(signal),
    }
}

extern "C" fn on_signal(signal: libc::c_int) {
    let first = FIRST.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire);
    if first.is_err() {
        // SAFETY: both calls are async-signal-safe. The signal is blocked while we are in its
        // handler, so the default action strikes on return.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    } else if let Some(token) = TOKEN.get() {
        token.stop();
    }
}
