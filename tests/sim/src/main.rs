//! `initiator-sim`: runs seeds, on all cores, and prints how to repeat the one that fails.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::bail;
use clap::Parser;
use initiator_sim::{Failure, Report, run, shape};
use rpcrdma::PlantedFaults;
use tracing_subscriber::EnvFilter;

/// Deterministic simulation of client, fabric and server: one seed decides everything.
///
/// RUST_LOG=debug tells what happens in a run.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The seed to run, or the first of them.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Threads; 0 is one a core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Go on after a failure, and list them all.
    #[arg(long)]
    keep_going: bool,
    /// Print the shape of the run.
    #[arg(long)]
    shape: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .without_time()
        .with_writer(std::io::stderr)
        .init();
    if args.seeds == 0 {
        bail!("--seeds is at least 1");
    }
    if args.shape {
        println!("{:#?}", shape(args.seed));
    }
    let start = Instant::now();
    let Outcome { report, failures } = run_all(&args);
    let seconds = start.elapsed().as_secs_f64();
    let rpcs = report.counters.recvs;
    println!(
        "{} seeds in {seconds:.1} s: {rpcs} RPCs ({:.0} a second), {} faults struck, {} connections \
         made, {} RPCs sent again, {} replies before their Send had completed, {} messages \
         retransmitted, {:.1} virtual seconds",
        args.seeds,
        rpcs as f64 / seconds,
        report.struck,
        report.counters.connect_count,
        report.counters.retransmissions,
        report.counters.replies_before_send,
        report.retransmissions,
        report.virtual_ns as f64 / 1e9,
    );
    if args.seeds == 1 {
        println!("digest {:016x}", report.digest);
    }
    for (seed, failure) in &failures {
        println!("seed {seed}: {failure}\n    again: initiator-sim --seed {seed} --shape");
    }
    if failures.is_empty() { Ok(()) } else { bail!("{} seeds failed", failures.len()) }
}

#[derive(Default)]
struct Outcome {
    report: Report,
    failures: Vec<(u64, Failure)>,
}

fn run_all(args: &Args) -> Outcome {
    let jobs = match args.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let next = AtomicU64::new(args.seed);
    let end = args.seed.saturating_add(args.seeds);
    let outcome = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let result = run(seed, PlantedFaults::default());
                    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                    match result {
                        Ok(report) => outcome.report.add(&report),
                        Err(failure) => {
                            outcome.report.add(&failure.report);
                            outcome.failures.push((seed, failure));
                            if !args.keep_going {
                                next.store(end, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
    });
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}
