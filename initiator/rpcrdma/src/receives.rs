//! The Receive Queue of a connection: buffers that are posted, held by a Reply, or due for reposting.
//!
//! Every path that ends a Receive's use puts it on the repost list. Once it is long enough the list
//! goes out as one chain, behind the completions that made it so: no call leaves before the Receive
//! for its reply is there, since the queue has as many more as may be due.

use hugepages::{Buffer, Pool};
use verbs::{Connection, PostError, RecvWr};

use crate::config::TransportConfig;
use crate::memory::Loan;
use crate::stats::Counters;
use crate::table::Table;
use crate::work_id::{Kind, WorkId};

/// How many are posted at a time, at least: a doorbell costs more than buffers.
pub(crate) const BATCH: u32 = 8;

/// Receive side of one connection.
pub(crate) struct Receives {
    loans: Table<Loan>,
    /// How many are used; the table may have more.
    count: u32,
    repost: Vec<u32>,
    posted: u32,
    /// Bytes each may take: what the server was told.
    message_len_max: u32,
    /// Buffers for those that callers keep.
    spares: Pool,
    /// Data up to this many bytes is not worth keeping.
    pub(crate) copy_max: usize,
    /// Buffers that callers have kept.
    pub(crate) kept: u64,
}

impl Receives {
    /// Takes `count` buffers of a pool, all due for posting, and for spares what is left in it.
    pub(crate) fn new(pool: &Pool, count: u32, config: &TransportConfig) -> Self {
        let take = |number| Loan::ours_of(if number < count { pool.alloc() } else { None });
        Self {
            loans: Table::new(count, take),
            count,
            repost: (0..count).collect(),
            posted: 0,
            message_len_max: config.inline_receive,
            spares: pool.clone(),
            copy_max: config.receive_copy_max as usize,
            kept: 0,
        }
    }

    /// Whether those that are due for posting are enough.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.repost.len() >= BATCH as usize
    }

    /// Posts all that are due as one chain.
    pub(crate) fn post<C: Connection>(
        &mut self,
        link: &mut C,
        id: WorkId,
        counters: &mut Counters,
    ) -> Result<(), PostError> {
        let Self { loans, repost, message_len_max, .. } = self;
        let chain = repost.iter().map(|&index| {
            let loan = &mut loans[index];
            loan.lend();
            let sge = loan.sge(0, *message_len_max as usize);
            RecvWr { wr_id: id.with(Kind::Receive, index), sge }
        });
        // SAFETY: each buffer is lent as it is chained and reclaimed by `arrived`, that is by its
        // own completion, or after the queue pair is gone.
        let outcome = unsafe { link.post_recv(chain) };
        counters.recv_doorbells += 1;
        // After an error what was not posted stays lent: the connection is about to be torn down.
        let posted = match outcome {
            Ok(_) => repost.len(),
            Err(error) => error.posted,
        };
        self.posted += posted as u32;
        repost.clear();
        outcome.map(drop)
    }

    /// A Receive has completed, in whatever way: the first `len` bytes of it.
    ///
    /// # Safety
    /// The completion was just polled.
    #[inline(always)]
    pub(crate) unsafe fn arrived(&mut self, index: u32, len: u32) -> &[u8] {
        self.posted -= 1;
        let loan = &mut self.loans[index];
        // SAFETY: the Receive that named this buffer has completed.
        unsafe { loan.reclaim() };
        first_of(loan, len)
    }

    /// The first `len` bytes of a message that has arrived.
    #[inline]
    pub(crate) fn message(&self, index: u32, len: u32) -> &[u8] {
        first_of(&self.loans[index], len)
    }

    /// Takes the buffer of a message out and puts a spare one in its place, if there is one.
    pub(crate) fn keep(&mut self, index: u32) -> Option<Buffer> {
        let loan = &mut self.loans[index];
        loan.shared()?;
        let spare = self.spares.alloc()?;
        let kept = loan.take();
        *loan = Loan::ours_of(Some(spare));
        self.kept += 1;
        kept
    }

    /// The message has been dealt with.
    #[inline]
    pub(crate) fn release(&mut self, index: u32) {
        self.repost.push(index);
    }

    /// Receives on the queue.
    pub(crate) fn posted(&self) -> u32 {
        self.posted
    }

    /// Receives that are neither posted nor due for it.
    pub(crate) fn missing(&self) -> u32 {
        self.count - self.repost.len() as u32 - self.posted
    }

    /// The queue pair is gone: all buffers are ours, and due for posting to the next one.
    ///
    /// # Safety
    /// The queue pair is drained or destroyed.
    pub(crate) unsafe fn reclaim_all(&mut self) {
        // SAFETY: the caller says that no Receive is left to be filled.
        self.loans.iter_mut().for_each(|loan| unsafe { loan.reclaim() });
        self.repost.clear();
        self.repost.extend(0..self.count);
        self.posted = 0;
    }
}

/// The first `len` bytes of a buffer of ours, or as many as there are.
#[inline(always)]
fn first_of(loan: &Loan, len: u32) -> &[u8] {
    match loan.shared() {
        Some(buffer) => &buffer[..(len as usize).min(buffer.len())],
        None => &[],
    }
}
