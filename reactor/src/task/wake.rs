//! The set of woken tasks: a bitmap with a summary, twice.
//!
//! One map is for wakes from the reactor's own thread while it turns, by far the most: plain
//! loads and stores. The other is for every other thread: atomic read-modify-write. Which one a
//! wake takes is decided by a thread-local that names the reactor now turning; a wrong guess
//! towards `remote` would only cost time, and the other way cannot happen, since a reactor never
//! leaves its thread.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

use crate::alarm::Alarm;

const WORD_BITS: usize = u64::BITS as usize;

thread_local! {
    /// The wake set of the reactor that is turning on this thread. Compared, never followed.
    static TURNING: Cell<*const WakeSet> = const { Cell::new(ptr::null()) };
}

/// Which of a reactor's tasks want to be polled.
#[derive(Debug)]
pub(crate) struct WakeSet {
    local: Bitmap,
    remote: Bitmap,
    alarm: Arc<Alarm>,
}

#[derive(Debug)]
struct Bitmap {
    /// Bit W: `words[W]` may have a bit set.
    summary: Box<[AtomicU64]>,
    words: Box<[AtomicU64]>,
}

impl WakeSet {
    pub(crate) fn new(tasks: usize, alarm: Arc<Alarm>) -> Arc<WakeSet> {
        Arc::new(WakeSet { local: Bitmap::new(tasks), remote: Bitmap::new(tasks), alarm })
    }

    /// A waker for one task. Allocates: made once for each place in the table.
    pub(crate) fn waker(self: &Arc<WakeSet>, index: usize) -> Waker {
        Waker::from(Arc::new(TaskWaker { set: Arc::clone(self), index }))
    }

    /// Makes this the set of the reactor turning on this thread, until the guard is dropped.
    pub(crate) fn enter(self: &Arc<WakeSet>) -> Entered {
        Entered { before: TURNING.replace(Arc::as_ptr(self)) }
    }

    /// Adds a task.
    #[inline]
    pub(crate) fn insert(&self, index: usize) {
        if ptr::eq(TURNING.get(), self) {
            self.local.insert_exclusive(index);
        } else {
            self.remote.insert_shared(index);
            self.alarm.ring();
        }
    }

    /// Takes out every task that was in the set at the start, lowest index first, each once. What
    /// is inserted meanwhile comes out now or stays for the next call.
    #[inline]
    pub(crate) fn drain(&self, mut woken: impl FnMut(usize)) {
        for part in 0..self.local.summary.len() {
            let local = self.local.summary[part].load(Ordering::Relaxed);
            let remote = self.remote.summary[part].load(Ordering::Relaxed);
            if local | remote != 0 {
                self.drain_part(part, &mut woken);
            }
        }
    }

    fn drain_part(&self, part: usize, woken: &mut impl FnMut(usize)) {
        // The summary is cleared before the words: a wake in between leaves its summary bit for
        // next time, and at worst that finds an empty word.
        let mut summary = self.local.summary[part].load(Ordering::Relaxed);
        self.local.summary[part].store(0, Ordering::Relaxed);
        summary |= self.remote.summary[part].swap(0, Ordering::Acquire);
        for bit in bits(summary) {
            let word = part * WORD_BITS + bit;
            let mut tasks = self.local.words[word].load(Ordering::Relaxed);
            self.local.words[word].store(0, Ordering::Relaxed);
            tasks |= self.remote.words[word].swap(0, Ordering::Acquire);
            for task in bits(tasks) {
                woken(word * WORD_BITS + task);
            }
        }
    }
}

impl Bitmap {
    fn new(bits: usize) -> Bitmap {
        let zeroed = |len: usize| (0..len).map(|_| AtomicU64::new(0)).collect();
        let words = bits.div_ceil(WORD_BITS);
        Bitmap { summary: zeroed(words.div_ceil(WORD_BITS)), words: zeroed(words) }
    }

    /// Only for the one thread that also drains.
    #[inline]
    fn insert_exclusive(&self, index: usize) {
        let set = |word: &AtomicU64, bit: usize| {
            word.store(word.load(Ordering::Relaxed) | 1 << bit, Ordering::Relaxed);
        };
        let word = index / WORD_BITS;
        set(&self.words[word], index % WORD_BITS);
        set(&self.summary[word / WORD_BITS], word % WORD_BITS);
    }

    /// For any thread. The word before the summary, so that who sees the summary sees the word;
    /// released, so that the task sees what its waker did before waking it.
    fn insert_shared(&self, index: usize) {
        let word = index / WORD_BITS;
        self.words[word].fetch_or(1 << (index % WORD_BITS), Ordering::Release);
        self.summary[word / WORD_BITS].fetch_or(1 << (word % WORD_BITS), Ordering::Release);
    }
}

/// The positions of the set bits.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        (word != 0).then(|| {
            word &= word - 1;
            bit as usize
        })
    })
}

/// Marks the reactor that turns on this thread. Nests: one reactor may drive another.
pub(crate) struct Entered {
    before: *const WakeSet,
}

impl Drop for Entered {
    fn drop(&mut self) {
        TURNING.set(self.before);
    }
}

struct TaskWaker {
    set: Arc<WakeSet>,
    index: usize,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<TaskWaker>) {
        self.set.insert(self.index);
    }

    fn wake_by_ref(self: &Arc<TaskWaker>) {
        self.set.insert(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set that stayed marked after its turn could be mistaken for another thread's that was
    /// allocated at the same address later.
    #[test]
    fn only_wakes_within_the_turn_take_the_unshared_path() {
        let set = || WakeSet::new(8, Arc::new(Alarm::new(false).unwrap()));
        let (outer, inner) = (set(), set());
        let shared = |set: &WakeSet| set.remote.words[0].load(Ordering::Relaxed);
        let unshared = |set: &WakeSet| set.local.words[0].load(Ordering::Relaxed);
        outer.insert(0);
        {
            let _outer = outer.enter();
            {
                let _inner = inner.enter();
                outer.insert(1);
                inner.insert(1);
            }
            outer.insert(2);
        }
        outer.insert(3);
        inner.insert(3);
        assert_eq!((shared(&outer), unshared(&outer)), (0b1011, 0b0100));
        assert_eq!((shared(&inner), unshared(&inner)), (0b1000, 0b0010));
        let mut woken = Vec::new();
        outer.drain(|index| woken.push(index));
        assert_eq!(woken, [0, 1, 2, 3]);
    }
}
