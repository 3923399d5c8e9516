//! Everything of one run in one thread: the fabric on virtual time, the server, the clients on
//! their reactors, and whoever makes things go wrong.

use std::net::SocketAddr;

use fastrand::Rng;
use hugepages::Policy;
use reactor::Timestamp;
use rpcrdma::{Fault, Recovery};
use target::Target;
use target::config::{Config, Storage};
use verbs::soft::{Clock, InUse, SoftFabric};

use crate::actor::{Actor, Allowed, Order, Phase};
use crate::faults::{Trouble, Victim};
use crate::finding::{Checker, Finding};
use crate::host::Host;
use crate::job::JobHost;
use crate::shape::{MountShape, ServerShape, Shape, Strike};
use crate::{Failure, Report};

/// Steps grow up to this while nothing happens.
const IDLE_STEP_NS: u64 = 1_000_000;
/// Virtual time that a run may take while things go wrong.
const TROUBLE_NS_MAX: u64 = 60_000_000_000;
/// Steps of the same: of a run that lasts so long the rest is as its beginning.
const TROUBLE_STEPS_MAX: u64 = 1_000_000;
/// Virtual time for each thing that is to be done with nothing wrong, beyond timeouts.
const CALM_NS_MAX: u64 = 20_000_000_000;
/// Virtual time after the last answer until nothing may be held for calls any more.
const REST_NS_MAX: u64 = 1_000_000_000;

/// One run.
pub struct World {
    fabric: SoftFabric,
    target: Target<SoftFabric>,
    hosts: Vec<Host>,
    job: Option<JobHost>,
    /// The others mount first, so that it does not run before things go wrong.
    job_waits: bool,
    trouble: Trouble,
    shape: Shape,
    rng: Rng,
    step_ns: u64,
    steps: u64,
    /// Turns that the server missed.
    server_missed: u64,
}

impl World {
    /// Builds what a seed describes.
    pub fn build(seed: u64, shape: Shape, fault: Option<Fault>) -> Result<Self, Finding> {
        let mut rng = Rng::with_seed(seed);
        let fabric = SoftFabric::new(Clock::virtual_time());
        let mut target = start(&fabric, &shape)?;
        let server = (target.nfs_addr(), target.root());
        let hosts = shape.mounts.iter().enumerate().map(|(index, mount)| {
            let about = (mount.clone(), allowed(&shape, mount));
            Host::new(mount, |orders| {
                Actor::new(index, about, rng.fork(), &fabric, server, orders, fault)
            })
        });
        let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
        let job = shape
            .job
            .as_ref()
            .map(|job| JobHost::new(job, allowed(&shape, &job.mount), &fabric, server, fault));
        let job = job.transpose()?;
        let trouble = Trouble::new(shape.faults.clone(), shape.server.loses, rng.fork());
        let step_ns = shape.step_ns;
        if shape.shuffle {
            fabric.faults().shuffle_completions(rng.u64(..));
        }
        let (steps, server_missed, job_waits) = (0, 0, !shape.mount_in_trouble);
        Ok(Self {
            fabric,
            target,
            hosts,
            job,
            job_waits,
            trouble,
            shape,
            rng,
            step_ns,
            steps,
            server_missed,
        })
    }

    /// Lives through the run: mount, work while things go wrong, finish in peace, leave.
    pub fn run(mut self) -> Result<Report, Failure> {
        let lived = self.live();
        let report = self.report();
        let outcome = lived.and_then(|()| self.dissolve());
        match outcome {
            Ok(()) => Ok(report),
            Err(finding) => Err(Failure { finding, report: Box::new(report) }),
        }
    }

    fn live(&mut self) -> Result<(), Finding> {
        self.calm();
        if !self.shape.mount_in_trouble {
            self.until_all("mounting", |actor| actor.phase() > Phase::Preparing)?;
            self.job_waits = false;
            let started = |world: &Self| world.job.iter().all(JobHost::has_started);
            self.until("starting the job", CALM_NS_MAX, started)?;
        }
        self.work()?;
        self.calm();
        // Liveness: nothing goes wrong any more, so everything comes to its end.
        self.until_all("settling", |actor| actor.phase() == Phase::Settled)?;
        let over = |world: &Self| world.job.iter().all(JobHost::is_over);
        self.until("the job", CALM_NS_MAX + self.slack_ns(), over)?;
        if self.shape.server.loses {
            self.target.restart(self.now());
        }
        self.order_all(Order::Check);
        self.until_all("reading back", |actor| actor.phase() == Phase::Resting)?;
        self.rest()?;
        self.order_all(Order::Leave);
        self.until_all("leaving", |actor| actor.phase() == Phase::Gone)?;
        // A client that left over a silent link could not say so.
        self.target.disconnect_all(self.now());
        self.until("closing", CALM_NS_MAX, |world| world.target.open_connections() == 0)?;
        self.check()
    }

    /// Gives out the work, and lets things go wrong until it has been begun.
    fn work(&mut self) -> Result<(), Finding> {
        for (host, mount) in self.hosts.iter_mut().zip(&self.shape.mounts) {
            let mut left = mount.operations;
            while left > 0 {
                let some = left.min(mount.order);
                left -= some;
                host.order(Order::Work(some));
            }
            host.order(Order::Settle);
        }
        let end_ns = self.fabric.now_ns() + TROUBLE_NS_MAX;
        let end_steps = self.steps + TROUBLE_STEPS_MAX;
        self.trouble.begin(&self.fabric);
        let at_work = |host: &Host| {
            host.has_unsent() || host.actor(|it| it.left() > 0 || it.phase() < Phase::Working)
        };
        let unfinished = |job: &JobHost| !job.is_over();
        while (self.hosts.iter().any(at_work) || self.job.iter().any(unfinished))
            && self.fabric.now_ns() < end_ns
            && self.steps < end_steps
        {
            if let Some(strike) = self.trouble.next(&self.fabric, &self.target) {
                let Self { fabric, target, hosts, job, trouble, .. } = self;
                trouble.happen(strike, fabric, target, &mut victims(hosts, job));
            }
            self.step()?;
        }
        Ok(())
    }

    fn calm(&mut self) {
        let Self { fabric, target, hosts, job, trouble, .. } = self;
        trouble.calm(fabric, target, &mut victims(hosts, job));
    }

    fn order_all(&mut self, order: Order) {
        self.hosts.iter_mut().for_each(|host| host.order(order));
    }

    /// With nothing under way, nothing is held for calls, soon.
    fn rest(&mut self) -> Result<(), Finding> {
        let end_ns = self.fabric.now_ns() + REST_NS_MAX;
        loop {
            let at_rest = self.hosts.iter().try_for_each(|host| host.actor(Actor::at_rest));
            if at_rest.is_ok() || self.fabric.now_ns() >= end_ns {
                return at_rest;
            }
            self.step()?;
        }
    }

    /// Takes everything apart: nothing may be left of it.
    fn dissolve(self) -> Result<(), Finding> {
        let Self { fabric, target, mut hosts, job, trouble, .. } = self;
        let now = Timestamp(fabric.now_ns());
        hosts.iter_mut().try_for_each(|host| host.stop(now))?;
        hosts.iter().try_for_each(|host| host.actor_mut(Actor::leaks))?;
        drop((hosts, job));
        if trouble.holds_removed() {
            return Err(Checker::Leaks.says("something of a removed device is still in use"));
        }
        drop(target);
        match fabric.in_use() {
            InUse { regions: 0, windows: 0, queue_pairs: 0 } => Ok(()),
            left => Err(Checker::Leaks.says(format!("at the end there are still {left:?}"))),
        }
    }

    /// What must hold at any time.
    fn check(&self) -> Result<(), Finding> {
        let stats = self.target.stats();
        if let Some(violation) = self.fabric.violations().first() {
            let what = format!("memory changed while the card could read it: {violation:?}");
            return Err(Checker::Memory.says(what));
        }
        // The server counts those that it was ordered to call malformed.
        let ordered = self.shape.faults.has(Strike::Nonsense);
        let malformed = if ordered { 0 } else { stats.malformed.get() };
        for (checker, count, what) in [
            (Checker::Queues, self.fabric.overruns(), "a queue was asked for more than it holds"),
            (Checker::Queues, stats.credit_overruns.get(), "more calls than were granted"),
            (Checker::Results, malformed, "a call that makes no sense"),
            (Checker::Results, stats.rpc_errors.get(), "a call that the server's RPC refused"),
        ] {
            if count > 0 {
                return Err(checker.says(format!("{what}: {count} times")));
            }
        }
        Ok(())
    }

    fn until_all(&mut self, what: &str, done: impl Fn(&Actor) -> bool) -> Result<(), Finding> {
        let done = |world: &Self| world.hosts.iter().all(|host| host.actor(&done));
        self.until(what, CALM_NS_MAX + self.slack_ns(), done)
    }

    /// What time limits and pauses of the mounts add up to.
    fn slack_ns(&self) -> u64 {
        let slack = |mount: &MountShape| {
            let patience = 4 + u64::from(mount.retrans);
            patience * mount.rpc_timeout_ns + 4 * mount.reconnect_ns.1
        };
        self.shape.all_mounts().map(slack).max().unwrap_or_default()
    }

    fn until(
        &mut self,
        what: &str,
        limit_ns: u64,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), Finding> {
        let end_ns = self.fabric.now_ns() + limit_ns;
        while !done(self) {
            if self.fabric.now_ns() >= end_ns {
                let state = |it: &Actor| format!("{:?}, {} in flight", it.phase(), it.in_flight());
                let states: Vec<_> = self.hosts.iter().map(|host| host.actor(state)).collect();
                let (limit_ms, open) = (limit_ns / 1_000_000, self.target.open_connections());
                let what = format!(
                    "{what} did not end in {limit_ms} ms: {states:?}, {open} connections at the server"
                );
                return Err(Checker::Liveness.says(what));
            }
            self.step()?;
        }
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.fabric.now_ns())
    }

    /// One step of everybody; a reactor that stalls misses it.
    fn step(&mut self) -> Result<(), Finding> {
        let now_ns = self.fabric.advance(self.step_ns);
        let now = Timestamp(now_ns);
        self.steps += 1;
        let mut busy = false;
        for (host, mount) in self.hosts.iter_mut().zip(&self.shape.mounts) {
            host.send()?;
            if stalls(&mut self.rng, mount.stall) || now_ns < host.frozen_until_ns {
                host.missed += 1;
            } else {
                busy |= host.turn(now)?;
            }
        }
        if let (Some(job), Some(shape), false) = (&mut self.job, &self.shape.job, self.job_waits) {
            if stalls(&mut self.rng, shape.mount.stall) || job.is_frozen(now_ns) {
                job.missed += 1;
            } else {
                busy |= job.turn(now)?;
            }
        }
        let frozen = now_ns < self.trouble.server_frozen_until_ns;
        if stalls(&mut self.rng, self.shape.server.stall) || frozen {
            self.server_missed += 1;
        } else {
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
        report.faults = self.trouble.ordered;
        let tally = &mut report.tally;
        tally.add(&self.trouble.tally);
        tally.extend(self.fabric.faults().struck());
        tally.extend(self.target.switch().followed());
        tally.count("message transmitted again", report.retransmissions);
        tally.count("turn missed by the server", self.server_missed);
        tally.count("server without memory", (!self.shape.server.reply_cache).into());
        for host in &self.hosts {
            report.tally.count("mailbox full", host.mailbox_full);
            report.tally.count("turn missed by a client", host.missed);
            host.actor(|actor| {
                report.tally.extend(actor.tally());
                report.counters.add(&actor.counters());
                report.seen.add(&actor.seen);
                report.digest = report.digest.rotate_left(7) ^ actor.digest;
            });
        }
        if let Some(job) = &self.job {
            report.jobs = (job.is_over().into(), job.blocks());
            report.tally.count("turn missed by a client", job.missed);
            report.counters.add(&job.counters());
            report.digest = report.digest.rotate_left(7) ^ job.digest();
        }
        report.digest ^= report.virtual_ns ^ report.steps.rotate_left(32);
        report
    }
}

/// Those whom it happens to.
fn victims<'a>(hosts: &'a mut [Host], job: &'a mut Option<JobHost>) -> Vec<&'a mut dyn Victim> {
    let hosts = hosts.iter_mut().map(|host| host as &mut dyn Victim);
    hosts.chain(job.iter_mut().map(|job| job as &mut dyn Victim)).collect()
}

fn allowed(shape: &Shape, mount: &MountShape) -> Allowed {
    let ServerShape { reply_cache, loses, .. } = shape.server;
    let has = |strike| shape.faults.has(strike);
    Allowed {
        errors: has(Strike::Nonsense) || mount.recovery != Recovery::Hard,
        short: has(Strike::Short) || has(Strike::Nonsense),
        repeated: !reply_cache || (loses && has(Strike::Restart)),
        loses,
        // A server that stands still for longer than a soft mount waits is one that never answered.
        mount_fails: shape.mount_in_trouble
            || (shape.server.stall > 0 && mount.recovery != Recovery::Hard),
    }
}

fn stalls(rng: &mut Rng, per_mille: u32) -> bool {
    per_mille > 0 && rng.u32(0..1000) < per_mille
}

fn start(fabric: &SoftFabric, shape: &Shape) -> Result<Target<SoftFabric>, Finding> {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let payload = shape.all_mounts().map(|mount| mount.buffer_len).max().unwrap_or(4096);
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
        loses_unstable: shape.server.loses,
        hugepages: Policy::Off,
        control_interval_ns: 1_000_000,
        epoch_unix_ns: 1_700_000_000_000_000_000,
        ..Config::default()
    };
    Target::start(fabric, config).map_err(|error| Checker::Results.says(error.to_string()))
}
