//! Reading back what was written: as the job goes on (`verify_backlog`), and at its end.

use super::slots::Work;
use super::{EILSEQ, Runner, Step};
use crate::backend::Backend;
use crate::generate::Region;
use crate::job::Job;
use crate::verify::state::{self, Saved, Shape};
use crate::verify::{Mismatch, Stamp, VERIFY_BLOCKS_MAX, Verifier, WrittenMap};
use std::collections::VecDeque;
use std::ops::Range;

/// Most picks that a turn makes without I/O (`verify_only`).
const DRY_PICKS_MAX: u32 = 1 << 16;

/// A write that is to be checked.
#[derive(Clone, Copy, Debug)]
struct Owed {
    file: u32,
    unit: u64,
    offset: u64,
    len: u32,
}

/// What a job knows of what it wrote.
#[derive(Debug)]
pub(super) struct Verify {
    pub(super) verifier: Verifier,
    written: Option<WrittenMap>,
    unit_bytes: u64,
    /// First unit of each file, and one more.
    starts: Box<[u64]>,
    /// Bad blocks, and what is said of the first.
    pub(super) bad: u64,
    pub(super) first_bad: Option<String>,
    backlog: u64,
    batch: u64,
    /// Writes that were not checked yet, oldest first; room for all is made at the start.
    owed: VecDeque<Owed>,
    /// Checks to make before the next write.
    due: u64,
    /// Whose file of what was written it is.
    writer: u32,
    instance: u32,
    saved: Option<Saved>,
    /// Everything that was written has been looked at.
    pub(super) is_complete: bool,
}

impl Verify {
    pub(super) fn new(job: &Job, writer: u64, instance: u32, thread: u32) -> Self {
        let backlog = if job.verifies_writes() { job.verify_options.backlog } else { 0 };
        Verify {
            verifier: Verifier::new(job, writer, thread),
            written: None,
            unit_bytes: job.verify_unit().into(),
            starts: Box::default(),
            bad: 0,
            first_bad: None,
            backlog,
            batch: match job.verify_options.backlog_batch {
                0 => backlog,
                batch => batch,
            },
            owed: VecDeque::with_capacity((backlog + 1) as usize),
            due: 0,
            writer: writer as u32,
            instance,
            saved: None,
            is_complete: false,
        }
    }

    /// Makes room to remember every unit of the files, or recalls what an earlier run remembered.
    pub(super) fn plan(&mut self, job: &Job, regions: &[Region]) -> Result<(), String> {
        if !self.verifier.is_on() || !(job.rw.writes() || job.verify_options.state_load) {
            return Ok(());
        }
        let reach = u64::from(job.block_bytes_max());
        let mut starts = vec![0];
        let mut total = 0;
        for region in regions {
            total += (region.len + reach).div_ceil(self.unit_bytes);
            starts.push(total);
        }
        if total > VERIFY_BLOCKS_MAX {
            return Err(format!(
                "verify remembers every block: {total} are more than {VERIFY_BLOCKS_MAX}"
            ));
        }
        self.starts = starts.into();
        let parts = regions.iter().map(|region| (&*region.name, region.offset, region.len));
        let shape =
            Shape { unit_bytes: self.unit_bytes as u32, units: total, files: Shape::sum(parts) };
        self.written = Some(self.map(job, shape)?);
        Ok(())
    }

    fn map(&mut self, job: &Job, shape: Shape) -> Result<WrittenMap, String> {
        let path = state::path(&job.name, self.instance);
        if job.verify_options.state_load {
            let (map, writer) = state::load(path, shape)?;
            self.verifier.expect_writer(writer);
            return Ok(map);
        }
        if job.saves_state() {
            let (saved, map) = Saved::begin(path, shape, self.writer)?;
            self.saved = Some(saved);
            return Ok(map);
        }
        WrittenMap::new(shape.units).map_err(|error| format!("verify: {error}"))
    }

    /// The job is over. Where its file of what it wrote is, if that is still to be verified.
    pub(super) fn end(&mut self, went_well: bool) -> Option<String> {
        let saved = self.saved.take()?;
        if went_well && self.is_complete {
            saved.remove();
            return None;
        }
        Some(saved.path().display().to_string())
    }

    fn units(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.unit_bytes)
    }

    /// A write of these units has succeeded.
    pub(super) fn finish(&mut self, unit: u64, bytes: u64) {
        let units = self.units(bytes);
        if let Some(written) = &mut self.written {
            written.finish(unit, units);
        }
    }

    /// Everything that was written is looked at now: nothing of it is owed any more.
    pub(super) fn look_at_all(&mut self) {
        self.owed.clear();
        self.due = 0;
    }

    /// Is it time to check before writing on?
    #[inline]
    pub(super) fn owes_checks(&self) -> bool {
        self.due > 0
    }

    /// The file that a unit is in.
    fn file_of(&self, unit: u64) -> usize {
        self.starts.partition_point(|&start| start <= unit) - 1
    }

    /// The next run of units, from `unit` on, that one write wrote in one file.
    fn next_written(&self, unit: u64, bytes_max: u64) -> Option<(usize, Range<u64>)> {
        let written = self.written.as_ref()?;
        let (first, count) = written.next_written(unit, bytes_max / self.unit_bytes)?;
        let file = self.file_of(first);
        Some((file, first..(first + count).min(self.starts[file + 1])))
    }
}

impl<B: Backend> Runner<B> {
    /// Notes a write that is about to be made; `None` while another is in flight there.
    pub(super) fn begin_verified(
        &mut self,
        file: u32,
        offset: u64,
        len: u32,
    ) -> Option<(u64, Option<u32>)> {
        let Some(written) = &mut self.verify.written else { return Some((0, None)) };
        let start = self.generator.as_ref()?.region(file).offset;
        let unit = self.verify.starts[file as usize] + (offset - start) / self.verify.unit_bytes;
        let units = u64::from(len).div_ceil(self.verify.unit_bytes);
        let generation = written.begin(unit, units)?;
        if self.verify.backlog > 0 {
            self.verify.owed.push_back(Owed { file, unit, offset, len });
            if self.verify.owed.len() as u64 >= self.verify.backlog {
                self.verify.due = self.verify.batch;
            }
        }
        Some((unit, Some(generation)))
    }

    /// The next check of `verify_backlog`; `None` while the write is in flight.
    pub(super) fn make_backlog_check(&mut self, now_ns: u64, backend: &mut B) -> Option<u32> {
        let Some(&Owed { file, unit, offset, len }) = self.verify.owed.front() else {
            self.verify.due = 0;
            return None;
        };
        let written = self.verify.written.as_ref()?;
        if written.is_in_flight(unit) || !self.prime(now_ns, backend) {
            return None;
        }
        let generation = self.verify.written.as_ref()?.generation(unit);
        let slot = self.slots.make(Work::Check, file, now_ns)?;
        let made = self.slots.get(slot);
        (made.unit, made.generation) = (unit, generation);
        self.set_range(slot, offset, len);
        self.verify.owed.pop_front();
        self.verify.due -= 1;
        Some(slot)
    }

    /// The next check at the end.
    pub(super) fn make_check(&mut self, now_ns: u64, backend: &mut B) -> Option<u32> {
        let most = u64::from(self.job.block_bytes_max());
        let next = self.verify.next_written(self.cursor, most);
        let (Some((file, units)), Some(generator)) = (next, &self.generator) else {
            self.exhausted = true;
            return None;
        };
        let unit_bytes = self.verify.unit_bytes;
        let within = (units.start - self.verify.starts[file]) * unit_bytes;
        let offset = generator.region(file as u32).offset + within;
        let len = ((units.end - units.start) * unit_bytes) as u32;
        if !self.prime(now_ns, backend) {
            return None;
        }
        let generation = self.verify.written.as_ref()?.generation(units.start);
        let slot = self.slots.make(Work::Check, file as u32, now_ns)?;
        let made = self.slots.get(slot);
        (made.unit, made.generation) = (units.start, generation);
        self.set_range(slot, offset, len);
        self.cursor = units.end;
        Some(slot)
    }

    /// Goes through the job without doing it: what would it have written?
    pub(super) fn dry_run(&mut self) {
        for _ in 0..DRY_PICKS_MAX {
            let over = self.issued_bytes >= self.pass_limit;
            let Some(pick) =
                self.generator.as_mut().filter(|_| !over).and_then(|g| g.next_pick(|d| d))
            else {
                self.exhausted = true;
                return;
            };
            self.issued_bytes += u64::from(pick.len);
            self.issued_bytes_all += u64::from(pick.len);
            if pick.direction == crate::generate::Direction::Write
                && let Some((unit, _)) = self.begin_verified(pick.file, pick.offset, pick.len)
            {
                self.verify.finish(unit, pick.len.into());
            }
        }
    }

    /// A read that is looked at: the check after writing, or a job that only reads.
    pub(super) fn is_checked(&self, work: Work) -> bool {
        match work {
            Work::Check => true,
            Work::Read => self.verify.verifier.is_on() && !self.job.rw.writes(),
            _ => false,
        }
    }

    /// Looks at the block that `index` has read, in one answer or in several.
    pub(super) fn check_block(&mut self, index: u32) {
        let slot = self.slots.get(index);
        let (len, file) = (slot.whole_len, slot.file);
        let offset = slot.offset + u64::from(slot.len) - u64::from(len);
        let (unit, expected) = (slot.unit, slot.generation);
        if slot.work == Work::Check && !self.is_still(unit, len, expected) {
            return;
        }
        // Who only reads what was written before knows the writes, but not when they were.
        let known = !self.job.verify_options.only || self.job.verify_options.state_load;
        let generation = expected.filter(|_| known);
        let slot = self.slots.get(index);
        let Some(buf) = &slot.buf else { return };
        let last = &buf.as_ref()[..slot.len as usize];
        let block = match slot.partial.is_empty() {
            true => last,
            false => {
                slot.partial.extend_from_slice(last);
                &slot.partial
            }
        };
        let stamp = Stamp { offset, generation };
        if let Err(mismatch) = self.verify.verifier.check(block, stamp) {
            let dump = self.job.verify_options.dump.then(|| {
                let received = block[mismatch.at..mismatch.at + mismatch.len].to_vec();
                (received, self.verify.verifier.expected(block, &mismatch, stamp))
            });
            self.mismatched(file, offset, &mismatch, dump);
        }
    }

    /// Is what was read what that write wrote? Another may have come since; a check that was made as
    /// the job went on is not made again at its end.
    fn is_still(&mut self, unit: u64, len: u32, expected: Option<u32>) -> bool {
        let units = self.verify.units(len.into());
        let Some(written) = &mut self.verify.written else { return true };
        let still = (unit..unit + units)
            .all(|unit| !written.is_in_flight(unit) && written.generation(unit) == expected);
        if still && self.step == Step::Run {
            written.forget(unit, units);
        }
        still
    }

    /// `dump`: what was read, and what should have been, if that can be told.
    fn mismatched(
        &mut self,
        file: u32,
        offset: u64,
        mismatch: &Mismatch,
        dump: Option<(Vec<u8>, Option<Vec<u8>>)>,
    ) {
        let Mismatch { at, len, found } = mismatch;
        let path = &self.files[file as usize].path;
        let at = offset + *at as u64;
        let mut message =
            format!("verify of '{path}' failed at offset {at}, length {len}: {found}");
        if let Some((received, expected)) = dump {
            let name = format!("{}.{at}", path.rsplit('/').next().unwrap_or(path));
            message += &dumped("what was read", &format!("{name}.received"), &received);
            message += &match expected {
                Some(bytes) => dumped("what should be there", &format!("{name}.expected"), &bytes),
                None => "; what should be there is not known".to_owned(),
            };
        }
        self.verify.bad += 1;
        if self.job.verify_options.fatal {
            return self.fail(EILSEQ, message);
        }
        self.verify.first_bad.get_or_insert(message);
    }
}

/// Writes a block to a file in the present directory, as fio does, and says so.
fn dumped(what: &str, name: &str, bytes: &[u8]) -> String {
    match std::fs::write(name, bytes) {
        Ok(()) => format!("; {what} is in ./{name}"),
        Err(error) => format!("; ./{name} could not be written: {error}"),
    }
}
