//! Reactors on threads of their own: pinning, errors from the thread, stopping, messages.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use reactor::{
    IdlePolicy, Poller, Progress, ReactorConfig, ReactorError, StopToken, Turn, core_numa_node,
    spawn, usable_cores,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Yields, so that tests share a small machine.
fn config() -> ReactorConfig {
    ReactorConfig { idle: IdlePolicy::Yield, ..ReactorConfig::default() }
}

struct Call<F>(F);

impl<F: FnMut(&mut Turn<'_>) -> Progress> Poller for Call<F> {
    fn name(&self) -> &str {
        "call"
    }

    fn poll(&mut self, turn: &mut Turn<'_>) -> Progress {
        (self.0)(turn)
    }
}

fn affinity() -> Vec<usize> {
    let mask = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).filter(|&core| mask.is_set(core).unwrap()).collect()
}

#[test]
fn every_usable_core_can_be_pinned() {
    for core in usable_cores() {
        let (sender, receiver) = mpsc::channel();
        let handle = spawn(core, config(), move |r| {
            let thread = thread::current().name().unwrap().to_owned();
            sender.send((affinity(), thread, r.core()))?;
            r.request_stop();
            Ok(())
        })
        .unwrap();
        let name = format!("reactor_{core}");
        assert_eq!(receiver.recv().unwrap(), (vec![core], name.clone(), Some(core)));
        let stats = handle.join().unwrap();
        assert_eq!((stats.name, stats.core), (name, Some(core)));
    }
}

#[test]
fn a_core_that_does_not_exist_is_refused_with_the_list_of_those_that_do() {
    let cores = usable_cores();
    let beyond = cores.last().unwrap() + 1;
    for core in [beyond, usize::MAX] {
        let error = spawn(core, config(), |_| Ok(())).err().unwrap();
        assert!(matches!(error, ReactorError::CoreNotUsable { .. }));
        let text = error.to_string();
        let expected = format!("core {core} cannot be used: this process may run on cores ");
        assert!(text.starts_with(&expected), "{text}");
        assert!(text.contains(&cores[0].to_string()), "{text}");
    }
}

#[test]
fn every_usable_core_has_the_node_that_lists_it() {
    for core in usable_cores() {
        let Some(node) = core_numa_node(core) else {
            continue;
        };
        let path = format!("/sys/devices/system/node/node{node}/cpu{core}");
        assert!(fs::symlink_metadata(path).is_ok(), "node {node} does not list core {core}");
    }
}

#[test]
fn an_error_in_setup_comes_back_from_spawn() {
    let core = usable_cores()[0];
    let error = spawn(core, config(), |_| Err("no such device".into())).err().unwrap();
    assert_eq!(error.to_string(), format!("setting up reactor_{core}: no such device"));
}

#[test]
fn a_panic_in_setup_comes_back_from_spawn() {
    let core = usable_cores()[0];
    let error = spawn(core, config(), |_| panic!("boom {}", 1)).err().unwrap();
    assert_eq!(error.to_string(), format!("reactor_{core} panicked: boom 1"));
}

#[test]
fn a_panic_in_a_poller_is_named_at_join_and_stops_the_siblings() {
    let cores = usable_cores();
    let config = ReactorConfig { stop: StopToken::new(), ..config() };
    let sibling = spawn(*cores.last().unwrap(), config.clone(), |_| Ok(())).unwrap();
    let broken = spawn(cores[0], config, |r| {
        r.add_poller(Call(|_: &mut Turn<'_>| panic!("bad index")))?;
        Ok(())
    })
    .unwrap();
    let error = broken.join().unwrap_err();
    assert_eq!(error.to_string(), format!("reactor_{} panicked: bad index", cores[0]));
    sibling.join().unwrap();
}

#[test]
fn reactors_run_messages_and_stop_when_told() {
    let core = usable_cores()[0];
    let handle = spawn(core, config(), |_| Ok(())).unwrap();
    let (sender, receiver) = mpsc::channel();
    let mailbox = handle.mailbox();
    mailbox.send(move |r| sender.send(r.now()).unwrap()).unwrap();
    let at = receiver.recv_timeout(PATIENCE).unwrap();
    assert!(at <= reactor::Clock::new().now());
    assert!(!handle.is_finished());
    handle.stop();
    let stats = handle.join().unwrap();
    assert!(stats.turns > 0 && stats.busy_turns > 0);
    assert!(stats.undrained.is_empty());
    assert!(mailbox.send(|_| ()).is_err());
}

#[test]
fn one_token_stops_all() {
    let stop = StopToken::new();
    let handles: Vec<_> = usable_cores()
        .into_iter()
        .map(|core| {
            let config = ReactorConfig { stop: stop.clone(), ..config() };
            spawn(core, config, |_| Ok(())).unwrap()
        })
        .collect();
    stop.stop();
    for handle in handles {
        handle.join().unwrap();
    }
}

#[test]
fn a_dropped_handle_leaves_nothing_running() {
    let (sender, receiver) = mpsc::channel::<()>();
    let handle = spawn(usable_cores()[0], config(), move |r| {
        r.add_poller(Call(move |_: &mut Turn<'_>| {
            let _held = &sender;
            Progress::Idle
        }))?;
        Ok(())
    })
    .unwrap();
    drop(handle);
    assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

#[test]
fn timed_pollers_and_sleeps_follow_the_real_clock() {
    let began = Instant::now();
    let handle = spawn(usable_cores()[0], config(), |r| {
        let mut beats = 0;
        r.add_timed_poller(
            2_000_000,
            Call(move |turn: &mut Turn<'_>| {
                beats += 1;
                if beats == 5 {
                    turn.request_stop();
                }
                Progress::Busy
            }),
        )?;
        let local = r.local().clone();
        r.spawn_local(async move { local.sleep(Duration::from_millis(15)).await })?;
        Ok(())
    })
    .unwrap();
    let stats = handle.join().unwrap();
    assert!(began.elapsed() >= Duration::from_millis(15));
    let call = stats.pollers.iter().find(|poller| poller.name == "call").unwrap();
    assert!(call.calls >= 5);
    let busy: u64 = stats.pollers.iter().map(|poller| poller.busy_ns).sum();
    assert_eq!(busy, stats.busy_ns);
}

/// A field of `/proc/thread-self/stat`, by its number in proc(5).
fn stat_field(number: usize) -> i64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    after_name.split(' ').nth(number - 3).unwrap().parse().unwrap()
}

#[test]
fn scheduling_policies_take_effect_on_the_thread_alone() {
    const NICE: usize = 19;
    const POLICY: usize = 41;
    let before = (stat_field(NICE), stat_field(POLICY));
    let observe = |idle| {
        let (sender, receiver) = mpsc::channel();
        let config = ReactorConfig { idle, ..config() };
        let handle = spawn(usable_cores()[0], config, move |_| {
            sender.send((stat_field(NICE), stat_field(POLICY)))?;
            Ok(())
        });
        drop(handle.unwrap());
        receiver.recv().unwrap()
    };
    assert_eq!(observe(IdlePolicy::Nice(15)).0, 15);
    assert_eq!(observe(IdlePolicy::SchedIdle).1, i64::from(libc::SCHED_IDLE));
    assert_eq!(observe(IdlePolicy::SchedBatch).1, i64::from(libc::SCHED_BATCH));
    assert_eq!((stat_field(NICE), stat_field(POLICY)), before);
}

/// Gives up every capability, and with them the right to raise its priority above the usual one,
/// for the calling thread and what it starts.
fn drop_privileges() {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    // SAFETY: no memory is involved; 0 is the calling thread. Tests may be run at any priority.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) };
    assert_eq!(result, 0, "setpriority: {}", std::io::Error::last_os_error());
    let header = Header { version: VERSION_3, pid: 0 };
    let none = [[0_u32; 3]; 2];
    // SAFETY: both structures have capset(2)'s layout for version 3 and outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, &header, &none) };
    assert_eq!(result, 0, "capset: {}", std::io::Error::last_os_error());
}

#[test]
fn a_priority_that_is_not_permitted_is_refused_with_what_would_help() {
    let attempt = || {
        drop_privileges();
        let config = ReactorConfig { idle: IdlePolicy::Nice(-5), ..ReactorConfig::default() };
        spawn(usable_cores()[0], config, |_| Ok(())).err().unwrap().to_string()
    };
    let error = thread::spawn(attempt).join().unwrap();
    assert!(error.starts_with("idle policy nice:-5 on reactor_"), "{error}");
    assert!(error.contains("CAP_SYS_NICE or an RLIMIT_NICE (ulimit -e) of at least 25"), "{error}");
}
