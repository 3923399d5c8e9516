//! `cores=`: which core each of fio's threads is pinned to.

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// `0,1` or `2-5`.
pub(crate) fn parse(list: &str) -> Result<Vec<usize>> {
    let bad = || anyhow!("cores={list}: not a list of cores; write for example 0, 0,1 or 2-5");
    let mut cores = Vec::new();
    for item in list.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| bad());
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(bad());
        }
        if last >= CpuSet::count() {
            bail!("cores={list}: numbers up to {} are allowed", CpuSet::count() - 1);
        }
        cores.extend(first..=last);
    }
    Ok(cores)
}

/// Pins the calling thread, the `thread`-th of fio's, to its core of the list, if there is one.
pub(crate) fn pin(cores: &[usize], thread: usize) -> Result<Option<usize>> {
    if cores.is_empty() {
        return Ok(None);
    }
    let core = cores[thread % cores.len()];
    let usable = reactor::usable_cores();
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| {
        format!("cores=: cannot pin a thread to core {core}; cores {usable:?} may be used")
    })?;
    Ok(Some(core))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lists_and_ranges_are_cores() {
        assert_eq!(parse("0").unwrap(), [0]);
        assert_eq!(parse("0,2-4, 7").unwrap(), [0, 2, 3, 4, 7]);
    }

    #[test]
    fn a_bad_list_of_cores_says_what_would_be_right() {
        for list in ["", "a", "3-1", "1,,2", "-1", "0x1"] {
            let error = parse(list).unwrap_err().to_string();
            assert!(error.contains("0,1 or 2-5"), "{list}: {error}");
        }
        assert!(parse("0-99999").unwrap_err().to_string().contains("up to"));
    }
}
