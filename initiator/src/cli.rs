//! The command line. Its help teaches: every command says what it does and shows how.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use target::Misbehaviour;

use crate::config::{Memory, ReactorSection, Settings, Transport};
use crate::values::{Interval, PageSize, Size};

const ABOUT: &str = "A polled-mode userspace NFS-over-RDMA client and its workload generator";

const EXAMPLES: &str = "\
Examples:
  initiator perf                                 a first look: needs no RDMA, no server, no root
  initiator perf -w randrw -b 4k -q 32 -t 10     the same, with a load of your choice
  initiator perf nfs://server/export -w randread -b 4k -q 16 -c 0,1 -t 10
  initiator run conf/randread-4k.fio             a fio job file; nfs_url= in it names the mount
  initiator doctor                               what this machine lacks for RDMA, and the cure

Exit status: 0 all went well; 1 something failed, and one line on standard error says what;
2 the command line is wrong; 128 + the signal's number if SIGINT or SIGTERM ended a run
(its report is printed first; a second signal ends it at once).

RUST_LOG, or -v, shows more of what happens (RUST_LOG=client=debug).";

#[derive(Debug, Parser)]
#[command(name = "initiator", version, about = ABOUT, after_help = EXAMPLES)]
#[command(args_override_self = true, arg_required_else_help = true, propagate_version = true)]
pub(crate) struct Cli {
    /// Say more on standard error; twice for debugging
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<RunArgs>),
    Perf(Box<PerfArgs>),
    Target(Box<TargetArgs>),
    Hugepages(HugepagesArgs),
    /// Check what this machine has for RDMA, and name the cure for what it lacks
    Doctor,
}

/// Run fio job files
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "\
Each job runs on pinned reactors, one job thread (of numjobs=) a reactor; `nfs_url=` names the
mount and `filename=` the file under it. Options this client does not have are refused by name
(docs/fio-compat.md lists all). Several files run one after another. Any option of a job may be
given as --OPTION=VALUE, a job beginning with --name. fio's --client and --server are left to fio.

Examples:
  initiator run conf/randread-4k.fio
  initiator run -c 2,3 --output-format json --output result.json jobs.fio
  initiator run --embedded conf/randwrite-verify.fio      no server needed
  initiator run --embedded --name=j --rw=randread --bs=4k --size=64m --iodepth=16
  initiator run --cmdhelp=rate_process

A job file:
  [global]
  nfs_url=nfs://server/export/scratch
  [reader]
  rw=randread
  bs=4k
  size=1g
  iodepth=16
  runtime=10
  time_based"
)]
pub(crate) struct RunArgs {
    /// fio job files
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<PathBuf>,
    /// Only the job of this section; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) section: Vec<String>,
    /// Read and check the jobs, and end
    #[arg(long)]
    pub(crate) parse_only: bool,
    /// Show the jobs as a command line, and end
    #[arg(long)]
    pub(crate) showcmd: bool,
    /// What an option of a job does, or all of them do, and end
    #[arg(long, value_name = "OPTION", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub(crate) cmdhelp: Option<String>,
    /// Jobs that the command line says itself
    #[arg(skip)]
    pub(crate) arguments: Vec<workload::Argument>,
    /// Run against a target in this process, in memory, over the in-process fabric; the jobs'
    /// nfs_url= is ignored
    #[arg(long)]
    pub(crate) embedded: bool,
    #[command(flatten)]
    pub(crate) embedded_args: EmbeddedArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

/// Run one load, given by flags, against a URL or a target in this process
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "\
Without URL a target is started in this process, on a reactor of its own, with its files in
memory, and reached over the in-process fabric (provider soft). With URL a server is mounted
over RDMA (provider ibv), and the files perf.N.0 are made there; --filename names another.
Any other option of a job may be given as in a job file, --OPTION=VALUE: `initiator run --cmdhelp`
lists them.

Examples:
  initiator perf -w randread -b 4k -q 32 -t 10
  initiator perf -w randwrite --verify crc32c --size 16m -t 0       once through, then checked
  initiator perf nfs://server/export/dir -w randrw --rwmixread 70 -q 64 -c 0,1
  initiator perf -w read -b 128k --output-format json
  initiator perf -q 256 --rate_iops=20k --rate_process=poisson      an open loop
  initiator perf -w randrw -t 30 --html report.html                 charts, for a browser"
)]
pub(crate) struct PerfArgs {
    /// nfs://HOST[:PORT]/EXPORT/PATH
    pub(crate) url: Option<String>,
    /// read, write, randread, randwrite, rw or randrw
    #[arg(short = 'w', long, value_name = "KIND", default_value = "randread")]
    pub(crate) rw: String,
    /// Block size
    #[arg(short = 'b', long, value_name = "SIZE", default_value = "4k")]
    pub(crate) bs: String,
    /// Operations each job thread keeps in flight
    #[arg(short = 'q', long, value_name = "N", default_value = "16")]
    pub(crate) iodepth: String,
    /// How long to run; 0 goes once through the file
    #[arg(short = 't', long, value_name = "TIME", default_value = "10")]
    pub(crate) runtime: String,
    /// Bytes of file for each job thread
    #[arg(long, value_name = "SIZE", default_value = "64m")]
    pub(crate) size: String,
    /// Reads in a mix
    #[arg(short = 'M', long, value_name = "PERCENT")]
    pub(crate) rwmixread: Option<String>,
    /// Write blocks that can be checked, and check them: crc32c or pattern
    #[arg(long, value_name = "HOW")]
    pub(crate) verify: Option<String>,
    /// What --verify pattern repeats, for example 0xdeadbeef
    #[arg(long, value_name = "PATTERN")]
    pub(crate) verify_pattern: Option<String>,
    /// Job threads [default: one a core of --cores, or 1]
    #[arg(short = 'j', long, value_name = "N")]
    pub(crate) numjobs: Option<String>,
    /// Run this long before measuring
    #[arg(long, value_name = "TIME")]
    pub(crate) ramp_time: Option<String>,
    /// COMMIT after every N writes
    #[arg(long, value_name = "N")]
    pub(crate) fsync: Option<String>,
    /// File to work on, below the URL [default: perf.N.0, one a job thread]
    #[arg(long, value_name = "PATH")]
    pub(crate) filename: Option<String>,
    /// Seed of the random numbers
    #[arg(long, value_name = "N")]
    pub(crate) randseed: Option<String>,
    /// Other options of the job
    #[arg(skip)]
    pub(crate) arguments: Vec<workload::Argument>,
    /// soft (in this process) or ibv (RDMA devices) [default: ibv with a URL, soft without]
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Option<ProviderName>,
    #[command(flatten)]
    pub(crate) embedded_args: EmbeddedArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProviderName {
    Ibv,
    Soft,
}

/// The target in this process.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Embedded target")]
pub(crate) struct EmbeddedArgs {
    /// Bytes that its files may have together [default: 1g]
    #[arg(long, value_name = "SIZE")]
    pub(crate) target_space: Option<Size>,
    /// Keep its files in this directory, not in memory
    #[arg(long, value_name = "DIR", conflicts_with = "target_space")]
    pub(crate) target_directory: Option<PathBuf>,
    /// Core of its reactor [default: the first without jobs]
    #[arg(long, value_name = "CORE")]
    pub(crate) target_core: Option<usize>,
    /// Credits that it grants [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) target_credits: Option<u32>,
    /// What it does wrong, for tests: drop-replies=1,status=STALE:READ:3,...
    #[arg(long, value_name = "SPEC", hide = true)]
    pub(crate) target_misbehave: Option<Misbehaviour>,
}

impl EmbeddedArgs {
    /// The first flag that was given, for a run that has no such target.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let flags = [
            (self.target_space.is_some(), "--target-space"),
            (self.target_directory.is_some(), "--target-directory"),
            (self.target_core.is_some(), "--target-core"),
            (self.target_credits.is_some(), "--target-credits"),
            (self.target_misbehave.is_some(), "--target-misbehave"),
        ];
        flags.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// How to report
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output_format: OutputFormat,
    /// The same as --output-format terse
    #[arg(long)]
    pub(crate) minimal: bool,
    /// Report what there is so far every so often, in the same format and to the same place
    #[arg(long, value_name = "TIME")]
    pub(crate) status_interval: Option<Interval>,
    /// File to report to, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Also write the report as a page with charts, for a browser; it needs no other file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

impl OutputArgs {
    /// The format that was asked for, in either way.
    pub(crate) fn format(&self) -> OutputFormat {
        if self.minimal { OutputFormat::Terse } else { self.output_format }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// As fio prints it
    #[default]
    Normal,
    /// A line an entry between semicolons, as fio --minimal
    Terse,
    /// As fio --output-format=json
    Json,
    /// The same with the histograms of latencies
    #[value(name = "json+")]
    JsonPlus,
}

/// Settings from a file and from flags.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingsArgs {
    /// Configuration file (TOML); see conf/initiator.toml. Flags win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) transport: Transport,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    reactor: ReactorSection,
}

impl SettingsArgs {
    /// Reads the file, lays the flags over it and checks the whole.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        let Self { config, transport, memory, reactor } = self.clone();
        let file = config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
        let settings = Settings { transport, memory, reactor }.over(file);
        settings.check()?;
        Ok(settings)
    }
}

/// Serve NFSv3 over RDMA, from memory or from a directory
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "\
The server that the tests run against. It listens on an RDMA device (there is no provider soft
here: that fabric exists within one process only; `initiator perf` without URL uses it). It is
not registered with rpcbind: clients name its MOUNT port.

Examples:
  initiator target --listen 192.168.7.1 --mount-port 20048
  initiator target --listen 192.168.7.1 --mount-port 20048 --directory /srv/scratch
  initiator perf nfs://192.168.7.1/ --mountport 20048         from the other host

It ends on SIGINT or SIGTERM, and prints what it has done."
)]
pub(crate) struct TargetArgs {
    /// Address of an RDMA device's interface
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: IpAddr,
    /// NFS/RDMA port
    #[arg(long, value_name = "PORT", default_value_t = target::config::PORT_DEFAULT)]
    pub(crate) port: u16,
    /// MOUNT's TCP port; 0 lets the system choose
    #[arg(long, value_name = "PORT", default_value_t = 20048)]
    pub(crate) mount_port: u16,
    /// Path that may be mounted; may be repeated [default: /]
    #[arg(long = "export", value_name = "PATH")]
    pub(crate) exports: Vec<String>,
    /// Serve this directory instead of memory
    #[arg(long, value_name = "DIR", conflicts_with = "space")]
    pub(crate) directory: Option<PathBuf>,
    /// Bytes that files in memory may have together [default: 1g]
    #[arg(long, value_name = "SIZE")]
    pub(crate) space: Option<Size>,
    /// Credits to grant [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) credits: Option<u32>,
    /// What to do wrong: drop-replies=1,status=STALE:READ:3,...
    #[arg(long, value_name = "SPEC")]
    pub(crate) misbehave: Option<Misbehaviour>,
    /// Carry a call out again that comes again, instead of answering it as before
    #[arg(long)]
    pub(crate) no_drc: bool,
    /// Core of its reactor [default: the first]
    #[arg(short = 'c', long, value_name = "CORE")]
    pub(crate) core: Option<usize>,
    #[arg(long, value_name = "POLICY")]
    /// When there is nothing to do: spin, yield, nice:N, sched-batch, sched-idle, adaptive
    /// (spin, yield, then sleep) or adaptive:spin_us=N,yield_us=N
    pub(crate) idle: Option<crate::values::Idle>,
}

/// Show or reserve huge pages
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  initiator hugepages
  initiator hugepages reserve 256
  initiator hugepages reserve 2 --page-size 1G --node 0
  initiator hugepages reserve 0                              gives them back")]
pub(crate) struct HugepagesArgs {
    #[command(subcommand)]
    pub(crate) action: Option<HugepagesAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HugepagesAction {
    /// Show what is reserved and free (the default)
    Status,
    /// Set how many pages the kernel keeps aside; needs root
    Reserve {
        /// Pages in all
        pages: u64,
        /// 2M or 1G
        #[arg(long, value_name = "SIZE", default_value = "2M")]
        page_size: PageSize,
        /// Only on this NUMA node
        #[arg(long, value_name = "NODE")]
        node: Option<u32>,
    },
}
