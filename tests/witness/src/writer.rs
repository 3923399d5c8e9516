//! Writes one file at random places for ever, with a journal, and syncs it every so often.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use client::{File, Op, Output};

use crate::journal::Journal;
use crate::session::{DEPTH, Session, TRANSFER};
use crate::unit::{UNIT, seal};

/// Tags of Syncs have this bit.
const SYNC: u64 = 1 << 63;

/// How to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Units of the file.
    pub(crate) units: u64,
    /// A Sync after so many acknowledged writes.
    pub(crate) sync_every: u64,
    /// Until then, or until killed.
    pub(crate) seconds: u64,
    /// Of the places and lengths.
    pub(crate) seed: u64,
}

struct Writer {
    session: Session,
    journal: Journal,
    file: File,
    plan: Plan,
    random: fastrand::Rng,
    /// Writes on the way: their units.
    on_the_way: BTreeMap<u64, (u64, u64)>,
    writes: u64,
    syncs: u64,
    sync_on_the_way: bool,
    /// Writes acknowledged since the last Sync was asked for.
    unsynced: u64,
}

/// See the module. Returns after `plan.seconds` with everything synced.
pub(crate) fn write(mut session: Session, journal: &Path, plan: Plan) -> Result<()> {
    let journal = Journal::create(journal)?;
    let open = Op::Open { path: session.path.clone(), create: Some(0o666) };
    let (file, size) = session.opened(open)?;
    if size > 0 {
        bail!("the file is there already, with {size} bytes: a witness begins with nothing");
    }
    let random = fastrand::Rng::with_seed(plan.seed);
    let mut writer = Writer {
        session,
        journal,
        file,
        plan,
        random,
        on_the_way: BTreeMap::new(),
        writes: 0,
        syncs: 0,
        sync_on_the_way: false,
        unsynced: 0,
    };
    let end = Instant::now() + Duration::from_secs(plan.seconds);
    while Instant::now() < end {
        while writer.on_the_way.len() < DEPTH - 1 {
            writer.begin()?;
        }
        if writer.unsynced >= plan.sync_every {
            writer.sync()?;
        }
        writer.finish_one()?;
    }
    while !writer.on_the_way.is_empty() || writer.sync_on_the_way {
        writer.finish_one()?;
    }
    writer.sync()?;
    writer.finish_one()
}

impl Writer {
    /// Begins a write of one unit, or of up to 16 in a row, that no other is about to change.
    fn begin(&mut self) -> Result<()> {
        let count =
            if self.random.bool() { 1 } else { self.random.u64(1..=(TRANSFER / UNIT) as u64) };
        let first = self.random.u64(0..=self.plan.units - count);
        let taken = |&(other, len): &(u64, u64)| first < other + len && other < first + count;
        if self.on_the_way.values().any(taken) {
            return Ok(());
        }
        self.writes += 1;
        let mut buffer = self.session.buffer()?;
        for (at, unit) in buffer.chunks_mut(UNIT).take(count as usize).enumerate() {
            seal(unit, first + at as u64, self.writes);
        }
        self.journal.will_write(self.writes, first, count)?;
        self.on_the_way.insert(self.writes, (first, count));
        let (offset, len) = (first * UNIT as u64, (count as usize * UNIT) as u32);
        let op = Op::WriteBack { file: self.file, offset, len };
        self.session.submit(self.writes, op, Some(buffer))
    }

    fn sync(&mut self) -> Result<()> {
        if self.sync_on_the_way {
            return Ok(());
        }
        (self.syncs, self.unsynced, self.sync_on_the_way) = (self.syncs + 1, 0, true);
        self.journal.will_sync(self.syncs)?;
        self.session.submit(SYNC | self.syncs, Op::Sync { file: self.file }, None)
    }

    fn finish_one(&mut self) -> Result<()> {
        let done = self.session.next_done();
        match done.result? {
            Output::Committed { .. } => {
                self.sync_on_the_way = false;
                self.journal.synced(done.tag & !SYNC)
            }
            Output::Written { count, .. } => {
                let Some((_, units)) = self.on_the_way.remove(&done.tag) else {
                    bail!("write {} ended twice", done.tag);
                };
                if u64::from(count) != units * UNIT as u64 {
                    bail!("write {} of {units} units came to {count} bytes", done.tag);
                }
                self.unsynced += 1;
                self.journal.written(done.tag)
            }
            other => bail!("a write or a Sync ended with {other:?}"),
        }
    }
}
