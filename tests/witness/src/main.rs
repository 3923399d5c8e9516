//! `witness`: writes over this client with a journal of what it was promised, and holds the file to
//! that journal after the client was killed. For `tools/prove` and `tools/soak`.

mod journal;
mod session;
mod traffic;
mod unit;
mod writer;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use client::Op;
use rpcrdma::Registration;

use journal::{Claims, Survivor};
use session::{Session, TRANSFER};

/// Holds a file to what its writer was promised.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Write a new file at random places, and keep a journal
    Write {
        /// The file: nfs://SERVER/EXPORT/PATH
        url: String,
        /// Where the journal goes
        journal: PathBuf,
        /// Units of 4 KiB that the file has
        #[arg(long, default_value_t = 1024)]
        units: u64,
        /// Sync after so many writes
        #[arg(long, default_value_t = 50)]
        sync_every: u64,
        /// End by itself, with everything synced, after so many seconds
        #[arg(long, default_value_t = 3600)]
        seconds: u64,
        /// Of the places
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How the server reaches buffers
        #[arg(long, default_value = "auto")]
        registration: Keys,
    },
    /// Read a file over this client into a local one
    Fetch {
        /// The file
        url: String,
        /// Where it goes
        to: PathBuf,
    },
    /// Compare a file with the journal of its writer
    Check {
        /// The journal
        journal: PathBuf,
        /// The file
        file: PathBuf,
        /// The server has died as well: only what was synced must be there
        #[arg(long)]
        server_died: bool,
    },
    /// Do a little of everything in a new directory, and print the transport's counters
    Traffic {
        /// The directory: nfs://SERVER/EXPORT/NAME
        url: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Keys {
    Auto,
    Window,
    Static,
}

impl From<Keys> for Option<Registration> {
    fn from(keys: Keys) -> Self {
        match keys {
            Keys::Auto => None,
            Keys::Window => Some(Registration::Window),
            Keys::Static => Some(Registration::Static),
        }
    }
}

fn main() -> Result<()> {
    tracing_subscriber::fmt().without_time().with_writer(std::io::stderr).init();
    match Args::parse().what {
        What::Write { url, journal, units, sync_every, seconds, seed, registration } => {
            let room = (TRANSFER / unit::UNIT) as u64;
            if units < 32 * room {
                bail!("--units is at least {}, so that writes find room", 32 * room);
            }
            let plan = writer::Plan { units, sync_every, seconds, seed };
            writer::write(Session::mount(&url, registration.into())?, &journal, plan)
        }
        What::Fetch { url, to } => fetch(Session::mount(&url, None)?, &to),
        What::Check { journal, file, server_died } => check(&journal, &file, server_died),
        What::Traffic { url } => {
            let mut session = Session::mount(&url, None)?;
            traffic::run(&mut session)?;
            let counters = session.counters();
            let counters: serde_json::Map<String, serde_json::Value> =
                counters.iter().map(|(name, count)| (name.into(), count.into())).collect();
            println!("{}", serde_json::Value::from(counters));
            Ok(())
        }
    }
}

fn fetch(mut session: Session, to: &PathBuf) -> Result<()> {
    let (file, size) = session.opened(Op::Open { path: session.path.clone(), create: None })?;
    let mut all = Vec::with_capacity(size as usize);
    while (all.len() as u64) < size {
        let buffer = session.buffer()?;
        let op = Op::Read { file, offset: all.len() as u64, len: TRANSFER as u32 };
        let done = session.op(op, Some(buffer))?;
        if done.data().is_empty() {
            bail!("the file ends after {} of {size} bytes", all.len());
        }
        all.extend_from_slice(done.data());
    }
    std::fs::write(to, all).with_context(|| to.display().to_string())
}

fn check(journal: &PathBuf, file: &PathBuf, server_died: bool) -> Result<()> {
    let shown = |path: &PathBuf| path.display().to_string();
    let claims = std::fs::read_to_string(journal).with_context(|| shown(journal))?;
    let claims = Claims::read(&claims)?;
    let bytes = std::fs::read(file).with_context(|| shown(file))?;
    let survivor = if server_died { Survivor::Disk } else { Survivor::Server };
    let verdict = claims.judge(&bytes, survivor);
    let (writes, syncs) = claims.acknowledged();
    println!(
        "writes={writes} syncs={syncs} right={} beyond={} behind={} wrong={}",
        verdict.right,
        verdict.beyond,
        verdict.behind,
        verdict.wrong.len()
    );
    verdict.wrong.iter().take(10).for_each(|wrong| println!("{wrong}"));
    if !verdict.wrong.is_empty() {
        bail!("{} is not what {} promises", shown(file), shown(journal));
    }
    Ok(())
}
