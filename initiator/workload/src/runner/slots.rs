//! The operations a runner may have in flight, made once.

use std::collections::VecDeque;

/// What a slot is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Idle,
    Open,
    Space,
    Layout,
    Commit,
    Read,
    Write,
    /// Reading back a block that was written.
    Check,
}

impl Work {
    /// For messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Work::Idle => "nothing",
            Work::Open => "open",
            Work::Space => "asking for free space",
            Work::Layout => "laying out",
            Work::Commit => "commit",
            Work::Read => "read",
            Work::Write => "write",
            Work::Check => "verify read",
        }
    }
}

/// An operation. `offset` and `len` are what is left of it after a short answer.
#[derive(Debug)]
pub(super) struct Slot<Buf> {
    pub(super) work: Work,
    pub(super) file: u32,
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) whole_len: u32,
    /// The first unit of what is verified, and the write that it must come from.
    pub(super) unit: u64,
    pub(super) generation: Option<u32>,
    pub(super) made_ns: u64,
    pub(super) taken_ns: Option<u64>,
    pub(super) was_short: bool,
    /// What short answers brought of a block that must be looked at as a whole. Grows to a block
    /// at the slot's first short answer and keeps its memory.
    pub(super) partial: Vec<u8>,
    pub(super) buf: Option<Buf>,
    /// So many bytes of the buffer are random data, not what a read left there.
    pub(super) filled: u32,
}

/// All slots. The idle ones that hold a buffer are at the back, the warmest last, so that a transfer
/// finds a buffer whenever any idle slot has one; what needs none is taken from the front.
#[derive(Debug)]
pub(super) struct Slots<Buf> {
    slots: Box<[Slot<Buf>]>,
    idle: VecDeque<u32>,
    /// Made but not taken by the queue, or to be continued.
    ready: VecDeque<u32>,
}

impl<Buf: AsRef<[u8]>> Slots<Buf> {
    pub(super) fn new(count: u32) -> Self {
        let slot = |_| Slot {
            work: Work::Idle,
            file: 0,
            offset: 0,
            len: 0,
            whole_len: 0,
            unit: 0,
            generation: None,
            made_ns: 0,
            taken_ns: None,
            was_short: false,
            partial: Vec::new(),
            buf: None,
            filled: 0,
        };
        Slots {
            slots: (0..count).map(slot).collect(),
            idle: (0..count).rev().collect(),
            ready: VecDeque::with_capacity(count as usize),
        }
    }

    pub(super) fn get(&mut self, index: u32) -> &mut Slot<Buf> {
        &mut self.slots[index as usize]
    }

    /// The slot a completion names, if it is one that is in flight.
    pub(super) fn working(&mut self, index: u32) -> Option<&mut Slot<Buf>> {
        self.slots.get_mut(index as usize).filter(|s| s.work != Work::Idle)
    }

    /// Gives an idle slot work; the caller sets the rest.
    pub(super) fn make(&mut self, work: Work, file: u32, now_ns: u64) -> Option<u32> {
        let index = match work {
            Work::Open | Work::Space | Work::Commit => self.idle.pop_front()?,
            _ => self.idle.pop_back()?,
        };
        let slot = self.get(index);
        slot.work = work;
        slot.file = file;
        slot.offset = 0;
        slot.len = 0;
        slot.whole_len = 0;
        slot.made_ns = now_ns;
        slot.taken_ns = None;
        slot.was_short = false;
        slot.partial.clear();
        slot.generation = None;
        Some(index)
    }

    pub(super) fn release(&mut self, index: u32) {
        let slot = self.get(index);
        slot.work = Work::Idle;
        match slot.buf.is_some() {
            true => self.idle.push_back(index),
            false => self.idle.push_front(index),
        }
    }

    /// Back to the front of the queue: the backend refused it.
    pub(super) fn ready_first(&mut self, index: u32) {
        self.ready.push_front(index);
    }

    /// To be submitted again.
    pub(super) fn ready_last(&mut self, index: u32) {
        self.ready.push_back(index);
    }

    pub(super) fn take_ready(&mut self) -> Option<u32> {
        self.ready.pop_front()
    }

    pub(super) fn none_ready(&self) -> bool {
        self.ready.is_empty()
    }

    pub(super) fn release_ready(&mut self) {
        while let Some(index) = self.ready.pop_front() {
            self.release(index);
        }
    }

    /// Makes sure that the next idle slot has a buffer of `len` bytes.
    pub(super) fn prime(&mut self, len: u32, alloc: impl FnOnce(u32) -> Option<Buf>) -> bool {
        let Some(&index) = self.idle.back() else {
            return false;
        };
        let slot = &mut self.slots[index as usize];
        if slot.buf.as_ref().is_some_and(|b| b.as_ref().len() >= len as usize) {
            return true;
        }
        slot.filled = 0;
        // Too small: the pool may need it back to give another.
        slot.buf = None;
        slot.buf = alloc(len);
        slot.buf.is_some()
    }

    /// Gives the buffers back to the pool.
    pub(super) fn drop_buffers(&mut self) {
        for slot in &mut self.slots {
            slot.buf = None;
        }
    }
}
