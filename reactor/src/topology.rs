//! Which cores there are and where their memory is, from the kernel.
//!
//! Threading: pure look-ups, control path.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

/// The cores this process may be pinned to, ascending: its affinity mask (which `taskset` and
/// cpusets narrow) and the cores kept apart by `isolcpus`, which no mask shows.
#[must_use]
pub fn usable_cores() -> Vec<usize> {
    // The main thread's mask: a thread that asks may itself be pinned.
    let mask = sched_getaffinity(Pid::this()).unwrap_or_else(|_| CpuSet::new());
    let mut cores = members(&mask);
    let isolated = fs::read_to_string("/sys/devices/system/cpu/isolated").unwrap_or_default();
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let online = parse_cpu_list(&online);
    cores.extend(parse_cpu_list(&isolated).into_iter().filter(|core| online.contains(core)));
    cores.sort_unstable();
    cores.dedup();
    cores
}

/// The NUMA node of a core; `None` if there is no such core or the kernel knows no nodes.
#[must_use]
pub fn core_numa_node(core: usize) -> Option<u32> {
    fs::read_dir(format!("/sys/devices/system/cpu/cpu{core}"))
        .ok()?
        .flatten()
        .find_map(|entry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok())
}

/// The cores in a mask, ascending.
pub(crate) fn members(mask: &CpuSet) -> Vec<usize> {
    (0..CpuSet::count()).filter(|&core| mask.is_set(core).unwrap_or(false)).collect()
}

/// Cores as the kernel writes them: `0-3,8`.
pub(crate) fn format_cpu_list(cores: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &core in cores {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == core => *last = core,
            _ => ranges.push((core, core)),
        }
    }
    let text = |&(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

/// Reads the kernel's list form. What is not understood is left out.
fn parse_cpu_list(text: &str) -> Vec<usize> {
    let range = |item: &str| -> Option<std::ops::RangeInclusive<usize>> {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let last: usize = last.parse().ok()?;
        Some(first.parse().ok()?..=last.min(CpuSet::count()))
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_read_and_written_as_the_kernel_does() {
        assert_eq!(parse_cpu_list("0-2,5,7-8\n"), [0, 1, 2, 5, 7, 8]);
        assert!(parse_cpu_list("\n").is_empty());
        assert_eq!(format_cpu_list(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(format_cpu_list(&[]), "");
    }

    #[test]
    fn a_core_that_is_not_there_has_no_node() {
        assert_eq!(core_numa_node(1 << 20), None);
    }
}
