//! `initiator-sim`: runs seeds, on all cores, and prints how to repeat the one that fails.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::bail;
use clap::Parser;
use initiator_sim::planted::{Hunt, hunt, meant_for};
use initiator_sim::{Failure, Report, run, shape};
use rpcrdma::Fault;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Deterministic simulation of client, fabric and server: one seed decides everything.
///
/// RUST_LOG=debug tells what happens in a run.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The seed to run, or the first of them.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds; 1 unless told, and 200 for each mistake that is planted.
    #[arg(long)]
    seeds: Option<u64>,
    /// Threads; 0 is one a core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Go on after a failure, and list them all.
    #[arg(long)]
    keep_going: bool,
    /// Print the shape of the run.
    #[arg(long)]
    shape: bool,
    /// Plant mistakes in the client, one after the other, and print in how many seeds each is
    /// found and by which checker.
    #[arg(long)]
    planted: bool,
    /// Plant this mistake in the client.
    #[arg(long, value_name = "MISTAKE", value_parser = mistake)]
    plant: Option<Fault>,
}

/// A mistake by its name.
fn mistake(name: &str) -> Result<Fault, String> {
    let known = |(fault, _): &&(Fault, &str)| format!("{fault:?}") == name;
    let found = Fault::ALL.iter().find(known).map(|(fault, _)| *fault);
    let names = || Fault::ALL.iter().map(|(fault, _)| format!("{fault:?}")).collect::<Vec<_>>();
    found.ok_or_else(|| format!("there are {}", names().join(", ")))
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::builder().with_default_directive(LevelFilter::OFF.into()).from_env_lossy(),
        )
        .without_time()
        .with_writer(std::io::stderr)
        .init();
    if args.seeds == Some(0) {
        bail!("--seeds is at least 1");
    }
    if args.shape {
        println!("{:#?}", shape(args.seed));
    }
    if args.planted { find_planted(&args) } else { find_mistakes(&args) }
}

fn find_mistakes(args: &Args) -> anyhow::Result<()> {
    let seeds = args.seeds.unwrap_or(1);
    let start = Instant::now();
    let outcome = Mutex::new((Report::default(), Vec::new()));
    on_all_cores(args, seeds, |seed| {
        let result = run(seed, args.plant);
        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(report) => outcome.0.add(&report),
            Err(failure) => {
                outcome.0.add(&failure.report);
                print_failure(seed, args.plant, &failure);
                outcome.1.push(seed);
            }
        }
        args.keep_going || outcome.1.is_empty()
    });
    let (report, failed) = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    print_report(seeds, &report, start.elapsed().as_secs_f64());
    match failed.len() {
        0 => Ok(()),
        failed => bail!("{failed} seeds failed"),
    }
}

fn print_failure(seed: u64, plant: Option<Fault>, failure: &Failure) {
    let plant = plant.map_or_else(String::new, |fault| format!(" --plant {fault:?}"));
    println!("seed {seed}: {failure}\n    again: initiator-sim --seed {seed} --shape{plant}");
}

fn print_report(seeds: u64, report: &Report, seconds: f64) {
    let Report { counters, seen, .. } = report;
    let rpcs = counters.recvs;
    println!(
        "{seeds} seeds in {seconds:.1} s: {rpcs} RPCs ({:.0} a second), {} faults ordered, {} \
         connections made, {} RPCs sent again, {} replies before their Send had completed, {} \
         messages retransmitted, {:.1} virtual seconds",
        rpcs as f64 / seconds,
        report.faults,
        counters.connect_count,
        counters.retransmissions,
        counters.replies_before_send,
        report.retransmissions,
        report.virtual_ns as f64 / 1e9,
    );
    println!(
        "{} payloads in pieces, {} in own memory, {} left in their Receive, {} pauses, {} mounts \
         made again, {} jobs with {} blocks",
        seen.in_pieces,
        seen.own,
        seen.in_place,
        seen.pauses,
        seen.remounts,
        report.jobs.0,
        report.jobs.1,
    );
    print!("What went wrong, and how often:\n{}", report.tally);
    if seeds == 1 {
        println!("digest {:016x}", report.digest);
    }
}

fn find_planted(args: &Args) -> anyhow::Result<()> {
    // Assertions of the client's own are counted, not shown.
    std::panic::set_hook(Box::new(|_| ()));
    let seeds = args.seeds.unwrap_or(200);
    println!("| planted | found in | by, first of all | first seed |\n|---|---|---|---|");
    let mut unseen = Vec::new();
    for &(fault, about) in Fault::ALL {
        let all = Mutex::new(Hunt::default());
        on_all_cores(args, seeds, |seed| {
            let one = hunt(fault, seed..seed + 1);
            all.lock().unwrap_or_else(PoisonError::into_inner).add(&one);
            true
        });
        let hunt = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        let by: Vec<_> =
            hunt.found.iter().map(|(checker, count)| format!("{checker} {count}")).collect();
        let first = hunt.first.map_or("-".into(), |seed| seed.to_string());
        let (about, total, by) = (about.trim(), hunt.total(), by.join(", "));
        println!("| `{fault:?}`: {about} | {total} of {seeds} | {by} | {first} |");
        if !hunt.found.contains_key(&meant_for(fault)) {
            unseen.push(format!("{fault:?}"));
        }
    }
    if unseen.is_empty() {
        return Ok(());
    }
    bail!("not found by the checker that each was planted for: {}", unseen.join(", "))
}

/// Does `one` with each of so many seeds, until it says that it is enough.
fn on_all_cores(args: &Args, seeds: u64, one: impl Fn(u64) -> bool + Sync) {
    let jobs = match args.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let next = AtomicU64::new(args.seed);
    let end = args.seed.saturating_add(seeds);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    if !one(seed) {
                        next.store(end, Ordering::Relaxed);
                    }
                }
            });
        }
    });
}
