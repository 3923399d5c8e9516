//! What a caller can ask of a region, and the names of what it can get.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// What to do about huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Huge pages of the asked size, or an error.
    Required,
    /// Huge pages, else transparent huge pages, else plain pages; the report says which.
    #[default]
    Preferred,
    /// Plain pages.
    Off,
}

impl FromStr for Policy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.trim().to_ascii_lowercase().as_str() {
            "required" => Ok(Self::Required),
            "preferred" => Ok(Self::Preferred),
            "off" => Ok(Self::Off),
            _ => Err(Error::Unknown {
                what: "hugepage policy",
                found: text.to_owned(),
                wanted: "required, preferred or off",
            }),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Required => "required",
            Self::Preferred => "preferred",
            Self::Off => "off",
        })
    }
}

/// A huge page size of x86-64 and (with 4 KiB base pages) arm64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PageSize {
    /// 2 MiB.
    #[default]
    Huge2M,
    /// 1 GiB.
    Huge1G,
}

impl PageSize {
    /// Every size there is, smallest first.
    pub const ALL: [Self; 2] = [Self::Huge2M, Self::Huge1G];

    /// Bytes in a page.
    pub const fn bytes(self) -> usize {
        1 << self.bits()
    }

    /// Base-2 logarithm of [`PageSize::bytes`], as `mmap` wants it.
    pub(crate) const fn bits(self) -> u8 {
        match self {
            Self::Huge2M => 21,
            Self::Huge1G => 30,
        }
    }

    /// The directory that the kernel keeps for this size, under each of its `hugepages` directories.
    pub(crate) fn sysfs_name(self) -> String {
        format!("hugepages-{}kB", self.bytes() / 1024)
    }
}

impl FromStr for PageSize {
    type Err = Error;

    /// Accepts `2M`, `2MB`, `2MiB`, `1G`, `1GB`, `1GiB` and `2048kB`/`1048576kB` as the kernel
    /// writes them, in any case.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.replace(' ', "").to_ascii_lowercase().as_str() {
            "2m" | "2mb" | "2mib" | "2048k" | "2048kb" | "2048kib" => Ok(Self::Huge2M),
            "1g" | "1gb" | "1gib" | "1048576k" | "1048576kb" | "1048576kib" => Ok(Self::Huge1G),
            _ => Err(Error::Unknown {
                what: "huge page size",
                found: text.to_owned(),
                wanted: "2M or 1G",
            }),
        }
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Huge2M => "2 MiB",
            Self::Huge1G => "1 GiB",
        })
    }
}

/// What a region stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Reserved huge pages of this size.
    Huge(PageSize),
    /// Transparent huge pages, wholly or in part.
    TransparentHuge,
    /// Pages of the machine's base size.
    Plain,
    /// Whatever the caller gave.
    Own,
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Huge(size) => write!(f, "{size} huge pages"),
            Self::TransparentHuge => f.pad("transparent huge pages"),
            Self::Plain => f.pad("plain pages"),
            Self::Own => f.pad("memory of the caller's own"),
        }
    }
}

/// What to map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionSpec {
    /// Bytes wanted; rounded up to whole pages of whatever the region gets.
    pub len: usize,
    /// What to do about huge pages.
    pub policy: Policy,
    /// Which huge pages.
    pub page_size: PageSize,
    /// The NUMA node to take the memory from; `None` leaves it to the kernel.
    pub numa_node: Option<u32>,
    /// Lock the memory against paging. Under [`Policy::Required`] a memlock limit that is too low
    /// is an error; otherwise the region stays unlocked and says so. (Huge pages never page out,
    /// but registering them with a device is charged to the same limit.)
    pub lock: bool,
}

#[cfg(test)]
mod tests;
