//! The shape of a client that runs a job, as `initiator run` does.

use fastrand::Rng;

use super::{MountShape, ServerShape, log};

/// Most instances of the job.
const INSTANCES_MAX: u32 = 2;
/// Operations that the layout of files has in flight: the queue has room for them.
const LAYOUT_DEPTH: u32 = 16;

/// A client that runs a job.
#[derive(Clone, Debug)]
pub struct JobShape {
    /// Its mount.
    pub mount: MountShape,
    /// The job file.
    pub text: String,
    /// Bytes that one instance goes over.
    pub bytes: u64,
    /// What it has written is read back and checked.
    pub verify: bool,
    /// It reads and writes as chance has it.
    pub mixed: bool,
    /// It only reads.
    pub reads_only: bool,
    /// It is asked to stop after so many steps.
    pub stop_after: Option<u64>,
}

impl JobShape {
    pub(super) fn draw(rng: &mut Rng, server: &ServerShape) -> Self {
        let block = 512 << rng.u32(0..=5);
        let (instances, depth) = (rng.u32(1..=INSTANCES_MAX), log(rng, 1, 32) as u32);
        let files = rng.u32(1..=2);
        let blocks = u64::from(files) * log(rng, 4, 64);
        let verify = rng.u8(0..4) > 0;
        // A server that forgets holds old data until it has been written again: nobody should read
        // that before it is durable.
        let modes = match (verify, server.loses) {
            (true, true) => &["write", "randwrite"][..],
            (true, false) => &["write", "randwrite", "rw", "randrw"][..],
            (false, _) => &["write", "randwrite", "rw", "randrw", "read", "randread"][..],
        };
        let mode = modes[rng.usize(0..modes.len())];
        // What one loop has written and the next reads is looked at in both.
        let mixed = mode.ends_with("rw");
        let loops = if rng.u8(0..4) == 0 && !(mixed && verify) { 2 } else { 1 };
        let size = blocks * u64::from(block);
        let mut text = format!(
            "[job]\nrw={mode}\nbs={block}\nsize={size}\niodepth={depth}\nnumjobs={instances}\n\
             nrfiles={files}\nloops={loops}\nrandseed={}\n",
            rng.u16(..)
        );
        if verify {
            let kinds = ["crc32c", "md5", "xxhash", "crc7", "sha256"];
            text += &format!("verify={}\n", kinds[rng.usize(0..kinds.len())]);
        }
        if verify && !server.loses && rng.bool() {
            text += &format!("verify_backlog={}\n", rng.u32(1..=16));
        }
        for (option, most) in [("fsync", 16), ("iodepth_batch", depth), ("thinktime", 200)] {
            if rng.u8(0..4) == 0 {
                text += &format!("{option}={}\n", rng.u32(1..=most));
            }
        }
        let mut mount = MountShape::draw(rng, server.inline);
        mount.queue_depth = instances * depth.max(LAYOUT_DEPTH);
        mount.buffers = mount.queue_depth + rng.u32(0..=4);
        mount.buffer_len = mount.buffer_len.max(block);
        let stop_after = (rng.u8(0..6) == 0).then(|| log(rng, 10, 20_000));
        let (bytes, reads_only) = (size * loops, mode.ends_with("read"));
        Self { mount, text, bytes, verify, mixed, reads_only, stop_after }
    }
}
