//! How many huge pages the kernel keeps aside, and asking it for more.
//!
//! Reserving needs root. The kernel takes what free memory it can put together and says nothing
//! when that is less than asked, so [`reserve`] reads back what came of it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Error, PageSize};

/// The state of one size of huge pages on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// The NUMA node; 0 on a kernel without NUMA.
    pub node: u32,
    /// Which pages.
    pub page_size: PageSize,
    /// Pages there are, surplus included.
    pub total: u64,
    /// Pages not faulted in by anyone.
    pub free: u64,
    /// Pages above the reserved number, lent by the kernel on demand.
    pub surplus: u64,
}

/// What came of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the kernel may have reserved fewer pages than asked"]
pub struct Reserved {
    /// Which pages.
    pub page_size: PageSize,
    /// Pages asked for.
    pub asked: u64,
    /// Pages that there are now.
    pub got: u64,
}

impl fmt::Display for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { page_size, asked, got } = self;
        if got < asked {
            write!(
                f,
                "only {got} of {asked} {page_size} huge pages reserved: free memory is short or \
                 too fragmented; reserve them sooner after boot (vm.nr_hugepages or hugepages= on \
                 the kernel command line), or run `sysctl vm.compact_memory=1` and try again"
            )
        } else if got > asked {
            write!(f, "{got} {page_size} huge pages remain: more than {asked} are in use")
        } else {
            write!(f, "{got} {page_size} huge pages reserved")
        }
    }
}

/// Every page size on every node.
pub fn status() -> Result<Vec<NodeStatus>, Error> {
    Sysfs::default().status()
}

/// Sets the number of huge pages to `pages`, on one node or over the machine.
pub fn reserve(pages: u64, page_size: PageSize, node: Option<u32>) -> Result<Reserved, Error> {
    Sysfs::default().reserve(pages, page_size, node)
}

/// Where sysfs is mounted; tests bring their own.
#[derive(Clone, Debug)]
pub struct Sysfs {
    root: PathBuf,
}

impl Default for Sysfs {
    fn default() -> Self {
        Self::at("/sys")
    }
}

impl Sysfs {
    /// A sysfs mounted at `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// As the function of the same name.
    pub fn status(&self) -> Result<Vec<NodeStatus>, Error> {
        let mut all = Vec::new();
        let nodes = self.nodes();
        let places: Vec<(u32, Option<u32>)> = if nodes.is_empty() {
            vec![(0, None)]
        } else {
            nodes.into_iter().map(|node| (node, Some(node))).collect()
        };
        for (number, node) in places {
            for page_size in PageSize::ALL {
                if !self.directory(page_size, node).is_dir() {
                    continue;
                }
                let Counts { total, free, surplus, .. } = self.counts(page_size, node)?;
                all.push(NodeStatus { node: number, page_size, total, free, surplus });
            }
        }
        Ok(all)
    }

    /// As the function of the same name.
    pub fn reserve(
        &self,
        pages: u64,
        page_size: PageSize,
        node: Option<u32>,
    ) -> Result<Reserved, Error> {
        let directory = self.directory(page_size, node);
        let file = directory.join("nr_hugepages");
        if !file.exists() {
            return Err(self.missing(page_size, node, file));
        }
        fs::write(&file, pages.to_string()).map_err(|source| Error::File {
            action: "write",
            path: file.clone(),
            source,
        })?;
        let got = number(&file)?;
        Ok(Reserved { page_size, asked: pages, got })
    }

    /// The nodes that have memory, as the kernel lists them (`0-1,4`).
    pub(crate) fn nodes_with_memory(&self) -> String {
        fs::read_to_string(self.nodes_directory().join("has_memory"))
            .map_or_else(|_| "no NUMA".to_owned(), |list| format!("node(s) {}", list.trim()))
    }

    /// Whether the machine has pages of this size at all.
    pub(crate) fn supports(&self, page_size: PageSize) -> bool {
        self.directory(page_size, None).is_dir()
    }

    /// One directory's counters.
    pub(crate) fn counts(&self, page_size: PageSize, node: Option<u32>) -> Result<Counts, Error> {
        let directory = self.directory(page_size, node);
        let promised = directory.join("resv_hugepages");
        Ok(Counts {
            total: number(&directory.join("nr_hugepages"))?,
            free: number(&directory.join("free_hugepages"))?,
            surplus: number(&directory.join("surplus_hugepages"))?,
            // The kernel keeps promises for the machine, not for a node.
            promised: if node.is_none() { number(&promised)? } else { 0 },
        })
    }

    fn directory(&self, page_size: PageSize, node: Option<u32>) -> PathBuf {
        let place = match node {
            None => self.root.join("kernel/mm/hugepages"),
            Some(node) => self.nodes_directory().join(format!("node{node}/hugepages")),
        };
        place.join(page_size.sysfs_name())
    }

    fn nodes_directory(&self) -> PathBuf {
        self.root.join("devices/system/node")
    }

    /// Node numbers, in order; none on a kernel without NUMA.
    fn nodes(&self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir(self.nodes_directory()) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut nodes: Vec<u32> =
            names.filter_map(|name| name.to_str()?.strip_prefix("node")?.parse().ok()).collect();
        nodes.sort_unstable();
        nodes
    }

    fn missing(&self, page_size: PageSize, node: Option<u32>, path: PathBuf) -> Error {
        match node {
            Some(node) if !self.nodes().contains(&node) => {
                let online = self.nodes_with_memory();
                Error::NoSuchNode { node, online }
            }
            _ if !self.directory(page_size, node).is_dir() => Error::NoSuchPageSize(page_size),
            _ => Error::File { action: "write", path, source: io::ErrorKind::NotFound.into() },
        }
    }
}

/// The kernel's counters of one page size in one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) total: u64,
    pub(crate) free: u64,
    pub(crate) surplus: u64,
    promised: u64,
}

impl Counts {
    /// Free pages that no mapping has been promised.
    pub(crate) fn unpromised(&self) -> u64 {
        self.free.saturating_sub(self.promised)
    }
}

fn number(path: &Path) -> Result<u64, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    text.trim()
        .parse()
        .map_err(|_| Error::FileContent { path: path.to_owned(), found: text.trim().to_owned() })
}

#[cfg(test)]
mod tests;
