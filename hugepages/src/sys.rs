//! The system calls that no crate wraps, or wraps without what matters here.

use std::fs::File;
use std::io::{self, Read};
use std::ptr::NonNull;

use memmap2::{Advice, MmapRaw};
use nix::sys::resource::{Resource, getrlimit};

/// Highest node number that a policy can name, in Linux as configured anywhere.
pub(crate) const NODE_MAX: u32 = 1023;

const MASK_BITS: usize = usize::BITS as usize;
const MASK_WORDS: usize = (NODE_MAX as usize + 1) / MASK_BITS;

/// Bytes in a base page.
pub(crate) fn base_page_len() -> usize {
    // SAFETY: sysconf has no preconditions.
    let len = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(len).expect("every Linux tells its page size")
}

/// Takes the range's pages, none of which is faulted in yet, from one node and no other.
///
/// Not from the preferred node: memory across the socket link is what the caller asked to avoid.
pub(crate) fn bind(map: &MmapRaw, offset: usize, len: usize, node: u32) -> io::Result<()> {
    assert!(offset + len <= map.len());
    let mut mask: [usize; MASK_WORDS] = [0; MASK_WORDS];
    let node = node as usize;
    let word = mask.get_mut(node / MASK_BITS).ok_or(io::ErrorKind::InvalidInput)?;
    *word = 1 << (node % MASK_BITS);
    // The kernel takes one bit less than it is told.
    let maxnode = MASK_WORDS * MASK_BITS + 1;
    let flags = 0;
    // SAFETY: the range lies inside our own mapping, and the mask holds `maxnode - 1` bits.
    let result = unsafe {
        let start = map.as_mut_ptr().add(offset);
        libc::syscall(libc::SYS_mbind, start, len, libc::MPOL_BIND, mask.as_ptr(), maxnode, flags)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Faults every page of the range in, and reports what first touch would have answered by SIGBUS.
pub(crate) fn populate(map: &MmapRaw, offset: usize, len: usize) -> io::Result<()> {
    match map.advise_range(Advice::PopulateWrite, offset, len) {
        // Linux before 5.14 does not know the advice.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            populate_by_read(map, offset, len)
        }
        other => other,
    }
}

/// Has the kernel write the zeroes: where it cannot get a page it answers EFAULT to `read`, where
/// a write of our own would raise SIGBUS.
pub(crate) fn populate_by_read(map: &MmapRaw, offset: usize, len: usize) -> io::Result<()> {
    assert!(offset + len <= map.len());
    let mut zeroes = File::open("/dev/zero")?;
    // SAFETY: the range lies inside a fresh anonymous mapping that nobody else knows yet; its
    // bytes are initialised (zero) even while no page stands behind them, and the only access
    // through the slice is the kernel's.
    let bytes = unsafe { std::slice::from_raw_parts_mut(map.as_mut_ptr().add(offset), len) };
    zeroes.read_exact(bytes)
}

/// Locks the range in memory.
pub(crate) fn lock(map: &MmapRaw, offset: usize, len: usize) -> io::Result<()> {
    assert!(offset + len <= map.len());
    // SAFETY: the range lies inside our own mapping; locking changes no contents.
    unsafe {
        let start = NonNull::new_unchecked(map.as_mut_ptr().add(offset));
        nix::sys::mman::mlock(start.cast(), len)?;
    }
    Ok(())
}

/// The memlock limit in bytes; `None` when there is none.
pub(crate) fn memlock_limit() -> Option<u64> {
    let (soft, _hard) = getrlimit(Resource::RLIMIT_MEMLOCK).ok()?;
    (soft != libc::RLIM_INFINITY).then_some(soft)
}
