//! The whole house in one thread on virtual time: a client, the embedded target, and the fabric
//! between them, for tests that decide when what arrives.

#![deny(unsafe_code)]

pub mod bare;
#[allow(unsafe_code, reason = "it posts raw work requests")]
pub mod scripted;
pub mod stage;
mod traffic;

use std::time::Duration;

use client::{
    Client, Done, File, Located, MountConfig, MountId, MountOptions, MountState, Op, Output,
    Pieces, Submission, locate,
};
use hugepages::{Buffer, Policy};
use reactor::Timestamp;
use rpcrdma::{Counters, EndpointConfig, TransportConfig};
use target::Target;
use target::config::{Config, Storage};
use verbs::soft::{Clock, Faults, SoftFabric};
use wire::rpc::{Auth, AuthSys};

/// Virtual nanoseconds a step.
const STEP_NS: u64 = 1_000;
/// Steps that anything may take: ten virtual seconds.
const STEPS_MAX: u64 = 10_000_000;

/// What differs between tests.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of the client's connection; the address is filled in.
    pub transport: TransportConfig,
    /// Of the client's mount.
    pub queue_depth: u32,
    /// Of the client's mount.
    pub uncommitted_max: u64,
    /// Of the client's mount.
    pub jukebox_wait_ns: u64,
    /// Of the target; addresses are filled in.
    pub target: Config,
}

impl Default for Plan {
    fn default() -> Self {
        let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let mut transport = TransportConfig::new(loopback);
        transport.xid_seed = Some(0x1234_5678);
        transport.buffers.policy = Policy::Off;
        transport.buffers.count = 64;
        let target = Config {
            listen: loopback,
            hugepages: Policy::Off,
            storage: Storage::Memory { capacity_bytes: 64 << 20 },
            staging_buffers: 8,
            ..Config::default()
        };
        Self {
            transport,
            queue_depth: 64,
            uncommitted_max: 0,
            jukebox_wait_ns: client::JUKEBOX_WAIT_NS,
            target,
        }
    }
}

impl Plan {
    /// The same inline threshold on both sides, both ways, in bytes.
    #[must_use]
    pub fn inline(mut self, bytes: u32) -> Self {
        self.transport.inline_send = bytes;
        self.transport.inline_receive = bytes;
        self.target.inline_send_bytes = bytes;
        self.target.inline_receive_bytes = bytes;
        self
    }
}

/// A mounted client and its server.
pub struct House {
    /// The fabric, on virtual time.
    pub fabric: SoftFabric,
    /// The server.
    pub target: Target<SoftFabric>,
    /// The client.
    pub client: Client<SoftFabric>,
    /// Its mount.
    pub mount: MountId,
    done: Vec<Done>,
}

impl House {
    /// Starts a target and mounts it; panics if that does not work.
    #[must_use]
    pub fn build(plan: Plan) -> Self {
        let house = Self::begin_with(plan, |_| ());
        let state = house.client.state(house.mount);
        assert_eq!(state, MountState::Mounted);
        house
    }

    /// Starts a target and waits for the mount to be made or to fail; `prepare` may set faults
    /// before the client connects.
    #[must_use]
    pub fn begin_with(mut plan: Plan, prepare: impl FnOnce(&SoftFabric)) -> Self {
        let fabric = SoftFabric::new(Clock::virtual_time());
        let mut target = Target::start(&fabric, plan.target).expect("the target starts");
        let located = ask_for_root(&mut target, &fabric, plan.transport.resvport);
        plan.transport.remote = target.nfs_addr();
        let mut client = Client::new(fabric.clone(), EndpointConfig::default());
        let config = MountConfig {
            root: located.root,
            auth: credential(),
            queue_depth: plan.queue_depth,
            uncommitted_max: plan.uncommitted_max,
            jukebox_wait_ns: plan.jukebox_wait_ns,
            transport: plan.transport,
        };
        prepare(&fabric);
        let now = Timestamp(fabric.now_ns());
        let mount = client.mount(&config, now).expect("the settings are valid");
        let mut house = Self { fabric, target, client, mount, done: Vec::new() };
        house.run_until(|house| house.client.state(house.mount) != MountState::Mounting);
        house
    }

    /// The control of the fabric's faults.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.fabric.faults()
    }

    /// The client's queue pair, to aim faults at.
    #[must_use]
    pub fn client_qp(&self) -> u32 {
        self.client.qp_num(self.mount).expect("mounted")
    }

    /// The transport's counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.client.counters(self.mount).expect("a mount has counters")
    }

    /// Virtual time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(self.fabric.now_ns())
    }

    /// One turn of both ends.
    pub fn step(&mut self) {
        let now = Timestamp(self.fabric.advance(STEP_NS));
        self.client.turn(now);
        self.target.poll(now);
        while let Some(done) = self.client.next_done(self.mount) {
            self.done.push(done);
        }
    }

    /// Turns until a condition holds; panics when that takes ten virtual seconds.
    pub fn run_until(&mut self, condition: impl Fn(&Self) -> bool) {
        for _ in 0..STEPS_MAX {
            if condition(self) {
                return;
            }
            self.step();
        }
        panic!("nothing came of it in ten virtual seconds: {:?}", self.counters());
    }

    /// Lets virtual time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.fabric.now_ns() + time.as_nanos() as u64;
        while self.fabric.now_ns() < end {
            self.step();
        }
    }

    /// A buffer filled with a pattern that depends on `seed`.
    #[must_use]
    pub fn filled(&self, len: usize, seed: u64) -> Buffer {
        let mut buffer = self.buffer();
        buffer[..len].copy_from_slice(&pattern(len, seed));
        buffer
    }

    /// A buffer of the mount's pool.
    #[must_use]
    pub fn buffer(&self) -> Buffer {
        let pool = self.client.pool(self.mount).expect("mounted");
        pool.alloc().expect("the pool is large enough for the test")
    }

    /// Buffers in the pool.
    #[must_use]
    pub fn buffers_home(&self) -> usize {
        self.client.pool(self.mount).map_or(0, hugepages::Pool::available)
    }

    /// Submits; panics if the queue is full.
    pub fn submit(&mut self, tag: u64, op: Op, buffer: Option<Buffer>) {
        let now = self.now();
        let submission = Submission { tag, op, buffer, pieces: None };
        assert!(self.client.submit(self.mount, submission, now).is_ok(), "the queue is full");
    }

    /// One operation on pieces from start to end.
    pub fn op_vectored(&mut self, op: Op, pieces: Pieces) -> Done {
        assert!(self.done.is_empty(), "results of earlier operations are still there");
        self.submit_vectored(0, op, pieces);
        self.run_until(|house| house.done_count() == 1);
        self.take_done().remove(0)
    }

    /// Submits an operation on pieces; panics if the queue is full.
    pub fn submit_vectored(&mut self, tag: u64, op: Op, pieces: Pieces) {
        let now = self.now();
        let submission = Submission { tag, op, buffer: None, pieces: Some(pieces) };
        assert!(self.client.submit(self.mount, submission, now).is_ok(), "the queue is full");
    }

    /// Results so far.
    pub fn take_done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.done)
    }

    /// How many results wait to be taken.
    #[must_use]
    pub fn done_count(&self) -> usize {
        self.done.len()
    }

    /// One operation from start to end.
    pub fn op(&mut self, op: Op, buffer: Option<Buffer>) -> Done {
        assert!(self.done.is_empty(), "results of earlier operations are still there");
        self.submit(0, op, buffer);
        self.run_until(|house| house.done_count() == 1);
        self.take_done().remove(0)
    }

    /// Opens a file, which is made if it is not there.
    pub fn create(&mut self, path: &str) -> File {
        let done = self.op(Op::Open { path: path.into(), create: Some(0o644) }, None);
        match done.result {
            Ok(Output::Opened { file, .. }) => file,
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Unmounts and waits until the connection is gone.
    pub fn unmount(&mut self) {
        let now = self.now();
        self.client.unmount(self.mount, now);
        self.run_until(|house| matches!(house.client.state(house.mount), MountState::Gone(_)));
    }
}

/// Bytes that differ from seed to seed and from place to place.
#[must_use]
pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

/// The credential of the tests: root, as the VM's export trusts it.
#[must_use]
pub fn credential() -> Auth {
    Auth::Sys(AuthSys { stamp: 0, machine: "test".into(), uid: 0, gid: 0, gids: Vec::new() })
}

/// Asks the target's MOUNT port, by TCP as everybody does, while this thread serves it.
fn ask_for_root(target: &mut Target<SoftFabric>, fabric: &SoftFabric, resvport: bool) -> Located {
    let url = format!("nfs://{}/", target.nfs_addr()).parse().expect("a URL");
    let options = MountOptions {
        mount_port: Some(target.mount_addr().port()),
        resvport,
        auth: credential(),
        ..MountOptions::default()
    };
    let asking = std::thread::spawn(move || locate(&url, &options));
    while !asking.is_finished() {
        target.poll(Timestamp(fabric.advance(STEP_NS * 1_000)));
        std::thread::yield_now();
    }
    asking.join().expect("no panic").expect("the target exports /")
}
