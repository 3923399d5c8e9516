//! What may go wrong in one run, and how often.

use std::fmt;

use fastrand::Rng;

use super::log;

/// Parts of 16 of all runs in which nothing goes wrong at all.
const CALM_OF_16: u8 = 1;
/// Parts of 100 of the runs in which a fault is there, for each of them.
const PRESENT_OF_100: u8 = 24;

macro_rules! strikes {
    ($($(#[$doc:meta])* $strike:ident / $rarer:literal,)*) => {
        /// Something that goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Strike {
            $($(#[$doc])* $strike,)*
        }

        impl Strike {
            /// All of them, with how many times rarer than others each is.
            pub const ALL: &[(Self, u32)] = &[$((Self::$strike, $rarer),)*];
        }
    };
}

strikes! {
    /// Acknowledgements are lost.
    DropAcks / 1,
    /// Acknowledgements are held back, for up to seconds.
    HoldAcks / 1,
    /// Messages are lost.
    DropMessages / 1,
    /// No Receive is found.
    Rnr / 1,
    /// A work request soon fails.
    FailWr / 4,
    /// A post soon fails part-way.
    FailPost / 2,
    /// A post of Receives soon fails.
    FailReceivePost / 4,
    /// The link is cut after a few messages.
    Disconnect / 4,
    /// A network card falls silent.
    Silence / 16,
    /// The clients' device is removed; another comes.
    RemoveDevice / 16,
    /// The clients' address moves.
    ChangeAddress / 16,
    /// Connection requests are rejected, ignored or do not resolve.
    Connect / 4,
    /// The server ends every connection.
    ServerDisconnect / 4,
    /// The server restarts.
    Restart / 4,
    /// The write verifier changes, as if it had restarted.
    ChangeVerifier / 4,
    /// The server answers late.
    DelayReplies / 1,
    /// The server does not answer.
    DropReplies / 16,
    /// The server answers twice.
    DuplicateReplies / 1,
    /// The server answers calls that were never made.
    WrongXid / 16,
    /// The server cuts its grant, to 1 or 0.
    Credits / 1,
    /// The server answers nonsense: the call fails.
    Nonsense / 2,
    /// The server writes where it has no business.
    Trespass / 2,
    /// The server does less than it was asked.
    Short / 1,
    /// The server is not ready (NFS3ERR_JUKEBOX).
    NotReady / 1,
    /// The server makes calls of its own.
    BackwardCalls / 1,
    /// A reactor stands still for up to seconds.
    Freeze / 4,
}

/// What goes wrong, and how often.
#[derive(Clone)]
pub struct FaultShape {
    /// Chances of each fault, of a million a step.
    rates: Vec<(Strike, u32)>,
    /// Virtual time that a message and an acknowledgement take.
    pub latency_ns: (u64, u64),
    /// Before a message is sent again.
    pub retransmit_ns: u64,
    /// Acknowledgements are held for so long at most.
    pub hold_ns: u64,
    /// A reactor stands still for so long at most.
    pub freeze_ns: u64,
}

impl FaultShape {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let latency = |rng: &mut Rng| if rng.bool() { 0 } else { log(rng, 100, 200_000) };
        let calm = rng.u8(0..16) < CALM_OF_16;
        let mut rates = Vec::new();
        for &(strike, rarer) in Strike::ALL {
            let rate = log(rng, 200, 40_000) as u32 / rarer;
            if rng.u8(0..100) < PRESENT_OF_100 && !calm && rate > 0 {
                rates.push((strike, rate));
            }
        }
        Self {
            rates,
            latency_ns: (latency(rng), latency(rng)),
            retransmit_ns: log(rng, 100_000, 67_000_000),
            hold_ns: log(rng, 100_000, 2_000_000_000),
            // Longer than a drain may take.
            freeze_ns: log(rng, 100_000, 8_000_000_000),
        }
    }

    /// This does not go wrong.
    pub(super) fn without(&mut self, strike: Strike) {
        self.rates.retain(|(other, _)| *other != strike);
    }

    /// Whether this may go wrong.
    #[must_use]
    pub fn has(&self, strike: Strike) -> bool {
        self.rates.iter().any(|(other, _)| *other == strike)
    }

    /// Perhaps something goes wrong in this step.
    pub(crate) fn strike(&self, rng: &mut Rng) -> Option<Strike> {
        let mut at = rng.u32(0..1_000_000);
        let hit = self.rates.iter().find(|(_, rate)| {
            let hit = at < *rate;
            at = at.wrapping_sub(*rate);
            hit
        });
        hit.map(|(strike, _)| *strike)
    }
}

impl fmt::Debug for FaultShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("FaultShape");
        for (strike, rate) in &self.rates {
            shown.field(&format!("{strike:?}"), rate);
        }
        let Self { latency_ns, retransmit_ns, hold_ns, freeze_ns, .. } = self;
        shown.field("latency_ns", latency_ns).field("retransmit_ns", retransmit_ns);
        shown.field("hold_ns", hold_ns).field("freeze_ns", freeze_ns).finish()
    }
}
