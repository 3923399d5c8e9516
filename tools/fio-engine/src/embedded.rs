//! `nfs_url=soft:`: a target in fio's own process, on a reactor of its own, reached over the
//! in-process fabric. For hosts without RDMA, and to see what fio makes of a server's faults.
//!
//! Threading: started once for each URL by whichever thread asks first; it stays until the process
//! ends, so that a later job finds the files of an earlier one.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use client::NfsUrl;
use crossbeam_channel::bounded;
use reactor::{IdlePolicy, ReactorConfig, ReactorHandle, StopToken, usable_cores};
use target::{Config, Misbehaviour, Storage, Target};
use verbs::soft::{Clock, SoftFabric};

/// What a URL of this kind begins with.
pub(crate) const SCHEME: &str = "soft:";
/// Different ones in a process, at most: each has a thread.
const TARGETS_MAX: usize = 16;
const SPACE_DEFAULT: u64 = 1 << 30;
const USAGE: &str = "soft:[?space=SIZE][&stop_after=SECONDS][&misbehave=FAULTS]";

static TARGETS: Mutex<Vec<(String, Embedded)>> = Mutex::new(Vec::new());

/// How to reach one.
#[derive(Clone)]
pub(crate) struct Embedded {
    pub(crate) fabric: SoftFabric,
    pub(crate) url: NfsUrl,
    pub(crate) mount_port: u16,
}

impl Embedded {
    /// The target of this URL, started if need be.
    pub(crate) fn find(url: &str) -> Result<Self> {
        let mut targets = TARGETS.lock().map_err(|_| anyhow!("a target failed to start"))?;
        if let Some((_, known)) = targets.iter().find(|(of, _)| of == url) {
            return Ok(known.clone());
        }
        if targets.len() == TARGETS_MAX {
            bail!("nfs_url={url}: at most {TARGETS_MAX} targets in one process");
        }
        let started = Self::start(Orders::parse(url)?)?;
        targets.push((url.to_owned(), started.clone()));
        Ok(started)
    }

    fn start(orders: Orders) -> Result<Self> {
        let fabric = SoftFabric::new(Clock::Real);
        let stop = StopToken::new();
        // fio's threads share what cores there are.
        let core = usable_cores().last().copied().context("no core may be used")?;
        let reactor_config = ReactorConfig {
            idle: IdlePolicy::Yield,
            stop: stop.clone(),
            stall_threshold: Duration::from_secs(5),
            ..ReactorConfig::default()
        };
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            mount: ([127, 0, 0, 1], 0).into(),
            storage: Storage::Memory { capacity_bytes: orders.space_bytes },
            loses_unstable: orders.misbehave.restart_every.is_some(),
            misbehave: orders.misbehave,
            ..Config::default()
        };
        let (tell, told) = bounded(1);
        let provider = fabric.clone();
        let reactor = reactor::spawn(core, reactor_config, move |reactor| {
            let target = Target::start(&provider, config)?;
            tell.send((target.nfs_addr(), target.mount_addr()))?;
            reactor.add_poller(target)?;
            Ok(())
        })
        .context("cannot start the target in this process")?;
        let (nfs, mount) = told.recv().context("the target in this process does not answer")?;
        watch(reactor, stop, orders.stop_after)?;
        let url = NfsUrl { host: nfs.ip().to_string(), port: Some(nfs.port()), path: "/".into() };
        Ok(Self { fabric, url, mount_port: mount.port() })
    }
}

/// Stops the target when that was ordered, and says if it ends of itself.
fn watch(reactor: ReactorHandle, stop: StopToken, after: Option<Duration>) -> Result<()> {
    let wait = move || {
        if let Some(after) = after {
            std::thread::sleep(after);
            stop.stop();
        }
        if let Err(error) = reactor.join() {
            eprintln!("initiator: the target in this process: {error}");
        }
    };
    std::thread::Builder::new().name("soft target".into()).spawn(wait)?;
    Ok(())
}

/// What stands behind `soft:`.
#[derive(Debug)]
struct Orders {
    space_bytes: u64,
    stop_after: Option<Duration>,
    misbehave: Misbehaviour,
}

impl Orders {
    fn parse(url: &str) -> Result<Self> {
        let mut orders = Self {
            space_bytes: SPACE_DEFAULT,
            stop_after: None,
            misbehave: Misbehaviour::default(),
        };
        let rest = url.strip_prefix(SCHEME).unwrap_or_default();
        let query = match rest.strip_prefix('?') {
            None if rest.is_empty() => return Ok(orders),
            None => bail!("nfs_url={url}: the form is {USAGE}"),
            Some(query) => query,
        };
        for item in query.split('&') {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            let bad = |why: String| anyhow!("nfs_url={url}: {key}: {why}; the form is {USAGE}");
            match key {
                "space" => orders.space_bytes = workload::parse_size(value).map_err(bad)?,
                "stop_after" => {
                    let seconds = value.parse();
                    let seconds = seconds.map_err(|_| bad(format!("{value:?} is no number")))?;
                    orders.stop_after = Some(Duration::from_secs(seconds));
                }
                "misbehave" => {
                    let parsed = value.parse::<Misbehaviour>();
                    orders.misbehave = parsed.map_err(|error| bad(error.to_string()))?;
                }
                _ => return Err(bad("not known".into())),
            }
        }
        Ok(orders)
    }
}

#[cfg(test)]
mod tests {
    use super::{Orders, SPACE_DEFAULT};

    #[test]
    fn what_stands_behind_the_scheme_is_an_order_to_the_target() {
        assert_eq!(Orders::parse("soft:").unwrap().space_bytes, SPACE_DEFAULT);
        let orders = Orders::parse("soft:?space=64m&stop_after=2&misbehave=credits=1").unwrap();
        assert_eq!(orders.space_bytes, 64 << 20);
        assert_eq!(orders.stop_after.unwrap().as_secs(), 2);
        assert_eq!(orders.misbehave.credits, Some(1));
    }

    #[test]
    fn a_bad_order_is_refused_with_the_right_form() {
        for (url, why) in [
            ("soft:x", "the form is"),
            ("soft:?size=1g", "size: not known"),
            ("soft:?space=lots", "space"),
            ("soft:?stop_after=soon", "no number"),
            ("soft:?misbehave=be-bad", "be-bad"),
        ] {
            let error = Orders::parse(url).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("soft:[?space"), "{url}: {error}");
        }
    }
}
