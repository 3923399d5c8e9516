//! A reactor with a thread and a core of its own.
//!
//! Threading: the caller's thread starts, stops and joins; everything else, the setup function
//! included, happens on the new thread after it was pinned.
//!
//! Faults survived: each way a start can fail, and a panic later, becomes an error that names the
//! reactor. A panic also sets the reactor's stop token, so that its siblings drain and can be
//! joined.

use std::any::Any;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use core_affinity::CoreId;
use crossbeam_channel::{Sender, bounded};
use nix::sched::sched_getaffinity;
use nix::unistd::Pid;

use crate::config::ReactorConfig;
use crate::error::{BoxError, ReactorError};
use crate::event_loop::Reactor;
use crate::ledger::ReactorStats;
use crate::mailbox::Mailbox;
use crate::monitor::Monitor;
use crate::stop::StopToken;
use crate::time::Clock;
use crate::topology::{format_cpu_list, members, usable_cores};
use crate::watchdog::{self, Watch};

/// A reactor that runs on its own thread. Dropping the handle asks the reactor to stop and waits
/// for it, as [`join`](Self::join) does.
#[must_use = "dropping the handle stops the reactor"]
pub struct ReactorHandle {
    name: String,
    core: usize,
    mailbox: Mailbox,
    monitor: Arc<Monitor>,
    thread: Option<JoinHandle<ReactorStats>>,
    _watch: Watch,
}

/// Starts a reactor named `reactor_<core>` on that core. `setup` runs on the reactor's thread,
/// once it is pinned, to add what the reactor is to do; when it returns so does `spawn`, with its
/// error if it had one.
///
/// The reactor runs until its [`ReactorConfig::stop`] is set, [`ReactorHandle::stop`] is called or
/// one of its pollers or futures asks for it.
pub fn spawn<S>(core: usize, config: ReactorConfig, setup: S) -> Result<ReactorHandle, ReactorError>
where
    S: FnOnce(&mut Reactor) -> Result<(), BoxError> + Send + 'static,
{
    config.validate()?;
    let usable = usable_cores();
    if !usable.contains(&core) {
        let usable = format_cpu_list(&usable);
        return Err(ReactorError::CoreNotUsable { core, usable });
    }
    // Calibrated here, so that no reactor spends its first turn on it.
    let _calibrated = Clock::new();
    let name = format!("reactor_{core}");
    let (started, start) = bounded(1);
    let body = {
        let name = name.clone();
        move || thread_body(&name, core, config, setup, &started)
    };
    let thread = thread::Builder::new()
        .name(name.clone())
        .spawn(body)
        .map_err(|source| ReactorError::Thread { reactor: name.clone(), source })?;
    match start.recv() {
        Ok(Ok((mailbox, monitor))) => Ok(ReactorHandle {
            name,
            core,
            mailbox,
            _watch: watchdog::watch(&monitor),
            monitor,
            thread: Some(thread),
        }),
        Ok(Err(error)) => {
            // It has nothing left to do but return.
            let _ended = thread.join();
            Err(error)
        }
        // It died before it could say anything: `setup` panicked.
        Err(_disconnected) => match thread.join() {
            Err(panic) => Err(panicked(&name, panic.as_ref())),
            Ok(_) => Err(ReactorError::Ended { reactor: name }),
        },
    }
}

impl ReactorHandle {
    /// Where to send messages to the reactor.
    #[must_use]
    pub fn mailbox(&self) -> Mailbox {
        self.mailbox.clone()
    }

    /// `reactor_<core>`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The core the reactor is pinned to.
    #[must_use]
    pub fn core(&self) -> usize {
        self.core
    }

    /// Asks this reactor (and no other) to stop.
    pub fn stop(&self) {
        self.monitor.request_stop();
    }

    /// Whether the reactor has ended, one way or the other.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the reactor to end; it does not ask it to. What it did, or how it died.
    pub fn join(mut self) -> Result<ReactorStats, ReactorError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(stats)) => Ok(stats),
            Some(Err(panic)) => Err(panicked(&self.name, panic.as_ref())),
            None => Err(ReactorError::Ended { reactor: self.name.clone() }),
        }
    }
}

impl Drop for ReactorHandle {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.monitor.request_stop();
            if let Err(panic) = thread.join() {
                tracing::error!("{}", panicked(&self.name, panic.as_ref()));
            }
        }
    }
}

type Started = Result<(Mailbox, Arc<Monitor>), ReactorError>;

fn thread_body<S>(
    name: &str,
    core: usize,
    config: ReactorConfig,
    setup: S,
    started: &Sender<Started>,
) -> ReactorStats
where
    S: FnOnce(&mut Reactor) -> Result<(), BoxError>,
{
    let _on_panic = StopSiblings(config.stop.clone());
    // The spawner waits for exactly one message and there is room for it: sends cannot fail.
    match prepare(name, core, config, setup) {
        Ok(mut reactor) => {
            let _sent = started.send(Ok((reactor.mailbox(), Arc::clone(reactor.monitor()))));
            reactor.run_unwatched()
        }
        Err(error) => {
            let _sent = started.send(Err(error));
            ReactorStats::default()
        }
    }
}

fn prepare<S>(
    name: &str,
    core: usize,
    config: ReactorConfig,
    setup: S,
) -> Result<Reactor, ReactorError>
where
    S: FnOnce(&mut Reactor) -> Result<(), BoxError>,
{
    pin(name, core)?;
    config.idle.apply(name)?;
    let mut reactor = Reactor::new(name, config)?;
    reactor.core = Some(core);
    reactor.local().shared.now.set(Clock::new().now());
    setup(&mut reactor)
        .map_err(|source| ReactorError::Setup { reactor: name.to_owned(), source })?;
    Ok(reactor)
}

/// Pins the calling thread, and does not take the library's word for it.
fn pin(name: &str, core: usize) -> Result<(), ReactorError> {
    let failed = |reason: String| ReactorError::Pin { reactor: name.to_owned(), core, reason };
    if !core_affinity::set_for_current(CoreId { id: core }) {
        return Err(failed("the kernel refused (a cpuset may exclude it)".to_owned()));
    }
    let mask = sched_getaffinity(Pid::from_raw(0))
        .map_err(|errno| failed(format!("the affinity cannot be read back: {errno}")))?;
    let cores = members(&mask);
    if cores != [core] {
        let cores = format_cpu_list(&cores);
        return Err(failed(format!("the kernel runs the thread on {cores}")));
    }
    Ok(())
}

struct StopSiblings(StopToken);

impl Drop for StopSiblings {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

fn panicked(name: &str, panic: &(dyn Any + Send)) -> ReactorError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = text
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    ReactorError::Panicked { reactor: name.to_owned(), message }
}
