//! Cost of the client path: submit, encode, sendctx, chain, post; poll, parse, match, complete.
//!
//! `bench OP --count N` drives the client over a provider that answers at once. The figures that
//! count are instructions (`tools/bench/instructions`); the time printed is for orientation.

mod instant;

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use client::{Client, File, MountConfig, MountId, MountState, Op, Output, Submission};
use hugepages::{Buffer, Policy};
use reactor::Timestamp;
use rpcrdma::{EndpointConfig, Registration, TransportConfig};
use wire::nfs3::{FileHandle, StableHow};
use wire::rpc::{Auth, AuthSys};

/// Cost of the client path on a provider that costs nothing.
#[derive(Parser)]
struct Args {
    /// What each RPC does.
    op: Kind,
    /// Bytes that each READ or WRITE moves.
    #[arg(long, default_value_t = 4096)]
    bytes: u32,
    /// RPCs.
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// RPCs in flight.
    #[arg(long, default_value_t = 32)]
    depth: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// READ by Write chunk, static keys.
    ReadChunk,
    /// READ inline, copied out of the Receive.
    ReadInline,
    /// WRITE by Read chunk, static keys.
    WriteChunk,
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

    #[inline]
    fn submission(self, file: File, tag: u64, len: u32, buffer: Buffer) -> Submission {
        let offset = tag % 65_536 * 4096;
        let op = match self {
            Self::ReadChunk | Self::ReadInline => Op::Read { file, offset, len },
            Self::WriteChunk | Self::WriteGathered | Self::WriteCopied => {
                Op::Write { file, offset, len, stable: StableHow::Unstable }
            }
            Self::Getattr => Op::Getattr { file },
        };
        Submission { tag, op, buffer: Some(buffer), pieces: None }
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
    let (mut client, mount) = mounted(&args)?;
    let pool = client.pool(mount).context("a mount has buffers")?.clone();
    let mut buffers: Vec<Buffer> = (0..args.depth).filter_map(|_| pool.alloc()).collect();
    let file = client.root(mount).context("a mount has a root")?;

    let (mut submitted, mut completed, mut turns) = (0, 0, 0u64);
    let start = Instant::now();
    while completed < args.count {
        turns += 1;
        let now = Timestamp(turns * 1000);
        while submitted < args.count
            && let Some(buffer) = buffers.pop()
        {
            let submission = args.op.submission(file, submitted, args.bytes, buffer);
            if client.submit(mount, submission, now).is_err() {
                bail!("the queue is as deep as there are buffers");
            }
            submitted += 1;
        }
        client.turn(now);
        while let Some(done) = &mut client.next_done(mount) {
            if let Err(error) = &done.result {
                bail!("{error}");
            }
            debug_assert!(!matches!(done.result, Ok(Output::Nothing)));
            buffers.extend(done.buffer.take());
            completed += 1;
        }
    }
    let elapsed = start.elapsed();
    let counters = client.counters(mount).unwrap_or_default();
    let rpcs = args.count as f64;
    println!(
        "{:.1} ns an RPC, {:.3} completion entries and {:.3} doorbells an RPC",
        elapsed.as_nanos() as f64 / rpcs,
        counters.cqes as f64 / counters.recvs as f64,
        counters.send_doorbells as f64 / counters.sends as f64,
    );
    Ok(())
}

fn mounted(args: &Args) -> anyhow::Result<(Client<instant::Instant>, MountId)> {
    let mut transport = TransportConfig::new(SocketAddr::from(([127, 0, 0, 1], 20049)));
    transport.max_requests = args.depth.max(16);
    transport.inline_send = args.op.inline();
    transport.inline_receive = args.op.inline();
    transport.copy_max = if matches!(args.op, Kind::WriteCopied) { 4096 } else { 0 };
    transport.registration = Some(Registration::Static);
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
    let provider = instant::Instant { inline: args.op.inline(), bytes: args.bytes };
    let mut client = Client::new(provider, EndpointConfig::default());
    let mount = client.mount(&config, Timestamp(0))?;
    for turn in 1..1000 {
        client.turn(Timestamp(turn * 2_000_000));
        match client.state(mount) {
            MountState::Mounted => return Ok((client, mount)),
            MountState::Mounting => {}
            MountState::Gone(error) => bail!("{error}"),
        }
    }
    bail!("the mount is not made");
}
