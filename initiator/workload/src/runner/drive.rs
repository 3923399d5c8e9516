//! The run itself: the next operation, its data, and its way into the queue.

use super::slots::Work;
use super::{Runner, Step};
use crate::backend::{Backend, Durability, Io, IoOp};
use crate::generate::{Direction, Pick};
use crate::random::mark_pages;
use crate::verify::Stamp;

impl<B: Backend> Runner<B> {
    /// The next read, write or COMMIT; `None` when it is over or must wait.
    pub(super) fn make_run(&mut self, now_ns: u64, backend: &mut B) -> Option<u32> {
        if self.job.only_checks() {
            match self.job.verify_options.state_load {
                true => self.exhausted = true,
                false => self.dry_run(),
            }
            return None;
        }
        if self.is_run_over(now_ns) {
            self.exhausted = true;
            return None;
        }
        if let Some(file) = self.commit_due {
            let slot = self.slots.make(Work::Commit, file, now_ns)?;
            self.commit_due = None;
            return Some(slot);
        }
        if !self.think.allows(now_ns, self.in_flight, &mut self.pace) {
            return None;
        }
        if self.verify.owes_checks() {
            return self.make_backlog_check(now_ns, backend);
        }
        let Some(pick) = self.pick(now_ns) else {
            match self.step {
                Step::Run => self.exhausted = true,
                // A ramp is as long as it is.
                _ => self.generator.as_mut()?.restart(),
            }
            return None;
        };
        let slot = self.make_pick(pick, now_ns, backend);
        if slot.is_none() {
            self.pending = Some(pick);
        }
        slot
    }

    /// The next operation of the job, due or not.
    #[inline]
    fn pick(&mut self, now_ns: u64) -> Option<Pick> {
        if let Some(pick) = self.pending.take() {
            return Some(pick);
        }
        let pace = &self.pace;
        let steer =
            |direction| if pace.is_on() { pace.steer(direction, now_ns) } else { direction };
        self.generator.as_mut()?.next_pick(steer)
    }

    fn make_pick(&mut self, pick: Pick, now_ns: u64, backend: &mut B) -> Option<u32> {
        let Pick { direction, file, offset, len } = pick;
        let due_ns = self.pace.due_ns(direction);
        if due_ns.is_some_and(|due_ns| due_ns > now_ns) || !self.prime(now_ns, backend) {
            return None;
        }
        let work = match direction {
            Direction::Read => Work::Read,
            Direction::Write => Work::Write,
        };
        let (unit, generation) = match work {
            Work::Write => self.begin_verified(file, offset, len)?,
            _ => (0, None),
        };
        let slot = self.slots.make(work, file, due_ns.unwrap_or(now_ns))?;
        let made = self.slots.get(slot);
        (made.unit, made.generation) = (unit, generation);
        self.set_range(slot, offset, len);
        self.issued_bytes += u64::from(len);
        self.issued_bytes_all += u64::from(len);
        self.issued_ios_all += 1;
        self.pace.issued(direction, len);
        self.think.issued();
        if work == Work::Write {
            if !self.verify.verifier.makes_data() {
                self.stamp(slot);
            }
            self.seal(slot, Stamp { offset, generation });
            self.count_write(file);
        }
        Some(slot)
    }

    fn count_write(&mut self, file: u32) {
        if self.job.fsync == 0 {
            return;
        }
        self.writes_since_commit += 1;
        if self.writes_since_commit == self.job.fsync {
            self.writes_since_commit = 0;
            self.commit_due = Some(file);
        }
    }

    fn is_run_over(&self, now_ns: u64) -> bool {
        if self.step != Step::Run {
            return false;
        }
        if self.is_time_up(now_ns)
            || self
                .job
                .number_ios
                .is_some_and(|most| self.issued_ios_all >= most * u64::from(self.job.loops))
        {
            return true;
        }
        if self.job.time_based && !self.job.verify.is_on() {
            return false;
        }
        let pass_bytes = self.pass_limit;
        let all_bytes = self.loop_bytes_all;
        self.issued_bytes >= pass_bytes
            || (!self.job.time_based && self.issued_bytes_all >= all_bytes)
    }

    pub(super) fn is_time_up(&self, now_ns: u64) -> bool {
        let ran_ns = now_ns.saturating_sub(self.run_started_ns);
        self.job.runtime_ns.is_some_and(|runtime| ran_ns >= runtime)
    }

    /// A buffer for the next idle slot. All of a step's are of one size, so that any will do.
    pub(super) fn prime(&mut self, now_ns: u64, backend: &mut B) -> bool {
        let len = match self.step {
            Step::Layout => self.layout_chunk,
            _ => self.job.block_bytes_max(),
        };
        let primed = self.slots.prime(len, |len| backend.alloc(len));
        self.note_starved(!primed, now_ns);
        primed
    }

    /// Waiting while nothing is in flight is waiting for somebody else: not for ever.
    fn note_starved(&mut self, waits: bool, now_ns: u64) {
        if !waits || self.in_flight > 0 {
            self.starved_since_ns = None;
        } else {
            self.starved_since_ns.get_or_insert(now_ns);
        }
    }

    pub(super) fn set_range(&mut self, slot: u32, offset: u64, len: u32) {
        let slot = self.slots.get(slot);
        slot.offset = offset;
        slot.len = len;
        slot.whole_len = len;
    }

    /// Random data, once: a buffer is filled anew only after a read was put into it.
    fn fill(&mut self, slot: u32) {
        let slot = self.slots.get(slot);
        let len = slot.len;
        if let (Some(buf), true) = (&mut slot.buf, slot.filled < len) {
            let data = &mut buf.as_mut()[..len as usize];
            match &self.job.buffer_pattern {
                _ if self.job.zero_buffers => data.fill(0),
                Some(pattern) => pattern.fill(data, slot.offset),
                None => self.data.fill(data),
            }
            slot.filled = len;
        }
    }

    /// Makes a write's data its own: each page is stamped with its place and the number of the write.
    pub(super) fn stamp(&mut self, index: u32) {
        self.fill(index);
        self.writes_made += 1;
        if self.job.zero_buffers || self.job.buffer_pattern.is_some() {
            return;
        }
        let slot = self.slots.get(index);
        let Some(buf) = &mut slot.buf else { return };
        mark_pages(&mut buf.as_mut()[..slot.len as usize], slot.offset, self.writes_made);
    }

    fn seal(&mut self, index: u32, stamp: Stamp) {
        let slot = self.slots.get(index);
        if let Some(buf) = &mut slot.buf {
            let block = &mut buf.as_mut()[..slot.len as usize];
            self.verify.verifier.seal(block, stamp);
        }
    }

    /// Hands a slot to the backend; false when its queue is full.
    pub(super) fn submit(&mut self, index: u32, now_ns: u64, backend: &mut B) -> bool {
        let Some(op) = self.operation(index) else {
            // A buffer that did not come back was reported when it did not.
            self.slots.release(index);
            return true;
        };
        let tag = u64::from(self.id) << 32 | u64::from(index);
        let work = self.slots.get(index).work;
        if let Err(io) = backend.submit(Io { tag, op }) {
            if let IoOp::Read { buf, .. } | IoOp::Write { buf, .. } = io.op {
                self.slots.get(index).buf = Some(buf);
            }
            self.note_starved(true, now_ns);
            return false;
        }
        self.starved_since_ns = None;
        self.in_flight += 1;
        self.submitted_in_turn += 1;
        // What has a time at which it was due is late from then on.
        let slot = self.slots.get(index);
        let whole = self.pace.is_on() || self.job.lat_percentiles;
        let taken_ns = if whole { slot.made_ns } else { now_ns };
        let first = slot.taken_ns.replace(taken_ns);
        if let Some(earlier) = first {
            // The rest of a short answer: the operation began when its first part did.
            self.slots.get(index).taken_ns = Some(earlier);
        } else if self.measures() {
            self.count_issued(work);
        }
        true
    }

    fn count_issued(&mut self, work: Work) {
        let class = match work {
            Work::Read | Work::Check => 0,
            Work::Write => 1,
            _ => 2,
        };
        self.result.issued[class] += 1;
        self.result.depth.add_depth(self.in_flight.into());
    }

    /// The backend's operation for a slot, with the slot's buffer.
    fn operation(&mut self, index: u32) -> Option<IoOp<B::File, B::Buf>> {
        let create = self.creates_files();
        let slot = self.slots.get(index);
        let (offset, len) = (slot.offset, slot.len);
        let job_file = &self.files[slot.file as usize];
        if slot.work == Work::Open {
            let path = job_file.path.clone();
            return Some(IoOp::Open { path, create });
        }
        let file = job_file.handle?;
        Some(match slot.work {
            Work::Idle | Work::Open => return None,
            Work::Space => IoOp::Space { file },
            Work::Commit => IoOp::Commit { file },
            Work::Read | Work::Check => {
                slot.filled = 0;
                IoOp::Read { file, offset, len, buf: slot.buf.take()? }
            }
            Work::Write | Work::Layout => {
                let durability = match slot.work {
                    Work::Layout => Durability::Kept,
                    _ => self.job.durability(),
                };
                IoOp::Write { file, offset, len, buf: slot.buf.take()?, durability }
            }
        })
    }
}
