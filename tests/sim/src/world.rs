//! Everything of one run in one thread: the fabric on virtual time, the server, the clients, and
//! whoever makes things go wrong.

use std::net::SocketAddr;

use fastrand::Rng;
use hugepages::Policy;
use reactor::Timestamp;
use target::Target;
use target::config::{Config, Storage};
use verbs::soft::{Clock, SoftFabric};

use crate::actor::{Actor, Allowed, Phase};
use crate::faults::Trouble;
use crate::shape::Shape;
use crate::{Failure, Report};

/// Steps grow up to this while nothing happens.
const IDLE_STEP_NS: u64 = 1_000_000;
/// Virtual time that a run may take while things go wrong.
const TROUBLE_NS_MAX: u64 = 60_000_000_000;
/// Virtual time for making the mounts, with nothing wrong.
const MOUNTING_NS_MAX: u64 = 20_000_000_000;
/// Virtual time for what is still to do once nothing goes wrong any more, beyond timeouts.
const CALM_NS_MAX: u64 = 20_000_000_000;

/// One run.
pub struct World {
    fabric: SoftFabric,
    target: Target<SoftFabric>,
    actors: Vec<Actor>,
    trouble: Trouble,
    shape: Shape,
    rng: Rng,
    step_ns: u64,
    steps: u64,
}

impl World {
    /// Builds what a seed describes.
    pub fn build(seed: u64, shape: Shape, planted: rpcrdma::PlantedFaults) -> Result<Self, String> {
        let mut rng = Rng::with_seed(seed);
        let fabric = SoftFabric::new(Clock::virtual_time());
        let mut target = start(&fabric, &shape)?;
        let root = target.root();
        let (errors, short) =
            (shape.faults.nonsense > 0, shape.faults.short + shape.faults.nonsense > 0);
        let allowed = Allowed { errors, short, repeated: !shape.server.reply_cache };
        let server = (target.nfs_addr(), root);
        let actors = shape.mounts.iter().enumerate().map(|(index, mount)| {
            Actor::new(index, mount.clone(), allowed, rng.fork(), &fabric, server, planted)
        });
        let actors = actors.collect::<Result<Vec<_>, _>>()?;
        let trouble = Trouble::new(shape.faults.clone(), rng.fork());
        let step_ns = shape.step_ns;
        Ok(Self { fabric, target, actors, trouble, shape, rng, step_ns, steps: 0 })
    }

    /// Lives through the run: mount, work while things go wrong, finish in peace, leave.
    pub fn run(mut self) -> Result<Report, Failure> {
        let outcome = self.live();
        let report = self.report();
        outcome.map(|()| report.clone()).map_err(|what| Failure { what, report })
    }

    fn live(&mut self) -> Result<(), String> {
        self.trouble.calm(&self.fabric, &self.target);
        let mounted = |world: &Self| world.actors.iter().all(|it| it.phase() > Phase::Preparing);
        self.until("mounting", MOUNTING_NS_MAX, mounted)?;
        let end_ns = self.fabric.now_ns() + TROUBLE_NS_MAX;
        self.trouble.begin(&self.fabric);
        while self.actors.iter().any(|it| it.left() > 0) && self.fabric.now_ns() < end_ns {
            self.trouble.strike(&self.fabric, &mut self.target, &self.actors);
            self.step()?;
        }
        self.trouble.calm(&self.fabric, &self.target);
        let slack =
            self.shape.mounts.iter().map(|it| 4 * it.rpc_timeout_ns + 4 * it.reconnect_ns.1);
        let limit = CALM_NS_MAX + slack.max().unwrap_or_default();
        // Liveness: nothing goes wrong any more, so everything comes to its end.
        let gone = |world: &Self| world.actors.iter().all(|it| it.phase() == Phase::Gone);
        self.until("finishing", limit, gone)?;
        // A client that left over a silent link could not say so.
        self.target.disconnect_all(Timestamp(self.fabric.now_ns()));
        self.until("closing", CALM_NS_MAX, |world| world.target.open_connections() == 0)?;
        self.actors.iter().try_for_each(Actor::leaks)?;
        self.check()
    }

    /// What must hold at any time.
    fn check(&self) -> Result<(), String> {
        let stats = self.target.stats();
        if let Some(violation) = self.fabric.violations().first() {
            return Err(format!("memory changed while the card could read it: {violation:?}"));
        }
        // The server counts those that it was ordered to call malformed.
        let ordered = self.shape.faults.nonsense > 0;
        let malformed = if ordered { 0 } else { stats.malformed.get() };
        for (count, what) in [
            (self.fabric.overruns(), "a queue was asked for more than it holds"),
            (stats.credit_overruns.get(), "more calls than the server had granted"),
            (malformed, "a call that makes no sense"),
            (stats.rpc_errors.get(), "a call that the server's RPC layer refused"),
        ] {
            if count > 0 {
                return Err(format!("{what}: {count} times"));
            }
        }
        Ok(())
    }

    fn until(
        &mut self,
        what: &str,
        limit_ns: u64,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        let end_ns = self.fabric.now_ns() + limit_ns;
        while !done(self) {
            if self.fabric.now_ns() >= end_ns {
                let state: Vec<_> = self
                    .actors
                    .iter()
                    .map(|it| format!("{:?} with {} in flight", it.phase(), it.in_flight()))
                    .collect();
                let open = self.target.open_connections();
                return Err(format!(
                    "{what} did not end in {} ms: {state:?}, {open} connections at the server",
                    limit_ns / 1_000_000
                ));
            }
            self.step()?;
        }
        Ok(())
    }

    /// One step of everybody; a reactor that stalls misses it.
    fn step(&mut self) -> Result<(), String> {
        let now = Timestamp(self.fabric.advance(self.step_ns));
        self.steps += 1;
        let mut busy = false;
        for actor in &mut self.actors {
            let mount = &self.shape.mounts[actor.index()];
            if !stalls(&mut self.rng, mount.stall) {
                busy |= actor.turn(now)?;
            }
        }
        if !stalls(&mut self.rng, self.shape.server.stall) {
            busy |= self.target.poll(now);
        }
        self.step_ns = match busy {
            true => self.shape.step_ns,
            false => (self.step_ns * 2).min(IDLE_STEP_NS.max(self.shape.step_ns)),
        };
        if self.steps.is_multiple_of(64) { self.check() } else { Ok(()) }
    }

    fn report(&self) -> Report {
        let mut report = Report { steps: self.steps, ..Report::default() };
        report.virtual_ns = self.fabric.now_ns();
        report.retransmissions = self.fabric.retransmissions();
        for actor in &self.actors {
            report.counters.add(&actor.counters());
            report.digest = report.digest.rotate_left(7) ^ actor.digest;
        }
        report.digest ^= report.virtual_ns ^ report.steps.rotate_left(32);
        report.struck = self.trouble.struck;
        report
    }
}

fn stalls(rng: &mut Rng, per_mille: u32) -> bool {
    per_mille > 0 && rng.u32(0..1000) < per_mille
}

fn start(fabric: &SoftFabric, shape: &Shape) -> Result<Target<SoftFabric>, String> {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let payload = shape.mounts.iter().map(|mount| mount.buffer_len).max().unwrap_or(4096);
    let config = Config {
        listen: loopback,
        mount: loopback,
        storage: Storage::Memory { capacity_bytes: 64 << 20 },
        credits: shape.server.credits,
        inline_send_bytes: shape.server.inline,
        inline_receive_bytes: shape.server.inline,
        payload_bytes_max: payload,
        staging_buffers: shape.server.staging,
        reply_cache: shape.server.reply_cache,
        hugepages: Policy::Off,
        control_interval_ns: 1_000_000,
        epoch_unix_ns: 1_700_000_000_000_000_000,
        ..Config::default()
    };
    Target::start(fabric, config).map_err(|error| error.to_string())
}
