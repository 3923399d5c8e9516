//! Completion queues.
//!
//! The ring has its own lock: a peer's thread pushes while the owner polls. A poll that finds
//! nothing due and nothing queued is two loads.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::bell::{Bell, kept};
use super::clock::NEVER;
use super::device::Device;
use super::link::{Link, lock};
use super::queues::Reclaimed;
use super::struck::Fault;
use super::{CQE_MAX, Fabric};
use crate::{Completion, CompletionQueue, Error};

/// A completion queue of the fabric. Clones are the same queue.
#[derive(Clone)]
pub struct SoftCq {
    pub(super) shared: Arc<SharedCq>,
}

pub(super) struct SharedCq {
    pub(super) fabric: Arc<Fabric>,
    device: Arc<Device>,
    depth: u32,
    /// Entries in the ring, written under its lock.
    queued: AtomicUsize,
    /// An entry was lost.
    overflowed: AtomicBool,
    /// The earliest time at which one of the links has something to do.
    due_at: AtomicU64,
    links: Mutex<Vec<(u32, Arc<Link>)>>,
    ring: Mutex<Ring>,
    bell: OnceLock<Arc<Bell>>,
}

struct Ring {
    entries: Box<[Entry]>,
    head: usize,
    len: usize,
    /// By the slot that [`SharedCq::attach`] gave, with the queue pair number.
    owners: Vec<Option<(u32, Arc<Reclaimed>)>>,
    /// The next entry rings the bell.
    armed: bool,
}

/// Which queue an entry frees, and up to where.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frees {
    Send(u64),
    Recv(u64),
}

#[derive(Clone, Copy)]
struct Entry {
    completion: Completion,
    owner: usize,
    frees: Frees,
}

impl Entry {
    fn is_of_queue_of(&self, other: &Self) -> bool {
        self.completion.qp_num == other.completion.qp_num
            && std::mem::discriminant(&self.frees) == std::mem::discriminant(&other.frees)
    }
}

impl SoftCq {
    pub(super) fn new(
        fabric: &Arc<Fabric>,
        device: &Arc<Device>,
        depth: u32,
    ) -> Result<Self, Error> {
        if depth == 0 || depth > CQE_MAX {
            let (asked, limit) = (u64::from(depth), u64::from(CQE_MAX));
            return Err(Error::Limit { what: "completion queue entries", asked, limit });
        }
        let blank = Entry { completion: Completion::default(), owner: 0, frees: Frees::Recv(0) };
        let entries = vec![blank; depth as usize].into();
        Ok(Self {
            shared: Arc::new(SharedCq {
                fabric: Arc::clone(fabric),
                device: Arc::clone(device),
                depth,
                queued: AtomicUsize::new(0),
                overflowed: AtomicBool::new(false),
                due_at: AtomicU64::new(NEVER),
                links: Mutex::default(),
                ring: Mutex::new(Ring {
                    entries,
                    head: 0,
                    len: 0,
                    owners: Vec::new(),
                    armed: false,
                }),
                bell: OnceLock::new(),
            }),
        })
    }
}

impl CompletionQueue for SoftCq {
    fn poll(&self, out: &mut [Completion]) -> Result<usize, Box<Error>> {
        let cq = &*self.shared;
        cq.device.check()?;
        let due_at = cq.due_at.load(Ordering::Acquire);
        if due_at != NEVER && due_at <= cq.fabric.ticker.now_ns() {
            cq.drive();
        }
        if cq.overflowed() {
            cq.drive();
            return Err(Error::CqOverflow { depth: cq.depth }.into());
        }
        if cq.queued.load(Ordering::Acquire) == 0 {
            return Ok(0);
        }
        Ok(cq.take(out))
    }

    fn depth(&self) -> u32 {
        self.shared.depth
    }

    fn arm(&self) -> Result<Option<BorrowedFd<'_>>, Error> {
        let cq = &*self.shared;
        let Some(fd) = kept(&cq.bell, || Bell::new().map(Arc::new)) else { return Ok(None) };
        let mut ring = lock(&cq.ring);
        // Under the lock: a ring from before the last poll says nothing, one from after it stays.
        if let (false, Some(bell)) = (ring.armed, cq.bell.get()) {
            bell.hush();
        }
        ring.armed = true;
        drop(ring);
        // Who changed this before the lock is seen here; who does so later finds the queue armed.
        let waits_for_time = cq.due_at.load(Ordering::Acquire) != NEVER;
        Ok((!waits_for_time).then_some(fd))
    }
}

impl SharedCq {
    /// Gives a queue pair its slot in the table of owners.
    pub(super) fn attach(
        &self,
        qp_num: u32,
        link: &Arc<Link>,
        reclaimed: &Arc<Reclaimed>,
    ) -> usize {
        lock(&self.links).push((qp_num, Arc::clone(link)));
        let mut ring = lock(&self.ring);
        let owner = Some((qp_num, Arc::clone(reclaimed)));
        if let Some(slot) = ring.owners.iter().position(Option::is_none) {
            ring.owners[slot] = owner;
            return slot;
        }
        ring.owners.push(owner);
        ring.owners.len() - 1
    }

    /// Forgets a queue pair. Its entries stay in the ring, as rxe leaves them.
    pub(super) fn detach(&self, qp_num: u32) {
        lock(&self.links).retain(|(num, _)| *num != qp_num);
        let mut ring = lock(&self.ring);
        for owner in &mut ring.owners {
            if owner.as_ref().is_some_and(|(num, _)| *num == qp_num) {
                *owner = None;
            }
        }
    }

    /// Adds an entry; the one that does not fit kills the queue.
    pub(super) fn push(&self, completion: Completion, owner: usize, frees: Frees) {
        let mut ring = lock(&self.ring);
        if ring.len == ring.entries.len() {
            self.overflowed.store(true, Ordering::Release);
            self.fabric.overrun();
            self.tell(&mut ring);
            return;
        }
        let mut at = ring.head + ring.len;
        if at >= ring.entries.len() {
            at -= ring.entries.len();
        }
        ring.entries[at] = Entry { completion, owner, frees };
        ring.len += 1;
        if self.fabric.shuffle.load(Ordering::Relaxed) != 0 {
            self.overtake(&mut ring, at);
        }
        self.queued.store(ring.len, Ordering::Release);
        self.tell(&mut ring);
    }

    /// Lets the newest entry overtake some of other queues.
    #[cold]
    fn overtake(&self, ring: &mut Ring, mut at: usize) {
        let mut random = self.fabric.shuffle.load(Ordering::Relaxed);
        for _ in 1..ring.len {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let before = at.checked_sub(1).unwrap_or(ring.entries.len() - 1);
            if random & 1 == 0 || ring.entries[before].is_of_queue_of(&ring.entries[at]) {
                break;
            }
            ring.entries.swap(before, at);
            at = before;
            self.fabric.struck.count(Fault::Overtaken);
        }
        self.fabric.shuffle.store(random, Ordering::Relaxed);
    }

    /// Rings the bell if somebody waits for it.
    fn tell(&self, ring: &mut Ring) {
        if std::mem::take(&mut ring.armed)
            && let Some(bell) = self.bell.get()
        {
            bell.ring();
        }
    }

    pub(super) fn overflowed(&self) -> bool {
        self.overflowed.load(Ordering::Acquire)
    }

    /// A link has something to do at `due_at`.
    pub(super) fn wake_at(&self, due_at: u64) {
        self.due_at.fetch_min(due_at, Ordering::AcqRel);
        self.tell(&mut lock(&self.ring));
    }

    /// Moves every link that waits for time to pass. Each announces its next time again.
    fn drive(&self) {
        self.due_at.store(NEVER, Ordering::Release);
        for (_, link) in lock(&self.links).iter() {
            link.drive();
        }
    }

    fn take(&self, out: &mut [Completion]) -> usize {
        let mut ring = lock(&self.ring);
        let count = ring.len.min(out.len());
        for place in &mut out[..count] {
            let entry = ring.entries[ring.head];
            ring.head += 1;
            if ring.head == ring.entries.len() {
                ring.head = 0;
            }
            *place = entry.completion;
            ring.reclaim(&entry);
        }
        ring.len -= count;
        self.queued.store(ring.len, Ordering::Release);
        count
    }
}

impl Ring {
    /// Work queue slots come back when the completion that implies them is polled, as on a card
    /// whose driver moves the queue's tail there. Positions of one queue arrive in order.
    fn reclaim(&self, entry: &Entry) {
        let Some(Some((qp_num, reclaimed))) = self.owners.get(entry.owner) else { return };
        if *qp_num != entry.completion.qp_num {
            return;
        }
        match entry.frees {
            Frees::Send(pos) => reclaimed.sends.store(pos + 1, Ordering::Release),
            Frees::Recv(pos) => reclaimed.recvs.store(pos + 1, Ordering::Release),
        }
    }
}

impl std::fmt::Debug for SoftCq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftCq")
            .field("depth", &self.shared.depth)
            .field("queued", &self.shared.queued)
            .finish_non_exhaustive()
    }
}
