//! A mount on a reactor that sleeps when there is nothing to do.

use std::time::{Duration, Instant};

use client::aio::Session;
use client::{Client, MountConfig};
use nix::time::ClockId;
use reactor::{IdlePolicy, Reactor, ReactorConfig};
use rpcrdma::EndpointConfig;
use system_tests::{credential, pattern};
use verbs::ibv::Ibv;

use crate::kernel::assert_no_rdma_left;
use crate::server::{Server, say};
use crate::session::transport;

const IDLE: Duration = Duration::from_secs(3);
const CYCLES: u64 = 4;
const CALLS: u64 = 50;
/// A sleeping client looks at its connections every second: a lost wakeup takes about as long. An
/// emulated machine may be as slow once in a while.
const LOOKS_BY_ITSELF: Duration = Duration::from_millis(900);

/// Processor time of the calling thread.
fn thread_cpu() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap().into()
}

#[test]
fn knfsd_an_idle_mount_sleeps_and_wakes_for_every_answer() {
    let Some(server) = Server::find() else { return };
    let (_, path) = server.fresh_dir("adaptive");
    let located = server.locate(&path).unwrap();
    let config = ReactorConfig { idle: IdlePolicy::ADAPTIVE, ..Default::default() };
    let mut reactor = Reactor::new("adaptive", config).unwrap();
    let now = reactor.now();
    let mut client = Client::new(Ibv, EndpointConfig::default());
    let transport = transport(&located);
    let queue_depth = transport.max_requests;
    let config = MountConfig {
        root: located.root,
        auth: credential(),
        queue_depth,
        uncommitted_max: 0,
        jukebox_wait_ns: client::JUKEBOX_WAIT_NS,
        transport,
    };
    let mount = client.mount(&config, now).unwrap();
    let (session, driver) = Session::new(client, mount, now);
    reactor.add_poller(driver).unwrap();
    let local = reactor.local().clone();
    reactor
        .run_until(async move {
            session.mounted().await.unwrap();
            let file = session.create(&format!("{}/f", located.rest), 0o600).await.unwrap();
            let mut late = 0;
            for cycle in 0..CYCLES {
                let (start, cpu) = (Instant::now(), thread_cpu());
                local.sleep(IDLE).await;
                let (idle, cpu) = (start.elapsed(), thread_cpu() - cpu);
                assert!(cpu < idle / 50, "{cpu:?} of the processor in {idle:?}");
                for call in 0..CALLS {
                    let start = Instant::now();
                    let (data, offset) = (pattern(8192, cycle << 32 | call), call * 8192);
                    let mut buffer = session.buffer().unwrap();
                    buffer[..data.len()].copy_from_slice(&data);
                    let (written, buffer) = file.write(offset, 8192, buffer).await;
                    assert_eq!(written, Ok(8192));
                    if call == 0 {
                        say(&format!(
                            "{cpu:?} in {idle:?} idle; first write {:?}",
                            start.elapsed()
                        ));
                    }
                    let mut buffer = buffer.unwrap();
                    buffer.fill(0);
                    let (read, buffer) = file.read(offset, 8192, buffer).await;
                    assert_eq!(read, Ok(8192));
                    assert!(buffer.unwrap()[..8192] == data);
                    late += u64::from(start.elapsed() > LOOKS_BY_ITSELF);
                    if call % 10 == 0 {
                        local.sleep(Duration::from_millis(5)).await;
                    }
                }
            }
            say(&format!("{late} of {} pairs of calls took very long", CYCLES * CALLS));
            assert!(
                late <= CYCLES * CALLS / 20,
                "answers were found by looking, not by being told"
            );
            file.close().await.unwrap();
        })
        .unwrap();
    let stats = reactor.stats();
    let share = stats.slept_ns as f64 / (stats.busy_ns + stats.idle_ns) as f64;
    say(&format!("asleep {:.1} % of the time, {} times", share * 100.0, stats.sleeps));
    assert!(stats.sleeps > CYCLES * CALLS / 10, "this has tested little: {stats:?}");
    drop(reactor);
    assert_no_rdma_left();
}
