//! `shim/engine.h`, implemented: what the half that sees fio calls.
//!
//! Every function takes pointers that the shim got from here or owns itself, on the thread that
//! they belong to; each `unsafe` below rests on that. An error is an errno and a sentence in the
//! shim's buffer.

use std::cell::RefCell;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::Once;

use client::File;
use wire::nfs3::StableHow;

use crate::layout::Order;
use crate::mounting::{self, Purpose};
use crate::session::{Failure, Io, Kind, Mount, Stop};
use crate::settings::{RawSettings, Settings, text};

/// Room for a sentence, its NUL included.
const WHY_BYTES: usize = 512;
/// Blocks that files are laid out with, and how many are under way.
const CONTROL_BLOCK: u64 = 1 << 20;
const CONTROL_DEPTH: u32 = 1;

/// A mount, for the shim only a pointer.
pub(crate) struct MountHandle(Box<dyn Mount>);

/// A file, likewise.
pub(crate) struct FileHandle(File);

/// `struct initiator_job`.
#[repr(C)]
pub(crate) struct RawJob {
    thread: c_uint,
    depth: c_uint,
    block_max: u64,
    stopping: extern "C" fn(*mut c_void) -> bool,
    context: *mut c_void,
    keeps: bool,
}

/// `struct initiator_io`.
#[repr(C)]
pub(crate) struct RawIo {
    slot: c_uint,
    op: c_uint,
    file: *const FileHandle,
    memory: *mut c_void,
    offset: u64,
    length: u64,
}

/// `struct initiator_event`.
#[repr(C)]
pub(crate) struct RawEvent {
    slot: c_uint,
    error: c_int,
    residual: u64,
}

/// Mounts and stays.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn initiator_mount(
    settings: *const RawSettings,
    job: *const RawJob,
    mount: *mut *mut MountHandle,
    why: *mut c_char,
) -> c_int {
    show_warnings();
    // SAFETY: see the module.
    let job = unsafe { &*job };
    let purpose = |_: &Settings| Purpose {
        thread: job.thread as usize,
        depth: job.depth,
        block_max: job.block_max,
        pin: true,
        keeps: job.keeps,
        stop: Stop { asked: job.stopping, context: job.context },
    };
    // SAFETY: see the module.
    match unsafe { make(settings, purpose) } {
        Ok(made) => {
            // SAFETY: see the module.
            unsafe { *mount = Box::into_raw(Box::new(MountHandle(made))) };
            0
        }
        // SAFETY: see the module.
        Err(failure) => unsafe { tell(&failure, why) },
    }
}

thread_local! {
    /// What [`initiator_control`] made, and for which URL.
    static CONTROL: RefCell<Option<(String, Box<MountHandle>)>> = const { RefCell::new(None) };
}

/// A mount to look at files with, kept for the next call.
///
/// # Safety
/// As the module says. The pointer is good until the next call for another URL, or
/// [`initiator_control_end`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn initiator_control(
    settings: *const RawSettings,
    job: *const RawJob,
    mount: *mut *mut MountHandle,
    why: *mut c_char,
) -> c_int {
    show_warnings();
    // SAFETY: see the module.
    let job = unsafe { &*job };
    let stop = Stop { asked: job.stopping, context: job.context };
    // SAFETY: see the module.
    let url = unsafe { text((*settings).nfs_url) }.unwrap_or_default();
    let made = CONTROL.with_borrow_mut(|control| -> Result<*mut MountHandle, Failure> {
        if control.as_ref().is_none_or(|(of, _)| *of != url) {
            *control = None;
            let purpose = |_: &Settings| Purpose {
                thread: 0,
                depth: CONTROL_DEPTH,
                block_max: CONTROL_BLOCK,
                pin: false,
                keeps: false,
                stop,
            };
            // SAFETY: see the module.
            let made = unsafe { make(settings, purpose) }?;
            *control = Some((url, Box::new(MountHandle(made))));
        }
        let kept = control.as_mut().map(|(_, kept)| &raw mut **kept);
        kept.ok_or_else(|| Failure::new(libc::EIO, "there is no mount"))
    });
    match made {
        Ok(kept) => {
            // SAFETY: see the module.
            unsafe { *mount = kept };
            0
        }
        // SAFETY: see the module.
        Err(failure) => unsafe { tell(&failure, why) },
    }
}

/// Ends that of [`initiator_control`].
#[unsafe(no_mangle)]
pub(crate) extern "C" fn initiator_control_end() {
    CONTROL.with_borrow_mut(|control| *control = None);
}

/// # Safety
/// As the module says; the pointer is one of [`initiator_mount`], and not used again.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn initiator_unmount(mount: *mut MountHandle) {
    // SAFETY: see above.
    drop(unsafe { Box::from_raw(mount) });
}

/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn initiator_memory(
    mount: *mut MountHandle,
    total: usize,
    memory: *mut *mut c_void,
    stride: *mut usize,
    why: *mut c_char,
) -> c_int {
    // SAFETY: see the module.
    match unsafe { &mut *mount }.0.blocks(total) {
        Ok(blocks) => {
            // SAFETY: see the module.
            unsafe { (*memory, *stride) = (blocks.base().cast(), blocks.stride()) };
            0
        }
        // SAFETY: see the module.
        Err(failure) => unsafe { tell(&failure, why) },
    }
}

/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn initiator_open(
    mount: *mut MountHandle,
    path: *const c_char,
    create: bool,
    file: *mut *mut FileHandle,
    size: *mut u64,
    why: *mut c_char,
) -> c_int {
    // SAFETY: see the module.
    let (mount, path) = unsafe { (&mut *mount, text(path).unwrap_or_default()) };
    match mount.0.open(&path, create) {
        Ok((opened, bytes)) => {
            // SAFETY: see the module.
            unsafe { (*file, *size) = (Box::into_raw(Box::new(FileHandle(opened))), bytes) };
            0
        }
        // SAFETY: see the module.
        Err(failure) => unsafe { tell(&failure, why) },
    }
}

/// # Safety
/// As the module says; the pointer is null, or one of [`initiator_open`] and not used again.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn initiator_close(file: *mut FileHandle) {
    if !file.is_null() {
        // SAFETY: see above.
        drop(unsafe { Box::from_raw(file) });
    }
}

/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn initiator_remove(
    mount: *mut MountHandle,
    path: *const c_char,
    why: *mut c_char,
) -> c_int {
    // SAFETY: see the module.
    let (mount, path) = unsafe { (&mut *mount, text(path).unwrap_or_default()) };
    match mount.0.remove(&path) {
        Ok(()) => 0,
        // SAFETY: see the module.
        Err(failure) => unsafe { tell(&failure, why) },
    }
}

/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn initiator_lay_out(
    mount: *mut MountHandle,
    file: *const FileHandle,
    size: u64,
    commit: bool,
    fill: extern "C" fn(*mut c_void, *mut c_void, c_uint),
    context: *mut c_void,
    why: *mut c_char,
) -> c_int {
    // SAFETY: see the module.
    let (mount, file) = unsafe { (&mut *mount, (*file).0) };
    let mut fill = |block: &mut [u8]| {
        fill(context, block.as_mut_ptr().cast(), block.len() as c_uint);
    };
    match mount.0.lay_out(&mut Order { file, size, commit, fill: &mut fill }) {
        Ok(()) => 0,
        // SAFETY: see the module.
        Err(failure) => unsafe { tell(&failure, why) },
    }
}

/// Answers `enum initiator_queued`.
///
/// # Safety
/// As the module says; the memory is the I/O's until its event.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn initiator_queue(
    mount: *mut MountHandle,
    io: *const RawIo,
) -> c_uint {
    // SAFETY: see the module.
    let (mount, io) = unsafe { (&mut *mount, &*io) };
    let kind = match io.op {
        0 => Kind::Read,
        1 => Kind::Write(StableHow::Unstable),
        2 => Kind::Write(StableHow::DataSync),
        3 => Kind::Write(StableHow::FileSync),
        _ => Kind::Commit,
    };
    // SAFETY: see the module.
    let file = unsafe { (*io.file).0 };
    let queued = mount.0.queue(&Io {
        slot: io.slot as usize,
        kind,
        file,
        memory: io.memory.cast(),
        offset: io.offset,
        length: io.length,
    });
    c_uint::from(!queued)
}

/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn initiator_commit(mount: *mut MountHandle) {
    // SAFETY: see the module.
    unsafe { &mut *mount }.0.commit();
}

/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn initiator_get_events(
    mount: *mut MountHandle,
    min: c_uint,
    max: c_uint,
    timeout_ns: u64,
) -> c_uint {
    let timeout_ns = Some(timeout_ns).filter(|&timeout_ns| timeout_ns != u64::MAX);
    // SAFETY: see the module.
    let mount = unsafe { &mut *mount };
    mount.0.get_events(min as usize, max as usize, timeout_ns) as c_uint
}

/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn initiator_next_event(
    mount: *mut MountHandle,
    into: *mut RawEvent,
) -> bool {
    // SAFETY: see the module.
    let Some(event) = unsafe { &mut *mount }.0.next_event() else { return false };
    let event =
        RawEvent { slot: event.slot as c_uint, error: event.errno, residual: event.residual };
    // SAFETY: see the module.
    unsafe { *into = event };
    true
}

/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn initiator_error(
    mount: *const MountHandle,
    slot: c_uint,
) -> *const c_char {
    // SAFETY: see the module.
    let mount = unsafe { &*mount };
    mount.0.error(slot as usize).map_or(std::ptr::null(), |error| error.as_ptr())
}

#[cfg(feature = "fio")]
unsafe extern "C" {
    fn initiator_shim_load(settings_size: usize) -> *mut c_void;
}

/// What fio looks for in an engine that was not compiled with it.
///
/// # Safety
/// fio calls it with room for the pointer to its `ioengine_ops`.
#[cfg(feature = "fio")]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn get_ioengine(ops: *mut *mut c_void) {
    // SAFETY: the shim is linked in, and asks nothing of its caller; the pointer is fio's.
    unsafe { *ops = initiator_shim_load(size_of::<RawSettings>()) };
}

/// # Safety
/// As [`Settings::read`].
unsafe fn make(
    settings: *const RawSettings,
    purpose: impl FnOnce(&Settings) -> Purpose,
) -> Result<Box<dyn Mount>, Failure> {
    // SAFETY: the caller's promise.
    let settings = unsafe { Settings::read(settings) };
    let made = settings.and_then(|settings| mounting::mount(&settings, purpose(&settings)));
    made.map_err(|error| {
        let errno = error.chain().find_map(|cause| cause.downcast_ref::<client::Error>());
        Failure::new(errno.map_or(libc::EINVAL, client::Error::errno), format!("{error:#}"))
    })
}

/// Puts the sentence into the shim's buffer.
///
/// # Safety
/// `why` has room for [`WHY_BYTES`].
unsafe fn tell(failure: &Failure, why: *mut c_char) -> c_int {
    let mut line = failure.message.replace(['\n', '\0'], " ");
    let mut end = line.len().min(WHY_BYTES - 1);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    // SAFETY: the caller's promise; the line and its NUL fit.
    unsafe {
        std::ptr::copy_nonoverlapping(line.as_ptr().cast(), why, line.len());
        *why.add(line.len()) = 0;
    }
    failure.errno
}

/// What the client has to say (a server that does not respond, a connection made again) goes to
/// standard error; RUST_LOG chooses more or less.
fn show_warnings() {
    static SHOWN: Once = Once::new();
    SHOWN.call_once(|| {
        let filter = tracing_subscriber::EnvFilter::try_from_default_env();
        let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
        let shown = tracing_subscriber::fmt().with_env_filter(filter);
        // fio, or another engine, may have one of its own.
        let _ = shown.with_writer(std::io::stderr).without_time().with_target(false).try_init();
    });
}
