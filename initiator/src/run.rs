//! `initiator run`: fio job files.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use client::NfsUrl;
use workload::{Effect, Job, JobFile};

use crate::Usage;
use crate::cli::RunArgs;
use crate::config::Settings;
use crate::engine::Site;
use crate::session::Session;

/// Runs the files, one after another.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode> {
    if let Some(option) = &args.cmdhelp {
        return cmdhelp(option);
    }
    let settings = args.settings.settings()?;
    let (jobs, global_options) = read(args)?;
    if args.showcmd {
        return showcmd(&jobs, &global_options);
    }
    if args.parse_only {
        return Ok(ExitCode::SUCCESS);
    }
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

/// What options do.
fn cmdhelp(wanted: &str) -> Result<ExitCode> {
    let mut text = String::new();
    for option in workload::options() {
        if wanted != "all" && option.name != wanted && option.alias != wanted {
            continue;
        }
        let (name, help) = (option.name, option.help);
        text += &match (option.effect, option.value) {
            (Effect::Refused, _) => format!("{name:<28}: refused: {help}\n"),
            (Effect::NoOp, _) => format!("{name:<28}: accepted without effect: {help}\n"),
            (Effect::Works, "") => format!("{name:<28}: {help}\n"),
            (Effect::Works, value) => format!("{name:<28}: {help} [{value}]\n"),
        };
    }
    if text.is_empty() {
        return Err(Usage(format!("--cmdhelp={wanted}: there is no such option")).into());
    }
    print(&text)
}

/// Jobs as a command line.
fn showcmd(jobs: &[Job], globals: &[(String, String)]) -> Result<ExitCode> {
    let flag = |(key, value): &(String, String)| format!(" --{key}={}", quoted(value));
    let mut line = "initiator run".to_owned();
    line.extend(globals.iter().map(flag));
    for job in jobs {
        line += &format!(" --name={}", quoted(&job.section));
        line.extend(job.options.iter().filter(|(key, _)| key != "name").map(flag));
    }
    print(&(line + "\n"))
}

/// As a shell reads it.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=./:,%".contains(c);
    match value.chars().all(plain) && !value.is_empty() {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', "'\\''")),
    }
}

/// Not println!, which panics when the reader has gone.
fn print(text: &str) -> Result<ExitCode> {
    std::io::stdout().lock().write_all(text.as_bytes()).context("standard output")?;
    Ok(ExitCode::SUCCESS)
}

type Options = Vec<(String, String)>;

/// The jobs of all files; those of a later file run, and are reported, after those of an earlier.
fn read(args: &RunArgs) -> Result<(Vec<Job>, Options)> {
    let (mut jobs, mut global_options) = (Vec::<Job>::new(), Vec::new());
    let mut files = args
        .jobs
        .iter()
        .map(|path| JobFile::read(path, &args.section))
        .collect::<Result<Vec<_>, _>>()?;
    if !args.arguments.is_empty() {
        let given = JobFile::from_arguments(&args.arguments);
        files.push(given.map_err(|error| Usage(error.to_string()))?);
    }
    for file in files {
        let (stages, groups) = jobs.last().map_or((0, 0), |job| (job.stage + 1, job.group + 1));
        jobs.extend(file.jobs.into_iter().map(|mut job| {
            job.stage += stages;
            job.group += groups;
            job
        }));
        global_options.extend(file.global_options);
    }
    if jobs.is_empty() {
        let what = "no job: name a job file, or give a job with --name=NAME --rw=... and so on";
        return Err(Usage(what.into()).into());
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
