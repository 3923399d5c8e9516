//! Reactors that sleep: whatever is to wake them does, and a mount without traffic costs nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use client::aio::Session;
use client::{Client, JUKEBOX_WAIT_NS, MountConfig, MountOptions, Op, locate};
use fastrand::Rng;
use nix::time::ClockId;
use reactor::{
    IdlePolicy, LocalHandle, Poller, Progress, Reactor, ReactorConfig, ReactorStats, StopToken,
    Turn, WakeSources,
};
use rpcrdma::{EndpointConfig, TransportConfig};
use system_tests::{Plan, credential, pattern};
use target::Switch;
use target::Target;
use verbs::soft::{Clock, SoftConnection, SoftCq, SoftFabric, SoftRegion};
use verbs::{
    Access, CmEvent, Completion, CompletionQueue, ConnectParams, Connection, Listener,
    MemoryRegion, Op as Verb, ProtectionDomain, Provider, QueuePairCaps, RecvWr, SendWr, Sge,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Sleeps after the first idle turn: there is more to be lost.
const DROWSY: IdlePolicy = IdlePolicy::Adaptive { spin_us: 0, yield_us: 0 };

/// Busy for up to 32 µs: about as long as it takes to fall asleep.
fn dawdle(random: &mut Rng) {
    let until = Instant::now() + Duration::from_nanos(random.u64(..32_768));
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

/// Processor time of the calling thread.
fn thread_cpu() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap().into()
}

/// One end of a connection that returns every message, on a reactor that is woken by nothing else.
struct Paddle {
    // The queue pair goes before the memory.
    connection: SoftConnection,
    cq: SoftCq,
    _region: SoftRegion,
    sge: Sge,
    rounds: Arc<AtomicU64>,
    random: Rng,
}

impl Paddle {
    /// On a connection whose device is known.
    fn new(mut connection: SoftConnection, rounds: &Arc<AtomicU64>) -> Self {
        let cq = connection.new_completion_queue(64).unwrap();
        let domain = connection.new_domain().unwrap();
        let bytes = Box::leak(vec![0_u8; 64].into_boxed_slice());
        // SAFETY: leaked: it stays, and nobody has a reference to it.
        let region = unsafe { domain.register(bytes.as_mut_ptr(), 64, Access::LOCAL) }.unwrap();
        let sge = Sge { addr: bytes.as_ptr() as u64, length: 64, lkey: region.lkey() };
        let caps = QueuePairCaps { send_wr_max: 16, recv_wr_max: 16, send_sge_max: 1 };
        connection.create_queue_pair(&domain, &cq, &caps).unwrap();
        let random = Rng::with_seed(connection.qp_num().into());
        let mut paddle =
            Self { connection, cq, _region: region, sge, rounds: Arc::clone(rounds), random };
        paddle.listen();
        paddle
    }

    fn listen(&mut self) {
        // SAFETY: leaked memory that nobody else uses; what arrives is empty.
        unsafe { self.connection.post_recv([RecvWr { wr_id: 1, sge: self.sge }]) }.unwrap();
    }

    fn hit(&mut self) {
        let empty = SendWr { wr_id: 2, sges: &[], op: Verb::Send, signaled: true, fence: false };
        // SAFETY: it names no memory.
        unsafe { self.connection.post_send([empty]) }.unwrap();
    }
}

impl Poller for Paddle {
    fn name(&self) -> &str {
        "paddle"
    }

    fn poll(&mut self, _turn: &mut Turn<'_>) -> Progress {
        let mut batch = [Completion::default(); 4];
        let count = self.cq.poll(&mut batch).unwrap();
        for _ in batch[..count].iter().filter(|done| done.wr_id == 1) {
            self.listen();
            dawdle(&mut self.random);
            self.rounds.fetch_add(1, Ordering::Relaxed);
            self.hit();
        }
        if count > 0 { Progress::Busy } else { Progress::Idle }
    }

    fn arm(&mut self, sources: &mut WakeSources) -> bool {
        match self.cq.arm().unwrap() {
            Some(fd) => {
                sources.watch(fd);
                true
            }
            None => false,
        }
    }
}

/// Two ends, established.
fn paddles(rounds: &Arc<AtomicU64>) -> [Paddle; 2] {
    let fabric = SoftFabric::new(Clock::Real);
    let mut listener = fabric.listen(([127, 0, 0, 1], 0).into(), 1).unwrap();
    let mut connection = fabric.resolve(listener.local_addr(), None).unwrap();
    assert_eq!(connection.poll_event(), Some(CmEvent::RouteResolved));
    let mut active = Paddle::new(connection, rounds);
    active.connection.connect(&ConnectParams::default()).unwrap();
    let incoming = listener.poll().unwrap().expect("a request");
    let mut passive = Paddle::new(incoming.connection, rounds);
    passive.connection.accept(&ConnectParams::default()).unwrap();
    for paddle in [&mut active, &mut passive] {
        assert!(matches!(paddle.connection.poll_event(), Some(CmEvent::Established { .. })));
    }
    [active, passive]
}

#[test]
fn no_wakeup_is_lost_between_two_sleeping_reactors() {
    const GOAL: u64 = 40_000;
    let (rounds, stop) = (Arc::<AtomicU64>::default(), StopToken::new());
    let mut paddles = paddles(&rounds);
    paddles[0].hit();
    let threads = paddles.map(|paddle| {
        let config = ReactorConfig { idle: DROWSY, stop: stop.clone(), ..Default::default() };
        thread::spawn(move || {
            let mut reactor = Reactor::new("paddle", config).unwrap();
            reactor.add_poller(paddle).unwrap();
            reactor.run()
        })
    });
    let (mut seen, mut since) = (0, Instant::now());
    while seen < GOAL {
        thread::sleep(Duration::from_millis(2));
        let now = rounds.load(Ordering::Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "a wakeup was lost after {seen} rounds");
    }
    stop.stop();
    let stats = threads.map(|thread| thread.join().unwrap());
    let sleeps: u64 = stats.iter().map(|stats| stats.sleeps).sum();
    println!("{sleeps} sleeps in {seen} rounds");
    assert!(sleeps > 0, "{sleeps} sleeps: this has tested little");
}

/// The target on a reactor of its own thread.
struct Serving {
    thread: JoinHandle<ReactorStats>,
    stop: StopToken,
    nfs: SocketAddr,
    mount: SocketAddr,
    stats: Arc<target::Stats>,
    switch: Switch,
}

impl Serving {
    fn start(fabric: &SoftFabric, idle: IdlePolicy) -> Self {
        let (fabric, stop) = (fabric.clone(), StopToken::new());
        let (tell, told) = mpsc::channel();
        let config = ReactorConfig { idle, stop: stop.clone(), ..Default::default() };
        let thread = thread::spawn(move || {
            let target = Target::start(&fabric, Plan::default().target).unwrap();
            let addresses = (target.nfs_addr(), target.mount_addr());
            tell.send((addresses, target.stats(), target.switch())).unwrap();
            let mut reactor = Reactor::new("target", config).unwrap();
            reactor.add_poller(target).unwrap();
            reactor.run()
        });
        let ((nfs, mount), stats, switch) = told.recv().unwrap();
        Self { thread, stop, nfs, mount, stats, switch }
    }
}

/// What test code on the client's reactor has.
struct Here {
    session: Session<SoftFabric>,
    local: LocalHandle,
    stats: Arc<target::Stats>,
    switch: Switch,
}

impl Here {
    /// One small read, and how long it took.
    async fn read(&self, file: &client::aio::OpenFile<SoftFabric>, expected: &[u8]) -> Duration {
        let mut buffer = self.session.buffer().unwrap();
        buffer.fill(0);
        let start = Instant::now();
        let (read, buffer) = file.read(0, expected.len() as u32, buffer).await;
        let took = start.elapsed();
        assert_eq!(read, Ok(expected.len() as u32));
        assert!(buffer.unwrap()[..expected.len()] == *expected);
        took
    }

    /// A file with these bytes.
    async fn file(&self, data: &[u8]) -> client::aio::OpenFile<SoftFabric> {
        let file = self.session.create("f", 0o600).await.unwrap();
        let mut buffer = self.session.buffer().unwrap();
        buffer[..data.len()].copy_from_slice(data);
        let (written, _buffer) = file.write(0, data.len() as u32, buffer).await;
        assert_eq!(written, Ok(data.len() as u32));
        file.commit().await.unwrap();
        file
    }
}

/// Runs code on an adaptive reactor of this thread, with a mount of an adaptive target on another.
/// What both reactors did: the client's first.
fn with_mount<F>(
    idle: IdlePolicy,
    change: impl FnOnce(&mut TransportConfig),
    code: impl FnOnce(Here) -> F,
) -> [ReactorStats; 2]
where
    F: Future<Output = ()> + 'static,
{
    let fabric = SoftFabric::new(Clock::Real);
    let serving = Serving::start(&fabric, idle);
    let options = MountOptions {
        mount_port: Some(serving.mount.port()),
        timeout: Duration::from_secs(30),
        auth: credential(),
        ..MountOptions::default()
    };
    let url = format!("nfs://{}/", serving.nfs).parse().unwrap();
    let located = locate(&url, &options).unwrap();
    let config = ReactorConfig { idle, ..Default::default() };
    let mut reactor = Reactor::new("client", config).unwrap();
    let now = reactor.now();
    let mut client = Client::new(fabric.clone(), EndpointConfig::default());
    let mut transport = TransportConfig::new(serving.nfs);
    transport.buffers = Plan::default().transport.buffers;
    change(&mut transport);
    let config = MountConfig {
        root: located.root,
        auth: credential(),
        queue_depth: 16,
        uncommitted_max: 0,
        jukebox_wait_ns: JUKEBOX_WAIT_NS,
        transport,
    };
    let mount = client.mount(&config, now).unwrap();
    let (session, driver) = Session::new(client, mount, now);
    reactor.add_poller(driver).unwrap();
    let local = reactor.local().clone();
    let (stats, switch) = (Arc::clone(&serving.stats), serving.switch.clone());
    let mounted = session.clone();
    let body = code(Here { session, local, stats, switch });
    let patient = reactor.local().clone();
    reactor
        .run_until(async move {
            mounted.mounted().await.unwrap();
            let task = patient.spawn_local(body).unwrap();
            task.await;
        })
        .unwrap();
    let ours = reactor.stats();
    drop(reactor);
    serving.stop.stop();
    let theirs = serving.thread.join().unwrap();
    assert_eq!(fabric.violation_count(), 0);
    [ours, theirs]
}

fn share(part_ns: u64, stats: &ReactorStats) -> f64 {
    part_ns as f64 / (stats.busy_ns + stats.idle_ns) as f64
}

#[test]
fn an_idle_mount_takes_less_than_two_percent_of_a_core() {
    const IDLE: Duration = Duration::from_secs(2);
    let stats = with_mount(
        IdlePolicy::ADAPTIVE,
        |_| {},
        |here| async move {
            let data = pattern(4096, 1);
            let file = here.file(&data).await;
            for _ in 0..2 {
                let (start, cpu) = (Instant::now(), thread_cpu());
                here.local.sleep(IDLE).await;
                let (idle, cpu) = (start.elapsed(), thread_cpu() - cpu);
                println!("{cpu:?} of the processor in {idle:?}");
                assert!(cpu < idle / 50, "{cpu:?} of the processor in {idle:?}");
                // Far from the five minutes after which the connection would have to be made anew.
                let first = here.read(&file, &data).await;
                println!("first read after that: {first:?}");
                assert!(first < Duration::from_secs(20), "{first:?}");
            }
            assert_eq!(here.stats.connections_accepted.get(), 1, "it stayed connected");
        },
    );
    for stats in stats {
        let asleep = share(stats.slept_ns, &stats);
        println!("{}: {:.1} % asleep, {} sleeps", stats.name, asleep * 100.0, stats.sleeps);
        assert!(asleep > 0.9, "{stats:?}");
    }
}

/// The client looks at its connections every second even asleep, so an answer that did not wake it
/// is seen as one that took that long.
#[test]
fn answers_wake_the_client_and_calls_the_target() {
    const CALLS: u32 = 10_000;
    let stats = with_mount(
        DROWSY,
        |_| {},
        |here| async move {
            let data = pattern(512, 1);
            let file = here.file(&data).await;
            let (mut random, mut late) = (Rng::with_seed(5), 0);
            for _ in 0..CALLS {
                dawdle(&mut random);
                late += u32::from(here.read(&file, &data).await > Duration::from_millis(900));
            }
            // A machine under load may be as slow once in a while.
            assert!(late <= 3, "{late} answers were found by looking, not by being told");
        },
    );
    for stats in stats {
        assert!(stats.sleeps > u64::from(CALLS) / 10, "this has tested little: {stats:?}");
    }
}

#[test]
fn a_sleeping_mount_disconnects_when_idle_and_connects_for_the_next_call() {
    let short = |transport: &mut TransportConfig| transport.idle_timeout_ns = 200_000_000;
    with_mount(IdlePolicy::ADAPTIVE, short, |here| async move {
        let data = pattern(4096, 1);
        let file = here.file(&data).await;
        for round in 1..4 {
            let start = Instant::now();
            while here.stats.connections_closed.get() < round {
                assert!(start.elapsed() < PATIENCE, "nobody noticed that the mount is idle");
                here.local.sleep(Duration::from_millis(500)).await;
            }
            let first = here.read(&file, &data).await;
            assert!(first < Duration::from_secs(20), "{first:?}");
            assert!(here.stats.connections_accepted.get() > round);
        }
    });
}

#[test]
fn a_call_that_goes_unanswered_ends_the_sleep_in_time() {
    let short = |transport: &mut TransportConfig| transport.rpc_timeout_ns = 300_000_000;
    let stats = with_mount(IdlePolicy::ADAPTIVE, short, |here| async move {
        let data = pattern(4096, 1);
        let file = here.file(&data).await;
        here.switch.set("drop-replies=1".parse().unwrap());
        let took = here.read(&file, &data).await;
        assert!(took >= Duration::from_millis(300) && took < PATIENCE, "{took:?}");
        assert!(here.stats.connections_accepted.get() >= 2, "it went out on another connection");
    });
    assert!(stats[0].slept_ns > 100_000_000, "it slept while it waited: {:?}", stats[0]);
}

#[test]
fn an_operation_that_the_server_put_off_ends_the_sleep_in_time() {
    let stats = with_mount(
        IdlePolicy::ADAPTIVE,
        |_| {},
        |here| async move {
            let data = pattern(4096, 1);
            let file = here.file(&data).await;
            here.switch.set("status=JUKEBOX:READ:1".parse().unwrap());
            let took = here.read(&file, &data).await;
            let wait = Duration::from_nanos(JUKEBOX_WAIT_NS);
            assert!(took >= wait && took < wait + PATIENCE, "{took:?}");
        },
    );
    assert!(stats[0].slept_ns > JUKEBOX_WAIT_NS / 5 * 4, "it slept: {:?}", stats[0]);
}

#[test]
fn a_server_that_leaves_wakes_the_client() {
    with_mount(
        IdlePolicy::ADAPTIVE,
        |_| {},
        |here| async move {
            let data = pattern(4096, 1);
            let file = here.file(&data).await;
            for round in 1..4 {
                here.switch.set("disconnect-after=0".parse().unwrap());
                let took = here.read(&file, &data).await;
                assert!(took < PATIENCE, "round {round}: {took:?}");
                here.switch.set(Default::default());
                here.local.sleep(Duration::from_millis(50)).await;
            }
            let done = here.session.op(Op::Getattr { file: file.file() }, None).await;
            done.result.unwrap();
            assert!(here.stats.connections_accepted.get() >= 2);
        },
    );
}
