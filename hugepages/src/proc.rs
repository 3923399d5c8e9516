//! What the kernel tells of memory, under `/proc` and `/sys`. Control path only.

use std::fmt;
use std::fs;

/// Bytes for people: the largest binary unit in which the number is whole, else one decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        let (unit, name) = match bytes {
            0..=1023 => return write!(f, "{bytes} bytes"),
            1024..=0xF_FFFF => (1_u64 << 10, "KiB"),
            0x10_0000..=0x3FFF_FFFF => (1 << 20, "MiB"),
            _ => (1 << 30, "GiB"),
        };
        if bytes.is_multiple_of(unit) {
            write!(f, "{} {name}", bytes / unit)
        } else {
            write!(f, "{:.1} {name}", bytes as f64 / unit as f64)
        }
    }
}

/// Bytes that can be faulted in without pushing anyone out; `None` where the kernel does not say.
pub(crate) fn memory_available(node: Option<u32>) -> Option<u64> {
    match node {
        None => field(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:"),
        Some(node) => {
            let path = format!("/sys/devices/system/node/node{node}/meminfo");
            let text = fs::read_to_string(path).ok()?;
            // Clean page cache gives way to us. Dirty or mapped pages may not, so take half.
            let cache = field(&text, "Active(file):")? + field(&text, "Inactive(file):")?;
            Some(field(&text, "MemFree:")? + cache / 2)
        }
    }
}

/// Bytes of the mapping that starts at `addr` that stand on transparent huge pages.
pub(crate) fn transparent_huge(addr: usize) -> Option<u64> {
    let smaps = fs::read_to_string("/proc/self/smaps").ok()?;
    let mut lines = smaps.lines();
    lines.find(|line| mapping_start(line) == Some(addr))?;
    lines.take_while(|line| mapping_start(line).is_none()).find_map(|l| field(l, "AnonHugePages:"))
}

/// The kernel's switch for transparent huge pages, the choice in brackets.
pub(crate) fn transparent_huge_mode() -> String {
    fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
        .map_or_else(|_| "not built into this kernel".to_owned(), |text| text.trim().to_owned())
}

/// The start address of a `/proc/self/smaps` heading such as `7f00-7f10 rw-p …`.
fn mapping_start(line: &str) -> Option<usize> {
    let (start, rest) = line.split_once('-')?;
    let (end, _) = rest.split_once(' ')?;
    usize::from_str_radix(end, 16).ok()?;
    usize::from_str_radix(start, 16).ok()
}

/// The number of bytes after `name` in `Name:  12 kB` lines, wherever in the line the name stands.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| {
        let (_, value) = line.split_once(name)?;
        Some(value)
    })?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests;
