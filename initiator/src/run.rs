//! `initiator run`: fio job files.

use std::process::ExitCode;

use anyhow::{Result, bail};
use client::NfsUrl;
use workload::{Job, JobFile};

use crate::Usage;
use crate::cli::RunArgs;
use crate::config::Settings;
use crate::engine::Site;
use crate::session::Session;

/// Runs the files, one after another.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode> {
    let settings = args.settings.settings()?;
    let (jobs, global_options) = read(args)?;
    if args.embedded {
        let session = Session { jobs, global_options, settings, output: &args.output };
        return session.run_embedded(&args.embedded_args);
    }
    if let Some(flag) = args.embedded_args.given() {
        return Err(Usage(format!("{flag} is about the target of --embedded")).into());
    }
    crate::doctor::require_rdma()?;
    let (sites, site_of_job) = locate_all(&jobs, &settings)?;
    Session { jobs, global_options, settings, output: &args.output }.run_rdma(&sites, &site_of_job)
}

type Options = Vec<(String, String)>;

/// The jobs of all files; those of a later file run, and are reported, after those of an earlier.
fn read(args: &RunArgs) -> Result<(Vec<Job>, Options)> {
    let (mut jobs, mut global_options) = (Vec::<Job>::new(), Vec::new());
    for path in &args.jobs {
        let file = JobFile::read(path)?;
        let (stages, groups) = jobs.last().map_or((0, 0), |job| (job.stage + 1, job.group + 1));
        jobs.extend(file.jobs.into_iter().map(|mut job| {
            job.stage += stages;
            job.group += groups;
            job
        }));
        global_options.extend(file.global_options);
    }
    if jobs.is_empty() {
        bail!(
            "{}: there is no job in it; a job is a section such as [reader]",
            args.jobs[0].display()
        );
    }
    Ok((jobs, global_options))
}

/// Mounts, one for each URL there is.
fn locate_all(jobs: &[Job], settings: &Settings) -> Result<(Vec<Site>, Vec<usize>)> {
    let mut urls: Vec<NfsUrl> = Vec::new();
    let mut site_of_job = Vec::new();
    for job in jobs {
        let Some(url) = &job.nfs_url else {
            bail!(
                "{}: nfs_url= is missing: it names the mount, for example \
                 nfs_url=nfs://server/export (or run with --embedded)",
                job.place("nfs_url")
            );
        };
        let place = |error| anyhow::anyhow!("{}: nfs_url: {error}", job.place("nfs_url"));
        let url: NfsUrl = url.parse().map_err(place)?;
        let known = urls.iter().position(|known| *known == url);
        site_of_job.push(known.unwrap_or_else(|| {
            urls.push(url);
            urls.len() - 1
        }));
    }
    Ok((locate(&urls, settings)?, site_of_job))
}

/// Asks MOUNT where the URLs lead.
pub(crate) fn locate(urls: &[NfsUrl], settings: &Settings) -> Result<Vec<Site>> {
    let options = settings.mount_options();
    let sites = urls.iter().map(|url| {
        let located = client::locate(url, &options)?;
        tracing::info!(%url, server = %located.server, export = located.export, "located");
        Ok(Site { url: url.to_string(), located })
    });
    sites.collect()
}
