//! Fixed-size buffers carved from a region.
//!
//! A pool is a stack of free indices over one slice of a [`Region`]. It belongs to one thread: a
//! clone is another handle to the same pool, and every buffer holds one, so the memory outlives
//! its last user. The most recently returned buffer is the next one out, for it is the warmest.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::rc::Rc;

use crate::lent::Lent;
use crate::{Error, Region};

/// Most pools that one region carries at a time.
pub const POOLS_PER_REGION_MAX: usize = 4096;

/// Most buffers in one pool.
pub const BUFFERS_PER_POOL_MAX: u32 = 1 << 24;

/// The registration keys of a buffer: numbers that only the layer which registered the memory
/// understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// The local key.
    pub lkey: u32,
    /// The remote key.
    pub rkey: u32,
}

/// Equal buffers over a slice of a region. Clones are handles to the same pool.
///
/// One core, one protection domain: neither the pool nor anything from it is `Send`.
///
/// ```
/// use std::rc::Rc;
/// use hugepages::{Keys, PageSize, Policy, Pool, Region, RegionSpec};
///
/// let spec = RegionSpec {
///     len: 1 << 20,
///     policy: Policy::Preferred,
///     page_size: PageSize::Huge2M,
///     numa_node: None,
///     lock: false,
/// };
/// let region = Rc::new(Region::map(&spec)?);
/// println!("{}", region.report());
/// // Register `region.addr()` and `region.len()` with the device: it answers with the keys.
/// let keys = Keys { lkey: 1, rkey: 2 };
/// let pool = Pool::new(region, 0, 4096, 256, keys)?;
///
/// let mut buffer = pool.alloc().expect("a fresh pool is full");
/// buffer[..5].copy_from_slice(b"hello");
/// let lent = buffer.lend(); // from here on a work request may read it
/// // SAFETY: nothing was posted.
/// let buffer = unsafe { lent.reclaim() };
/// drop(buffer);
/// assert_eq!(pool.available(), 256);
///
/// fn needs_clone<T: Clone>() {}
/// needs_clone::<Pool>();
/// # Ok::<(), hugepages::Error>(())
/// ```
/// ```compile_fail,E0277
/// fn needs_send<T: Send>() {}
/// needs_send::<hugepages::Pool>();
/// ```
#[derive(Clone)]
pub struct Pool {
    shared: Rc<Shared>,
}

/// What the handles and the buffers of a pool share.
pub(crate) struct Shared {
    region: Rc<Region>,
    range: Range<usize>,
    base: NonNull<u8>,
    buffer_len: usize,
    count: u32,
    keys: Cell<Keys>,
    free: FreeList,
    abandoned: Cell<usize>,
}

/// A stack of the indices of free buffers. Plain cells, for it is touched twice for each I/O.
struct FreeList {
    indices: Box<[Cell<u32>]>,
    /// How many there are, from the front; the last one is the next out.
    len: Cell<usize>,
}

impl FreeList {
    /// All of `count`, the first one next.
    fn full(count: u32) -> Self {
        Self { indices: (0..count).rev().map(Cell::new).collect(), len: Cell::new(count as usize) }
    }

    #[inline]
    fn pop(&self) -> Option<u32> {
        let last = self.len.get().wrapping_sub(1);
        let index = self.indices.get(last)?.get();
        self.len.set(last);
        Some(index)
    }

    /// There is room for every index once.
    #[inline]
    fn push(&self, index: u32) {
        let len = self.len.get();
        self.indices[len].set(index);
        self.len.set(len + 1);
    }
}

impl Pool {
    /// Carves `count` buffers of `buffer_len` bytes, back to back from `offset`.
    ///
    /// A byte belongs to one pool at a time; the range is free again once the pool and all its
    /// buffers are gone.
    pub fn new(
        region: Rc<Region>,
        offset: usize,
        buffer_len: usize,
        count: usize,
        keys: Keys,
    ) -> Result<Self, Error> {
        let fail = |why: String| Error::Pool { offset, buffer_len, count, why };
        if buffer_len == 0 || count == 0 {
            return Err(fail("there must be at least one buffer of at least one byte".into()));
        }
        let buffers = u32::try_from(count).ok().filter(|count| *count <= BUFFERS_PER_POOL_MAX);
        let Some(buffers) = buffers else {
            return Err(fail(format!("a pool has at most {BUFFERS_PER_POOL_MAX} buffers")));
        };
        let end = buffer_len.checked_mul(count).and_then(|len| len.checked_add(offset));
        let Some(end) = end.filter(|end| *end <= region.len()) else {
            return Err(fail(format!("the region has {} bytes", region.len())));
        };
        let range = offset..end;
        region.claim(range.clone()).map_err(fail)?;

        // SAFETY: `offset` lies inside the mapping, which `region` keeps alive.
        let base = unsafe { region.base().add(offset) };
        let shared = Shared {
            region,
            range,
            base,
            buffer_len,
            count: buffers,
            keys: Cell::new(keys),
            free: FreeList::full(buffers),
            abandoned: Cell::new(0),
        };
        Ok(Self { shared: Rc::new(shared) })
    }

    /// Takes a buffer, or `None` when all are out. Its contents are whatever its last user left.
    #[inline]
    pub fn alloc(&self) -> Option<Buffer> {
        let index = self.shared.free.pop()?;
        // SAFETY: `index < count`, so the buffer lies inside the claimed range.
        let start = unsafe { self.shared.base.add(index as usize * self.shared.buffer_len) };
        Some(Buffer { start, index, shared: Rc::clone(&self.shared) })
    }

    /// Buffers free now.
    #[inline]
    pub fn available(&self) -> usize {
        self.shared.free.len.get()
    }

    /// Buffers carved, whoever holds them now.
    pub fn capacity(&self) -> usize {
        self.shared.count as usize
    }

    /// Bytes in each buffer.
    pub fn buffer_len(&self) -> usize {
        self.shared.buffer_len
    }

    /// The keys that each buffer carries.
    pub fn keys(&self) -> Keys {
        self.shared.keys.get()
    }

    /// Replaces the keys of every buffer, also of those that are out: the memory was registered
    /// anew, with another device or domain.
    pub fn set_keys(&self, keys: Keys) {
        self.shared.keys.set(keys);
    }

    /// Buffers lost for good because a device might still have touched them.
    pub fn abandoned(&self) -> usize {
        self.shared.abandoned.get()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("buffer_len", &self.buffer_len())
            .field("capacity", &self.capacity())
            .field("available", &self.available())
            .field("abandoned", &self.abandoned())
            .finish()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.region.release(&self.range);
    }
}

/// A buffer in its caller's hands: plain bytes to read and write. Dropping it returns it.
///
/// It is neither `Clone` nor `Send`:
/// ```compile_fail,E0277
/// fn needs_clone<T: Clone>() {}
/// needs_clone::<hugepages::Buffer>();
/// ```
/// ```compile_fail,E0277
/// fn needs_send<T: Send>() {}
/// needs_send::<hugepages::Buffer>();
/// ```
pub struct Buffer {
    start: NonNull<u8>,
    index: u32,
    shared: Rc<Shared>,
}

impl Buffer {
    /// Gives the memory to a work request: until it is reclaimed, no reference into it exists.
    #[inline]
    pub fn lend(self) -> Lent {
        Lent::new(self)
    }

    /// The registration keys.
    #[inline]
    pub fn keys(&self) -> Keys {
        self.shared.keys.get()
    }

    /// The address of the first byte, as a scatter/gather element wants it.
    #[inline]
    pub fn addr(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }

    /// Bytes in the buffer.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // a pool has no empty buffers
    pub fn len(&self) -> usize {
        self.shared.buffer_len
    }

    /// The memory that it is part of.
    #[inline]
    #[must_use]
    pub fn region(&self) -> &Rc<Region> {
        &self.shared.region
    }

    /// Whether nothing else holds its pool or its region.
    pub(crate) fn is_alone(&self) -> bool {
        Rc::strong_count(&self.shared) == 1 && Rc::strong_count(&self.shared.region) == 1
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Takes the buffer out of circulation, and pins pool and region for the life of the process.
    pub(crate) fn abandon(self) {
        let abandoned = &self.shared.abandoned;
        abandoned.set(abandoned.get() + 1);
        std::mem::forget(self);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the buffer's bytes are initialised (mapped zeroed, or given so), inside the memory
        // that `shared` keeps alive, and this `Buffer` is their only holder: the index left the free
        // list, the range belongs to one pool, and no work request is posted on it.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.shared.buffer_len) }
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` excludes every other reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.shared.buffer_len) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {} bytes)", self.index, self.len())
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        self.shared.free.push(self.index);
    }
}

#[cfg(test)]
mod tests;
