//! Chains of work requests, built in place and posted with one call.
//!
//! The C structures live in arrays made with the queue pair, one entry per work request that the
//! queue can hold, so posting allocates nothing. SGE arrays are not copied: [`Sge`] has the
//! layout of `struct ibv_sge`, and the device's library reads them during the call.

use std::iter::Take;
use std::{mem, ptr};

use rdma_sys as ffi;

use super::window::bind_info;
use crate::{Op, PostError, RecvWr, SendWr, Sge};

const _: () = {
    assert!(size_of::<Sge>() == size_of::<ffi::ibv_sge>());
    assert!(align_of::<Sge>() == align_of::<ffi::ibv_sge>());
    assert!(mem::offset_of!(Sge, addr) == mem::offset_of!(ffi::ibv_sge, addr));
    assert!(mem::offset_of!(Sge, length) == mem::offset_of!(ffi::ibv_sge, length));
    assert!(mem::offset_of!(Sge, lkey) == mem::offset_of!(ffi::ibv_sge, lkey));
};

/// Room for the longest chain of Sends.
pub(super) struct SendChain(Box<[ffi::ibv_send_wr]>);

impl SendChain {
    pub(super) fn new(send_wr_max: u32) -> Self {
        // SAFETY: plain data, zeroes are a value (null pointers, opcode 0).
        Self((0..send_wr_max).map(|_| unsafe { mem::zeroed() }).collect())
    }

    /// Posts `chain` with one call; in several if it is longer than the queue was made for, as
    /// devices round queues up and only they know when one is full.
    ///
    /// # Safety
    /// `qp` is alive and used by this thread only; the memory of the SGEs is as
    /// [`crate::Connection::post_send`] asks.
    #[inline]
    pub(super) unsafe fn post<'a>(
        &mut self,
        qp: *mut ffi::ibv_qp,
        chain: impl IntoIterator<Item = SendWr<'a>>,
    ) -> Result<usize, PostError> {
        let first = self.0.as_mut_ptr();
        let room = self.0.len();
        in_pieces(room, chain.into_iter(), |piece| {
            let (mut len, mut binds, mut ended) = (0, false, false);
            for (i, wr) in piece.enumerate() {
                // SAFETY: a piece has at most `room` entries, so `i` is inside the array; the
                // next pointer may be one past its end, where it is cut off below. The caller
                // vouches for windows and regions.
                ended = !unsafe { fill_send(&mut *first.add(i), &wr, first.add(i + 1), qp) };
                if ended {
                    break;
                }
                binds |= matches!(wr.op, Op::BindWindow(_));
                len = i + 1;
            }
            let refused = PostError { posted: len, errno: libc::EINVAL };
            if len == 0 {
                return if ended { Err(refused) } else { Ok(0) };
            }
            // SAFETY: the last entry filled.
            unsafe { (*first.add(len - 1)).next = ptr::null_mut() };
            let mut bad = ptr::null_mut();
            // SAFETY: the caller vouches for the queue pair and the memory; the entries and the
            // SGE arrays they point to outlive the call, which is all it needs.
            let errno = unsafe { ffi::ibv_post_send(qp, first, &mut bad) };
            let outcome = outcome(errno, first, bad, len);
            if binds {
                let posted = outcome.unwrap_or_else(|error| error.posted);
                // SAFETY: the array is not lent any more; the caller vouches for the windows.
                unsafe { keep_keys(&self.0[..posted]) };
            }
            if ended { outcome.and(Err(refused)) } else { outcome }
        })
    }
}

/// The device's library reads a window's last key from the window when it is bound again, and
/// leaves it to us to put it there (unlike type 1 windows).
///
/// # Safety
/// The windows of the binds among `posted` are alive.
unsafe fn keep_keys(posted: &[ffi::ibv_send_wr]) {
    for raw in posted.iter().filter(|raw| raw.opcode == ffi::ibv_wr_opcode::IBV_WR_BIND_MW) {
        // SAFETY: `fill_send` wrote this variant for this opcode, with a window that had not ended.
        unsafe {
            let bind = raw.bind_mw_tso_union.bind_mw;
            (*bind.mw).rkey = bind.rkey;
        }
    }
}

/// False: the window to be bound has ended, and the entry is not fit to be posted.
///
/// # Safety
/// Window and region of a bind are alive and used by this thread only.
#[inline]
unsafe fn fill_send(
    raw: &mut ffi::ibv_send_wr,
    wr: &SendWr<'_>,
    next: *mut ffi::ibv_send_wr,
    qp: *mut ffi::ibv_qp,
) -> bool {
    use ffi::ibv_wr_opcode as opcode;
    raw.wr_id = wr.wr_id;
    raw.next = next;
    raw.sg_list = wr.sges.as_ptr().cast_mut().cast();
    // More SGEs than a C int counts are more than any queue pair takes: refused by the library.
    raw.num_sge = i32::try_from(wr.sges.len()).unwrap_or(i32::MAX);
    let mut flags = 0;
    if wr.signaled {
        flags |= ffi::ibv_send_flags::IBV_SEND_SIGNALED.0;
    }
    if wr.fence {
        flags |= ffi::ibv_send_flags::IBV_SEND_FENCE.0;
    }
    raw.send_flags = flags;
    match wr.op {
        Op::Send => raw.opcode = opcode::IBV_WR_SEND,
        Op::SendWithInvalidate { rkey } => {
            raw.opcode = opcode::IBV_WR_SEND_WITH_INV;
            raw.imm_data_invalidated_rkey_union.invalidated_rkey = rkey;
        }
        Op::RdmaWrite { remote_addr, rkey } => {
            raw.opcode = opcode::IBV_WR_RDMA_WRITE;
            raw.wr.rdma = ffi::rdma_t { remote_addr, rkey };
        }
        Op::RdmaRead { remote_addr, rkey } => {
            raw.opcode = opcode::IBV_WR_RDMA_READ;
            raw.wr.rdma = ffi::rdma_t { remote_addr, rkey };
        }
        Op::BindWindow(bind) => {
            raw.opcode = opcode::IBV_WR_BIND_MW;
            // rxe refuses a bind with immediate data, as which it takes the last entry's.
            raw.imm_data_invalidated_rkey_union.invalidated_rkey = 0;
            // SAFETY: given by the caller.
            match unsafe { bind_info(qp, bind) } {
                Some(bind_mw) => raw.bind_mw_tso_union.bind_mw = bind_mw,
                None => return false,
            }
        }
        Op::LocalInvalidate { rkey } => {
            raw.opcode = opcode::IBV_WR_LOCAL_INV;
            raw.imm_data_invalidated_rkey_union.invalidated_rkey = rkey;
        }
    }
    true
}

/// Room for the longest chain of Receives, each with its one SGE.
pub(super) struct RecvChain {
    wrs: Box<[ffi::ibv_recv_wr]>,
    sges: Box<[Sge]>,
}

impl RecvChain {
    pub(super) fn new(recv_wr_max: u32) -> Self {
        Self {
            // SAFETY: plain data, zeroes are a value.
            wrs: (0..recv_wr_max).map(|_| unsafe { mem::zeroed() }).collect(),
            sges: (0..recv_wr_max).map(|_| Sge::default()).collect(),
        }
    }

    /// As [`SendChain::post`].
    ///
    /// # Safety
    /// As [`SendChain::post`], for [`crate::Connection::post_recv`].
    #[inline]
    pub(super) unsafe fn post(
        &mut self,
        qp: *mut ffi::ibv_qp,
        chain: impl IntoIterator<Item = RecvWr>,
    ) -> Result<usize, PostError> {
        let first = self.wrs.as_mut_ptr();
        let sges = self.sges.as_mut_ptr();
        let room = self.wrs.len();
        in_pieces(room, chain.into_iter(), |piece| {
            let mut len = 0;
            for (i, wr) in piece.enumerate() {
                // SAFETY: a piece has at most `room` entries, so `i` is inside both arrays; the
                // next pointer may be one past the end, where it is cut off below.
                unsafe {
                    *sges.add(i) = wr.sge;
                    *first.add(i) = ffi::ibv_recv_wr {
                        wr_id: wr.wr_id,
                        next: first.add(i + 1),
                        sg_list: sges.add(i).cast(),
                        num_sge: 1,
                    };
                }
                len = i + 1;
            }
            if len == 0 {
                return Ok(0);
            }
            // SAFETY: the last entry filled.
            unsafe { (*first.add(len - 1)).next = ptr::null_mut() };
            let mut bad = ptr::null_mut();
            // SAFETY: as in `SendChain::post`.
            let errno = unsafe { ffi::ibv_post_recv(qp, first, &mut bad) };
            outcome(errno, first, bad, len)
        })
    }
}

/// Hands `chain` to `post` in pieces of at most `room` entries, until one is not full.
#[inline]
fn in_pieces<I: Iterator>(
    room: usize,
    mut chain: I,
    mut post: impl FnMut(Take<&mut I>) -> Result<usize, PostError>,
) -> Result<usize, PostError> {
    let mut posted = 0;
    // Ends with the chain, or when the device's queue is full.
    loop {
        match post(chain.by_ref().take(room)) {
            Ok(len) if len == room => posted += len,
            Ok(len) => return Ok(posted + len),
            Err(error) => return Err(PostError { posted: posted + error.posted, ..error }),
        }
    }
}

/// How many of `len` entries a post call left on the queue.
#[inline]
fn outcome<T>(errno: i32, first: *mut T, bad: *mut T, len: usize) -> Result<usize, PostError> {
    if errno == 0 { Ok(len) } else { Err(refused(errno, first, bad, len)) }
}

/// A library that fails without naming the entry did so after it wrote them all (rxe's doorbell
/// call): then all may be on the queue, and their memory must be taken to be in use.
#[cold]
fn refused<T>(errno: i32, first: *mut T, bad: *mut T, len: usize) -> PostError {
    let offset = (bad as usize).wrapping_sub(first as usize) / size_of::<T>();
    let posted = if bad.is_null() { len } else { offset.min(len) };
    PostError { posted, errno: errno.saturating_abs() }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
