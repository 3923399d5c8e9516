//! Memory windows of type 2B: a remote key for one I/O.
//!
//! A window lends a part of a registered region to the peer of one queue pair, under a key of its
//! own. It is bound by a Send Queue entry ([`Op::BindWindow`]), so the Send that tells the peer the
//! key may follow it in the same chain, and ended by another ([`Op::LocalInvalidate`]) or by the
//! peer ([`Op::SendWithInvalidate`] on its side, [`Completion::invalidated_rkey`] on ours).
//!
//! What holds on every device:
//! - A key reaches memory through the queue pair that bound it and no other, whatever the domain.
//! - A bound window cannot be bound again, and a free one not invalidated: both are error
//!   completions and end the connection.
//! - The caller chooses the low 8 bits of each key ([`next_rkey`]); the rest names the window. A
//!   key comes again after 256 binds of its window.
//! - A bind that failed or was flushed leaves the window in a state unknown to its owner, and so
//!   does a queue pair in the error state: drop the window and make another.
//! - Dropping a window ends its key, and so does dropping the queue pair that it was bound on:
//!   binding it is refused from then on. Windows are made after the queue pair that they are for,
//!   and dropped before it.
//! - A region outlives the windows bound to it, or they are invalidated first.
//!
//! What a device may lack: rxe lets a window's peer reach the whole region, and survives no second
//! invalidation of a key. The [`soft`](crate::soft) fabric refuses both.
//!
//! [`Completion::invalidated_rkey`]: crate::Completion::invalidated_rkey
//! [`Op::BindWindow`]: crate::Op::BindWindow
//! [`Op::LocalInvalidate`]: crate::Op::LocalInvalidate
//! [`Op::SendWithInvalidate`]: crate::Op::SendWithInvalidate

/// A memory window; dropping it deallocates it.
pub trait MemoryWindow {
    /// The key of the last bind that was posted. Of a window never bound, the key before its
    /// first: good for nothing but [`next_rkey`].
    fn rkey(&self) -> u32;
    /// Names the window in [`Op::BindWindow`](crate::Op::BindWindow), as long as it lives.
    fn handle(&self) -> WindowHandle;
}

/// Names a window to the provider that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowHandle(pub(crate) usize);

impl WindowHandle {
    /// For providers: by which number it knows the window.
    #[must_use]
    pub const fn new(number: usize) -> Self {
        Self(number)
    }
}

/// Names a region to the provider that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionHandle(pub(crate) usize);

impl RegionHandle {
    /// For providers: by which number it knows the region.
    #[must_use]
    pub const fn new(number: usize) -> Self {
        Self(number)
    }
}

/// What a bound window lets the peer do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowAccess {
    /// The peer may RDMA Read.
    pub remote_read: bool,
    /// The peer may RDMA Write; the region needs [`Access::local_write`](crate::Access).
    pub remote_write: bool,
}

impl WindowAccess {
    /// For a Read chunk: the peer fetches.
    pub const READ: Self = Self { remote_read: true, remote_write: false };
    /// For a Write or Reply chunk: the peer places.
    pub const WRITE: Self = Self { remote_read: false, remote_write: true };
}

/// The key for the next bind of a window whose last one had `rkey`: its low 8 bits advance, as
/// with `ibv_inc_rkey`.
#[must_use]
#[inline]
pub const fn next_rkey(rkey: u32) -> u32 {
    (rkey & !0xff) | (rkey.wrapping_add(1) & 0xff)
}

#[cfg(test)]
mod tests {
    use super::next_rkey;

    #[test]
    fn the_low_byte_advances_and_carries_nothing() {
        assert_eq!(next_rkey(0x1234_5600), 0x1234_5601);
        assert_eq!(next_rkey(0x1234_56ff), 0x1234_5600);
        assert_eq!(next_rkey(u32::MAX), 0xffff_ff00);
    }
}
