//! GETATTR and LOOKUP by this project's client, as its own loop would do them.

use std::time::Duration;

use anyhow::{Result, bail};
use client::{Op, Submission};
use nix::sys::resource::UsageWho;
use verbs::Provider;

use crate::meter::{Meter, Outcome};
use crate::site::{Site, now};
use crate::work::{Kind, Work};

/// Keeps operations in flight until the time is over.
pub(crate) fn run<P: Provider>(provider: &P, url: &str, work: &Work) -> Result<Outcome> {
    run_on(provider, &Site::find(url)?, work)
}

/// The same once the mount is located.
pub(crate) fn run_on<P: Provider>(provider: &P, site: &Site, work: &Work) -> Result<Outcome> {
    let (mut client, mount, origin) = site.mount(provider, work)?;
    let (dir, file) = site.open_in(&mut client, mount, origin)?;
    let op = || match work.op {
        Kind::Getattr => Ok(Op::Getattr { file }),
        Kind::Lookup => Ok(Op::Lookup { dir, name: site.name.clone() }),
        Kind::Read | Kind::Write => bail!("metadata is getattr or lookup"),
    };
    let mut meter = Meter::start(work, UsageWho::RUSAGE_THREAD)?;
    let mut began = vec![Duration::ZERO; work.depth as usize];
    let mut free: Vec<usize> = (0..began.len()).collect();
    let mut in_flight = 0;
    loop {
        let time = meter.now();
        let over = meter.is_over(time);
        if over && in_flight == 0 {
            return Ok(meter.outcome(work));
        }
        while let Some(tag) = free.pop_if(|_| !over) {
            began[tag] = time;
            let submission = Submission { tag: tag as u64, op: op()?, buffer: None, pieces: None };
            if client.submit(mount, submission, now(origin)).is_err() {
                bail!("the queue is as deep as there are operations");
            }
            in_flight += 1;
        }
        if client.turn(now(origin)) == 0 {
            std::thread::yield_now();
            continue;
        }
        let time = meter.now();
        while let Some(done) = &mut client.next_done(mount) {
            if let Err(error) = &done.result {
                bail!("{error}");
            }
            let tag = done.tag as usize;
            meter.record(began[tag], time);
            free.push(tag);
            in_flight -= 1;
        }
    }
}
