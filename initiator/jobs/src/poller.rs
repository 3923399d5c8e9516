//! One mount on one reactor and the jobs that run over it: mounts, runs them, unmounts, reports.
//!
//! Threading: made, polled and dropped on its reactor. It tells the main thread what happens over
//! a channel that has room for all it will ever say.
//!
//! Faults survived: a mount that fails or is lost; a stop in any phase; a server that goes silent
//! after a stop (its operations are given up with the connection after a while). Nothing is
//! reported before every operation is back and the connection is gone.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use client::{Client, MountConfig, MountId, MountState};
use crossbeam_channel::Sender;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use reactor::{Clock, Poller, Progress, Timestamp, Turn, WakeSources};
use rpcrdma::{Counters, EndpointConfig, Holdings};
use verbs::Provider;
use workload::{CpuUse, Instance, JobResult, Limits, Phase, Runner, RunnerProgress, RunnerSet};

use crate::backend::MountBackend;

/// After a stop, operations have so long to come back before the connection is closed on them.
const STOP_PATIENCE_NS: u64 = 2_000_000_000;

/// How often connections that are down are counted.
const COUNT_EVERY_NS: u64 = 100_000_000;

/// What a poller is to do.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Which site of the plan it mounts.
    pub site: usize,
    /// As the user names it.
    pub url: String,
    /// How.
    pub mount: MountConfig,
    /// Limits of its endpoint.
    pub endpoint: EndpointConfig,
    /// Where in the mount the jobs' paths begin.
    pub directory: String,
    /// What runs.
    pub instances: Vec<Instance>,
    /// Which of its stage's pollers it is.
    pub number: usize,
    /// When it changes, it is asked how things are.
    pub asked: Arc<AtomicU64>,
}

/// What a poller tells.
pub enum Event {
    /// The jobs run; here is where to see how far they are, and how many connections are down.
    Started(Vec<(Instance, Arc<workload::Progress>)>, Arc<AtomicUsize>),
    /// It was asked: what has come of it so far.
    Status(Box<Outcome>),
    /// All is over, and the mount is gone.
    Ended(Box<Outcome>),
}

/// Events of one poller that wait to be taken: nobody asks again before there was an answer.
pub const EVENTS_MAX: usize = 3;

/// What came of an assignment.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of its stage's pollers.
    pub number: usize,
    /// Which site of the plan it had mounted.
    pub site: usize,
    /// By index of the instance; or why nothing ran.
    pub results: Result<Vec<(u32, JobResult)>, String>,
    /// What the transport did, over all connections.
    pub counters: Counters,
    /// What each connection did, where there are several.
    pub connections: Vec<Counters>,
    /// The server's last grant.
    pub credits_granted: Option<u32>,
    /// Times the server wanted an operation to be asked for later.
    pub jukebox_waits: u64,
    /// What pages the buffers were on.
    pub memory: Option<String>,
    /// What is not at home at this moment.
    pub held: Held,
}

/// Memory and places of a mount that are in use. Over a run that goes on none may grow but by what
/// is in flight: `--status-interval` shows a leak.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Payload buffers that are not in the pool.
    pub buffers: usize,
    /// What connections hold.
    pub transport: Holdings,
    /// Memory windows allocated and not given up.
    pub windows: u64,
}

enum State<P: Provider> {
    Mounting,
    Running(RunnerSet<MountBackend<P>>),
    Unmounting,
    Done,
}

/// See the module documentation.
pub struct JobPoller<P: Provider> {
    state: State<P>,
    backend: MountBackend<P>,
    site: usize,
    url: String,
    instances: Vec<Instance>,
    events: Sender<Event>,
    number: usize,
    asked: Arc<AtomicU64>,
    answered: u64,
    /// Pollers of this reactor that are not done; the last one stops it.
    pending: Rc<Cell<usize>>,
    progress: Vec<Arc<workload::Progress>>,
    /// Connections that are down, for those who watch, and when to count them again.
    reconnecting: Arc<AtomicUsize>,
    count_at: Timestamp,
    /// The thread's CPU use when the first job began to measure.
    cpu_at_start: Option<CpuUse>,
    stop_seen: Option<Timestamp>,
    results: Option<Result<Vec<(u32, JobResult)>, String>>,
    credits_granted: Option<u32>,
    memory: Option<String>,
}

impl<P: Provider> JobPoller<P> {
    /// Begins to mount.
    ///
    /// # Errors
    /// A setting out of range, or no RDMA on this host.
    pub fn new(
        provider: P,
        assignment: Assignment,
        events: Sender<Event>,
        pending: Rc<Cell<usize>>,
        clock: Clock,
        now: Timestamp,
    ) -> Result<Self, client::Error> {
        let Assignment { site, url, mount, endpoint, directory, instances, number, asked } =
            assignment;
        let mut client = Client::new(provider, endpoint);
        let id = client.mount(&mount, now)?;
        Ok(Self {
            state: State::Mounting,
            backend: MountBackend::new(client, id, &directory, clock, now),
            site,
            url,
            instances,
            events,
            number,
            answered: asked.load(Ordering::Relaxed),
            asked,
            pending,
            progress: Vec::new(),
            reconnecting: Arc::default(),
            count_at: now,
            cpu_at_start: None,
            stop_seen: None,
            results: None,
            credits_granted: None,
            memory: None,
        })
    }

    /// The client and its mount, to be looked at.
    pub fn client(&self) -> (&Client<P>, MountId) {
        (&self.backend.client, self.backend.mount)
    }

    fn mounting(&mut self, now: Timestamp, stopping: bool) -> Progress {
        let worked = self.backend.client.turn(now) > 0;
        match self.backend.client.state(self.backend.mount) {
            MountState::Gone(error) => {
                self.results = Some(Err(format!("cannot mount {}: {error}", self.url)));
            }
            _ if stopping => self.results = Some(Ok(Vec::new())),
            MountState::Mounted => return self.start(now),
            MountState::Mounting if worked => return Progress::Busy,
            MountState::Mounting => return Progress::Idle,
        }
        self.unmount(now)
    }

    /// The mount is made: so are the runners.
    fn start(&mut self, now: Timestamp) -> Progress {
        let MountBackend { client, mount, .. } = &self.backend;
        self.memory = client.memory_report(*mount);
        let payload = client.limits(*mount).map_or(0, |l| l.read_max.min(l.write_max));
        let limits = Limits { payload_bytes_max: payload };
        self.backend.mounted();
        let numbered = (0..).zip(&self.instances);
        let runners = numbered.map(|(id, instance)| Runner::new(instance, limits, id));
        match runners.collect::<Result<Vec<_>, _>>() {
            Ok(runners) => {
                self.progress = runners.iter().map(Runner::progress).collect();
                let watched = self.instances.iter().cloned().zip(self.progress.iter().cloned());
                self.tell(Event::Started(watched.collect(), self.reconnecting.clone()));
                self.state = State::Running(RunnerSet::new(runners));
                Progress::Busy
            }
            Err(error) => {
                self.results = Some(Err(error.to_string()));
                self.unmount(now)
            }
        }
    }

    fn running(&mut self, now: Timestamp, stopping: bool) -> Progress {
        let State::Running(runners) = &mut self.state else { return Progress::Idle };
        if stopping {
            let since = *self.stop_seen.get_or_insert_with(|| {
                runners.stop();
                now
            });
            if now.ns_since(since) > STOP_PATIENCE_NS {
                self.backend.client.unmount(self.backend.mount, now);
            }
        }
        let progress = runners.turn(now.0, &mut self.backend);
        if now >= self.count_at {
            self.count_at = now.add_ns(COUNT_EVERY_NS);
            let down = self.backend.client.reconnecting(self.backend.mount);
            self.reconnecting.store(down, Ordering::Relaxed);
        }
        if self.cpu_at_start.is_none()
            && self.progress.iter().any(|job| job.snapshot().phase >= Phase::Running)
        {
            self.cpu_at_start = Some(thread_cpu());
        }
        match progress {
            RunnerProgress::Busy => Progress::Busy,
            RunnerProgress::Idle => Progress::Idle,
            RunnerProgress::Finished => {
                self.collect();
                self.unmount(now)
            }
        }
    }

    fn collect(&mut self) {
        self.credits_granted = self.backend.client.credits_granted(self.backend.mount);
        let State::Running(runners) = std::mem::replace(&mut self.state, State::Unmounting) else {
            return;
        };
        self.results = Some(Ok(self.numbered(runners.into_results())));
    }

    /// Results with the indices of their instances and their share of the thread's time.
    fn numbered(&self, mut results: Vec<JobResult>) -> Vec<(u32, JobResult)> {
        let now = thread_cpu();
        let cpu = share_of_cpu(&self.cpu_at_start.unwrap_or(now), &now, results.len() as u64);
        for result in &mut results {
            result.cpu = cpu;
        }
        let indices = self.instances.iter().map(|instance| instance.index);
        indices.zip(results).collect()
    }

    /// Tells who asks how things are.
    #[cold]
    fn answer(&mut self, asked: u64, now: Timestamp) {
        self.answered = asked;
        let results = match &self.state {
            State::Running(runners) => Ok(self.numbered(runners.results_so_far(now.0))),
            _ => self.results.clone().unwrap_or_else(|| Ok(Vec::new())),
        };
        let outcome = self.outcome(results);
        self.tell(Event::Status(Box::new(outcome)));
    }

    fn outcome(&self, results: Result<Vec<(u32, JobResult)>, String>) -> Outcome {
        let MountBackend { client, mount, .. } = &self.backend;
        Outcome {
            number: self.number,
            site: self.site,
            results,
            counters: client.counters(*mount).unwrap_or_default(),
            connections: client.connection_counters(*mount),
            credits_granted: self.credits_granted.or_else(|| client.credits_granted(*mount)),
            jukebox_waits: client.jukebox_waits(*mount),
            memory: self.memory.clone(),
            held: self.held(),
        }
    }

    fn held(&self) -> Held {
        let MountBackend { client, mount, .. } = &self.backend;
        let counters = client.counters(*mount).unwrap_or_default();
        Held {
            buffers: client.pool(*mount).map_or(0, |pool| pool.capacity() - pool.available()),
            transport: client.holdings(*mount),
            windows: counters.mrs_allocated.saturating_sub(counters.mrs_recycled),
        }
    }

    fn unmount(&mut self, now: Timestamp) -> Progress {
        self.backend.client.unmount(self.backend.mount, now);
        self.state = State::Unmounting;
        Progress::Busy
    }

    fn unmounting(&mut self, turn: &mut Turn<'_>) -> Progress {
        let MountBackend { client, mount, .. } = &mut self.backend;
        let worked = client.turn(turn.now()) > 0;
        let gone = client.is_unmounted(*mount);
        let empty = client.in_flight(*mount) == 0;
        self.backend.discard();
        match (gone && empty, worked) {
            (true, _) => self.end(turn),
            (false, true) => Progress::Busy,
            (false, false) => Progress::Idle,
        }
    }

    fn end(&mut self, turn: &mut Turn<'_>) -> Progress {
        self.state = State::Done;
        let results = self.results.take().unwrap_or_else(|| Ok(Vec::new()));
        let outcome = self.outcome(results);
        self.tell(Event::Ended(Box::new(outcome)));
        self.pending.set(self.pending.get() - 1);
        if self.pending.get() == 0 {
            turn.request_stop();
        }
        Progress::Done
    }

    fn tell(&self, event: Event) {
        // There is room for everything; if nobody listens any more there is nobody to tell.
        let _ = self.events.try_send(event);
    }
}

impl<P: Provider> Poller for JobPoller<P> {
    fn name(&self) -> &str {
        "jobs"
    }

    fn poll(&mut self, turn: &mut Turn<'_>) -> Progress {
        let (now, stopping) = (turn.now(), turn.stopping());
        self.backend.now = now;
        let asked = self.asked.load(Ordering::Relaxed);
        if asked != self.answered {
            self.answer(asked, now);
        }
        match self.state {
            State::Running(_) => self.running(now, stopping),
            State::Mounting => self.mounting(now, stopping),
            State::Unmounting => self.unmounting(turn),
            State::Done => Progress::Done,
        }
    }

    fn arm(&mut self, sources: &mut WakeSources) -> bool {
        let MountBackend { client, mount, .. } = &mut self.backend;
        // Jobs that wait for no answer wait for the clock or for each other's buffers.
        let waits_for_jobs =
            matches!(self.state, State::Running(_)) && client.in_flight(*mount) == 0;
        !waits_for_jobs && client.arm(sources)
    }

    fn drained(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

/// What the calling thread has used so far.
fn thread_cpu() -> CpuUse {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else { return CpuUse::default() };
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let ns = |time: nix::sys::time::TimeVal| count(time.num_nanoseconds());
    let switches = |usage: &Usage| {
        count(usage.voluntary_context_switches()) + count(usage.involuntary_context_switches())
    };
    CpuUse {
        user_ns: ns(usage.user_time()),
        system_ns: ns(usage.system_time()),
        context_switches: switches(&usage),
        major_faults: count(usage.major_page_faults()),
        minor_faults: count(usage.minor_page_faults()),
    }
}

/// A thread's use between two moments, divided equally among the jobs that it ran.
fn share_of_cpu(from: &CpuUse, to: &CpuUse, jobs: u64) -> CpuUse {
    let share = |from: u64, to: u64| to.saturating_sub(from) / jobs.max(1);
    CpuUse {
        user_ns: share(from.user_ns, to.user_ns),
        system_ns: share(from.system_ns, to.system_ns),
        context_switches: share(from.context_switches, to.context_switches),
        major_faults: share(from.major_faults, to.major_faults),
        minor_faults: share(from.minor_faults, to.minor_faults),
    }
}
