//! A mount and the thread that turns it, in real time.

use std::time::{Duration, Instant};

use client::{
    Client, Done, Error, File, Located, MountConfig, MountId, MountState, Op, Output, Pieces,
    Submission,
};
use hugepages::{Buffer, PageSize, Policy, Pool};
use reactor::Clock;
use rpcrdma::{Counters, EndpointConfig, Registration, TransportConfig};
use system_tests::credential;
use verbs::ibv::Ibv;
use wire::nfs3::StableHow;

/// Anything takes less than this, or the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client with one mount.
pub(crate) struct Session {
    pub(crate) client: Client<Ibv>,
    pub(crate) mount: MountId,
    /// Payload buffers; stays when the connection goes.
    pub(crate) pool: Pool,
    /// Where the URL led, below the export.
    pub(crate) rest: String,
    clock: Clock,
    done: Vec<Done>,
}

/// Both kinds of keys.
pub(crate) const BOTH: [Registration; 2] = [Registration::Static, Registration::Window];

/// Buffers of 1 MiB on huge pages, 16 calls deep.
pub(crate) fn transport(located: &Located) -> TransportConfig {
    let mut config = TransportConfig::new(located.server);
    config.max_requests = 16;
    config.rpc_timeout_ns = 30_000_000_000;
    config.buffers.policy = Policy::Required;
    config.buffers.page_size = PageSize::Huge2M;
    config.buffers.buffer_len = 1 << 20;
    config.buffers.count = 16;
    config
}

impl Session {
    /// Mounts with [`transport`]; panics if that does not work.
    pub(crate) fn mount(located: &Located) -> Self {
        Self::mount_with(located, transport(located)).expect("the mount is made")
    }

    /// Mounts, or says why not once nothing of the attempt is left.
    pub(crate) fn mount_with(located: &Located, transport: TransportConfig) -> Result<Self, Error> {
        let clock = Clock::new();
        let mut client = Client::new(Ibv, EndpointConfig::default());
        let config = MountConfig {
            root: located.root,
            auth: credential(),
            queue_depth: transport.max_requests,
            uncommitted_max: 0,
            jukebox_wait_ns: client::JUKEBOX_WAIT_NS,
            transport,
        };
        let mount = client.mount(&config, clock.now())?;
        let start = Instant::now();
        loop {
            client.turn(clock.now());
            match client.state(mount) {
                MountState::Mounted => break,
                MountState::Gone(error) => return Err(error),
                MountState::Mounting => std::thread::yield_now(),
            }
            assert!(start.elapsed() < PATIENCE, "neither mounted nor refused");
        }
        let pool = client.pool(mount).expect("a mount has buffers").clone();
        let rest = located.rest.clone();
        Ok(Self { client, mount, pool, rest, clock, done: Vec::new() })
    }

    /// One turn; gives the core away when nothing happened.
    pub(crate) fn turn(&mut self) {
        let completions = self.client.turn(self.clock.now());
        while let Some(done) = self.client.next_done(self.mount) {
            self.done.push(done);
        }
        if completions == 0 {
            std::thread::yield_now();
        }
    }

    /// Turns until the condition holds; panics when it does not come to hold.
    pub(crate) fn run_until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            self.turn();
            assert!(
                start.elapsed() < PATIENCE,
                "{what}: not within {PATIENCE:?}; in flight {}, {:?}",
                self.client.in_flight(self.mount),
                self.counters()
            );
        }
    }

    /// Takes an operation; panics if the queue is full.
    pub(crate) fn submit(&mut self, tag: u64, op: Op, buffer: Option<Buffer>) {
        let submission = Submission { tag, op, buffer, pieces: None };
        let now = self.clock.now();
        assert!(self.client.submit(self.mount, submission, now).is_ok(), "the queue is full");
    }

    /// Results since the last time.
    pub(crate) fn take_done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.done)
    }

    /// One operation from start to end.
    pub(crate) fn op(&mut self, op: Op, buffer: Option<Buffer>) -> Done {
        assert!(self.done.is_empty(), "results of earlier operations are still there");
        self.submit(0, op, buffer);
        self.run_until("one operation", |session| !session.done.is_empty());
        self.done.remove(0)
    }

    /// One operation on pieces from start to end.
    pub(crate) fn op_vectored(&mut self, op: Op, pieces: Pieces) -> Done {
        assert!(self.done.is_empty(), "results of earlier operations are still there");
        let submission = Submission { tag: 0, op, buffer: None, pieces: Some(pieces) };
        let now = self.clock.now();
        assert!(self.client.submit(self.mount, submission, now).is_ok(), "the queue is full");
        self.run_until("one operation on pieces", |session| !session.done.is_empty());
        self.done.remove(0)
    }

    pub(crate) fn counters(&self) -> Counters {
        self.client.counters(self.mount).expect("a mount has counters")
    }

    pub(crate) fn root(&self) -> File {
        self.client.root(self.mount).expect("mounted")
    }

    pub(crate) fn buffer(&self) -> Buffer {
        self.pool.alloc().expect("the pool is large enough for the test")
    }

    /// Opens a path below the URL that was mounted.
    pub(crate) fn open(&mut self, name: &str, create: Option<u32>) -> Result<File, Error> {
        let path = format!("{}/{name}", self.rest);
        match self.op(Op::Open { path, create }, None).result? {
            Output::Opened { file, .. } => Ok(file),
            other => panic!("OPEN gave {other:?}"),
        }
    }

    pub(crate) fn create(&mut self, name: &str) -> File {
        self.open(name, Some(0o644)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes all of `data`, at most a buffer at a time.
    pub(crate) fn write(&mut self, file: File, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut buffer = self.buffer();
        buffer[..data.len()].copy_from_slice(data);
        let len = data.len() as u32;
        let op = Op::Write { file, offset, len, stable: StableHow::Unstable };
        let done = self.op(op, Some(buffer));
        assert!(done.buffer.is_some(), "the buffer comes back, whatever the result");
        match done.result? {
            Output::Written { count, .. } => assert_eq!(count, len, "a short write"),
            other => panic!("WRITE gave {other:?}"),
        }
        Ok(())
    }

    /// Reads `len` bytes or what there is; whether the end of the file was reached.
    pub(crate) fn read(&mut self, file: File, offset: u64, len: u32) -> (Vec<u8>, bool) {
        let mut buffer = self.buffer();
        buffer.fill(0xee);
        let done = self.op(Op::Read { file, offset, len }, Some(buffer));
        let Ok(Output::Read { eof, .. }) = done.result else {
            panic!("READ of {len} at {offset}: {:?}", done.result)
        };
        let buffer = done.buffer.as_ref().expect("the buffer comes back");
        assert!(buffer[len as usize..].iter().all(|&byte| byte == 0xee), "beyond what was asked");
        (done.data().to_vec(), eof)
    }

    /// What must hold whenever nothing is in flight.
    pub(crate) fn assert_balanced(&self) {
        let counters = self.counters();
        assert_eq!(self.client.in_flight(self.mount), 0);
        assert_eq!(counters.sends, counters.recvs, "every call has its reply: {counters:?}");
        for (name, value) in [
            ("bad_reply_count", counters.bad_reply_count),
            ("bad_xids", counters.bad_xids),
            ("stale_completions", counters.stale_completions),
            ("rdma_errors", counters.rdma_errors),
            ("failed_marshal_count", counters.failed_marshal_count),
            ("backward_calls", counters.backward_calls),
        ] {
            assert_eq!(value, 0, "{name}: {counters:?}");
        }
        assert_eq!(counters.connect_count, 1, "one connection, never lost");
        assert_eq!(self.pool.available(), self.pool.capacity(), "every buffer is home");
    }

    /// Unmounts and waits until nothing is left; tells why the mount ended.
    pub(crate) fn unmount(mut self) -> Error {
        let now = self.clock.now();
        self.client.unmount(self.mount, now);
        let mut why = None;
        self.run_until("the unmount", |session| match session.client.state(session.mount) {
            MountState::Gone(error) => {
                why = Some(error);
                session.client.in_flight(session.mount) == 0
            }
            _ => false,
        });
        self.take_done();
        assert_eq!(self.pool.available(), self.pool.capacity(), "every buffer is home");
        why.expect("it has ended")
    }
}
