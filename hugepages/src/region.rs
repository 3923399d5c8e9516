//! A mapped stretch of memory, on the best pages that the policy and the machine allow.
//!
//! Mapping goes down a ladder: reserved huge pages, transparent huge pages, plain pages. On each
//! rung the order matters: map, bind to the node, advise, fault everything in, lock. Binding comes
//! before the first fault because it places only pages yet to come; faulting goes through a call
//! that reports a missing page instead of raising SIGBUS, because the kernel promises huge pages
//! for the machine as a whole and not for the node.
//!
//! A region is mapped once and lives until the last buffer carved from it is gone. One that is
//! made from memory of the caller's own ([`Buffer::from_vec`](crate::Buffer::from_vec)) is taken
//! as it is.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;

use memmap2::{Advice, MmapOptions, MmapRaw};

use crate::own::Owner;
use crate::pool::POOLS_PER_REGION_MAX;
use crate::proc::{self, Size};
use crate::reserve::Sysfs;
use crate::{Backing, Error, PageSize, Policy, RegionSpec, sys};

/// Longest region: leaves room to round up and align without overflow, and is more than any
/// machine has.
const LEN_MAX: usize = isize::MAX as usize / 2;

/// Mapped, bound, faulted in and locked memory; or memory of the caller's own.
pub struct Region {
    base: NonNull<u8>,
    len: usize,
    /// Keeps `len` bytes from `base` where they are.
    pub(crate) owner: Cell<Owner>,
    backing: Backing,
    numa_node: Option<u32>,
    locked: bool,
    spec: RegionSpec,
    /// What went otherwise than asked, in order.
    notes: Vec<String>,
    /// Ranges that pools own.
    claims: RefCell<Vec<Range<usize>>>,
}

impl Region {
    /// Maps `spec.len` bytes, rounded up to whole pages, all zero.
    pub fn map(spec: &RegionSpec) -> Result<Self, Error> {
        check(spec)?;
        let huge = Backing::Huge(spec.page_size);
        let rungs: &[Backing] = match spec.policy {
            Policy::Required => &[huge],
            Policy::Preferred => &[huge, Backing::TransparentHuge, Backing::Plain],
            Policy::Off => &[Backing::Plain],
        };
        let mut notes = Vec::new();
        for (below, &rung) in (1..).zip(rungs) {
            match Self::establish(spec, rung, &mut notes) {
                Ok(region) => return Ok(region),
                Err(error) if below == rungs.len() => return Err(error),
                Err(error) => notes.push(format!("no {rung}: {error}")),
            }
        }
        unreachable!("the last rung returns")
    }

    /// The first byte. Readable and writable for [`Region::len`] bytes as long as the region is.
    pub fn addr(&self) -> *mut u8 {
        self.base().as_ptr()
    }

    /// Bytes that can be used: what was asked, rounded up to whole pages.
    #[allow(clippy::len_without_is_empty)] // there is no empty region
    pub fn len(&self) -> usize {
        self.len
    }

    /// What the memory stands on.
    pub fn backing(&self) -> Backing {
        self.backing
    }

    /// The node the memory is bound to, if it is.
    pub fn numa_node(&self) -> Option<u32> {
        self.numa_node
    }

    /// Whether the memory is locked against paging.
    pub fn locked(&self) -> bool {
        self.locked
    }

    /// What to say when a device could not pin the region, which the memlock limit is charged for.
    #[must_use]
    pub fn pin_error(&self, source: io::Error) -> Error {
        Error::Lock { needed: self.len as u64, limit: sys::memlock_limit(), source }
    }

    /// One line: what was asked, what was got, and why it is less.
    pub fn report(&self) -> String {
        if self.backing == Backing::Own {
            return format!("memory: {} of the caller's own", Size(self.len as u64));
        }
        let spec = &self.spec;
        let asked = match spec.policy {
            Policy::Off => "huge pages off".to_owned(),
            policy => format!("{} {policy}", Backing::Huge(spec.page_size)),
        };
        let mut line = format!(
            "memory: asked {}, {asked}{}{}; got {} on {}{}{}",
            Size(spec.len as u64),
            node_text(spec.numa_node),
            if spec.lock { ", locked" } else { "" },
            Size(self.len as u64),
            self.backing,
            node_text(self.numa_node),
            if self.locked { ", locked" } else { "" },
        );
        for note in &self.notes {
            line.push_str("; ");
            line.push_str(note);
        }
        line
    }

    /// Takes memory as it is.
    ///
    /// # Safety
    /// The bytes are initialised, and no reference into them is used, for as long as the region
    /// lives, which `owner` sees to.
    pub(crate) unsafe fn own(base: NonNull<u8>, len: usize, owner: Owner) -> Result<Self, Error> {
        let spec = RegionSpec {
            len,
            policy: Policy::Off,
            page_size: PageSize::Huge2M,
            numa_node: None,
            lock: false,
        };
        check(&spec)?;
        Ok(Self {
            base,
            len,
            owner: Cell::new(owner),
            backing: Backing::Own,
            numa_node: None,
            locked: false,
            spec,
            notes: Vec::new(),
            claims: RefCell::new(Vec::new()),
        })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Gives a range to a pool, if no other pool has any of it.
    pub(crate) fn claim(&self, range: Range<usize>) -> Result<(), String> {
        let mut claims = self.claims.borrow_mut();
        if let Some(other) = claims.iter().find(|c| c.start < range.end && range.start < c.end) {
            return Err(format!("bytes {}..{} belong to another pool", other.start, other.end));
        }
        if claims.len() == POOLS_PER_REGION_MAX {
            return Err(format!("a region carries at most {POOLS_PER_REGION_MAX} pools"));
        }
        claims.push(range);
        Ok(())
    }

    /// Takes a range back from its pool.
    pub(crate) fn release(&self, range: &Range<usize>) {
        self.claims.borrow_mut().retain(|claim| claim != range);
    }

    /// One rung: everything that was asked, on this backing.
    fn establish(spec: &RegionSpec, rung: Backing, notes: &mut Vec<String>) -> Result<Self, Error> {
        let mut own_notes = Vec::new();
        let (map, offset, len) = map_pages(spec, rung)?;
        let numa_node = bind(spec, &map, offset, len, &mut own_notes)?;
        advise(&map, offset, len, rung)?;
        if let Err(source) = sys::populate(&map, offset, len) {
            // First give back what was faulted in: the error counts the free pages.
            drop(map);
            return Err(pages_error(spec, rung, len, source));
        }
        let locked = lock(spec, &map, offset, len, &mut own_notes)?;
        notes.append(&mut own_notes);
        // SAFETY: `offset + len` lies inside the mapping, which is never at address zero.
        let base = unsafe { NonNull::new_unchecked(map.as_mut_ptr().add(offset)) };
        let mut region = Self {
            base,
            len,
            owner: Cell::new(Owner::Mapped(map)),
            backing: rung,
            numa_node,
            locked,
            spec: spec.clone(),
            notes: std::mem::take(notes),
            claims: RefCell::new(Vec::new()),
        };
        if rung == Backing::TransparentHuge {
            region.settle_transparent();
        }
        Ok(region)
    }

    /// Transparent huge pages are a request: looks at what the kernel made of it.
    fn settle_transparent(&mut self) {
        let huge = proc::transparent_huge(self.addr().addr()).unwrap_or(0);
        if huge == 0 {
            self.backing = Backing::Plain;
            let mode = proc::transparent_huge_mode();
            self.notes.push(format!("no transparent huge pages: the kernel gave none ({mode})"));
        } else if huge < self.len as u64 {
            self.notes.push(format!("only {} of it on transparent huge pages", Size(huge)));
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({:p}, {})", self.addr(), self.report())
    }
}

fn node_text(node: Option<u32>) -> String {
    node.map_or_else(String::new, |node| format!(", NUMA node {node}"))
}

fn check(spec: &RegionSpec) -> Result<(), Error> {
    let wanted = match spec.len {
        0 => "at least one byte",
        len if len > LEN_MAX => "less than the address space",
        _ => return Ok(()),
    };
    Err(Error::Length { len: spec.len, wanted })
}

/// Reserves address space, and for huge pages the kernel's promise of pages. Answers the mapping
/// and the usable range in it.
fn map_pages(spec: &RegionSpec, rung: Backing) -> Result<(MmapRaw, usize, usize), Error> {
    let base_page = sys::base_page_len();
    let mut options = MmapOptions::new();
    let (page, slack) = match rung {
        Backing::Huge(size) => {
            options.huge(Some(size.bits()));
            (size.bytes(), 0)
        }
        // Room to align, and at least one page before the range: it keeps our mapping from
        // merging with a neighbour, whose pages we would take for our own.
        Backing::TransparentHuge => {
            (PageSize::Huge2M.bytes(), PageSize::Huge2M.bytes() + base_page)
        }
        Backing::Plain | Backing::Own => (base_page, 0),
    };
    // A length that is no multiple of the page would never be unmapped: munmap refuses it.
    let len = spec.len.next_multiple_of(page);
    if !matches!(rung, Backing::Huge(_)) {
        check_memory(spec.numa_node, len)?;
    }
    let map = options.len(len + slack).map_anon().map(MmapRaw::from);
    let map = map.map_err(|source| pages_error(spec, rung, len, source))?;
    let start = map.as_mut_ptr().addr();
    let offset = if slack == 0 { 0 } else { (start + base_page).next_multiple_of(page) - start };
    Ok((map, offset, len))
}

/// Faulting in more than there is would wake the kernel's out-of-memory killer.
fn check_memory(node: Option<u32>, len: usize) -> Result<(), Error> {
    let needed = len as u64;
    match proc::memory_available(node) {
        Some(available) if available < needed => Err(Error::Memory { node, needed, available }),
        _ => Ok(()),
    }
}

/// Binds the range to the asked node. Where binding is not permitted, only `Required` insists.
fn bind(
    spec: &RegionSpec,
    map: &MmapRaw,
    offset: usize,
    len: usize,
    notes: &mut Vec<String>,
) -> Result<Option<u32>, Error> {
    let Some(node) = spec.numa_node else {
        return Ok(None);
    };
    let Err(source) = sys::bind(map, offset, len, node) else {
        return Ok(Some(node));
    };
    match source.raw_os_error() {
        None | Some(libc::EINVAL) => {
            Err(Error::NoSuchNode { node, online: Sysfs::default().nodes_with_memory() })
        }
        Some(libc::EPERM | libc::ENOSYS) if spec.policy != Policy::Required => {
            notes.push(format!("not bound: {}", Error::Bind { node, source }));
            Ok(None)
        }
        _ => Err(Error::Bind { node, source }),
    }
}

fn advise(map: &MmapRaw, offset: usize, len: usize, rung: Backing) -> Result<(), Error> {
    let advise = |advice: Advice, name: &str| {
        map.advise_range(advice, offset, len)
            .map_err(|source| Error::System { call: format!("madvise({name})"), source })
    };
    // A child of fork would share our pages copy-on-write, and the parent's next write would move
    // away from the page that the device knows.
    advise(Advice::DontFork, "MADV_DONTFORK")?;
    // A kernel built without transparent huge pages refuses both; it gives none either way.
    match rung {
        Backing::Huge(_) | Backing::Own => {}
        Backing::TransparentHuge => advise(Advice::HugePage, "MADV_HUGEPAGE")?,
        Backing::Plain => drop(advise(Advice::NoHugePage, "MADV_NOHUGEPAGE")),
    }
    Ok(())
}

/// Locks the range, if asked. Where the limit forbids it, only `Required` insists.
fn lock(
    spec: &RegionSpec,
    map: &MmapRaw,
    offset: usize,
    len: usize,
    notes: &mut Vec<String>,
) -> Result<bool, Error> {
    if !spec.lock {
        return Ok(false);
    }
    let Err(source) = sys::lock(map, offset, len) else {
        return Ok(true);
    };
    let error = Error::Lock { needed: len as u64, limit: sys::memlock_limit(), source };
    if spec.policy == Policy::Required {
        return Err(error);
    }
    notes.push(format!("not locked: {error}"));
    Ok(false)
}

/// Why pages could not be had: names the shortage of huge pages where there is one.
fn pages_error(spec: &RegionSpec, rung: Backing, len: usize, source: io::Error) -> Error {
    let system = |source| Error::System {
        call: format!("mapping {} of {rung}{}", Size(len as u64), node_text(spec.numa_node)),
        source,
    };
    let Backing::Huge(page_size) = rung else {
        return system(source);
    };
    if !Sysfs::default().supports(page_size) {
        return Error::NoSuchPageSize(page_size);
    }
    // ENOMEM: the machine lacks pages. EFAULT: the node does, though the machine promised them.
    if !matches!(source.raw_os_error(), Some(libc::ENOMEM | libc::EFAULT)) {
        return system(source);
    }
    let needed = (len / page_size.bytes()) as u64;
    let places = spec.numa_node.map(Some).into_iter().chain([None]);
    let short = places.into_iter().find_map(|node| {
        let counts = Sysfs::default().counts(page_size, node).ok()?;
        let free = counts.unpromised();
        let total = counts.total;
        (free < needed).then_some(Error::HugePages { page_size, node, needed, free, total })
    });
    short.unwrap_or_else(|| system(source))
}

#[cfg(test)]
mod tests;
