//! Mistakes that can be made on purpose, in builds with the feature `planted-faults` and in no
//! others: whoever claims to test the client has to find them (`initiator-sim --planted`).
//!
//! Where a mistake would be made stands `planted!(config, Mistake)`, which is `false` in every other
//! build.

/// Whether this fault is to be made here.
macro_rules! planted {
    ($config:expr, $fault:ident) => {{
        #[cfg(feature = "planted-faults")]
        {
            $config.planted.fault == Some($crate::planted::Fault::$fault)
        }
        #[cfg(not(feature = "planted-faults"))]
        {
            false
        }
    }};
}
pub(crate) use planted;

#[cfg(feature = "planted-faults")]
macro_rules! faults {
    ($($(#[doc = $doc:literal])* $fault:ident,)*) => {
        /// A mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $($(#[doc = $doc])* $fault,)*
        }

        impl Fault {
            /// Each of them with what it is.
            pub const ALL: &[(Self, &str)] = &[$((Self::$fault, concat!($($doc),*)),)*];
        }
    };
}

#[cfg(feature = "planted-faults")]
faults! {
    /// An RPC completes on its Reply alone, whatever its Send still reads.
    ReleaseOnReply,
    /// The walk of the ring goes one Send too far.
    WalkTooFar,
    /// What a lost queue pair may still read is released without a drain.
    NoDrain,
    /// Some operations complete twice.
    CompleteTwice,
    /// A Reply is taken for any call that has the place of its XID.
    StaleXid,
    /// The second piece that a Send gathers begins a byte too late.
    PieceOffset,
    /// Some Receives are not posted again.
    NoRepost,
    /// One call more goes out than was granted.
    CreditOverUse,
    /// The Send Queue has room for Sends, and binds are not counted.
    BindsUncounted,
    /// Calls are sent again under another XID.
    FreshXid,
    /// A COMMIT proves written data durable whatever its verifier.
    AnyVerifier,
    /// The windows of a lost queue pair are never given back.
    LeakWindows,
    /// The credits of some calls are never given back.
    LeakCredit,
    /// Those who wait for room are not woken.
    ForgetWake,
}

/// What is to go wrong in this build.
#[cfg(feature = "planted-faults")]
#[derive(Clone, Copy, Debug, Default)]
pub struct PlantedFaults {
    /// The mistake to be made.
    pub fault: Option<Fault>,
    /// Send no more inline than this, which may be less than a server can ask for: it makes long
    /// calls of short ones.
    pub inline_send: Option<u32>,
    /// No mistake, but what a client must survive: a connection is ended after so many calls, as
    /// soon as the chain with the last of them is posted.
    pub disconnect_every: Option<u64>,
}

#[cfg(feature = "planted-faults")]
impl std::str::FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().map(|(fault, _)| *fault);
        let mut same = known.clone().filter(|fault| format!("{fault:?}") == name);
        same.next().ok_or_else(|| {
            let names: Vec<_> = known.map(|fault| format!("{fault:?}")).collect();
            format!("no planted fault is called '{name}': there are {}", names.join(", "))
        })
    }
}
