//! `initiator`: the command line of the NFS-over-RDMA client.
//!
//! Threading: the main thread parses, starts reactors, waits and reports; whatever touches a
//! connection is on a reactor.

#![forbid(unsafe_code)]

mod cli;
mod cmdline;
mod config;
mod doctor;
mod embedded;
mod engine;
mod hugepages_cmd;
mod perf;
mod placement;
mod progress;
mod report;
mod run;
mod session;
mod status;
mod target_cmd;
mod values;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};

/// Something failed.
const EXIT_FAILURE: u8 = 1;
/// The command line is wrong, as clap has it.
const EXIT_USAGE: u8 = 2;

/// A command line that clap takes and that still makes no sense.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

fn main() -> ExitCode {
    let (rest, arguments) = match cmdline::split(std::env::args_os()) {
        Ok(split) => split,
        Err(error) => {
            eprintln!("initiator: {}", error.0);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let mut cli = Cli::parse_from(rest);
    match &mut cli.command {
        Command::Run(args) => args.arguments = arguments,
        Command::Perf(args) => args.arguments = arguments,
        _ => {}
    }
    log_to_stderr(cli.verbose);
    let ended = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Perf(args) => perf::run(&args),
        Command::Target(args) => target_cmd::run(&args),
        Command::Hugepages(args) => hugepages_cmd::run(&args),
        Command::Doctor => doctor::run(),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("initiator: {}", one_line(&error));
        ExitCode::from(if error.is::<Usage>() { EXIT_USAGE } else { EXIT_FAILURE })
    })
}

/// Control path only: nothing on the I/O path logs.
fn log_to_stderr(verbose: u8) {
    let level = ["warn", "info", "debug"][usize::from(verbose.min(2))];
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

/// An error and its causes, each said once: many errors repeat their cause in their own words.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line.replace('\n', "; ")
}
