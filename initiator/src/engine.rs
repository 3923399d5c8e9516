//! Runs jobs: spreads job threads over pinned reactors, stage after stage, and collects results.
//!
//! Threading: this is the main thread. It blocks in one place only, waiting for what the pollers
//! tell, and looks up every [`TICK`] to draw the progress line and to see signals.
//!
//! Faults survived: a mount that fails (everything else is stopped and joined, then reported), a
//! reactor that dies, SIGINT and SIGTERM (jobs end early, with results).

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use client::{Located, MountConfig};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use reactor::{
    Clock, IdlePolicy, ReactorConfig, ReactorHandle, ReactorStats, StopToken, core_numa_node,
    signals,
};
use rpcrdma::BufferConfig;
use verbs::Provider;
use workload::{Instance, Job, JobResult};

use crate::config::Settings;
use crate::progress::ProgressLine;
use crate::status::Status;
use jobs::{Assignment, EVENTS_MAX, Event, JobPoller, Outcome};

/// How often the main thread looks up.
const TICK: Duration = Duration::from_millis(50);
/// A turn longer than this is reported. Both sides map and register their buffers in one turn when
/// a connection is made, which takes hundreds of milliseconds where there are many.
pub(crate) const STALL: Duration = Duration::from_secs(1);
/// Operations that a job may have open while its files are laid out.
const LAYOUT_DEPTH: u32 = 16;
/// Buffers of a mount beyond one an operation.
const SPARE_BUFFERS: u32 = 16;
/// Operations in flight on one mount of one reactor.
const DEPTH_MAX: u64 = 1 << 17;
/// No NFS server takes more in one operation; `bs` beyond it is refused when the mount is made.
const PAYLOAD_MAX: u32 = 4 << 20;
/// Buffers are a multiple of this.
const BUFFER_UNIT: u32 = 4096;

/// A mount that jobs work on.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// As the user names it.
    pub(crate) url: String,
    /// Where it is.
    pub(crate) located: Located,
}

/// What to run, where.
pub(crate) struct Plan<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) jobs: &'a [Job],
    pub(crate) sites: &'a [Site],
    /// For each job its site.
    pub(crate) site_of_job: &'a [usize],
    pub(crate) cores: &'a [usize],
    pub(crate) idle: IdlePolicy,
    /// Whether to draw a progress line.
    pub(crate) progress: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// In the order of the instances.
    pub(crate) results: Vec<JobResult>,
    pub(crate) outcomes: Vec<Outcome>,
    /// Job reactors; one that served several stages is in here for each.
    pub(crate) reactors: Vec<ReactorStats>,
}

/// Job threads that run at the same time, at most.
pub(crate) fn threads_max(jobs: &[Job]) -> usize {
    let stages = jobs.iter().map(|job| job.stage);
    let threads = |stage| {
        let of_stage = jobs.iter().filter(|job| job.stage == stage);
        of_stage.map(|job| job.numjobs as usize).sum()
    };
    stages.map(threads).max().unwrap_or(0)
}

/// Runs all stages.
///
/// # Errors
/// A job that could not begin. (One that failed has its failure in its result.)
pub(crate) fn execute<P: Provider>(
    provider: &P,
    plan: &Plan<'_>,
    status: &mut Status<'_>,
) -> Result<Ran> {
    let interrupt = signals::install()?;
    let threads = plan.jobs.iter().zip(plan.site_of_job);
    let sites = threads.flat_map(|(job, &site)| std::iter::repeat_n(site, job.numjobs as usize));
    let all: Vec<(Instance, usize)> = Instance::of(plan.jobs).into_iter().zip(sites).collect();
    let mut stages: Vec<u32> = plan.jobs.iter().map(|job| job.stage).collect();
    stages.dedup();
    let mut ran = Ran::default();
    let mut numbered = Vec::new();
    status.begin(&all);
    for stage in stages {
        if interrupt.is_stopped() {
            break;
        }
        let threads: Vec<_> = all.iter().filter(|(thread, _)| thread.job.stage == stage).collect();
        let stage = Stage { plan, interrupt: &interrupt };
        let (outcomes, reactors) = stage.run(provider, &threads, status)?;
        status.ended(&outcomes, &reactors);
        ran.reactors.extend(reactors);
        for mut outcome in outcomes {
            let results = std::mem::replace(&mut outcome.results, Ok(Vec::new()));
            numbered.extend(results.map_err(|why| anyhow!(why))?);
            ran.outcomes.push(outcome);
        }
    }
    numbered.sort_by_key(|(index, _)| *index);
    ran.results = numbered.into_iter().map(|(_, result)| result).collect();
    Ok(ran)
}

/// Jobs that run together.
struct Stage<'a> {
    plan: &'a Plan<'a>,
    interrupt: &'a StopToken,
}

impl Stage<'_> {
    fn run<P: Provider>(
        &self,
        provider: &P,
        threads: &[&(Instance, usize)],
        status: &mut Status<'_>,
    ) -> Result<(Vec<Outcome>, Vec<ReactorStats>)> {
        let mut work = self.assign(threads)?;
        for (number, assignment) in work.iter_mut().flat_map(|(_, w)| w).enumerate() {
            (assignment.number, assignment.asked) = (number, status.asked());
        }
        let pollers = work.iter().map(|(_, w)| w.len()).sum::<usize>();
        let (tell, told) = bounded(EVENTS_MAX * pollers);
        let stop = StopToken::new();
        let config = ReactorConfig {
            idle: self.plan.idle,
            stop: stop.clone(),
            stall_threshold: STALL,
            ..ReactorConfig::default()
        };
        // If one does not start, dropping the handles stops and joins the others.
        let mut handles = Vec::new();
        for (core, assignments) in work {
            handles.push(start(core, config.clone(), provider.clone(), assignments, tell.clone())?);
        }
        drop(tell);
        status.watch(pollers, handles.iter().map(ReactorHandle::mailbox).collect());
        let outcomes = self.watch(&told, &stop, status);
        let joined = handles.into_iter().map(ReactorHandle::join);
        let reactors = joined.collect::<Result<Vec<_>, _>>()?;
        if let Some(cut_off) = reactors.iter().find(|stats| !stats.undrained.is_empty()) {
            bail!("{}: {} did not end in time", cut_off.name, cut_off.undrained.join(", "));
        }
        status.check()?;
        Ok((outcomes, reactors))
    }

    /// Until every poller has ended.
    fn watch(
        &self,
        told: &Receiver<Event>,
        stop: &StopToken,
        status: &mut Status<'_>,
    ) -> Vec<Outcome> {
        let mut line = ProgressLine::new(self.plan.progress);
        let mut outcomes = Vec::new();
        loop {
            match told.recv_timeout(TICK) {
                Ok(Event::Started(watched, reconnecting)) => line.add(watched, reconnecting),
                Ok(Event::Status(outcome)) => status.answered(*outcome),
                Ok(Event::Ended(outcome)) => {
                    // Jobs that cannot begin end the whole; ones that fail only themselves.
                    if outcome.results.is_err() {
                        stop.stop();
                    }
                    outcomes.push(*outcome);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return outcomes,
            }
            if self.interrupt.is_stopped() || status.check().is_err() {
                stop.stop();
            }
            line.draw();
            status.look(&outcomes, &line);
        }
    }

    /// Job threads to cores in turn; on a core, those of one site share a mount.
    fn assign(&self, threads: &[&(Instance, usize)]) -> Result<Vec<(usize, Vec<Assignment>)>> {
        let cores = self.plan.cores.iter().enumerate().take(threads.len());
        cores
            .map(|(at, &core)| {
                let mine = threads.iter().skip(at).step_by(self.plan.cores.len());
                let mut by_site: Vec<(usize, Vec<Instance>)> = Vec::new();
                for (instance, site) in mine {
                    match by_site.iter_mut().find(|(known, _)| known == site) {
                        Some((_, instances)) => instances.push(instance.clone()),
                        None => by_site.push((*site, vec![instance.clone()])),
                    }
                }
                let assignments = by_site
                    .into_iter()
                    .map(|(site, instances)| self.assignment(core, site, instances));
                Ok((core, assignments.collect::<Result<_>>()?))
            })
            .collect()
    }

    fn assignment(&self, core: usize, site: usize, instances: Vec<Instance>) -> Result<Assignment> {
        let Site { url, located } = &self.plan.sites[site];
        let settings = self.plan.settings;
        let depths = instances.iter().map(|instance| instance.job.iodepth.max(LAYOUT_DEPTH));
        let depth: u64 = depths.map(u64::from).sum();
        if depth > DEPTH_MAX {
            bail!(
                "core {core} would have {depth} operations in flight: at most {DEPTH_MAX} are \
                 allowed; lower iodepth or numjobs, or give more cores"
            );
        }
        let depth = depth as u32;
        let mut transport = settings.transport_config(located.server)?;
        transport.buffers = BufferConfig {
            buffer_len: buffer_len(instances.iter().map(|instance| &*instance.job)),
            count: depth + SPARE_BUFFERS,
            numa_node: if has_numa() { core_numa_node(core) } else { None },
            ..transport.buffers
        };
        let mount = MountConfig {
            root: located.root,
            auth: settings.credential(),
            queue_depth: depth,
            uncommitted_max: settings.uncommitted_max(&instances),
            jukebox_wait_ns: settings.jukebox_wait_ns()?,
            transport,
        };
        let (directory, endpoint) = (located.rest.clone(), settings.endpoint_config()?);
        let url = url.clone();
        let (number, asked) = Default::default();
        Ok(Assignment { site, url, mount, endpoint, directory, instances, number, asked })
    }
}

/// Starts a reactor with a poller for each mount.
fn start<P: Provider>(
    core: usize,
    config: ReactorConfig,
    provider: P,
    assignments: Vec<Assignment>,
    tell: Sender<Event>,
) -> Result<ReactorHandle> {
    let handle = reactor::spawn(core, config, move |reactor| {
        let pending = Rc::new(Cell::new(assignments.len()));
        for assignment in assignments {
            let (provider, tell) = (provider.clone(), tell.clone());
            let (clock, now) = (Clock::new(), reactor.now());
            let poller =
                JobPoller::new(provider, assignment, tell, Rc::clone(&pending), clock, now)?;
            reactor.add_poller(poller)?;
        }
        Ok(())
    });
    handle.with_context(|| format!("cannot start jobs on core {core}"))
}

/// Bytes of a buffer that takes the largest block of any of the jobs.
pub(crate) fn buffer_len<'a>(jobs: impl Iterator<Item = &'a Job>) -> u32 {
    let largest = jobs.map(Job::block_bytes_max).max().unwrap_or(BUFFER_UNIT);
    largest.clamp(BUFFER_UNIT, PAYLOAD_MAX).next_multiple_of(BUFFER_UNIT)
}

/// Binding memory to a node matters, and is worth a complaint, only where there are several.
fn has_numa() -> bool {
    hugepages::reserve::status().is_ok_and(|all| all.iter().any(|status| status.node > 0))
}
