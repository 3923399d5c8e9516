//! `initiator perf`: one job, given by flags.

use std::process::ExitCode;

use anyhow::Result;
use client::NfsUrl;
use workload::{Argument, Flag, Job};

use crate::Usage;
use crate::cli::{PerfArgs, ProviderName};
use crate::config::Settings;
use crate::run::locate;
use crate::session::Session;

/// Runs it.
pub(crate) fn run(args: &PerfArgs) -> Result<ExitCode> {
    let settings = args.settings.settings()?;
    let job = job(args, &settings)?;
    let session =
        Session { jobs: vec![job], global_options: Vec::new(), settings, output: &args.output };
    let usage = |text: &str| Err(Usage(text.to_owned()).into());
    let Some(url) = &args.url else {
        if args.provider == Some(ProviderName::Ibv) {
            return usage(
                "--provider ibv needs a URL; without one the target is in this process, which is \
                 reached over soft",
            );
        }
        return session.run_embedded(&args.embedded_args);
    };
    if args.provider == Some(ProviderName::Soft) {
        return usage(
            "--provider soft reaches only a target in this process: leave the URL out, or the \
             provider",
        );
    }
    if let Some(flag) = args.embedded_args.given() {
        return usage(&format!("{flag} is about the target in this process: leave the URL out"));
    }
    let url: NfsUrl = url.parse().map_err(|error| Usage(format!("{error}")))?;
    crate::doctor::require_rdma()?;
    let sites = locate(&[url], &session.settings)?;
    session.run_rdma(&sites, &[0])
}

/// The job that the flags ask for.
fn job(args: &PerfArgs, settings: &Settings) -> Result<Job> {
    let cores = settings.reactor.cores.as_ref().map_or(1, |cores| cores.0.len());
    let numjobs = args.numjobs.clone().unwrap_or_else(|| cores.to_string());
    let mut flags = vec![
        flag("-w", "rw", &args.rw),
        flag("-b", "bs", &args.bs),
        flag("-q", "iodepth", &args.iodepth),
        flag("-j", "numjobs", &numjobs),
        flag("-t", "runtime", &args.runtime),
        flag("--size", "size", &args.size),
        Flag { flag: "perf".into(), option: "group_reporting".into(), value: None },
    ];
    let optional = [
        ("-M", "rwmixread", &args.rwmixread),
        ("--verify", "verify", &args.verify),
        ("--verify-pattern", "verify_pattern", &args.verify_pattern),
        ("--ramp-time", "ramp_time", &args.ramp_time),
        ("--fsync", "fsync", &args.fsync),
        ("--filename", "filename", &args.filename),
        ("--randseed", "randseed", &args.randseed),
    ];
    for (name, option, value) in optional {
        flags.extend(value.as_ref().map(|value| flag(name, option, value)));
    }
    if args.runtime.chars().any(|c| ('1'..='9').contains(&c)) {
        flags.push(Flag { flag: "-t".into(), option: "time_based".into(), value: None });
    }
    flags.extend(args.arguments.iter().map(|Argument { option, value }| Flag {
        flag: format!("--{option}"),
        option: option.clone(),
        value: value.clone(),
    }));
    let job = Job::from_flags("perf", flags).map_err(|error| Usage(error.to_string()))?;
    Ok(job)
}

fn flag(flag: &str, option: &str, value: &str) -> Flag {
    Flag { flag: flag.to_owned(), option: option.to_owned(), value: Some(value.to_owned()) }
}
