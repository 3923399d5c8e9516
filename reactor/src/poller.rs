//! What a reactor calls: the [`Poller`] trait and the [`Turn`] it is given.
//!
//! Threading: a poller lives and dies on its reactor's thread.

use crate::local::LocalHandle;
use crate::time::Timestamp;
use crate::wake_sources::WakeSources;

/// Something a reactor calls every turn, or every so often.
///
/// One dynamic call per poller per turn is the price of the interface, so a poller handles a
/// batch, never a single I/O.
pub trait Poller {
    /// What statistics and stall reports call it. Read once, when the poller is added.
    fn name(&self) -> &str;

    /// Does what can be done now, without blocking, and says whether there was anything to do.
    fn poll(&mut self, turn: &mut Turn<'_>) -> Progress;

    /// Prepares for the reactor to sleep: sees to it that whatever gives this poller something to
    /// do will make a descriptor readable, and names these, and the time at which it wants to be
    /// called in any case. It is polled once more before the sleep, which finds what came before.
    /// A call in which more happened than the arming covers, such as another descriptor to watch,
    /// must report [`Progress::Busy`].
    ///
    /// `false`, the default: it has to be called all the time. Asked only under
    /// [`IdlePolicy::Adaptive`](crate::IdlePolicy), and only of pollers without a period.
    fn arm(&mut self, _sources: &mut WakeSources) -> bool {
        false
    }

    /// Whether the reactor may leave, as far as this poller is concerned. Asked at the end of each
    /// turn once the reactor is stopping; a poller with work in flight says `false` until it is
    /// back, or until [`ReactorConfig::shutdown_grace`](crate::ReactorConfig) has passed.
    fn drained(&self) -> bool {
        true
    }
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to do.
    Idle,
    /// Work was done.
    Busy,
    /// Finished for good: the reactor drops the poller. From [`Reactor::turn`](crate::Reactor::turn):
    /// the reactor was stopped and has drained.
    Done,
}

/// One turn of a reactor, as its pollers see it.
pub struct Turn<'a> {
    pub(crate) now: Timestamp,
    pub(crate) local: &'a LocalHandle,
}

impl Turn<'_> {
    /// The time at which this turn began. The same for all pollers of the turn.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether the reactor has been asked to stop: start nothing new, finish what is in flight.
    #[inline]
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.local.stopping()
    }

    /// When the reactor leaves whether drained or not. `None` while it is not stopping.
    #[must_use]
    pub fn drain_deadline(&self) -> Option<Timestamp> {
        self.local.drain_deadline()
    }

    /// Asks this reactor (and no other) to stop. It drains from the next turn on.
    pub fn request_stop(&mut self) {
        self.local.request_stop();
    }

    /// For spawning futures and adding pollers from within a poller.
    #[must_use]
    pub fn local(&self) -> &LocalHandle {
        self.local
    }
}
