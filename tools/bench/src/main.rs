//! Cost of the client path: submit, encode, sendctx, chain, post; poll, parse, match, complete.
//!
//! `bench OP --count N` drives the client over a provider that answers at once, `bench PART` one
//! part of the path alone. The figures that count are instructions (`tools/bench/instructions`);
//! the time printed is for orientation.

mod instant;
mod parts;
mod path;

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use client::{Client, File, MountConfig, MountId, MountState, Op};
use hugepages::{Buffer, Policy};
use parts::Part;
use reactor::Timestamp;
use rpcrdma::{EndpointConfig, Registration, TransportConfig};
use wire::nfs3::{FileHandle, StableHow};
use wire::rpc::{Auth, AuthSys};

/// Cost of the client path on a provider that costs nothing.
#[derive(Parser)]
struct Args {
    /// What each RPC does, or which part of the path to run alone.
    op: What,
    /// Bytes that each READ or WRITE moves.
    #[arg(long, default_value_t = 4096)]
    bytes: u32,
    /// RPCs.
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// RPCs in flight.
    #[arg(long, default_value_t = 32)]
    depth: u32,
    /// Connections, each with a mount of its own and so many RPCs in flight.
    #[arg(long, default_value_t = 1)]
    connections: u32,
    /// Files that take turns.
    #[arg(long, default_value_t = 1)]
    files: u32,
}

#[derive(Clone, Copy)]
enum What {
    Rpc(Kind),
    Part(Part),
}

impl std::str::FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rpc = Kind::from_str(text, false).map(Self::Rpc);
        rpc.or_else(|_| Part::from_str(text, false).map(Self::Part)).map_err(|_| {
            let names = |values: Vec<clap::builder::PossibleValue>| {
                values
                    .iter()
                    .map(|value| value.get_name().to_owned())
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let all = |kinds: &[Kind]| kinds.iter().filter_map(Kind::to_possible_value).collect();
            let parts: Vec<_> =
                Part::value_variants().iter().filter_map(Part::to_possible_value).collect();
            format!("there are {} and {}", names(all(Kind::value_variants())), names(parts))
        })
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// READ by Write chunk, static keys.
    ReadChunk,
    /// READ inline, copied out of the Receive.
    ReadInline,
    /// WRITE by Read chunk, static keys.
    WriteChunk,
    /// READ by Write chunk, a key for each.
    ReadWindow,
    /// WRITE by Read chunk, a key for each.
    WriteWindow,
    /// WRITE gathered into the Send.
    WriteGathered,
    /// WRITE copied into the Send.
    WriteCopied,
    /// GETATTR.
    Getattr,
}

impl Kind {
    fn inline(self) -> u32 {
        match self {
            Self::ReadInline | Self::WriteGathered | Self::WriteCopied => 16 * 1024,
            _ => 4096,
        }
    }

    fn registration(self) -> Registration {
        match self {
            Self::ReadWindow | Self::WriteWindow => Registration::Window,
            _ => Registration::Static,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if args.depth == 0 || args.depth > 1024 || args.count == 0 {
        bail!("--depth is 1 to 1024, --count at least 1");
    }
    if args.bytes == 0 || args.bytes > 4096 || !args.bytes.is_multiple_of(4) {
        bail!("--bytes is 4 to 4096, a multiple of 4");
    }
    if !(1..=64).contains(&args.connections) || !(1..=1 << 20).contains(&args.files) {
        bail!("--connections is 1 to 64, --files 1 to 1048576");
    }
    match args.op {
        What::Rpc(kind) => match kind {
            Kind::ReadChunk | Kind::ReadWindow | Kind::ReadInline => {
                rpcs(kind, &args, |file, offset, len| Op::Read { file, offset, len })
            }
            Kind::WriteChunk | Kind::WriteWindow | Kind::WriteGathered | Kind::WriteCopied => {
                let stable = StableHow::Unstable;
                rpcs(kind, &args, |file, offset, len| Op::Write { file, offset, len, stable })
            }
            Kind::Getattr => rpcs(kind, &args, |file, _, _| Op::Getattr { file }),
        },
        What::Part(part) => {
            let took = parts::run(part, args.count)?;
            println!("{:.2} ns each", took.as_nanos() as f64 / args.count as f64);
            Ok(())
        }
    }
}

/// A mount with its buffers, and how many more operations may be under way on it.
struct Site {
    mount: MountId,
    buffers: Vec<Buffer>,
    room: u32,
}

/// What a program makes of an operation that is due: [`path::submit`], [`path::turn`] and
/// [`path::take`] are the client's path, the rest is the program's own.
fn rpcs(kind: Kind, args: &Args, op: impl Fn(File, u64, u32) -> Op + Copy) -> anyhow::Result<()> {
    let (mut client, mut sites) = mounted(kind, args)?;
    let root = client.root(sites[0].mount).context("a mount has a root")?;
    let files: Vec<File> = (0..args.files).map(|number| file(root, number)).collect();
    let (mut next_file, bytes) = (0, args.bytes);

    let (mut submitted, mut completed, mut turns) = (0, 0, 0u64);
    let start = Instant::now();
    while completed < args.count {
        turns += 1;
        let now = Timestamp(turns * 1000);
        for site in &mut sites {
            while site.room > 0 && submitted < args.count {
                let buffer = site.buffers.pop();
                let (file, offset) = (&files[next_file], submitted % 65_536 * 4096);
                let op = || op(*file, offset, bytes);
                if !path::submit(&mut client, site.mount, submitted, op, buffer, now) {
                    bail!("the queue is deeper than that");
                }
                next_file = if next_file + 1 == files.len() { 0 } else { next_file + 1 };
                site.room -= 1;
                submitted += 1;
            }
        }
        path::turn(&mut client, now);
        for site in &mut sites {
            // Who has nothing under way does not ask for it.
            while site.room < args.depth
                && let Some(result) = path::take(&mut client, site.mount)
            {
                site.buffers.extend(result?);
                site.room += 1;
                completed += 1;
            }
        }
    }
    let elapsed = start.elapsed();
    let counters = client.counters(sites[0].mount).unwrap_or_default();
    println!(
        "{:.1} ns an RPC, {:.3} completion entries and {:.3} doorbells an RPC",
        elapsed.as_nanos() as f64 / args.count as f64,
        counters.cqes as f64 / counters.recvs as f64,
        counters.send_doorbells as f64 / counters.sends as f64,
    );
    Ok(())
}

/// Another file, of the same kind of handle.
fn file(root: File, number: u32) -> File {
    let mut bytes = root.handle.as_bytes().to_vec();
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    FileHandle::from_bytes(&bytes).map_or(root, |handle| File { handle })
}

fn mounted(kind: Kind, args: &Args) -> anyhow::Result<(Client<instant::Instant>, Vec<Site>)> {
    let mut transport = TransportConfig::new(SocketAddr::from(([127, 0, 0, 1], 20049)));
    transport.max_requests = args.depth.max(16);
    transport.inline_send = kind.inline();
    transport.inline_receive = kind.inline();
    transport.copy_max = if matches!(kind, Kind::WriteCopied) { 4096 } else { 0 };
    transport.registration = Some(kind.registration());
    transport.buffers.policy = Policy::Off;
    transport.buffers.buffer_len = 4096;
    transport.buffers.count = args.depth;
    let sys = AuthSys { stamp: 0, machine: "bench".into(), uid: 0, gid: 0, gids: Vec::new() };
    let root = FileHandle::from_bytes(&[7; 28]).context("28 bytes are a handle")?;
    let auth = Auth::Sys(sys);
    let config = MountConfig {
        root,
        auth,
        queue_depth: args.depth,
        uncommitted_max: 0,
        jukebox_wait_ns: client::JUKEBOX_WAIT_NS,
        transport,
    };
    let provider = instant::Instant { inline: kind.inline(), bytes: args.bytes };
    let mut client = Client::new(provider, EndpointConfig::default());
    let mut sites = Vec::new();
    for turn in 1..1000 {
        if sites.len() < args.connections as usize {
            sites.push(client.mount(&config, Timestamp(0))?);
        }
        client.turn(Timestamp(turn * 2_000_000));
        let mut states = sites.iter().map(|&mount| client.state(mount));
        if let Some(MountState::Gone(error)) = states.find(|s| matches!(s, MountState::Gone(_))) {
            bail!("{error}");
        }
        if sites.len() == args.connections as usize
            && sites.iter().all(|&mount| client.state(mount) == MountState::Mounted)
        {
            return with_buffers(client, &sites, args.depth, kind);
        }
    }
    bail!("the mount is not made");
}

fn with_buffers(
    client: Client<instant::Instant>,
    mounts: &[MountId],
    depth: u32,
    kind: Kind,
) -> anyhow::Result<(Client<instant::Instant>, Vec<Site>)> {
    let count = if matches!(kind, Kind::Getattr) { 0 } else { depth };
    let mut sites = Vec::new();
    for &mount in mounts {
        let pool = client.pool(mount).context("a mount has buffers")?;
        let buffers = (0..count).filter_map(|_| pool.alloc()).collect();
        sites.push(Site { mount, buffers, room: depth });
    }
    Ok((client, sites))
}
