use nix::sys::resource::{Resource, setrlimit};

use super::*;
use crate::testing::{
    CAP_IPC_LOCK, MIB, huge_bytes_in_use, huge_pages, mapped_bytes, spec, without_call,
    without_capability,
};

fn map(spec: &RegionSpec) -> Region {
    Region::map(spec).expect("it can be mapped")
}

fn why(spec: &RegionSpec) -> String {
    Region::map(spec).expect_err("it must be refused").to_string()
}

/// Writes to the first and the last byte, and reads zeroes before that.
fn exercise(region: &Region) {
    // SAFETY: the region is mapped for `len` bytes and this test is its only user.
    let bytes = unsafe { std::slice::from_raw_parts_mut(region.addr(), region.len()) };
    assert!(bytes.iter().step_by(4096).all(|byte| *byte == 0), "fresh memory is zero");
    bytes[0] = 1;
    bytes[region.len() - 1] = 2;
}

#[test]
fn required_gets_reserved_pages_rounded_up_and_gives_them_back() {
    let _counting = huge_pages(8);
    let before = huge_bytes_in_use();
    for (len, rounded) in [(1, 2), (2 * MIB, 2), (2 * MIB + 1, 4), (6 * MIB - 1, 6)] {
        let region = map(&spec(len, Policy::Required));
        assert_eq!(region.backing(), Backing::Huge(PageSize::Huge2M));
        assert_eq!(region.len(), rounded * MIB);
        assert_eq!(huge_bytes_in_use(), before + rounded * MIB, "every page is faulted in");
        exercise(&region);
        drop(region);
        assert_eq!(huge_bytes_in_use(), before, "{len} bytes left pages behind");
    }
}

#[test]
fn preferred_takes_reserved_pages_where_there_are_some() {
    let _counting = huge_pages(8);
    let region = map(&spec(3 * MIB, Policy::Preferred));
    assert_eq!(region.backing(), Backing::Huge(PageSize::Huge2M));
    assert_eq!(
        region.report(),
        "memory: asked 3 MiB, 2 MiB huge pages preferred; got 4 MiB on 2 MiB huge pages"
    );
}

#[test]
fn preferred_steps_down_when_pages_are_missing_and_says_why() {
    let _counting = huge_pages(0);
    let spec = RegionSpec { page_size: PageSize::Huge1G, ..spec(5 * MIB, Policy::Preferred) };
    let free = Sysfs::default().counts(PageSize::Huge1G, None).map_or(0, |c| c.unpromised());
    let region = map(&spec);
    exercise(&region);
    if free > 0 {
        // A machine that reserved pages of this size shows the other half of the promise.
        assert_eq!(region.backing(), Backing::Huge(PageSize::Huge1G), "{}", region.report());
        return;
    }
    let report = region.report();
    assert!(report.contains("asked 5 MiB, 1 GiB huge pages preferred"), "{report}");
    assert!(report.contains("; no 1 GiB huge pages: "), "{report}");
    let transparent = !proc::transparent_huge_mode().contains("[never]");
    match region.backing() {
        Backing::TransparentHuge => {
            assert_eq!(region.len(), 6 * MIB);
            assert!(region.addr().addr().is_multiple_of(2 * MIB));
            assert!(report.contains("got 6 MiB on transparent huge pages"), "{report}");
        }
        Backing::Plain => {
            assert!(report.contains("no transparent huge pages: "), "{report}");
            assert!(!transparent || report.contains("gave none"), "{report}");
        }
        Backing::Huge(_) | Backing::Own => panic!("{report}"),
    }
}

#[test]
fn transparent_pages_that_the_kernel_did_not_give_are_not_claimed() {
    let _counting = huge_pages(0);
    let disable = |on: libc::c_ulong| {
        // SAFETY: this switches how later faults of this process are served, and nothing else.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, on, 0, 0, 0) }, 0);
    };
    disable(1);
    let rung = Backing::TransparentHuge;
    let region = Region::establish(&spec(4 * MIB, Policy::Preferred), rung, &mut Vec::new());
    disable(0);
    let region = region.expect("memory");
    assert_eq!(region.backing(), Backing::Plain);
    let report = region.report();
    assert!(report.contains("got 4 MiB on plain pages"), "{report}");
    assert!(report.contains("; no transparent huge pages: the kernel gave none"), "{report}");
}

#[test]
fn off_gets_plain_pages_whatever_is_reserved() {
    let region = map(&spec(4 * MIB + 1, Policy::Off));
    assert_eq!(region.backing(), Backing::Plain);
    assert_eq!(region.len(), 4 * MIB + sys::base_page_len());
    exercise(&region);
    let report = region.report();
    assert!(report.contains("huge pages off; got 4.0 MiB on plain pages"), "{report}");
}

#[test]
fn required_names_the_shortage_and_the_command_that_mends_it() {
    let _counting = huge_pages(0);
    let message = why(&spec(1 << 40, Policy::Required));
    assert!(message.contains("not enough 2 MiB huge pages: 524288 needed, "), "{message}");
    let words: Vec<&str> = message.split_whitespace().collect();
    let after = |word: &str| {
        let at = words.iter().position(|w| *w == word).expect(word);
        words[at + 1].trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().expect(word)
    };
    let (free, total) = (after("needed,"), after("of"));
    assert!(message.contains("`initiator hugepages reserve"), "{message}");
    assert_eq!(after("reserve"), total + 524_288 - free, "{message}");
}

#[test]
fn required_with_gigabyte_pages_asks_for_gigabyte_pages() {
    let spec = RegionSpec { page_size: PageSize::Huge1G, ..spec(1 << 40, Policy::Required) };
    let message = why(&spec);
    if Sysfs::default().supports(PageSize::Huge1G) {
        assert!(message.contains("not enough 1 GiB huge pages: 1024 needed"), "{message}");
        assert!(message.contains("--page-size 1G`"), "{message}");
    } else {
        assert!(message.contains("this machine has no 1 GiB huge pages"), "{message}");
    }
}

#[test]
fn preferred_with_more_than_there_is_fails_before_the_machine_does() {
    let message = why(&spec(1 << 46, Policy::Preferred));
    assert!(message.contains("not enough memory: 65536 GiB needed, "), "{message}");
}

#[test]
fn absurd_lengths_are_errors_under_every_policy() {
    for policy in [Policy::Required, Policy::Preferred, Policy::Off] {
        for page_size in PageSize::ALL {
            for len in [0, LEN_MAX + 1, isize::MAX as usize, usize::MAX - 4095, usize::MAX] {
                let spec = RegionSpec { page_size, ..spec(len, policy) };
                let message = why(&spec);
                assert!(message.contains(&format!("{len} bytes cannot be mapped")), "{message}");
            }
            let spec = RegionSpec { page_size, ..spec(LEN_MAX, policy) };
            assert!(why(&spec).contains("not enough") || why(&spec).contains("no 1 GiB"));
        }
    }
}

#[test]
fn mapping_and_dropping_leaves_no_address_space_behind() {
    let _counting = huge_pages(0);
    const ROUNDS: usize = 16;
    let len = 64 * MIB;
    for rung in [Backing::TransparentHuge, Backing::Plain] {
        let before = mapped_bytes();
        for _ in 0..ROUNDS {
            let region = Region::establish(&spec(len, Policy::Preferred), rung, &mut Vec::new());
            assert_eq!(region.expect("memory").len(), len);
        }
        // Other tests map and unmap meanwhile: allow them half of what a leak would show.
        assert!(mapped_bytes() < before + ROUNDS * len / 2, "{rung} leak");
    }
}

#[test]
fn memory_is_bound_to_the_asked_node() {
    let node = Sysfs::default().status().expect("readable").first().map_or(0, |s| s.node);
    let region = map(&RegionSpec { numa_node: Some(node), ..spec(MIB, Policy::Off) });
    let Some(bound) = region.numa_node() else {
        eprintln!("NOT TESTED: binding is not permitted here: {}", region.report());
        assert!(region.report().contains("not bound"), "{}", region.report());
        return;
    };
    assert_eq!(bound, node);
    let maps = std::fs::read_to_string("/proc/self/numa_maps").expect("a kernel with NUMA");
    let start = format!("{:x} ", region.addr().addr());
    let line = maps.lines().find(|line| line.starts_with(&start)).expect("our own mapping");
    assert!(line.contains(&format!("bind:{node}")), "{line}");
    assert!(line.contains(&format!("N{node}={}", MIB / sys::base_page_len())), "{line}");
}

#[test]
fn a_container_that_forbids_binding_is_reported_or_refused() {
    let bound = |policy| RegionSpec { numa_node: Some(0), ..spec(MIB, policy) };
    let (node, report) = without_call(libc::SYS_mbind, || {
        let region = map(&bound(Policy::Off));
        (region.numa_node(), region.report())
    });
    assert_eq!(node, None);
    assert!(report.contains("; not bound: memory cannot be bound to NUMA node 0"), "{report}");

    let _counting = huge_pages(1);
    let result = without_call(libc::SYS_mbind, || Region::map(&bound(Policy::Required)).map(drop));
    let message = result.expect_err("required").to_string();
    assert!(message.contains("a container may forbid mbind"), "{message}");
}

#[test]
fn a_node_that_does_not_exist_is_named() {
    for node in [sys::NODE_MAX, sys::NODE_MAX + 1, u32::MAX] {
        let spec = RegionSpec { numa_node: Some(node), ..spec(MIB, Policy::Preferred) };
        let message = why(&spec);
        assert!(message.contains(&format!("NUMA node {node} does not exist")), "{message}");
    }
}

/// The kernel promises huge pages for the machine: a node that has none breaks the promise at
/// first touch, with SIGBUS. A mapping without a promise meets the same end on any machine.
#[test]
fn a_missing_huge_page_is_an_error_and_not_a_sigbus() {
    let counts = Sysfs::default().counts(PageSize::Huge1G, None);
    let pages = match counts {
        Ok(counts) if counts.free < 4 => counts.free as usize + 1,
        other => {
            eprintln!("NOT TESTED: needs 1 GiB pages with few or none reserved: {other:?}");
            return;
        }
    };
    let len = pages * PageSize::Huge1G.bytes();
    let mut options = MmapOptions::new();
    options.len(len).huge(Some(30)).no_reserve_swap();
    let map = MmapRaw::from(options.map_anon().expect("no page is promised"));
    let error = sys::populate(&map, 0, len).expect_err("there is no page");
    assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
    let error = sys::populate_by_read(&map, 0, len).expect_err("there is no page");
    assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
}

#[test]
fn kernels_without_populate_fault_pages_in_by_reading() {
    let len = 2 * MIB;
    let map = MmapRaw::from(MmapOptions::new().len(len).map_anon().expect("memory"));
    sys::populate_by_read(&map, 0, len).expect("memory");
    let mut resident = vec![0_u8; len / sys::base_page_len()];
    // SAFETY: the range is our own mapping, and `resident` has a byte for each page of it.
    let result = unsafe { libc::mincore(map.as_mut_ptr().cast(), len, resident.as_mut_ptr()) };
    assert_eq!(result, 0);
    assert!(resident.iter().all(|page| page & 1 == 1), "a page was not faulted in");
}

#[test]
fn regions_are_resident_and_locked_when_asked() {
    let region = map(&RegionSpec { lock: true, ..spec(MIB, Policy::Off) });
    assert!(region.locked(), "1 MiB fits every default limit: {}", region.report());
    assert!(region.report().contains("on plain pages, locked"), "{}", region.report());
    let unlocked = map(&spec(MIB, Policy::Off));
    assert!(!unlocked.locked());
}

/// More than the memlock limit, which is lowered where there is none to speak of.
fn beyond_the_memlock_limit() -> usize {
    const LIMIT_TESTED_MAX: u64 = 64 << 20;
    let limit = sys::memlock_limit().filter(|limit| *limit <= LIMIT_TESTED_MAX);
    let limit = limit.unwrap_or_else(|| {
        let (_, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_MEMLOCK).expect("a limit");
        setrlimit(Resource::RLIMIT_MEMLOCK, LIMIT_TESTED_MAX, hard).expect("lowering is free");
        LIMIT_TESTED_MAX
    });
    limit as usize + 2 * MIB
}

#[test]
fn a_small_memlock_limit_leaves_memory_unlocked_and_says_so() {
    let spec = RegionSpec { lock: true, ..spec(beyond_the_memlock_limit(), Policy::Off) };
    let (locked, report) = without_capability(CAP_IPC_LOCK, || {
        let region = map(&spec);
        (region.locked(), region.report())
    });
    assert!(!locked, "{report}");
    assert!(report.contains("; not locked: "), "{report}");
    assert!(report.contains("the memlock limit is "), "{report}");
    let kib = spec.len.div_ceil(1024);
    assert!(report.contains(&format!("ulimit -l {kib}`")), "{report}");
}

#[test]
fn a_small_memlock_limit_is_an_error_under_required() {
    let spec = RegionSpec { lock: true, ..spec(beyond_the_memlock_limit(), Policy::Required) };
    let _counting = huge_pages((spec.len / (2 * MIB)) as u64 + 1);
    let before = huge_bytes_in_use();
    let error = without_capability(CAP_IPC_LOCK, || Region::map(&spec).map(drop));
    let message = error.expect_err("beyond the limit").to_string();
    assert!(message.contains("cannot be locked"), "{message}");
    assert!(message.contains("raise it with `ulimit -l"), "{message}");
    assert_eq!(huge_bytes_in_use(), before, "a failed mapping left pages behind");
}
