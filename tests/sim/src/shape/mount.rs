//! The shape of one client and its mount.

use fastrand::Rng;
use rpcrdma::Recovery;

use super::{inline, log, stall};

/// One client and its mount.
#[derive(Clone, Debug)]
pub struct MountShape {
    /// Operations to be done.
    pub operations: u32,
    /// Operations in flight.
    pub queue_depth: u32,
    /// Connections.
    pub nconnect: u32,
    /// RPCs in flight on each.
    pub max_requests: u32,
    /// See [`rpcrdma::TransportConfig::send_batch`].
    pub send_batch: Option<u32>,
    /// Completions taken at a time.
    pub poll_batch: usize,
    /// Inline thresholds, bytes.
    pub inline_send: u32,
    /// See `inline_send`.
    pub inline_receive: u32,
    /// Largest message sent inline whatever was agreed: it makes long calls of short ones.
    pub long_calls: Option<u32>,
    /// Largest payload that is copied, bytes.
    pub copy_max: u32,
    /// Largest data that is copied out of its Receive, bytes.
    pub receive_copy_max: u32,
    /// Keys per I/O.
    pub windows: bool,
    /// Bytes of a buffer.
    pub buffer_len: u32,
    /// Buffers: sometimes fewer than operations in flight.
    pub buffers: u32,
    /// Bytes of written data that the client may keep, beyond those.
    pub uncommitted_max: u64,
    /// Before the server is asked again that was not ready.
    pub jukebox_wait_ns: u64,
    /// Where payloads lie.
    pub memory: MemoryShape,
    /// Own memory that stays registered.
    pub own_regions_max: u32,
    /// Calls unanswered for so long end their connection.
    pub rpc_timeout_ns: u64,
    /// Whether calls wait for ever.
    pub recovery: Recovery,
    /// For how many such times, if they do not.
    pub retrans: u32,
    /// Pause between connection attempts, first and last.
    pub reconnect_ns: (u64, u64),
    /// A connection without calls for so long is closed; 0 is never.
    pub idle_timeout_ns: u64,
    /// Files to work on.
    pub files: u32,
    /// Bytes of each.
    pub file_len: u64,
    /// Names in the directory that come and go.
    pub names: u32,
    /// Bytes by which every second of them is longer.
    pub name_len: usize,
    /// Weights of the operations, in the order of [`crate::actor::KINDS`].
    pub mix: [u32; 12],
    /// Chance that it pauses after an operation, of 1000.
    pub pause: u32,
    /// Messages that its mailbox holds, and those taken in one turn.
    pub mailbox: (usize, usize),
    /// Operations that one message asks for, at most.
    pub order: u32,
    /// Chance that its reactor misses a step, of 1000.
    pub stall: u32,
}

/// Where payloads lie, in percent: otherwise in a buffer of the pool.
#[derive(Clone, Copy, Debug)]
pub struct MemoryShape {
    /// In pieces.
    pub pieces: u32,
    /// In memory of the actor's own.
    pub own: u32,
}

impl MountShape {
    pub(super) fn draw(rng: &mut Rng, server_inline: u32) -> Self {
        let max_requests = log(rng, 1, 64) as u32;
        let queue_depth = log(rng, 1, 96) as u32;
        let send_batch = rng.bool().then(|| rng.u32(0..=max_requests));
        // Half of them as the server has it, so that small payload travels inline.
        let threshold = |rng: &mut Rng| if rng.bool() { server_inline } else { inline(rng) };
        let (inline_send, inline_receive) = (threshold(rng), threshold(rng));
        // Odd ones put every buffer but the first at an odd address.
        let odd = if rng.u8(0..3) == 0 { rng.u32(1..64) } else { 0 };
        let buffer_len = (4096 << rng.u32(0..=4)) + odd;
        let reconnect_min = log(rng, 10_000, 4_000_000);
        let soft = [Recovery::Soft, Recovery::SoftErr][rng.usize(0..2)];
        let percent = |rng: &mut Rng| if rng.bool() { 0 } else { rng.u32(1..=100) };
        Self {
            operations: log(rng, 50, 600) as u32,
            queue_depth,
            nconnect: if rng.u8(0..3) == 0 { rng.u32(2..=4) } else { 1 },
            max_requests,
            send_batch,
            poll_batch: log(rng, 1, 64) as usize,
            inline_send,
            inline_receive,
            long_calls: (rng.u8(0..6) == 0).then(|| rng.u32(0..400)),
            copy_max: [0, 64, 512, 4096][rng.usize(0..4)],
            receive_copy_max: [0, 64, 512, 4096][rng.usize(0..4)],
            windows: rng.bool(),
            buffer_len,
            buffers: rng.u32(1..=queue_depth + 4),
            uncommitted_max: u64::from(buffer_len) * u64::from(rng.u32(0..=8)),
            jukebox_wait_ns: log(rng, 10_000, 50_000_000),
            memory: MemoryShape { pieces: percent(rng), own: percent(rng) },
            own_regions_max: rng.u32(8..=24),
            rpc_timeout_ns: log(rng, 5_000_000, 400_000_000),
            recovery: if rng.u8(0..8) == 0 { soft } else { Recovery::Hard },
            retrans: rng.u32(0..=4),
            reconnect_ns: (reconnect_min, reconnect_min << rng.u32(0..=4)),
            idle_timeout_ns: if rng.u8(0..4) == 0 { log(rng, 1_000_000, 50_000_000) } else { 0 },
            files: rng.u32(1..=3),
            file_len: log(rng, 4096, 4 * u64::from(buffer_len)),
            names: rng.u32(1..=6),
            name_len: if rng.bool() { 0 } else { rng.usize(1..=240) },
            mix: mix(rng),
            pause: if rng.bool() { 0 } else { log(rng, 1, 300) as u32 },
            mailbox: (rng.usize(1..=8), rng.usize(1..=4)),
            order: log(rng, 1, 600) as u32,
            stall: stall(rng),
        }
    }
}

fn mix(rng: &mut Rng) -> [u32; 12] {
    let mut mix = [0; 12];
    mix.iter_mut().for_each(|weight| *weight = if rng.u8(0..3) == 0 { 0 } else { rng.u32(1..=10) });
    // Something has to be left to do.
    mix[0] += 1;
    mix
}
