//! What one run looks like: everything that is decided before it starts.
//!
//! The shapes are drawn as a swarm: each run has its own sizes, its own mix of operations and its
//! own selection of faults at its own rates, most of them absent. Runs in which everything happens
//! at once hide what two things do together.

use fastrand::Rng;

/// Most mounts in one run.
const MOUNTS_MAX: u32 = 3;

/// One run.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Clients, each with its own reactor's worth of state.
    pub mounts: Vec<MountShape>,
    /// The server.
    pub server: ServerShape,
    /// What goes wrong, and how often.
    pub faults: FaultShape,
    /// Virtual time of a step while something happens.
    pub step_ns: u64,
}

/// One client and its mount.
#[derive(Clone, Debug)]
pub struct MountShape {
    /// Operations to be done.
    pub operations: u32,
    /// Operations in flight.
    pub queue_depth: u32,
    /// RPCs in flight.
    pub max_requests: u32,
    /// See [`rpcrdma::TransportConfig::send_batch`].
    pub send_batch: Option<u32>,
    /// Inline thresholds, bytes.
    pub inline_send: u32,
    /// See `inline_send`.
    pub inline_receive: u32,
    /// Largest payload that is copied, bytes.
    pub copy_max: u32,
    /// Keys per I/O.
    pub windows: bool,
    /// Bytes of a buffer.
    pub buffer_len: u32,
    /// Buffers: sometimes fewer than operations in flight.
    pub buffers: u32,
    /// Calls unanswered for so long end their connection.
    pub rpc_timeout_ns: u64,
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
    /// Weights of the operations, in the order of [`crate::actor::KINDS`].
    pub mix: [u32; 9],
    /// Chance that its reactor misses a step, of 1000.
    pub stall: u32,
}

/// The server.
#[derive(Clone, Debug)]
pub struct ServerShape {
    /// Credits it grants.
    pub credits: u32,
    /// Largest inline message it takes and sends, bytes.
    pub inline: u32,
    /// Buffers for chunks.
    pub staging: usize,
    /// It answers a call that comes again as it did before.
    pub reply_cache: bool,
    /// Chance that its reactor misses a step, of 1000.
    pub stall: u32,
}

/// Faults: chances a step in a million, 0 for those that this run does not have.
#[derive(Clone, Debug)]
pub struct FaultShape {
    /// Latency of a message and of an acknowledgement.
    pub latency_ns: (u64, u64),
    /// Transport retransmission timeout.
    pub retransmit_ns: u64,
    /// A few acknowledgements are lost.
    pub drop_acks: u32,
    /// All acknowledgements are held back, for up to `hold_ns`.
    pub hold_acks: u32,
    /// See `hold_acks`.
    pub hold_ns: u64,
    /// A few messages are lost.
    pub drop_messages: u32,
    /// The peer has no Receive a few times.
    pub rnr: u32,
    /// A work request soon fails.
    pub fail_wr: u32,
    /// A post soon fails part-way.
    pub fail_post: u32,
    /// A post of Receives soon fails.
    pub fail_recv_post: u32,
    /// The link is cut after a few messages.
    pub disconnect: u32,
    /// A network card falls silent.
    pub silence: u32,
    /// The server ends every connection.
    pub server_disconnect: u32,
    /// Connection requests are rejected, ignored or do not resolve.
    pub connect: u32,
    /// The server answers late.
    pub delay_replies: u32,
    /// The server does not answer.
    pub drop_replies: u32,
    /// The server answers twice.
    pub duplicate_replies: u32,
    /// The server answers calls that were never made.
    pub wrong_xid: u32,
    /// The server cuts its grant, to 1 or 0.
    pub credits: u32,
    /// The server answers nonsense: the call fails.
    pub nonsense: u32,
    /// The server does less than it was asked.
    pub short: u32,
}

impl Shape {
    /// The shape that a seed decides.
    pub fn draw(rng: &mut Rng) -> Self {
        let mounts = rng.u32(1..=MOUNTS_MAX);
        let inline = inline(rng);
        Self {
            mounts: (0..mounts).map(|_| MountShape::draw(rng, inline)).collect(),
            server: ServerShape {
                credits: log(rng, 1, 64) as u32,
                inline,
                staging: rng.usize(1..=4),
                reply_cache: rng.u8(0..4) > 0,
                stall: stall(rng),
            },
            faults: FaultShape::draw(rng),
            step_ns: log(rng, 200, 20_000),
        }
    }
}

impl MountShape {
    fn draw(rng: &mut Rng, server_inline: u32) -> Self {
        let max_requests = log(rng, 1, 64) as u32;
        let queue_depth = log(rng, 1, 96) as u32;
        let send_batch = rng.bool().then(|| rng.u32(0..=max_requests));
        // Half of them as the server has it, so that small payload travels inline.
        let inline = |rng: &mut Rng| if rng.bool() { server_inline } else { inline(rng) };
        let (inline_send, inline_receive) = (inline(rng), inline(rng));
        let buffer_len = 4096 << rng.u32(0..=4);
        let reconnect_min = log(rng, 10_000, 4_000_000);
        let mut mix = [0; 9];
        mix.iter_mut()
            .for_each(|weight| *weight = if rng.u8(0..3) == 0 { 0 } else { rng.u32(1..=10) });
        // Something has to be left to do.
        mix[0] += 1;
        Self {
            operations: log(rng, 50, 600) as u32,
            queue_depth,
            max_requests,
            send_batch,
            inline_send,
            inline_receive,
            copy_max: [0, 64, 512, 4096][rng.usize(0..4)],
            windows: rng.bool(),
            buffer_len,
            buffers: rng.u32(1..=queue_depth + 4),
            rpc_timeout_ns: log(rng, 5_000_000, 400_000_000),
            reconnect_ns: (reconnect_min, reconnect_min << rng.u32(0..=4)),
            idle_timeout_ns: if rng.u8(0..4) == 0 { log(rng, 1_000_000, 50_000_000) } else { 0 },
            files: rng.u32(1..=3),
            file_len: log(rng, 4096, 4 * u64::from(buffer_len)),
            names: rng.u32(1..=6),
            mix,
            stall: stall(rng),
        }
    }
}

impl FaultShape {
    fn draw(rng: &mut Rng) -> Self {
        let latency = |rng: &mut Rng| if rng.bool() { 0 } else { log(rng, 100, 200_000) };
        let hold_ns = log(rng, 100_000, 2_000_000_000);
        let latency_ns = (latency(rng), latency(rng));
        let retransmit_ns = log(rng, 100_000, 67_000_000);
        let mut rate = || if rng.u8(0..10) < 7 { 0 } else { log(rng, 200, 40_000) as u32 };
        Self {
            latency_ns,
            retransmit_ns,
            drop_acks: rate(),
            hold_acks: rate(),
            hold_ns,
            drop_messages: rate(),
            rnr: rate(),
            fail_wr: rate() / 4,
            fail_post: rate() / 4,
            fail_recv_post: rate() / 4,
            disconnect: rate() / 4,
            silence: rate() / 16,
            server_disconnect: rate() / 4,
            connect: rate() / 4,
            delay_replies: rate(),
            drop_replies: rate() / 16,
            duplicate_replies: rate(),
            wrong_xid: rate() / 16,
            credits: rate(),
            nonsense: rate() / 4,
            short: rate(),
        }
    }

    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self {
            latency_ns: (0, 0),
            retransmit_ns: 67_000_000,
            hold_ns: 0,
            drop_acks: 0,
            hold_acks: 0,
            drop_messages: 0,
            rnr: 0,
            fail_wr: 0,
            fail_post: 0,
            fail_recv_post: 0,
            disconnect: 0,
            silence: 0,
            server_disconnect: 0,
            connect: 0,
            delay_replies: 0,
            drop_replies: 0,
            duplicate_replies: 0,
            wrong_xid: 0,
            credits: 0,
            nonsense: 0,
            short: 0,
        }
    }
}

/// A number whose logarithm is evenly distributed: small ones come as often as large ones.
pub(crate) fn log(rng: &mut Rng, low: u64, high: u64) -> u64 {
    let (low_f, high_f) = ((low as f64).ln(), (high as f64).ln());
    let drawn = (low_f + rng.f64() * (high_f - low_f)).exp().round() as u64;
    drawn.clamp(low, high)
}

fn inline(rng: &mut Rng) -> u32 {
    1024 << rng.u32(0..=5)
}

fn stall(rng: &mut Rng) -> u32 {
    if rng.u8(0..3) > 0 { 0 } else { log(rng, 1, 900) as u32 }
}
