//! Everything that can go wrong, each in one line that says what would be right.

use std::io;
use std::path::PathBuf;

use crate::PageSize;
use crate::proc::Size;

/// Why memory could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A word that is none of those known.
    #[error("unknown {what} {found:?}: expected {wanted}")]
    Unknown {
        /// What was being read.
        what: &'static str,
        /// What stood there.
        found: String,
        /// What may stand there.
        wanted: &'static str,
    },

    /// A region of no bytes, or of more than can be addressed.
    #[error("a memory region of {len} bytes cannot be mapped: the length must be {wanted}")]
    Length {
        /// What was asked.
        len: usize,
        /// The bounds.
        wanted: &'static str,
    },

    /// Too few free huge pages.
    #[error(
        "not enough {page_size} huge pages{}: {needed} needed, {free} free of {total}; run `{}` as root",
        on_node(*.node), reserve_command(*.page_size, *.node, *.total, *.needed, *.free)
    )]
    HugePages {
        /// Which pages.
        page_size: PageSize,
        /// On which node, where one was asked for.
        node: Option<u32>,
        /// Pages that the region needs.
        needed: u64,
        /// Pages neither in use nor promised to another mapping.
        free: u64,
        /// Pages reserved.
        total: u64,
    },

    /// The kernel or the processor has no such pages.
    #[error("this machine has no {0} huge pages (no /sys/kernel/mm/hugepages/{name})", name = .0.sysfs_name())]
    NoSuchPageSize(PageSize),

    /// Too little memory of the ordinary kind.
    #[error("not enough memory{}: {} needed, {} available", on_node(*.node), Size(*.needed), Size(*.available))]
    Memory {
        /// On which node, where one was asked for.
        node: Option<u32>,
        /// Bytes needed.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },

    /// No such NUMA node.
    #[error("NUMA node {node} does not exist or has no memory: this machine has {online}")]
    NoSuchNode {
        /// What was asked.
        node: u32,
        /// The kernel's list, such as `0-1`.
        online: String,
    },

    /// The memory policy could not be set.
    #[error("memory cannot be bound to NUMA node {node}: {source} (a container may forbid mbind)")]
    Bind {
        /// The node.
        node: u32,
        /// What the kernel said.
        source: io::Error,
    },

    /// The memory could not be locked.
    #[error(
        "{} cannot be locked: {source}; the memlock limit is {}: raise it with `ulimit -l {}` \
         (or `unlimited`; permanently: LimitMEMLOCK= in the unit, or /etc/security/limits.conf)",
        Size(*.needed), limit_text(*.limit), .needed.div_ceil(1024)
    )]
    Lock {
        /// Bytes to lock.
        needed: u64,
        /// RLIMIT_MEMLOCK in bytes; `None` is unlimited.
        limit: Option<u64>,
        /// What the kernel said.
        source: io::Error,
    },

    /// A system call failed for a reason that none of the above explains.
    #[error("{call} failed: {source}")]
    System {
        /// What was called, and on what.
        call: String,
        /// What the kernel said.
        source: io::Error,
    },

    /// A pool that does not fit its region.
    #[error("cannot carve {count} buffers of {buffer_len} bytes at offset {offset}: {why}")]
    Pool {
        /// First byte in the region.
        offset: usize,
        /// Bytes in a buffer.
        buffer_len: usize,
        /// Buffers.
        count: usize,
        /// What is wrong.
        why: String,
    },

    /// A copy beyond the end of a buffer.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),

    /// A kernel file could not be read or written.
    #[error("cannot {action} {}: {source}{}", .path.display(), hint(.source))]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },

    /// A kernel file did not hold what it should.
    #[error("{} holds {found:?} where a number was expected", .path.display())]
    FileContent {
        /// The file.
        path: PathBuf,
        /// What it held.
        found: String,
    },
}

/// A copy that would leave its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a copy of {len} bytes at offset {offset} does not fit a buffer of {buffer_len} bytes")]
pub struct OutOfBounds {
    /// First byte.
    pub offset: usize,
    /// Bytes to copy.
    pub len: usize,
    /// Bytes there are.
    pub buffer_len: usize,
}

fn on_node(node: Option<u32>) -> String {
    node.map_or_else(String::new, |node| format!(" on NUMA node {node}"))
}

fn limit_text(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |bytes| Size(bytes).to_string())
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "; run as root",
        io::ErrorKind::NotFound => "; this kernel has no such pages or node",
        _ => "",
    }
}

/// The command whose success makes `needed` pages free, given what is in use now.
fn reserve_command(
    page_size: PageSize,
    node: Option<u32>,
    total: u64,
    needed: u64,
    free: u64,
) -> String {
    let pages = total.saturating_add(needed.saturating_sub(free));
    let size = match page_size {
        PageSize::Huge2M => "",
        PageSize::Huge1G => " --page-size 1G",
    };
    let node = node.map_or_else(String::new, |node| format!(" --node {node}"));
    format!("initiator hugepages reserve {pages}{size}{node}")
}
