//! What one run looks like: everything that is decided before it starts.
//!
//! The shapes are drawn as a swarm: each run has its own sizes, its own mix of operations and its
//! own selection of faults at its own rates, most of them absent. Runs in which everything happens
//! at once hide what two things do together.

mod faults;
mod job;
mod mount;

use fastrand::Rng;

pub use faults::{FaultShape, Strike};
pub use job::JobShape;
pub use mount::{MemoryShape, MountShape};

/// Most mounts in one run.
pub const MOUNTS_MAX: u32 = 3;

/// Every how many runs there is a job.
const JOBS_EVERY: u8 = 3;

/// One run.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Clients, each on a reactor of its own.
    pub mounts: Vec<MountShape>,
    /// One more, which runs a job.
    pub job: Option<JobShape>,
    /// The server.
    pub server: ServerShape,
    /// What goes wrong, and how often.
    pub faults: FaultShape,
    /// Things go wrong from the first connection on.
    pub mount_in_trouble: bool,
    /// Completions of different queues come in any order.
    pub shuffle: bool,
    /// Virtual time of a step while something happens.
    pub step_ns: u64,
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
    /// It restarts without what it had written unstable, and without its reply cache; otherwise
    /// all that changes is the verifier.
    pub loses: bool,
    /// Chance that its reactor misses a step, of 1000.
    pub stall: u32,
}

impl Shape {
    /// The shape that a seed decides.
    pub fn draw(rng: &mut Rng) -> Self {
        let mounts = rng.u32(1..=MOUNTS_MAX);
        let inline = inline(rng);
        let mounts: Vec<_> = (0..mounts).map(|_| MountShape::draw(rng, inline)).collect();
        let server = ServerShape {
            credits: log(rng, 1, 64) as u32,
            inline,
            staging: rng.usize(1..=4),
            reply_cache: rng.u8(0..4) > 0,
            loses: rng.bool(),
            stall: stall(rng),
        };
        let mut faults = FaultShape::draw(rng);
        if !mounts.iter().all(|mount| mount.windows) {
            // Static keys do not keep a server out: that is what they cost.
            faults.without(Strike::Trespass);
        }
        let mount_in_trouble = rng.u8(0..4) == 0;
        let step_ns = log(rng, 200, 20_000);
        let shuffle = rng.bool();
        let job = (rng.u8(0..JOBS_EVERY) == 0).then(|| JobShape::draw(rng, &server));
        if job.as_ref().is_some_and(|job| !job.mount.windows) {
            faults.without(Strike::Trespass);
        }
        Self { mounts, job, server, faults, mount_in_trouble, step_ns, shuffle }
    }
}

impl Shape {
    /// The mounts of all clients.
    pub fn all_mounts(&self) -> impl Iterator<Item = &MountShape> {
        self.mounts.iter().chain(self.job.iter().map(|job| &job.mount))
    }
}

/// A number whose logarithm is evenly distributed: small ones come as often as large ones.
pub(crate) fn log(rng: &mut Rng, low: u64, high: u64) -> u64 {
    let (low_f, high_f) = ((low as f64).ln(), (high as f64).ln());
    let drawn = (low_f + rng.f64() * (high_f - low_f)).exp().round() as u64;
    drawn.clamp(low, high)
}

/// Large ones are rarer: a run spends most of its time on memory for them.
fn inline(rng: &mut Rng) -> u32 {
    1024 << rng.u32(0..=5).min(rng.u32(0..=5))
}

fn stall(rng: &mut Rng) -> u32 {
    if rng.u8(0..3) > 0 { 0 } else { log(rng, 1, 900) as u32 }
}
