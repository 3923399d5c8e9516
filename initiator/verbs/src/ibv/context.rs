//! Device contexts, which librdmacm opens once per process, shares and keeps.
//!
//! It keeps a removed device's context until it sees another device, and the kernel's removal of
//! a device that cannot be taken from its users (rxe) waits for that. So with the last id of ours
//! that is bound to such a context goes what the kernel waits for, its two descriptors: `/dev/null`
//! takes their place. librdmacm finds them open when it closes them in the end.
//!
//! Ids are told of a removal, but a context outlives them: of one without ids it is looked up now
//! and then whether its device is still there ([`sweep`]).
//!
//! Threads share contexts, so one list serves all; its lock is for the control path.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdma_sys as ffi;

/// A context that ids of ours are, or were, bound to.
struct Entry {
    context: usize,
    ids: u32,
    removed: bool,
    /// Where the kernel shows the device to its users, until it takes it away from them.
    shown: Option<PathBuf>,
    /// `/dev/infiniband/uverbs*`, and the queue of its events.
    fds: [i32; 2],
    /// What the first of them led to.
    led_to: Option<Node>,
}

/// Device number and inode.
type Node = (u64, u64);

impl Entry {
    /// # Safety
    /// The context is open.
    unsafe fn new(context: *mut ffi::ibv_context) -> Self {
        // SAFETY: an open context has a device, which has a path that ends with a zero byte.
        let (fds, path) = unsafe {
            let path = CStr::from_ptr((&raw const (*(*context).device).dev_path).cast());
            ([(*context).cmd_fd, (*context).async_fd], path)
        };
        let shown = Some(PathBuf::from(OsStr::from_bytes(path.to_bytes())));
        let shown = shown.filter(|path| path.exists());
        Self { context: context as usize, ids: 0, removed: false, shown, fds, led_to: node(fds[0]) }
    }

    /// Nothing of ours is bound to it, and the kernel wants its device back.
    fn is_held_for_nothing(&self) -> bool {
        self.ids == 0 && (self.removed || self.shown.as_ref().is_some_and(|path| !path.exists()))
    }

    /// Unless librdmacm has closed it meanwhile.
    fn release(&self) {
        if self.led_to.is_some() && node(self.fds[0]) == self.led_to {
            release(self.fds);
        }
    }
}

static CONTEXTS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

fn contexts() -> MutexGuard<'static, Vec<Entry>> {
    // The list is valid after every statement that changes it.
    CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets go of devices that were removed while nothing of ours was bound to them.
pub(super) fn sweep() {
    contexts().retain(|entry| {
        let goes = entry.is_held_for_nothing();
        if goes {
            entry.release();
        }
        !goes
    });
}

/// An id's share in the context of its device.
pub(super) struct Bound(*mut ffi::ibv_context);

impl Bound {
    /// # Safety
    /// The context is open, and stays so until this is dropped: by an id that is bound to it.
    pub(super) unsafe fn new(context: *mut ffi::ibv_context) -> Self {
        let mut contexts = contexts();
        // One without ids may have been closed since, and this be another in its place.
        contexts.retain(|entry| entry.ids > 0 || entry.context != context as usize);
        match contexts.iter_mut().find(|entry| entry.context == context as usize) {
            Some(entry) => entry.ids += 1,
            // SAFETY: given by the caller.
            None => contexts.push(Entry { ids: 1, ..unsafe { Entry::new(context) } }),
        }
        Self(context)
    }

    /// The device is being removed.
    pub(super) fn device_removed(&self) {
        self.entry(&mut contexts()).removed = true;
    }

    fn entry<'a>(&self, contexts: &'a mut [Entry]) -> &'a mut Entry {
        let entry = contexts.iter_mut().find(|entry| entry.context == self.0 as usize);
        entry.expect("listed while anything is bound to it")
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.entry(&mut contexts()).ids -= 1;
        // The last of our queue pairs, queues and domains on it went before (each holds its id).
        sweep();
    }
}

/// What an open descriptor leads to.
fn node(fd: i32) -> Option<Node> {
    // SAFETY: plain data, zeroes are a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is written; a descriptor that is not open is an error.
    let known = unsafe { libc::fstat(fd, &mut stat) } == 0;
    known.then_some((stat.st_dev, stat.st_ino))
}

/// Makes the kernel see these descriptors closed while they stay open for who closes them later.
fn release(fds: [i32; 2]) {
    // SAFETY: the path is a C string.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if null < 0 {
        tracing::warn!("cannot let go of a removed RDMA device: /dev/null cannot be opened");
        return;
    }
    for fd in fds {
        // SAFETY: both descriptors are open, and librdmacm's; no memory of ours is touched.
        unsafe { libc::dup3(null, fd, libc::O_CLOEXEC) };
    }
    // SAFETY: opened above.
    unsafe { libc::close(null) };
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsRawFd;

    use super::*;

    /// A context of which only the descriptors are real, and the path where it is shown.
    struct Fake {
        context: Box<ffi::ibv_context>,
        _device: Box<ffi::ibv_device>,
        ends: [std::io::PipeReader; 2],
        held: [std::io::PipeWriter; 2],
        shown: tempfile::TempDir,
    }

    fn fake() -> Fake {
        let shown = tempfile::tempdir().unwrap();
        // SAFETY: plain integers and pointers, null is a value of each.
        let mut device: Box<ffi::ibv_device> = Box::new(unsafe { std::mem::zeroed() });
        for (to, from) in device.dev_path.iter_mut().zip(shown.path().as_os_str().as_bytes()) {
            *to = *from as _;
        }
        // SAFETY: as above.
        let mut context: Box<ffi::ibv_context> = Box::new(unsafe { std::mem::zeroed() });
        let (command, asynchronous) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        context.cmd_fd = command.1.as_raw_fd();
        context.async_fd = asynchronous.1.as_raw_fd();
        context.device = &raw mut *device;
        let (ends, held) = ([command.0, asynchronous.0], [command.1, asynchronous.1]);
        Fake { context, _device: device, ends, held, shown }
    }

    fn assert_let_go(fake: &mut Fake) {
        for end in &mut fake.ends {
            assert_eq!(end.read(&mut [0]).unwrap(), 0, "nobody has the other end open");
        }
        for fd in &fake.held {
            assert_eq!(target(fd), "/dev/null");
        }
    }

    #[test]
    fn the_last_id_of_a_removed_device_lets_its_descriptors_go() {
        let mut fake = fake();
        // SAFETY: the context outlives both.
        let bind = |fake: &mut Fake| unsafe { Bound::new(&mut *fake.context) };
        let (first, second) = (bind(&mut fake), bind(&mut fake));
        first.device_removed();
        drop(first);
        assert!(target(&fake.held[0]).starts_with("pipe"), "another id is bound to it");
        drop(second);
        assert_let_go(&mut fake);
    }

    #[test]
    fn a_device_that_was_removed_while_no_id_was_on_it_was_held_for_ever() {
        let mut fake = fake();
        // SAFETY: the context outlives it.
        drop(unsafe { Bound::new(&mut *fake.context) });
        sweep();
        for fd in &fake.held {
            assert!(target(fd).starts_with("pipe"), "the device is there");
        }
        std::fs::remove_dir(fake.shown.path()).unwrap();
        sweep();
        assert_let_go(&mut fake);
    }

    #[test]
    fn descriptors_that_were_closed_meanwhile_are_somebody_elses() {
        let fake = fake();
        // SAFETY: the context outlives it.
        drop(unsafe { Bound::new(&raw const *fake.context as *mut _) });
        let other = std::io::pipe().unwrap();
        // SAFETY: both are open; what the second led to is closed, as librdmacm would.
        unsafe { libc::dup2(other.1.as_raw_fd(), fake.context.cmd_fd) };
        std::fs::remove_dir(fake.shown.path()).unwrap();
        sweep();
        for fd in &fake.held {
            assert!(target(fd).starts_with("pipe"));
        }
    }

    fn target(fd: &impl AsRawFd) -> String {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        std::fs::read_link(link).unwrap().to_string_lossy().into_owned()
    }
}
