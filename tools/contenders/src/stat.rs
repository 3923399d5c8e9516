//! GETATTR and LOOKUP by the kernel's client: statx(2) from as many threads as there are to be
//! operations in flight.
//!
//! For GETATTR an open file is asked, and told to ask the server. For LOOKUP a path is walked on a
//! mount with `lookupcache=none`, and the attributes may be old ones, so that it is the only call.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::resource::UsageWho;

use crate::meter::{Meter, Outcome};
use crate::work::{Kind, Work};

/// One thread an operation, until the time is over.
pub(crate) fn run(path: &Path, work: &Work) -> Result<Outcome> {
    if !matches!(work.op, Kind::Getattr | Kind::Lookup) {
        bail!("stat is getattr or lookup");
    }
    let threads: Vec<Result<Meter>> = thread::scope(|scope| {
        let started: Vec<_> =
            (0..work.depth).map(|_| scope.spawn(|| ask_until_over(path, work))).collect();
        let panicked = || anyhow!("a thread panicked");
        started.into_iter().map(|thread| thread.join().map_err(|_| panicked())?).collect()
    });
    let mut threads = threads.into_iter();
    let mut all = threads.next().context("at least one thread")??;
    for meter in threads {
        all.merge(&meter?)?;
    }
    Ok(all.outcome(work))
}

fn ask_until_over(path: &Path, work: &Work) -> Result<Meter> {
    let file = File::open(path).with_context(|| format!("{}", path.display()))?;
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut meter = Meter::start(work, UsageWho::RUSAGE_SELF)?;
    let mut began = meter.now();
    while !meter.is_over(began) {
        let asked = match work.op {
            Kind::Lookup => statx(libc::AT_FDCWD, &name, libc::AT_STATX_DONT_SYNC),
            _ => statx(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH | libc::AT_STATX_FORCE_SYNC),
        };
        asked.with_context(|| format!("{}", path.display()))?;
        let now = meter.now();
        meter.record(began, now);
        began = now;
    }
    Ok(meter)
}

fn statx(dir: i32, name: &std::ffi::CStr, flags: i32) -> Result<(), Errno> {
    let mut attributes = std::mem::MaybeUninit::<libc::statx>::uninit();
    let mask = libc::STATX_BASIC_STATS;
    // SAFETY: the name is a C string and `attributes` is room for what the kernel writes.
    let result = unsafe { libc::statx(dir, name.as_ptr(), flags, mask, attributes.as_mut_ptr()) };
    Errno::result(result).map(drop)
}
