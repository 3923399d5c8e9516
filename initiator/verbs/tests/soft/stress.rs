//! Two reactors on one fabric, and the same run twice.

use std::net::SocketAddr;
use std::sync::mpsc;

use verbs::soft::{Clock, FaultPlan, Scope, SoftFabric};
use verbs::{Access, CompletionQueue, Connection, Listener, Provider, WcStatus};

use crate::ends::{End, Options, incoming, pattern, recv, resolved, send, wait_for};
use crate::{HOME, Talk, on_virtual_time};

/// Echoes `rounds` messages of 256 bytes from a thread of its own.
fn echo(fabric: SoftFabric, rounds: u64, at: mpsc::Sender<SocketAddr>) {
    let options = Options::default();
    let mut listener = fabric.listen(SocketAddr::new(HOME, 0), 1).unwrap();
    at.send(listener.local_addr()).unwrap();
    let request = incoming::<SoftFabric>(&mut listener);
    let mut end = End::<SoftFabric>::prepare(request.connection, &options);
    let memory = end.memory(512, Access::LOCAL);
    end.post_recv(&[recv(0, memory.sge(0, 256))]).unwrap();
    end.connection.accept(&options.params(&[])).unwrap();
    wait_for("the connection", || end.connection.poll_event());
    for round in 0..rounds {
        spin(&end, 1);
        memory.write(256, &memory.read(0, 256));
        end.post_recv(&[recv(round + 1, memory.sge(0, 256))]).unwrap();
        end.post_send(&[send(round, &[memory.sge(256, 256)])]).unwrap();
        spin(&end, 1);
    }
    end.connection.disconnect();
}

/// Waits for `count` completions, all of them successes.
fn spin(end: &End<SoftFabric>, count: usize) {
    let mut seen = 0;
    let started = std::time::Instant::now();
    let mut batch = [verbs::Completion::default(); 4];
    while seen < count {
        let polled = end.cq.poll(&mut batch[..count - seen]).unwrap();
        assert!(batch[..polled].iter().all(|c| c.status == WcStatus::Success), "{batch:?}");
        seen += polled;
        if polled == 0 {
            std::thread::yield_now();
            assert!(started.elapsed().as_secs() < 60, "waited a minute for a completion");
        }
    }
}

fn ping_pong(fabric: &SoftFabric, rounds: u64) {
    let (tell, at) = mpsc::channel();
    let echoing = std::thread::spawn({
        let fabric = fabric.clone();
        move || echo(fabric, rounds, tell)
    });
    let options = Options::default();
    let mut end = End::<SoftFabric>::prepare(resolved(fabric, at.recv().unwrap()), &options);
    end.connection.connect(&options.params(&[])).unwrap();
    wait_for("the connection", || end.connection.poll_event());
    let memory = end.memory(512, Access::LOCAL);
    for round in 0..rounds {
        let ask = pattern(round as usize, 256);
        memory.write(0, &ask);
        end.post_recv(&[recv(round, memory.sge(256, 256))]).unwrap();
        end.post_send(&[send(round, &[memory.sge(0, 256)])]).unwrap();
        spin(&end, 2);
        assert_eq!(memory.read(256, 256), ask);
    }
    drop(end);
    echoing.join().unwrap();
    assert_eq!(fabric.violations(), []);
}

#[test]
fn two_threads_play_ping_pong() {
    ping_pong(&SoftFabric::new(Clock::Real), 20_000);
}

#[test]
fn two_threads_play_ping_pong_over_a_bad_link() {
    let fabric = SoftFabric::new(Clock::Real);
    let plan = FaultPlan::new().message_delay_ns(2_000).ack_delay_ns(3_000);
    let plan =
        plan.retransmit_timeout_ns(50_000).retry_count(u8::MAX).drop_messages(40).drop_acks(200);
    fabric.faults().set(Scope::All, plan);
    ping_pong(&fabric, 2_000);
    assert!(fabric.retransmissions() > 40);
}

#[test]
fn two_threads_share_the_fabric_and_nothing_else() {
    let fabric = SoftFabric::new(Clock::Real);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| ping_pong(&fabric, 2_000));
        }
    });
}

/// A small random generator: the same numbers everywhere.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Both ends from one thread under random faults: everything that was seen, with its time.
fn run(seed: u64) -> Vec<String> {
    let fabric = on_virtual_time();
    let mut random = Lcg(seed);
    let mut talks: Vec<Talk> = (0..4).map(|_| Talk::new(&fabric)).collect();
    let mut log = Vec::new();
    let mut lent = [0_u64; 4];
    for step in 0..2_000_u64 {
        let who = random.below(4) as usize;
        let qp = talks[who].qp;
        match random.below(8) {
            0 => fabric.faults().drop_acks(qp, random.below(3) as u32),
            1 => fabric.faults().amend(qp, |plan| plan.drop_messages(1)),
            2 => fabric.faults().latency_ns(qp, random.below(5_000)),
            3 => fabric.faults().hold_acks(qp),
            4 => fabric.faults().release_acks(qp),
            _ if lent[who] < 16 => {
                talks[who].listen(1);
                talks[who].say(step..step + 1);
                lent[who] += 1;
            }
            _ => {}
        }
        fabric.advance(random.below(30_000_000));
        for (i, talk) in talks.iter().enumerate() {
            let (said, heard) = (talk.said(), talk.heard());
            lent[i] -= said.len() as u64;
            if !said.is_empty() || !heard.is_empty() {
                log.push(format!("{} {i} {said:?} {heard:?}", fabric.now_ns()));
            }
        }
    }
    assert_eq!(fabric.violations(), []);
    log
}

#[test]
fn the_same_run_gives_the_same_history() {
    let first = run(1);
    assert!(first.len() > 500, "{}", first.len());
    assert_eq!(first, run(1));
    assert_ne!(first, run(2));
}
