//! Who makes things go wrong: at each step, with the chances of the run's shape, one fault.

use fastrand::Rng;
use target::{Misbehaviour, Target};
use verbs::WcStatus;
use verbs::soft::{FaultPlan, Scope, SoftFabric};

use crate::actor::Actor;
use crate::shape::{FaultShape, log};

/// Misbehaviour that makes the call it happens to fail.
const NONSENSE: [&str; 10] = [
    "wrong-version=1",
    "truncate-replies=1",
    "foreign-rkey=1",
    "foreign-offset=1",
    "long-chunk=1",
    "read-count=1",
    "err-chunk=1",
    "err-vers=1",
    "status=IO:any:1",
    "garbage-replies=1",
];

/// See the module documentation.
pub struct Trouble {
    shape: FaultShape,
    rng: Rng,
    /// When acknowledgements that are held back are let go.
    release_at_ns: u64,
    /// When the server grants its credits again.
    credits_at_ns: u64,
    /// Faults so far.
    pub struck: u64,
}

impl Trouble {
    /// Nothing yet.
    #[must_use]
    pub fn new(shape: FaultShape, rng: Rng) -> Self {
        Self { shape, rng, release_at_ns: u64::MAX, credits_at_ns: u64::MAX, struck: 0 }
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
    pub fn calm(&mut self, fabric: &SoftFabric, target: &Target<SoftFabric>) {
        fabric.faults().set(Scope::All, self.base());
        fabric.faults().reject_connects(0, 0);
        target.switch().set(Misbehaviour::default());
        (self.release_at_ns, self.credits_at_ns) = (u64::MAX, u64::MAX);
    }

    /// Perhaps something goes wrong now.
    pub fn strike(
        &mut self,
        fabric: &SoftFabric,
        target: &mut Target<SoftFabric>,
        actors: &[Actor],
    ) {
        let now_ns = fabric.now_ns();
        if now_ns >= self.release_at_ns {
            self.release_at_ns = u64::MAX;
            fabric.faults().release_acks(Scope::All);
        }
        if now_ns >= self.credits_at_ns {
            self.credits_at_ns = u64::MAX;
            self.order(target, |orders| orders.credits = None);
        }
        let mut at = self.rng.u32(0..1_000_000);
        for (index, rate) in self.rates().into_iter().enumerate() {
            if at < rate {
                self.struck += 1;
                return self.happen(index, fabric, target, actors);
            }
            at -= rate;
        }
    }

    /// Chances in the order of [`Trouble::happen`].
    fn rates(&self) -> [u32; 18] {
        let shape = &self.shape;
        [
            shape.drop_acks,
            shape.hold_acks,
            shape.drop_messages,
            shape.rnr,
            shape.fail_wr,
            shape.fail_post,
            shape.fail_recv_post,
            shape.disconnect,
            shape.silence,
            shape.server_disconnect,
            shape.connect,
            shape.delay_replies,
            shape.drop_replies,
            shape.duplicate_replies,
            shape.wrong_xid,
            shape.credits,
            shape.nonsense,
            shape.short,
        ]
    }

    fn happen(
        &mut self,
        index: usize,
        fabric: &SoftFabric,
        target: &mut Target<SoftFabric>,
        actors: &[Actor],
    ) {
        let scope = self.scope(actors);
        let faults = fabric.faults();
        let few = self.rng.u32(1..=4);
        match index {
            0 => faults.amend(scope, |plan| plan.drop_acks(few)),
            1 => {
                self.release_at_ns =
                    fabric.now_ns() + log(&mut self.rng, 1_000, self.shape.hold_ns.max(1_000));
                faults.hold_acks(scope);
            }
            2 => faults.amend(scope, |plan| plan.drop_messages(few)),
            3 => faults.amend(scope, |plan| plan.rnr(few)),
            4 => {
                let (nth, status) = (self.rng.u64(1..40), self.status());
                faults.amend(scope, |plan| plan.fail_wr(nth, status));
            }
            5 => {
                let nth = self.rng.u64(1..40);
                faults.amend(scope, |plan| plan.fail_post(nth, 12));
            }
            6 => {
                let nth = self.rng.u64(1..40);
                faults.amend(scope, |plan| plan.fail_recv_post(nth, 12));
            }
            7 => {
                let after = self.rng.u64(0..20);
                faults.amend(scope, |plan| plan.disconnect_after(after));
            }
            8 => faults.silence(scope),
            9 => target.disconnect_all(reactor::Timestamp(fabric.now_ns())),
            10 => match self.rng.u8(0..3) {
                0 => faults.reject_connects(few, 8),
                1 => faults.ignore_connects(few),
                _ => faults.fail_resolves(few, 110),
            },
            11 => {
                let delay_ns = log(&mut self.rng, 1_000, 50_000_000);
                self.order(target, |orders| orders.delay_replies_ns = delay_ns);
            }
            12 => self.order(target, |orders| orders.drop_replies += u64::from(few)),
            13 => self.order(target, |orders| orders.duplicate_replies += u64::from(few)),
            14 => self.order(target, |orders| orders.wrong_xid += 1),
            15 => {
                let grant = self.rng.u32(0..=2);
                self.credits_at_ns = fabric.now_ns() + log(&mut self.rng, 1_000, 100_000_000);
                self.order(target, |orders| orders.credits = Some(grant));
            }
            16 => {
                let what = NONSENSE[self.rng.usize(0..NONSENSE.len())];
                target.switch().set(what.parse().unwrap_or_default());
            }
            _ => self.order(target, |orders| {
                orders.short_read += u64::from(few);
                orders.short_write += u64::from(few);
            }),
        }
    }

    fn order(&self, target: &Target<SoftFabric>, change: impl FnOnce(&mut Misbehaviour)) {
        let mut orders = target.switch().get();
        change(&mut orders);
        target.switch().set(orders);
    }

    /// One direction of one connection.
    fn scope(&mut self, actors: &[Actor]) -> Scope {
        // Of a client that has no connection now: nobody.
        let qp = actors[self.rng.usize(0..actors.len())].qp_num().unwrap_or(0);
        if self.rng.u8(0..3) > 0 { Scope::Qp(qp) } else { Scope::PeerOf(qp) }
    }

    fn status(&mut self) -> WcStatus {
        [WcStatus::RetryExceeded, WcStatus::RnrRetryExceeded, WcStatus::LocalProtection]
            [self.rng.usize(0..3)]
    }
}
