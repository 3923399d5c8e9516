//! Device contexts, which librdmacm opens once per process, shares and keeps.
//!
//! It keeps a removed device's context until it sees another device, and the kernel's removal of
//! a device that cannot be taken from its users (rxe) waits for that. So with the last id of ours
//! that is bound to such a context goes what the kernel waits for, its two descriptors: `/dev/null`
//! takes their place. librdmacm finds them open when it closes them in the end.
//!
//! Threads share contexts, so one list serves all; its lock is for the control path.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdma_sys as ffi;

/// A context that ids of ours are bound to.
struct Entry {
    context: usize,
    ids: u32,
    removed: bool,
}

static CONTEXTS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

fn contexts() -> MutexGuard<'static, Vec<Entry>> {
    // The list is valid after every statement that changes it.
    CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An id's share in the context of its device.
pub(super) struct Bound(*mut ffi::ibv_context);

impl Bound {
    /// # Safety
    /// The context is open, and stays so until this is dropped: by an id that is bound to it.
    pub(super) unsafe fn new(context: *mut ffi::ibv_context) -> Self {
        let mut contexts = contexts();
        match contexts.iter_mut().find(|entry| entry.context == context as usize) {
            Some(entry) => entry.ids += 1,
            None => contexts.push(Entry { context: context as usize, ids: 1, removed: false }),
        }
        Self(context)
    }

    /// The device is being removed.
    pub(super) fn device_removed(&self) {
        let mut contexts = contexts();
        let entry = contexts.iter_mut().find(|entry| entry.context == self.0 as usize);
        entry.expect("listed while anything is bound to it").removed = true;
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let mut contexts = contexts();
        let at = contexts.iter().position(|entry| entry.context == self.0 as usize);
        let at = at.expect("listed while anything is bound to it");
        contexts[at].ids -= 1;
        if contexts[at].ids == 0 && contexts.swap_remove(at).removed {
            // SAFETY: the id that this belongs to still keeps the context open, and the last of
            // our queue pairs, queues and domains on it went before (each holds its id).
            let fds = unsafe { [(*self.0).cmd_fd, (*self.0).async_fd] };
            release(fds);
        }
    }
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
        // SAFETY: both descriptors are open; no memory of ours is touched.
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

    /// A context of which only the descriptors are real, and the other ends of those.
    fn context() -> (Box<ffi::ibv_context>, [std::io::PipeReader; 2], [std::io::PipeWriter; 2]) {
        // SAFETY: plain integers and pointers, null is a value of each.
        let mut context: Box<ffi::ibv_context> = Box::new(unsafe { std::mem::zeroed() });
        let (command, asynchronous) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        context.cmd_fd = command.1.as_raw_fd();
        context.async_fd = asynchronous.1.as_raw_fd();
        (context, [command.0, asynchronous.0], [command.1, asynchronous.1])
    }

    #[test]
    fn the_last_id_of_a_removed_device_lets_its_descriptors_go() {
        let (mut context, mut ends, held) = context();
        // SAFETY: the context outlives both.
        let (first, second) = unsafe { (Bound::new(&mut *context), Bound::new(&mut *context)) };
        first.device_removed();
        drop(first);
        assert!(target(&held[0]).starts_with("pipe"), "another id is bound to it");
        drop(second);
        for end in &mut ends {
            assert_eq!(end.read(&mut [0]).unwrap(), 0, "nobody has the other end open");
        }
        for fd in &held {
            assert_eq!(target(fd), "/dev/null");
        }
    }

    #[test]
    fn the_descriptors_of_a_device_that_stays_are_left_alone() {
        let (mut context, _ends, held) = context();
        // SAFETY: the context outlives it.
        drop(unsafe { Bound::new(&mut *context) });
        for fd in &held {
            assert!(target(fd).starts_with("pipe"));
        }
    }

    fn target(fd: &impl AsRawFd) -> String {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        std::fs::read_link(link).unwrap().to_string_lossy().into_owned()
    }
}
