//! Calls whose message is too long to go inline: it is put into memory of its own, which the
//! server reads by a Position-Zero Read chunk (RFC 8166 §3.5.3).
//!
//! They are rare, so a connection has few such buffers, shared by all its request slots; a call
//! that finds none waits like one that finds no credit. The message that counts stays in the
//! request's header buffer: what is exposed here is a copy for one transmission, so the next
//! connection may take it inline or not, as its thresholds are.

use std::rc::Rc;

use hugepages::{Keys, Region};
use verbs::{Access, Bind, ProtectionDomain, WindowAccess};
use wire::rpcrdma::Segment;

use crate::config::{CALL_MAX, LONG_CALLS};
use crate::memory::{Loan, RegisteredPool};
use crate::request::{Key, Request};
use crate::stats::Counters;
use crate::windows::Windows;
use crate::{Error, Refusal};

/// Bytes that the buffers of one connection take.
pub(crate) const MEMORY_LEN: usize = LONG_CALLS as usize * CALL_MAX as usize;

/// A buffer for one long call, with the key of its window.
#[derive(Debug)]
pub(crate) struct LongCall {
    /// Of its window.
    index: u32,
    /// The message, for as long as the server may read it.
    pub(crate) message: Loan,
    /// Of the window: of its last bind, or before its first.
    pub(crate) key: Key,
}

/// The long calls of one connection.
pub(crate) struct LongCalls<D: ProtectionDomain> {
    /// Where keys are per I/O; gone before what they are bound to.
    windows: Windows<D>,
    memory: RegisteredPool<D>,
    free: Vec<LongCall>,
}

impl<D: ProtectionDomain> LongCalls<D> {
    /// Buffers in the last part of a region, from `offset` on.
    pub(crate) fn new(region: Rc<Region>, offset: usize) -> Result<Self, Error> {
        let (len, count) = (CALL_MAX as usize, LONG_CALLS as usize);
        let memory = RegisteredPool::carve(region, offset, len, count)?;
        let message = || Loan::ours_of(memory.pool.alloc());
        let long = |index| LongCall { index, message: message(), key: Key::default() };
        let free = (0..LONG_CALLS).map(long).collect();
        Ok(Self { windows: Windows::none(), memory, free })
    }

    /// Registers the buffers, apart from all else that a key could open.
    pub(crate) fn register(&mut self, domain: &D, access: Access) -> Result<(), Error> {
        self.memory.register(domain, access)
    }

    /// Ends the registration: the device may go.
    pub(crate) fn deregister(&mut self) {
        self.memory.deregister();
    }

    /// Makes windows for the next queue pair, one for each buffer; all buffers are here.
    pub(crate) fn open_windows(&mut self, domain: &D) -> Result<u64, Error> {
        let Some(region) = self.memory.handle() else { return Ok(0) };
        self.windows = Windows::new(domain, region, LONG_CALLS)?;
        self.free.sort_unstable_by_key(|long| long.index);
        for (long, rkey) in self.free.iter_mut().zip(self.windows.keys()) {
            long.key = Key { rkey, bound: false };
        }
        Ok(self.windows.len())
    }

    /// Drops the windows; the queue pair is drained or destroyed. Returns how many there were.
    pub(crate) fn drop_windows(&mut self) -> u64 {
        std::mem::replace(&mut self.windows, Windows::none()).len()
    }

    /// Gives a request a buffer for its message.
    pub(crate) fn lend_to(
        &mut self,
        request: &mut Request,
        counters: &mut Counters,
    ) -> Result<(), Refusal> {
        let (bytes, limit) = (request.shape.body_len, CALL_MAX as usize);
        if bytes > limit {
            return Err(Refusal::Invalid(Error::CallTooLong { bytes, limit }.into()));
        }
        request.long = self.free.pop();
        if request.long.is_none() {
            counters.long_call_waits += 1;
            return Err(Refusal::Busy);
        }
        counters.nomsg_call_count += 1;
        Ok(())
    }

    /// Takes a buffer back that nothing reaches any more.
    #[inline]
    pub(crate) fn put(&mut self, long: Option<LongCall>) {
        debug_assert!(!long.as_ref().is_some_and(|long| long.key.bound), "its key is invalidated");
        self.free.extend(long);
    }

    /// Buffers that calls have.
    pub(crate) fn in_use(&self) -> u32 {
        LONG_CALLS - self.free.len() as u32
    }

    /// Whether a long call could go out.
    pub(crate) fn any_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// The chunk that offers the first `length` bytes, with the window to be bound for it, where
    /// keys are per I/O.
    pub(crate) fn chunk(&self, long: &mut LongCall, length: u32) -> (Segment, Option<Bind>) {
        let (Keys { rkey: handle, .. }, offset) = long.message.keys_and_addr();
        let mut chunk = Segment { handle, length, offset };
        let (slot, key, access) = (long.index, &mut long.key, WindowAccess::READ);
        let bind = self.windows.bind((slot, 0), key, &mut chunk, None, access);
        (chunk, bind)
    }
}
