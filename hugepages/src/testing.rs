//! What the tests of this crate share.

use std::fs;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::reserve::{self, Sysfs};
use crate::{PageSize, Policy, Region, RegionSpec};

pub(crate) const CAP_DAC_OVERRIDE: u32 = 1;
pub(crate) const CAP_IPC_LOCK: u32 = 14;

pub(crate) const MIB: usize = 1 << 20;

pub(crate) fn spec(len: usize, policy: Policy) -> RegionSpec {
    RegionSpec { len, policy, page_size: PageSize::Huge2M, numa_node: None, lock: false }
}

pub(crate) fn plain_region(len: usize) -> Rc<Region> {
    Rc::new(Region::map(&spec(len, Policy::Off)).expect("plain pages can always be had"))
}

/// Free 2 MiB pages, and nobody else in this process who counts them.
///
/// Reserves what is missing, for which it must be root. Tests that need pages fail without them:
/// a silent skip would hide that nothing was tested.
pub(crate) fn huge_pages(needed: u64) -> MutexGuard<'static, ()> {
    static COUNTING: Mutex<()> = Mutex::new(());
    let guard = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let counts = Sysfs::default().counts(PageSize::Huge2M, None).expect("hugetlb in the kernel");
    let free = counts.unpromised();
    if free < needed {
        let wanted = counts.total + needed - free;
        match reserve::reserve(wanted, PageSize::Huge2M, None) {
            Ok(reserved) if reserved.got >= wanted => {}
            Ok(reserved) => panic!("this test needs {needed} free 2 MiB pages: {reserved}"),
            Err(error) => panic!(
                "this test needs {needed} free 2 MiB pages and there are {free}: {error}; \
                 or run: sysctl vm.nr_hugepages={wanted}"
            ),
        }
    }
    guard
}

/// Bytes of reserved huge pages that this process has faulted in.
pub(crate) fn huge_bytes_in_use() -> usize {
    status_bytes("HugetlbPages:")
}

/// Bytes of address space that this process has mapped.
pub(crate) fn mapped_bytes() -> usize {
    status_bytes("VmSize:")
}

fn status_bytes(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("procfs is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a known field");
    let kib = line.trim().strip_suffix(" kB").expect("kilobytes");
    1024 * kib.trim().parse::<usize>().expect("a number")
}

/// Runs `body` on a thread that lacks one capability, as a user other than root would.
pub(crate) fn without_capability<T: Send>(capability: u32, body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            drop_capability(capability);
            body()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Capabilities are a thread's own, as long as no wrapper tells the other threads.
fn drop_capability(capability: u32) {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::pid_t,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Sets {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let mut header = Header { version: 0x2008_0522, pid: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: both structures are laid out as version 3 of the call wants them, and outlive it.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, &raw mut sets) };
    assert_eq!(got, 0, "capget: {}", std::io::Error::last_os_error());
    sets[0].effective &= !(1 << capability);
    // SAFETY: as above.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, &raw const sets) };
    assert_eq!(set, 0, "capset: {}", std::io::Error::last_os_error());
}

/// Runs `body` on a thread to which the kernel answers EPERM for one system call, as the seccomp
/// profile of a container does.
pub(crate) fn without_call<T: Send>(call: libc::c_long, body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            forbid_call(u32::try_from(call).expect("a small number"));
            body()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn forbid_call(call: u32) {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        step(LOAD, 0, 0, 0), // the number of the call comes first in struct seccomp_data
        step(JUMP_IF_EQUAL, 0, 1, call),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the flag concerns this thread alone.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: the kernel copies the program, which outlives the call; it binds this thread alone.
    let set =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(set, 0, "seccomp: {}", std::io::Error::last_os_error());
}
