//! What `run` and `perf` have in common: from jobs and settings to a report and an exit status.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use reactor::{signals, usable_cores};
use verbs::Provider;
use workload::{Job, JobResult};

use crate::EXIT_FAILURE;
use crate::cli::{EmbeddedArgs, OutputArgs, OutputFormat};
use crate::config::Settings;
use crate::embedded::{Embedded, Served};
use crate::engine::{self, Plan, Ran, Site};
use crate::placement::{self, Placement, Wanted};
use crate::report;
use crate::status::Status;

/// What shells add to a signal's number.
const SIGNAL_BASE: i32 = 128;

/// A set of jobs about to run.
pub(crate) struct Session<'a> {
    pub(crate) jobs: Vec<Job>,
    pub(crate) global_options: Vec<(String, String)>,
    pub(crate) settings: Settings,
    pub(crate) output: &'a OutputArgs,
}

impl Session<'_> {
    /// Against a target in this process.
    pub(crate) fn run_embedded(self, args: &EmbeddedArgs) -> Result<ExitCode> {
        // Before anything is started, so that a signal finds somebody to ask.
        signals::install()?;
        let mut sink = Sink::open(self.output)?;
        let placement = self.place(true, args.target_core)?;
        let embedded = Embedded::start(args, &self.settings, &self.jobs, &placement)?;
        let sites = [embedded.site.clone()];
        let site_of_job = vec![0; self.jobs.len()];
        self.banner(&mut sink)?;
        let fabric = embedded.fabric.clone();
        let ran = self.execute(&fabric, ("soft", &sites, &site_of_job), &placement, &mut sink)?;
        let served = embedded.finish()?;
        self.finish(sink, "soft", &sites, &ran, Some(&served))
    }

    /// Against servers, over RDMA devices.
    #[cfg(feature = "rdma")]
    pub(crate) fn run_rdma(self, sites: &[Site], site_of_job: &[usize]) -> Result<ExitCode> {
        signals::install()?;
        let mut sink = Sink::open(self.output)?;
        let placement = self.place(false, None)?;
        self.banner(&mut sink)?;
        let ran =
            self.execute(&verbs::ibv::Ibv, ("ibv", sites, site_of_job), &placement, &mut sink)?;
        self.finish(sink, "ibv", sites, &ran, None)
    }

    /// There are no RDMA devices to this build.
    #[cfg(not(feature = "rdma"))]
    pub(crate) fn run_rdma(self, _sites: &[Site], _site_of_job: &[usize]) -> Result<ExitCode> {
        crate::doctor::require_rdma().map(|()| ExitCode::SUCCESS)
    }

    fn place(&self, target: bool, target_core: Option<usize>) -> Result<Placement> {
        let wanted = Wanted {
            cores: self.settings.reactor.cores.as_ref().map(|cores| &cores.0[..]),
            threads: engine::threads_max(&self.jobs),
            target,
            target_core,
            idle: self.settings.idle(),
        };
        let placement = placement::place(&usable_cores(), &wanted)?;
        for note in &placement.notes {
            eprintln!("initiator: note: {note}");
        }
        Ok(placement)
    }

    fn banner(&self, sink: &mut Sink) -> Result<()> {
        match self.output.format() {
            OutputFormat::Normal => {
                sink.write(&workload::report::banner(&self.jobs, report::VERSION))
            }
            _ => Ok(()),
        }
    }

    fn execute<P: Provider>(
        &self,
        provider: &P,
        (name, sites, site_of_job): (&'static str, &[Site], &[usize]),
        placement: &Placement,
        sink: &mut Sink,
    ) -> Result<Ran> {
        let plan = Plan {
            settings: &self.settings,
            jobs: &self.jobs,
            sites,
            site_of_job,
            cores: &placement.jobs,
            idle: placement.idle,
            progress: std::io::stdout().is_terminal(),
        };
        let every = self.output.status_interval.as_ref().map(|time| Duration::from_nanos(time.0));
        let mut status = Status::new(every, |ran| {
            sink.write(&self.render(&report::Facts { provider: name, sites, ran, served: None }))
        });
        engine::execute(provider, &plan, &mut status)
    }

    /// The report, in the format that was asked for.
    fn render(&self, facts: &report::Facts<'_>) -> String {
        match self.output.format() {
            OutputFormat::Normal => report::text(facts, self.global_options.clone()),
            OutputFormat::Terse => report::terse(facts),
            OutputFormat::Json => report::json(facts, self.global_options.clone(), false),
            OutputFormat::JsonPlus => report::json(facts, self.global_options.clone(), true),
        }
    }

    fn finish(
        self,
        mut sink: Sink,
        provider: &'static str,
        sites: &[Site],
        ran: &Ran,
        served: Option<&Served>,
    ) -> Result<ExitCode> {
        let facts = report::Facts { provider, sites, ran, served };
        if let Some(html) = &mut sink.html {
            html.write(&report::html(&facts, self.global_options.clone()))?;
        }
        sink.write(&self.render(&facts))?;
        write_logs(&ran.results)?;
        note_states(&ran.results);
        if let Some(failure) = ran.results.iter().find_map(|result| result.failure.as_ref()) {
            eprintln!("initiator: {}", failure.message);
            return Ok(ExitCode::from(EXIT_FAILURE));
        }
        match signals::received() {
            None => Ok(ExitCode::SUCCESS),
            Some(signal) => {
                eprintln!("initiator: ended by signal {signal}");
                Ok(ExitCode::from((SIGNAL_BASE + signal) as u8))
            }
        }
    }
}

/// What `write_lat_log` and its kin ask for, in the present directory as fio does.
fn write_logs(results: &[JobResult]) -> Result<()> {
    for result in results {
        let Some(logged) = &result.logged else { continue };
        logged.write(&result.job, Path::new("")).map_err(|error| anyhow!(error))?;
        if logged.dropped > 0 {
            let (name, dropped) = (&result.job.name, logged.dropped);
            eprintln!(
                "initiator: note: job '{name}': the logs had no room for {dropped} lines; use log_avg_msec="
            );
        }
    }
    Ok(())
}

/// What a later run can verify.
fn note_states(results: &[JobResult]) {
    for result in results {
        let Some(path) = &result.verify_state else { continue };
        let name = &result.job.name;
        eprintln!(
            "initiator: note: job '{name}': what it wrote is in ./{path}; \
             verify_only=1 verify_state_load=1 verifies that"
        );
    }
}

/// Where the reports go. Files are made before the run, so that a wrong name costs no time.
struct Sink {
    output: Option<Destination>,
    html: Option<Destination>,
}

/// A file, and how messages name it.
struct Destination {
    file: File,
    shown: String,
}

impl Sink {
    fn open(output: &OutputArgs) -> Result<Self> {
        Ok(Self {
            output: Destination::open("--output", output.output.as_deref())?,
            html: Destination::open("--html", output.html.as_deref())?,
        })
    }

    fn write(&mut self, text: &str) -> Result<()> {
        match &mut self.output {
            Some(destination) => destination.write(text),
            // Not println!, which panics when the reader has gone.
            None => {
                let mut stdout = std::io::stdout().lock();
                let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
                written.context("standard output")
            }
        }
    }
}

impl Destination {
    fn open(flag: &str, path: Option<&Path>) -> Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        let shown = format!("{flag} {}", path.display());
        let file = File::create(path).with_context(|| shown.clone())?;
        Ok(Some(Self { file, shown }))
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.file.write_all(text.as_bytes()).with_context(|| self.shown.clone())
    }
}
