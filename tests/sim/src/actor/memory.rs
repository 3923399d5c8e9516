//! Where payloads lie: in buffers of the mount's pool, in memory of the actor's own, or in pieces
//! of both, at odd addresses and of odd lengths.
//!
//! Whatever comes back is filled with rubbish at once: a Send, a chunk or a retransmission that
//! still looks at it meets other bytes than it set out with.

use std::rc::Rc;

use fastrand::Rng;
use hugepages::{Buffer, Pool, Region};
use rpcrdma::{Piece, Pieces, SEGMENTS_MAX};

use super::ops::Layout;
use crate::shape::MemoryShape;

/// What fills memory before the client may write to it.
pub(super) const POISON: u8 = 0xa5;
/// Buffers of its own that an actor keeps for the next time.
const OWN_MAX: usize = 8;
/// Most bytes in front of a piece.
const OFFSET_MAX: u32 = 17;

pub(super) struct Memory {
    shape: MemoryShape,
    pool: Option<(Pool, Rc<Region>)>,
    own: Vec<Buffer>,
    /// Own buffers that the client has.
    own_lent: u32,
}

/// A payload's memory, and where in it the bytes are if there are pieces.
pub(super) enum Room {
    Buffer(Buffer),
    Pieces(Pieces, Layout),
}

impl Memory {
    pub(super) fn new(shape: MemoryShape) -> Self {
        Self { shape, pool: None, own: Vec::new(), own_lent: 0 }
    }

    /// The mount has its pool.
    pub(super) fn set_pool(&mut self, pool: Option<Pool>) {
        self.pool = pool.and_then(|pool| {
            let region = Rc::clone(pool.alloc()?.region());
            Some((pool, region))
        });
    }

    /// Room for `len` bytes; `None` when the pool is dry.
    pub(super) fn room(&mut self, rng: &mut Rng, len: u32) -> Option<Room> {
        if rng.u32(0..100) < self.shape.pieces {
            return self.pieces(rng, len);
        }
        self.buffer(rng, len).map(Room::Buffer)
    }

    /// One buffer.
    pub(super) fn buffer(&mut self, rng: &mut Rng, len: u32) -> Option<Buffer> {
        if rng.u32(0..100) < self.shape.own {
            return self.own(rng, len);
        }
        self.pooled(len)
    }

    /// A buffer of the pool.
    pub(super) fn pooled(&self, len: u32) -> Option<Buffer> {
        let (pool, _) = self.pool.as_ref()?;
        let mut buffer = pool.alloc().filter(|buffer| buffer.len() >= len as usize)?;
        buffer.fill(POISON);
        Some(buffer)
    }

    fn own(&mut self, rng: &mut Rng, len: u32) -> Option<Buffer> {
        let fits = self.own.iter().position(|buffer| buffer.len() >= len as usize);
        let again = fits.filter(|_| rng.u8(0..4) > 0).map(|at| self.own.swap_remove(at));
        let mut buffer = match again {
            Some(buffer) => buffer,
            None => Buffer::from_vec(vec![0; len as usize + rng.usize(1..64)]).ok()?,
        };
        buffer.fill(POISON);
        self.own_lent += 1;
        Some(buffer)
    }

    fn pieces(&mut self, rng: &mut Rng, len: u32) -> Option<Room> {
        let count = rng.usize(1..=SEGMENTS_MAX);
        let mut cuts: Vec<u32> = (1..count).map(|_| rng.u32(0..=len)).collect();
        cuts.push(len);
        cuts.sort_unstable();
        let (mut from, mut pieces, mut layout) = (0, Vec::new(), Vec::new());
        for cut in cuts {
            let (len, offset) = (cut - from, rng.u32(0..=OFFSET_MAX));
            from = cut;
            let Some(buffer) = self.buffer(rng, offset + len) else {
                let unused = pieces.into_iter().filter_map(Piece::into_buffer);
                unused.for_each(|buffer| self.take_back(buffer));
                return None;
            };
            pieces.push(Piece::new(buffer, offset, len));
            layout.push((offset, len));
        }
        Pieces::new(pieces).ok().map(|pieces| Room::Pieces(pieces, layout))
    }

    /// Ours again: whoever still looks at it sees rubbish.
    pub(super) fn home(&mut self, rng: &mut Rng, mut buffer: Buffer) {
        buffer.fill(rng.u8(..));
        self.take_back(buffer);
    }

    fn take_back(&mut self, buffer: Buffer) {
        if !self.owns(&buffer) {
            return;
        }
        self.own_lent -= 1;
        if self.own.len() < OWN_MAX {
            self.own.push(buffer);
        }
    }

    /// Whether this is memory of its own.
    pub(super) fn owns(&self, buffer: &Buffer) -> bool {
        !self.pool.as_ref().is_some_and(|(_, region)| Rc::ptr_eq(region, buffer.region()))
    }

    /// What has not come home; the mount is gone, and with it every registration.
    pub(super) fn missing(&mut self) -> Option<String> {
        let (home, all, given_up) = match &self.pool {
            Some((pool, _)) => (pool.available(), pool.capacity(), pool.abandoned()),
            None => (0, 0, 0),
        };
        if home != all || given_up > 0 {
            return Some(format!("{home} of {all} buffers are home, {given_up} given up"));
        }
        if self.own_lent > 0 {
            return Some(format!("{} buffers of its own never came back", self.own_lent));
        }
        let held = self.own.drain(..).filter_map(|buffer| buffer.into_vec().err()).count();
        (held > 0).then(|| format!("{held} buffers of its own are still registered"))
    }
}

/// Whether anything outside the payload was written to.
pub(super) fn strayed(buffer: &Buffer, (offset, len): (u32, u32)) -> bool {
    let (before, rest) = buffer.split_at(offset as usize);
    before.iter().chain(&rest[len as usize..]).any(|&byte| byte != POISON)
}
