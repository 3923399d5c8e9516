//! The caller's memory of one call: a buffer, or several pieces, as preadv(2) and pwritev(2) take
//! them.
//!
//! In its caller's hands a piece is bytes. From the call to its completion it belongs to the
//! request, which lends it to the NIC and says when that ends.

use std::rc::Rc;

use hugepages::{Buffer, Keys, Region};
use verbs::{RegionHandle, Sge};
use wire::rpcrdma::Segment;

use crate::call::Payload;
use crate::memory::Loan;
use crate::registrations::Registered;

/// Most pieces of one payload, and so most segments in a chunk of ours.
pub const SEGMENTS_MAX: usize = 8;

/// A stretch of a buffer.
#[derive(Debug, Default)]
pub struct Piece {
    loan: Loan,
    offset: u32,
    len: u32,
    /// The registration of memory that is not of the connection's pool, while it is in use.
    registered: Option<Rc<Registered>>,
}

impl Piece {
    /// `len` bytes of a buffer from `offset`; they are held against its length when the piece is
    /// used.
    #[must_use]
    pub fn new(buffer: Buffer, offset: u32, len: u32) -> Self {
        Self { loan: Loan::ours_of(Some(buffer)), offset, len, registered: None }
    }

    /// The stretch.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let range = self.range();
        self.loan.shared().and_then(|buffer| buffer.get(range)).unwrap_or_default()
    }

    /// The stretch, to be changed.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let range = self.range();
        self.loan.ours().and_then(|buffer| buffer.get_mut(range)).unwrap_or_default()
    }

    /// The whole buffer again.
    #[must_use]
    pub fn into_buffer(mut self) -> Option<Buffer> {
        self.take()
    }

    /// Whether the stretch lies in its buffer.
    pub(crate) fn fits(&self) -> bool {
        let room = self.loan.shared().map_or(0, |buffer| buffer.len());
        self.offset as usize + self.len as usize <= room
    }

    fn range(&self) -> std::ops::Range<usize> {
        let offset = self.offset as usize;
        offset..offset + self.len as usize
    }

    /// The buffer, if it is ours.
    #[inline]
    fn take(&mut self) -> Option<Buffer> {
        self.loan.take()
    }

    /// # Safety
    /// As for [`Loan::reclaim`].
    #[inline]
    unsafe fn reclaim(&mut self) {
        if self.loan.is_lent() {
            // SAFETY: the caller's promise.
            unsafe { self.loan.reclaim() };
            if self.registered.is_some() {
                self.registered = None;
            }
        }
    }

    /// An SGE for it, whoever has it.
    #[inline]
    pub(crate) fn sge(&self) -> Sge {
        let mut sge = self.loan.sge(self.offset as usize, self.len as usize);
        if let Some(registered) = &self.registered {
            sge.lkey = registered.keys.lkey;
        }
        sge
    }

    /// A segment for it, by the key of its registration.
    #[inline]
    pub(crate) fn segment(&self) -> Segment {
        let (Keys { rkey, .. }, addr) = self.loan.keys_and_addr();
        let handle = self.registered.as_ref().map_or(rkey, |registered| registered.keys.rkey);
        Segment { handle, length: self.len, offset: addr + u64::from(self.offset) }
    }

    /// The registration that windows are bound to, if it is not that of the connection's pool.
    #[inline]
    pub(crate) fn region_handle(&self) -> Option<RegionHandle> {
        self.registered.as_ref()?.handle
    }

    /// Takes a buffer over, of the connection's pool, of whose bytes the first `len` are meant.
    #[inline(always)]
    pub(crate) fn hold_one(&mut self, buffer: &mut Option<Buffer>, len: u32) {
        self.loan.put_from(buffer);
        (self.offset, self.len) = (0, len);
    }

    /// Gives it to the NIC.
    #[inline(always)]
    pub(crate) fn lend(&mut self) {
        self.loan.lend();
    }

    /// Whether there is nothing here.
    #[inline]
    fn is_vacant(&self) -> bool {
        self.loan.is_vacant() && self.registered.is_none()
    }

    /// The region that it is in, to be registered, if that is another than `pool` and not done
    /// yet.
    #[inline]
    pub(crate) fn unregistered(&self, pool: &Rc<Region>) -> Option<&Rc<Region>> {
        let region = self.loan.shared()?.region();
        (!Rc::ptr_eq(region, pool) && self.registered.is_none() && self.len > 0).then_some(region)
    }

    /// It is registered, and stays so until it is taken back.
    pub(crate) fn set_registered(&mut self, registered: Rc<Registered>) {
        self.registered = Some(registered);
    }
}

/// Several pieces that make up one payload, in their order.
///
/// ```
/// use hugepages::Buffer;
/// use rpcrdma::{Piece, Pieces};
///
/// let header = Buffer::from_vec(b"header".to_vec())?;
/// let page = Buffer::from_vec(vec![7; 4096])?;
/// let pieces = Pieces::new([Piece::new(header, 0, 6), Piece::new(page, 1, 100)]);
/// let pieces = pieces.expect("no more than SEGMENTS_MAX");
/// assert_eq!(pieces.total_len(), 106);
/// assert_eq!(pieces.iter().next().unwrap().bytes(), b"header");
/// # Ok::<(), hugepages::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Pieces {
    list: Box<[Piece]>,
}

impl Pieces {
    /// Takes one to [`SEGMENTS_MAX`] pieces; empty ones are allowed.
    ///
    /// # Errors
    /// The pieces again: there are none, or too many.
    pub fn new(pieces: impl IntoIterator<Item = Piece>) -> Result<Self, Vec<Piece>> {
        let list: Vec<Piece> = pieces.into_iter().collect();
        if (1..=SEGMENTS_MAX).contains(&list.len()) {
            Ok(Self { list: list.into() })
        } else {
            Err(list)
        }
    }

    /// Each in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Piece> {
        self.list.iter()
    }

    /// Each in order, to be changed.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Piece> {
        self.list.iter_mut()
    }

    /// The pieces one by one.
    #[must_use]
    pub fn into_pieces(self) -> Vec<Piece> {
        self.list.into_vec()
    }

    /// Bytes in all of them together.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        self.list.iter().map(|piece| u64::from(piece.len)).sum()
    }

    /// Spreads bytes over the pieces, from their start. Returns how many there was room for.
    pub fn copy_from(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        for piece in &mut self.list {
            let into = piece.bytes_mut();
            let (now, later) = rest.split_at(rest.len().min(into.len()));
            into[..now.len()].copy_from_slice(now);
            rest = later;
        }
        bytes.len() - rest.len()
    }

    /// Collects the first `len` bytes, or as many as there are.
    #[must_use]
    pub fn to_vec(&self, len: usize) -> Vec<u8> {
        self.list.iter().flat_map(|piece| piece.bytes()).take(len).copied().collect()
    }
}

/// The memory of a request's call. Nearly always it is one buffer.
#[derive(Debug)]
pub(crate) enum Held {
    /// One, or none at all.
    One(Piece),
    /// Several.
    Many(Pieces),
}

impl Default for Held {
    fn default() -> Self {
        Self::One(Piece::default())
    }
}

impl Held {
    /// Takes the memory of a call; there is none here.
    #[inline(always)]
    pub(crate) fn hold(&mut self, payload: Payload) {
        match (self, payload) {
            (
                Self::One(piece),
                Payload::Send { buffer, len }
                | Payload::Receive { buffer, len }
                | Payload::Reply { buffer, len },
            ) if piece.is_vacant() => {
                piece.loan.put(buffer);
                (piece.offset, piece.len) = (0, len);
            }
            (held, payload) => *held = payload.into_held(),
        }
    }

    /// The pieces in order.
    #[inline]
    pub(crate) fn pieces(&self) -> &[Piece] {
        match self {
            Self::One(piece) => std::slice::from_ref(piece),
            Self::Many(pieces) => &pieces.list,
        }
    }

    #[inline]
    pub(crate) fn pieces_mut(&mut self) -> &mut [Piece] {
        match self {
            Self::One(piece) => std::slice::from_mut(piece),
            Self::Many(pieces) => &mut pieces.list,
        }
    }

    /// Whether it is one buffer that needs no more than the registration of this region.
    #[inline]
    pub(crate) fn is_of(&self, pool: &Rc<Region>) -> bool {
        matches!(self, Self::One(piece) if piece.unregistered(pool).is_none())
    }

    /// Those that hold bytes.
    #[inline]
    pub(crate) fn filled(&self) -> impl Iterator<Item = &Piece> {
        self.pieces().iter().filter(|piece| piece.len > 0)
    }

    /// Gives all of it to the NIC.
    #[inline]
    pub(crate) fn lend(&mut self) {
        match self {
            Self::One(piece) => piece.loan.lend(),
            Self::Many(pieces) => pieces.list.iter_mut().for_each(|piece| piece.loan.lend()),
        }
    }

    /// Takes all of it back, as far as it is lent.
    ///
    /// # Safety
    /// As for [`Loan::reclaim`].
    #[inline]
    pub(crate) unsafe fn reclaim(&mut self) {
        match self {
            // SAFETY: the caller's promise.
            Self::One(piece) => unsafe { piece.reclaim() },
            // SAFETY: the caller's promise.
            Self::Many(pieces) => pieces.list.iter_mut().for_each(|p| unsafe { p.reclaim() }),
        }
    }

    /// Ends the use of registrations of memory that was not lent after all.
    pub(crate) fn unregister(&mut self) {
        self.pieces_mut().iter_mut().for_each(|piece| piece.registered = None);
    }

    /// The place for one buffer, where nothing is held.
    #[inline(always)]
    pub(crate) fn vacant(&mut self) -> Option<&mut Piece> {
        match self {
            Self::One(piece) => Some(piece),
            Self::Many(_) => None,
        }
    }

    /// Takes one buffer back, if it is one or none that is held: the place that it is in.
    ///
    /// # Safety
    /// As for [`Loan::reclaim`], and it is of the connection's pool.
    #[inline(always)]
    pub(crate) unsafe fn reclaim_one(&mut self) -> Option<&mut Option<Buffer>> {
        match self {
            Self::One(piece) => {
                debug_assert!(piece.registered.is_none(), "the pool needs no registration");
                // SAFETY: the caller's promise.
                unsafe { piece.loan.reclaim() };
                piece.loan.place()
            }
            Self::Many(_) => None,
        }
    }

    /// The caller's memory, for the caller; nothing is held then.
    #[inline]
    pub(crate) fn take(&mut self) -> (Option<Buffer>, Option<Pieces>) {
        match self {
            Self::One(piece) => (piece.take(), None),
            Self::Many(_) => match std::mem::take(self) {
                Self::Many(pieces) => (None, Some(pieces)),
                Self::One(_) => (None, None),
            },
        }
    }
}

#[cfg(test)]
#[path = "piece_tests.rs"]
mod tests;
