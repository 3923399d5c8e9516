//! Who makes things go wrong: at each step, with the chances of the run's shape, one fault.

use fastrand::Rng;
use reactor::Timestamp;
use rpcrdma::State;
use rpcrdma::config::BACKCHANNEL_SLOTS;
use target::{Misbehaviour, Target};
use verbs::WcStatus;
use verbs::reject_reason::{NO_LISTENER, STALE_CONNECTION};
use verbs::soft::{FaultPlan, RemovedDevice, Scope, SoftFabric};

use crate::shape::{FaultShape, Strike, log};
use crate::tally::{Tally, trouble_while};

/// Misbehaviour that makes the call it happens to fail.
const NONSENSE: [&str; 13] = [
    "wrong-version=1",
    "truncate-replies=1",
    "foreign-rkey=1",
    "foreign-offset=1",
    "long-chunk=1",
    "gap-chunk=1",
    "swap-segments=1",
    "foreign-message=1",
    "read-count=1",
    "err-chunk=1",
    "err-vers=1",
    "status=IO:any:1",
    "garbage-replies=1",
];
/// RDMA Writes that the client's card must refuse. (`write-outside` is none of them: behind a result
/// that is shorter than its chunk it still is inside.)
const TRESPASSES: [&str; 4] =
    ["write-late=1", "write-stale=1", "write-elsewhere=1", "write-elsewhere=4"];

/// A call of the server's that has no answer by then will have none.
const BACKWARD_NS_MAX: u64 = 5_000_000_000;
/// Never.
const NEVER: u64 = u64::MAX;

/// Whom it happens to: a client on its reactor.
pub trait Victim {
    /// Its queue pairs.
    fn qp_nums(&self) -> Vec<u32>;
    /// Where its connections are in their lives.
    fn states(&self) -> Vec<State>;
    /// Its reactor does not turn before then.
    fn freeze(&mut self, until_ns: u64);
}

/// Everybody in one run.
pub type Victims<'a> = [&'a mut dyn Victim];

/// See the module documentation.
pub struct Trouble {
    shape: FaultShape,
    rng: Rng,
    /// A restart loses what is not durable.
    loses: bool,
    /// When acknowledgements that are held back are let go.
    release_at_ns: u64,
    /// When the server grants its credits again.
    credits_at_ns: u64,
    /// When the server last made calls, and those that were never answered by then.
    called_back_ns: u64,
    unanswered: u64,
    /// When another device comes.
    device_at_ns: u64,
    /// Devices that were removed.
    removed: Vec<RemovedDevice>,
    /// The server does not turn before then.
    pub server_frozen_until_ns: u64,
    /// Faults so far.
    pub ordered: u64,
    /// Those that are its own doing, by name.
    pub tally: Tally,
}

impl Trouble {
    /// Nothing yet.
    #[must_use]
    pub fn new(shape: FaultShape, loses: bool, rng: Rng) -> Self {
        Self {
            shape,
            rng,
            loses,
            release_at_ns: NEVER,
            credits_at_ns: NEVER,
            called_back_ns: 0,
            unanswered: 0,
            device_at_ns: NEVER,
            removed: Vec::new(),
            server_frozen_until_ns: 0,
            ordered: 0,
            tally: Tally::default(),
        }
    }

    fn base(&self) -> FaultPlan {
        let (message_ns, ack_ns) = self.shape.latency_ns;
        FaultPlan::new()
            .message_delay_ns(message_ns)
            .ack_delay_ns(ack_ns)
            .retransmit_timeout_ns(self.shape.retransmit_ns.max(4 * (message_ns + ack_ns)))
    }

    /// From here on things go wrong.
    pub fn begin(&mut self, fabric: &SoftFabric) {
        fabric.faults().connect_timeout_ns(20_000_000);
        fabric.faults().set(Scope::All, self.base());
    }

    /// Mends everything that can be mended.
    pub fn calm(
        &mut self,
        fabric: &SoftFabric,
        target: &Target<SoftFabric>,
        victims: &mut Victims<'_>,
    ) {
        fabric.faults().set(Scope::All, self.base());
        fabric.faults().reject_connects(0, 0);
        fabric.faults().add_device();
        target.switch().set(Misbehaviour::default());
        (self.release_at_ns, self.credits_at_ns, self.device_at_ns) = (NEVER, NEVER, NEVER);
        self.server_frozen_until_ns = 0;
        victims.iter_mut().for_each(|victim| victim.freeze(0));
    }

    /// Whether anything of a device that was removed is still in use.
    #[must_use]
    pub fn holds_removed(&self) -> bool {
        self.removed.iter().any(RemovedDevice::in_use)
    }

    /// What is over by now ends; perhaps something goes wrong now.
    pub fn next(&mut self, fabric: &SoftFabric, target: &Target<SoftFabric>) -> Option<Strike> {
        let now_ns = fabric.now_ns();
        if now_ns >= self.release_at_ns {
            self.release_at_ns = NEVER;
            fabric.faults().release_acks(Scope::All);
        }
        if now_ns >= self.credits_at_ns {
            self.credits_at_ns = NEVER;
            order(target, |orders| orders.credits = None);
        }
        if now_ns >= self.device_at_ns {
            self.device_at_ns = NEVER;
            fabric.faults().add_device();
        }
        self.shape.strike(&mut self.rng)
    }

    /// It goes wrong.
    pub fn happen(
        &mut self,
        strike: Strike,
        fabric: &SoftFabric,
        target: &mut Target<SoftFabric>,
        victims: &mut Victims<'_>,
    ) {
        self.ordered += 1;
        let now_ns = fabric.now_ns();
        let few = self.rng.u32(1..=4);
        match strike {
            Strike::DropAcks
            | Strike::HoldAcks
            | Strike::DropMessages
            | Strike::Rnr
            | Strike::FailWr
            | Strike::FailPost
            | Strike::FailReceivePost
            | Strike::Disconnect
            | Strike::Silence => self.on_link(strike, fabric, victims),
            Strike::RemoveDevice => {
                let removed = fabric.faults().remove_device();
                self.ends("device removed", removed.iter().len() as u64, victims);
                self.removed.extend(removed);
                self.device_at_ns = now_ns + log(&mut self.rng, 1_000, 100_000_000);
            }
            Strike::ChangeAddress => {
                self.ends("address moved", 1, victims);
                fabric.faults().change_address();
            }
            Strike::Connect => match self.rng.u8(0..4) {
                0 => fabric.faults().reject_connects(few, NO_LISTENER),
                1 => fabric.faults().reject_connects(few, STALE_CONNECTION),
                2 => fabric.faults().ignore_connects(few),
                _ => fabric.faults().fail_resolves(few, 110),
            },
            Strike::ServerDisconnect => {
                self.ends("server ended connections", 1, victims);
                target.disconnect_all(Timestamp(now_ns));
            }
            Strike::Restart if self.loses => {
                self.ends("server restarted, forgets", 1, victims);
                target.restart(Timestamp(now_ns));
            }
            Strike::Restart => {
                self.ends("server restarted, remembers", 1, victims);
                target.disconnect_all(Timestamp(now_ns));
                order(target, |orders| orders.change_verifier = true);
            }
            Strike::Freeze => {
                let until_ns = now_ns + log(&mut self.rng, 1_000, self.shape.freeze_ns);
                match victims.get_mut(self.rng.usize(0..=victims.len())) {
                    Some(victim) => {
                        self.tally.count("client stood still", 1);
                        victim.freeze(until_ns);
                    }
                    None => {
                        self.tally.count("server stood still", 1);
                        self.server_frozen_until_ns = until_ns;
                    }
                }
            }
            _ => self.at_server(strike, few, now_ns, target),
        }
    }

    /// Something happened so many times that ends connections, wherever in their lives they are.
    fn ends(&mut self, what: &'static str, times: u64, victims: &Victims<'_>) {
        self.tally.count(what, times);
        let states = victims.iter().flat_map(|victim| victim.states());
        states.for_each(|state| self.tally.count(trouble_while(state), times));
    }

    /// One direction of one connection suffers.
    fn on_link(&mut self, strike: Strike, fabric: &SoftFabric, victims: &Victims<'_>) {
        let scope = self.scope(victims);
        let faults = fabric.faults();
        let (few, soon) = (self.rng.u32(1..=4), self.rng.u64(1..40));
        match strike {
            Strike::DropAcks => faults.amend(scope, |plan| plan.drop_acks(few)),
            Strike::HoldAcks => {
                let hold_ns = log(&mut self.rng, 1_000, self.shape.hold_ns);
                self.release_at_ns = fabric.now_ns() + hold_ns;
                faults.hold_acks(scope);
            }
            Strike::DropMessages => faults.amend(scope, |plan| plan.drop_messages(few)),
            Strike::Rnr => faults.amend(scope, |plan| plan.rnr(few)),
            Strike::FailWr => {
                let status = [
                    WcStatus::RetryExceeded,
                    WcStatus::RnrRetryExceeded,
                    WcStatus::LocalProtection,
                    WcStatus::RemoteAccess,
                ][self.rng.usize(0..4)];
                faults.amend(scope, |plan| plan.fail_wr(soon, status));
            }
            // After the cut the next post is the marker of the drain: there will be none.
            Strike::FailPost if self.rng.bool() => {
                faults.amend(scope, |plan| plan.disconnect_after(0).fail_post(2, 12));
            }
            Strike::FailPost => faults.amend(scope, |plan| plan.fail_post(soon, 12)),
            Strike::FailReceivePost => faults.amend(scope, |plan| plan.fail_recv_post(soon, 12)),
            Strike::Disconnect => faults.amend(scope, |plan| plan.disconnect_after(soon / 2)),
            _ => {
                let met = !matches!(scope, Scope::Qp(0) | Scope::PeerOf(0));
                self.tally.count("card fell silent", met.into());
                faults.silence(scope);
            }
        }
    }

    /// The server does something wrong.
    fn at_server(&mut self, strike: Strike, few: u32, now_ns: u64, target: &Target<SoftFabric>) {
        let few = u64::from(few);
        match strike {
            Strike::ChangeVerifier => order(target, |orders| orders.change_verifier = true),
            Strike::DelayReplies => {
                let delay_ns = log(&mut self.rng, 1_000, 50_000_000);
                order(target, |orders| orders.delay_replies_ns = delay_ns);
            }
            Strike::DropReplies => order(target, |orders| orders.drop_replies += few),
            Strike::DuplicateReplies => order(target, |orders| orders.duplicate_replies += few),
            Strike::WrongXid => order(target, |orders| orders.wrong_xid += 1),
            Strike::Credits => {
                let grant = self.rng.u32(0..=2);
                self.credits_at_ns = now_ns + log(&mut self.rng, 1_000, 100_000_000);
                order(target, |orders| orders.credits = Some(grant));
            }
            Strike::Nonsense => {
                let what = NONSENSE[self.rng.usize(0..NONSENSE.len())];
                target.switch().set(what.parse().unwrap_or_default());
            }
            Strike::Trespass => {
                let what = TRESPASSES[self.rng.usize(0..TRESPASSES.len())];
                target.switch().set(what.parse().unwrap_or_default());
            }
            Strike::NotReady => order(target, |orders| {
                let not_ready: Misbehaviour = "status=JUKEBOX".parse().unwrap_or_default();
                orders.statuses = not_ready.statuses;
            }),
            Strike::BackwardCalls => self.call_back(now_ns, target),
            _ => order(target, |orders| {
                orders.short_read += few;
                orders.short_write += few;
            }),
        }
    }

    /// The server makes as many calls as it was granted, once it has the answers to the last ones;
    /// it will not get them if their connection is lost.
    fn call_back(&mut self, now_ns: u64, target: &Target<SoftFabric>) {
        let stats = target.stats();
        let answered = stats.backward_replies.get() + stats.backward_errors.get();
        let open = stats.backward_calls.get() > answered + self.unanswered;
        if open && now_ns < self.called_back_ns + BACKWARD_NS_MAX {
            return;
        }
        self.unanswered = stats.backward_calls.get() - answered;
        self.called_back_ns = now_ns;
        let chunk = u64::from(self.rng.u8(0..3) == 0);
        let calls = self.rng.u64(1..=u64::from(BACKCHANNEL_SLOTS)) - chunk;
        order(target, |orders| {
            (orders.backward_calls, orders.backward_chunks) = (calls, chunk);
        });
    }

    /// One direction of one connection.
    fn scope(&mut self, victims: &Victims<'_>) -> Scope {
        let qps = victims[self.rng.usize(0..victims.len())].qp_nums();
        // Of a client that has no connection now: nobody.
        let qp = if qps.is_empty() { 0 } else { qps[self.rng.usize(0..qps.len())] };
        if self.rng.u8(0..3) > 0 { Scope::Qp(qp) } else { Scope::PeerOf(qp) }
    }
}

fn order(target: &Target<SoftFabric>, change: impl FnOnce(&mut Misbehaviour)) {
    let mut orders = target.switch().get();
    change(&mut orders);
    target.switch().set(orders);
}
