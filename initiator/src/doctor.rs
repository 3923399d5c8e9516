//! `initiator doctor`: what this machine has for NFS over RDMA, what is missing, and the command
//! that mends it.

#[cfg(feature = "rdma")]
mod devices;

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};
use hugepages::reserve;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::geteuid;
use reactor::{core_numa_node, usable_cores};

use crate::EXIT_FAILURE;

/// What a build without the feature answers.
const WITHOUT_RDMA: &str = "built without RDMA: build with `cargo build --release` \
     (feature `rdma`, which needs libibverbs and librdmacm), or run against the embedded target";

/// Registered memory that a modest job needs.
const MEMLOCK_WANTED: u64 = 64 << 20;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// It works, but could be better.
    Note,
    /// Without it no job runs on RDMA.
    Missing,
}

struct Check {
    what: &'static str,
    verdict: Verdict,
    /// One line or several.
    found: String,
    /// A command.
    cure: Option<String>,
}

/// Whether this build can reach RDMA devices at all.
pub(crate) fn require_rdma() -> Result<()> {
    if !cfg!(feature = "rdma") {
        bail!("{WITHOUT_RDMA}");
    }
    Ok(())
}

/// Prints all checks. Success means that a job could run on RDMA here.
pub(crate) fn run() -> Result<ExitCode> {
    let mut checks = vec![cpus(), huge_pages(), memlock()];
    checks.extend(rdma());
    let mut out = format!("initiator {}\n", env!("CARGO_PKG_VERSION"));
    for check in &checks {
        show(&mut out, check);
    }
    let ready = checks.iter().all(|check| check.verdict != Verdict::Missing);
    out.push_str(match ready {
        true => "\nJobs can run on RDMA here: initiator perf nfs://SERVER/EXPORT\n",
        false => "\nJobs cannot run on RDMA here until what is missing above is mended.\n",
    });
    out.push_str("Without RDMA, over the in-process fabric (soft), this runs: initiator perf\n");
    print!("{out}");
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILURE) })
}

fn show(out: &mut String, check: &Check) {
    let verdict = match check.verdict {
        Verdict::Ok => "ok",
        Verdict::Note => "note",
        Verdict::Missing => "MISSING",
    };
    let mut lines = check.found.lines();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{:<10} {verdict:<8} {}", check.what, lines.next().unwrap_or(""));
    for line in lines {
        let _ = writeln!(out, "{:<19} {line}", "");
    }
    if let Some(cure) = &check.cure {
        let _ = writeln!(out, "{:<19} run: {cure}", "");
    }
}

fn cpus() -> Check {
    let cores = usable_cores();
    let mut nodes: Vec<u32> = cores.iter().filter_map(|core| core_numa_node(*core)).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let list = |numbers: Vec<String>| numbers.join(",");
    let mut found = format!(
        "{} usable: {}; NUMA node(s) {}",
        cores.len(),
        list(cores.iter().map(usize::to_string).collect()),
        if nodes.is_empty() {
            "unknown".to_owned()
        } else {
            list(nodes.iter().map(u32::to_string).collect())
        }
    );
    let verdict = match cores.len() {
        0 | 1 => {
            found.push_str("\njobs and a target in the same process share the core and yield");
            Verdict::Note
        }
        _ => Verdict::Ok,
    };
    Check { what: "cpus", verdict, found, cure: None }
}

fn huge_pages() -> Check {
    let what = "hugepages";
    let all = match reserve::status() {
        Ok(all) => all,
        Err(error) => {
            return Check { what, verdict: Verdict::Note, found: error.to_string(), cure: None };
        }
    };
    let lines: Vec<String> = all
        .iter()
        .map(|s| format!("node {}: {} of {} {} pages free", s.node, s.free, s.total, s.page_size))
        .collect();
    let found = match lines.is_empty() {
        true => "this kernel has none: plain pages are used".to_owned(),
        false => lines.join("\n"),
    };
    if all.iter().any(|status| status.free > 0) {
        return Check { what, verdict: Verdict::Ok, found, cure: None };
    }
    let cure = (!all.is_empty()).then(|| "initiator hugepages reserve 256    (as root)".to_owned());
    let found = format!("{found}\nnone is free: plain pages are used unless hugepages = required");
    Check { what, verdict: Verdict::Note, found, cure }
}

fn memlock() -> Check {
    let what = "memlock";
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft);
    let shown = match limit {
        RLIM_INFINITY => "unlimited".to_owned(),
        bytes => format!("{} KiB", bytes / 1024),
    };
    if limit == RLIM_INFINITY || limit >= MEMLOCK_WANTED {
        return Check { what, verdict: Verdict::Ok, found: shown, cure: None };
    }
    if geteuid().is_root() {
        let found = format!("{shown}; root is not held to it (CAP_IPC_LOCK)");
        return Check { what, verdict: Verdict::Ok, found, cure: None };
    }
    let found = format!(
        "{shown}: registered memory is charged to it, and a modest job registers {} MiB",
        MEMLOCK_WANTED >> 20
    );
    let cure = Some("ulimit -l unlimited    (or LimitMEMLOCK=infinity in the unit)".to_owned());
    Check { what, verdict: Verdict::Missing, found, cure }
}

#[cfg(feature = "rdma")]
fn rdma() -> Vec<Check> {
    vec![devices::devices(), devices::connection_manager()]
}

#[cfg(not(feature = "rdma"))]
fn rdma() -> Vec<Check> {
    let found = WITHOUT_RDMA.to_owned();
    vec![Check { what: "rdma", verdict: Verdict::Missing, found, cure: None }]
}
