//! What comes back.

use super::log::Completed;
use super::slots::Work;
use super::{EIO, ETIMEDOUT, Runner, Step, owner};
use crate::backend::{Backend, IoDone, IoError, IoResult};
use crate::generate::Direction;

impl<B: Backend> Runner<B> {
    /// A completion of this runner's: taken, or left for the next turn.
    #[inline]
    pub(super) fn arrive(&mut self, done: IoDone<B::File, B::Buf>) {
        match self.completed_in_turn < self.taken_max() {
            true => self.complete(done),
            false => self.arrived.push_back(done),
        }
    }

    /// Takes what the turn before has left, as if it came now.
    pub(super) fn take_arrived(&mut self, now_ns: u64) {
        while self.completed_in_turn < self.taken_max() {
            let Some(done) = self.arrived.pop_front() else { return };
            self.complete(IoDone { done_ns: now_ns.max(done.done_ns), ..done });
        }
    }

    #[inline]
    fn taken_max(&self) -> u64 {
        match self.step {
            Step::Ramp | Step::Run => self.gate.complete_max,
            _ => u64::MAX,
        }
    }

    fn complete(&mut self, done: IoDone<B::File, B::Buf>) {
        let (index, now_ns) = (done.tag as u32, done.done_ns);
        let known = owner(&done) == self.id;
        let Some(slot) = self.slots.working(index).filter(|_| known) else {
            return self.fail(EIO, format!("a completion with the unknown tag {:#x}", done.tag));
        };
        slot.buf = done.buf.or(slot.buf.take());
        let (work, has_buf) = (slot.work, slot.buf.is_some());
        let moves_data = matches!(work, Work::Read | Work::Check | Work::Write | Work::Layout);
        self.in_flight -= 1;
        self.completed_in_turn += 1;
        let again = match done.result {
            Ok(_) if moves_data && !has_buf => self.unexpected(index, "no buffer"),
            Ok(result) => self.succeeded(index, result, now_ns),
            Err(error) => self.failed(index, &error),
        };
        match again {
            true => self.slots.ready_last(index),
            false => self.slots.release(index),
        }
    }

    /// Returns whether the slot is to be submitted again.
    fn succeeded(&mut self, index: u32, result: IoResult<B::File>, now_ns: u64) -> bool {
        let slot = self.slots.get(index);
        let (work, file) = (slot.work, slot.file as usize);
        match (work, result) {
            (Work::Open, IoResult::Opened { file: handle, size_bytes }) => {
                self.files[file].handle = Some(handle);
                self.files[file].size_bytes = size_bytes;
                false
            }
            (Work::Space, IoResult::Available(bytes)) => {
                self.check_space(bytes);
                false
            }
            (Work::Commit, IoResult::Done) => {
                let began = slot.taken_ns.unwrap_or(now_ns);
                if self.measures() {
                    self.result.sync.add(now_ns.saturating_sub(began));
                }
                false
            }
            (Work::Read | Work::Write | Work::Check | Work::Layout, IoResult::Bytes(bytes)) => {
                self.moved(index, bytes, now_ns)
            }
            _ => self.unexpected(index, "another operation's result"),
        }
    }

    /// `bytes` of the operation were done.
    fn moved(&mut self, index: u32, bytes: u32, now_ns: u64) -> bool {
        let slot = self.slots.get(index);
        let (work, left) = (slot.work, slot.len);
        match bytes {
            0 => self.nothing_moved(index),
            n if n > left => self.unexpected(index, "more bytes than were asked for"),
            n if n < left => self.short(index, n),
            _ => {
                if self.is_checked(work) {
                    self.check_block(index);
                }
                if work != Work::Layout {
                    self.count(index, now_ns);
                }
                false
            }
        }
    }

    /// A part was done: the rest is asked for.
    fn short(&mut self, index: u32, bytes: u32) -> bool {
        let work = self.slots.get(index).work;
        let checked = self.is_checked(work);
        let slot = self.slots.get(index);
        let first = !std::mem::replace(&mut slot.was_short, true);
        if let Some(buf) = &mut slot.buf {
            let (from, to) = (bytes as usize, slot.len as usize);
            match work {
                Work::Write | Work::Layout => buf.as_mut().copy_within(from..to, 0),
                _ if checked => slot.partial.extend_from_slice(&buf.as_ref()[..from]),
                _ => {}
            }
        }
        slot.offset += u64::from(bytes);
        slot.len -= bytes;
        if first && work != Work::Layout {
            self.result.directions[direction(work) as usize].short_ios += 1;
        }
        true
    }

    /// An operation is complete: statistics.
    fn count(&mut self, index: u32, now_ns: u64) {
        let slot = self.slots.get(index);
        let (work, bytes, unit) = (slot.work, u64::from(slot.whole_len), slot.unit);
        let (made, taken) = (slot.made_ns, slot.taken_ns.unwrap_or(now_ns));
        self.ios += 1;
        self.bytes += bytes;
        self.result.directions[direction(work) as usize].record(bytes, made, taken, now_ns);
        self.think.completed();
        if let Some(search) = &mut self.search {
            search.note(now_ns.saturating_sub(made));
        }
        if work == Work::Write {
            self.verify.finish(unit, bytes);
        }
        if self.logger.is_some() {
            self.log(index, taken, now_ns);
        }
        let most_ns = self.job.max_latency_ns[direction(work) as usize];
        if most_ns > 0 && now_ns.saturating_sub(made) > most_ns {
            let what = self.describe(index);
            let took_us = now_ns.saturating_sub(made) / 1000;
            self.fail(
                ETIMEDOUT,
                format!("{what} took {took_us} us: max_latency is {} us", most_ns / 1000),
            );
        }
    }

    /// A line in the logs, while what happens is measured.
    fn log(&mut self, index: u32, taken_ns: u64, done_ns: u64) {
        let measures = self.measures();
        let slot = self.slots.get(index);
        let whole = u64::from(slot.whole_len);
        let completed = Completed {
            direction: direction(slot.work),
            bytes: whole,
            offset: slot.offset + u64::from(slot.len) - whole,
            slat_ns: taken_ns.saturating_sub(slot.made_ns),
            clat_ns: done_ns.saturating_sub(taken_ns),
            done_ns,
        };
        if let Some(logger) = self.logger.as_mut().filter(|_| measures) {
            logger.add(completed);
        }
    }

    fn failed(&mut self, index: u32, error: &IoError) -> bool {
        let what = self.describe(index);
        self.fail(error.errno, format!("{what} failed: {}", error.message));
        false
    }

    fn nothing_moved(&mut self, index: u32) -> bool {
        let what = self.describe(index);
        let why = match self.slots.get(index).work {
            Work::Write | Work::Layout => "the server wrote nothing",
            _ => "end of file: the file has become shorter than the job needs",
        };
        self.fail(EIO, format!("{what} failed: {why}"));
        false
    }

    fn unexpected(&mut self, index: u32, got: &str) -> bool {
        let what = self.describe(index);
        self.fail(EIO, format!("{what} failed: the answer was {got}"));
        false
    }

    /// "write of 4096 bytes at offset 0 of 'a'".
    fn describe(&mut self, index: u32) -> String {
        let slot = self.slots.get(index);
        let (work, offset, len) = (slot.work, slot.offset, slot.len);
        let path = &self.files[slot.file as usize].path;
        match work {
            Work::Space => "asking for free space".to_owned(),
            Work::Open | Work::Commit => format!("{} of '{path}'", work.name()),
            _ => format!("{} of {len} bytes at offset {offset} of '{path}'", work.name()),
        }
    }
}

fn direction(work: Work) -> Direction {
    match work {
        Work::Write => Direction::Write,
        _ => Direction::Read,
    }
}
