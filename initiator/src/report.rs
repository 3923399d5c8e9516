//! The report of a run: fio's, and below it what the transport and the reactors did.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use reactor::ReactorStats;
use rpcrdma::{Counters, Holdings};
use serde_json::{Map, Value, json};
use workload::report::{Report, RunInfo};

use crate::embedded::Served;
use crate::engine::{Ran, Site};
use jobs::Held;

/// What the report calls us, in the place of `fio-3.33`.
pub(crate) const VERSION: &str = concat!("initiator-", env!("CARGO_PKG_VERSION"));

/// Everything there is to report.
pub(crate) struct Facts<'a> {
    pub(crate) provider: &'static str,
    pub(crate) sites: &'a [Site],
    pub(crate) ran: &'a Ran,
    pub(crate) served: Option<&'a Served>,
}

type Options = Vec<(String, String)>;

/// As `fio` prints it, and our own lines.
pub(crate) fn text(facts: &Facts<'_>, global_options: Options) -> String {
    let mut out = report(facts, global_options, Map::new()).text();
    // Writing to a String cannot fail.
    let _ = own_lines(&mut out, facts);
    out
}

/// As `fio --output-format=json` prints it, with our own things under "initiator".
/// With the histograms of latencies if `bins`, as json+ has them.
pub(crate) fn json(facts: &Facts<'_>, global_options: Options, bins: bool) -> String {
    let report = report(facts, global_options, own_values(facts));
    (if bins { report.json_plus() } else { report.json() }) + "\n"
}

/// As `fio --minimal` prints it.
pub(crate) fn terse(facts: &Facts<'_>) -> String {
    report(facts, Options::new(), Map::new()).terse()
}

/// As a page for a browser.
pub(crate) fn html(facts: &Facts<'_>, global_options: Options) -> String {
    report(facts, global_options, own_values(facts)).html()
}

fn report(facts: &Facts<'_>, global_options: Options, counters: Map<String, Value>) -> Report {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let info = RunInfo {
        version: VERSION.into(),
        unix_time_ms: since_1970.as_millis() as u64,
        pid: std::process::id(),
        global_options,
        counters,
    };
    Report::new(info, facts.ran.results.clone())
}

fn own_lines(out: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    let counters = totals(facts);
    writeln!(out, "\nTransport ({}):", facts.provider)?;
    for site in 0..facts.sites.len() {
        let mounts = mounts(facts, site);
        let granted: Vec<String> =
            mounts.iter().filter_map(|m| m.credits_granted).map(|c| c.to_string()).collect();
        let Site { url, located } = &facts.sites[site];
        writeln!(
            out,
            "  mount        : {url} (export {}), {} connection(s), credits granted={}, \
             jukebox_waits={}",
            located.export,
            mounts.iter().map(|mount| mount.connections.len()).sum::<usize>(),
            granted.join(","),
            mounts.iter().map(|mount| mount.jukebox_waits).sum::<u64>()
        )?;
    }
    connection_lines(out, facts)?;
    let Derived { cqes_per_rpc, wrs_per_doorbell } = derived(&counters);
    writeln!(out, "  CQEs per RPC : {cqes_per_rpc:.3}")?;
    writeln!(out, "  WRs per doorbell: {wrs_per_doorbell:.2}")?;
    let cells: Vec<String> = counters.iter().map(|(name, n)| format!("{name}={n}")).collect();
    for row in cells.chunks(5) {
        writeln!(out, "  xprt         : {}", row.join(", "))?;
    }
    let reactors = reactors(facts);
    // Those that still run are not told of.
    if !reactors.is_empty() {
        writeln!(out, "\nReactors:")?;
    }
    for (core, role, stats) in reactors {
        writeln!(
            out,
            "  core {core:<8}: {role}, busy={:.1}%, idle={:.1}%, asleep={:.1}%, turns={}, longest turn={} usec, stalls={}",
            busy_percent(&stats),
            100.0 - busy_percent(&stats),
            percent(stats.slept_ns, &stats),
            stats.turns,
            stats.turn_ns_max / 1000,
            stats.stalls
        )?;
    }
    writeln!(out, "\nMemory:")?;
    let mut reports: Vec<&String> =
        facts.ran.outcomes.iter().filter_map(|outcome| outcome.memory.as_ref()).collect();
    reports.sort();
    reports.dedup();
    reports.iter().try_for_each(|report| writeln!(out, "  {report}"))
}

/// What each connection did, where a mount has several.
fn connection_lines(out: &mut String, facts: &Facts<'_>) -> std::fmt::Result {
    let several = facts.ran.outcomes.iter().filter(|mount| mount.connections.len() > 1);
    for (at, mount) in several.enumerate() {
        for (number, counters) in mount.connections.iter().enumerate() {
            writeln!(
                out,
                "  connection   : {at}.{number}: sends={}, recvs={}, connect_count={}, \
                 retransmissions={}, credit_waits={}",
                counters.sends,
                counters.recvs,
                counters.connect_count,
                counters.retransmissions,
                counters.credit_waits
            )?;
        }
    }
    Ok(())
}

fn own_values(facts: &Facts<'_>) -> Map<String, Value> {
    let counters = totals(facts);
    let Derived { cqes_per_rpc, wrs_per_doorbell } = derived(&counters);
    let mounts: Vec<Value> = facts
        .ran
        .outcomes
        .iter()
        .map(|outcome| {
            json!({
                "url": facts.sites[outcome.site].url,
                "export": facts.sites[outcome.site].located.export,
                "credits_granted": outcome.credits_granted,
                "jukebox_waits": outcome.jukebox_waits,
                "memory": outcome.memory,
                "held": held(&outcome.held),
                "counters": object(outcome.counters.iter()),
                "connections": outcome.connections.iter().map(|c| object(c.iter())).collect::<Vec<_>>(),
            })
        })
        .collect();
    let reactors: Vec<Value> = reactors(facts)
        .into_iter()
        .map(|(core, role, stats)| {
            json!({
                "core": core, "role": role, "turns": stats.turns, "busy_ns": stats.busy_ns,
                "idle_ns": stats.idle_ns, "slept_ns": stats.slept_ns, "sleeps": stats.sleeps,
                 "busy_percent": busy_percent(&stats),
                "turn_ns_max": stats.turn_ns_max, "stalls": stats.stalls,
            })
        })
        .collect();
    let served = facts.served.map(|served| object(served.counters.iter().copied()));
    let values = json!({
        "provider": facts.provider,
        "counters": object(counters.iter()),
        "cqes_per_rpc": cqes_per_rpc,
        "wrs_per_doorbell": wrs_per_doorbell,
        "mounts": mounts,
        "reactors": reactors,
        "target": served,
    });
    match values {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn held(held: &Held) -> Value {
    let Holdings { calls, credits, sends, receives, long_calls } = held.transport;
    json!({
        "buffers": held.buffers, "calls": calls, "credits": credits, "sends": sends,
        "receives": receives, "long_calls": long_calls, "windows": held.windows,
    })
}

fn object(counts: impl Iterator<Item = (&'static str, u64)>) -> Value {
    Value::Object(counts.map(|(name, count)| (name.to_owned(), count.into())).collect())
}

fn mounts<'a>(facts: &'a Facts<'_>, site: usize) -> Vec<&'a jobs::Outcome> {
    facts.ran.outcomes.iter().filter(|outcome| outcome.site == site).collect()
}

fn totals(facts: &Facts<'_>) -> Counters {
    let mut sum = Counters::default();
    facts.ran.outcomes.iter().for_each(|outcome| sum.add(&outcome.counters));
    sum
}

/// What makes the batching visible.
struct Derived {
    /// Completion queue entries for each call.
    cqes_per_rpc: f64,
    /// Send Queue entries (Sends, and binds of windows) for each time that the device was told.
    wrs_per_doorbell: f64,
}

fn derived(counters: &Counters) -> Derived {
    let per = |count: u64, of: u64| if of == 0 { 0.0 } else { count as f64 / of as f64 };
    Derived {
        cqes_per_rpc: per(counters.cqes, counters.sends),
        wrs_per_doorbell: per(counters.send_wrs, counters.send_doorbells),
    }
}

/// Reactors by core and role, those of several stages added up.
fn reactors(facts: &Facts<'_>) -> Vec<(usize, &'static str, ReactorStats)> {
    let mut all: BTreeMap<(&'static str, usize), ReactorStats> = BTreeMap::new();
    let jobs = facts.ran.reactors.iter().map(|stats| ("jobs", stats));
    for (role, stats) in jobs.chain(facts.served.map(|served| ("target", &served.reactor))) {
        let sum = all.entry((role, stats.core.unwrap_or(0))).or_default();
        sum.turns += stats.turns;
        sum.busy_ns += stats.busy_ns;
        sum.idle_ns += stats.idle_ns;
        sum.slept_ns += stats.slept_ns;
        sum.sleeps += stats.sleeps;
        sum.stalls += stats.stalls;
        sum.turn_ns_max = sum.turn_ns_max.max(stats.turn_ns_max);
    }
    all.into_iter().map(|((role, core), stats)| (core, role, stats)).collect()
}

fn busy_percent(stats: &ReactorStats) -> f64 {
    percent(stats.busy_ns, stats)
}

/// A part of a reactor's time.
fn percent(part_ns: u64, stats: &ReactorStats) -> f64 {
    match stats.busy_ns + stats.idle_ns {
        0 => 0.0,
        all => part_ns as f64 * 100.0 / all as f64,
    }
}
