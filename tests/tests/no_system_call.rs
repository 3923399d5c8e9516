//! The path with traffic makes no system call: shown by a process that would not survive one.
//!
//! The test runs itself once more for each kind of traffic. There it warms up, then puts its thread
//! under a seccomp filter by which the kernel ends the process at a system call, and goes on for
//! ten thousand RPCs: reactor, client, in-process fabric and target, turn after turn.
#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::rc::Rc;

use client::{File, Op, Submission};
use hugepages::Buffer;
use reactor::{Clock, Poller, Progress, Reactor, ReactorConfig, Turn};
use system_tests::{House, Plan};
use wire::nfs3::StableHow;

/// Says to the process that is run what to do.
const TRAFFIC: &str = "INITIATOR_TEST_TRAFFIC";
const WARM_UP: u64 = 2_000;
const RPCS: u64 = 10_000;

/// Keeps 32 operations in flight.
struct Traffic {
    house: House,
    file: File,
    op: fn(File, u64) -> Op,
    buffers: Vec<Buffer>,
    submitted: u64,
    completed: Rc<Cell<u64>>,
}

impl Traffic {
    fn prepare(inline: u32, op: fn(File, u64) -> Op) -> Self {
        let mut house = House::build(Plan::default().inline(inline));
        let file = house.create("f");
        let buffer = house.filled(65_536, 1);
        let fill = Op::Write { file, offset: 0, len: 65_536, stable: StableHow::FileSync };
        assert!(house.op(fill, Some(buffer)).result.is_ok());
        let buffers = (0..32).map(|_| house.buffer()).collect();
        Self { house, file, op, buffers, submitted: 0, completed: Rc::default() }
    }
}

impl Poller for Traffic {
    fn name(&self) -> &str {
        "traffic"
    }

    fn poll(&mut self, _turn: &mut Turn<'_>) -> Progress {
        let house = &mut self.house;
        let now = reactor::Timestamp(house.fabric.advance(1_000));
        while let Some(buffer) = self.buffers.pop() {
            let op = (self.op)(self.file, self.submitted);
            let submission = Submission { tag: 0, op, buffer: Some(buffer), pieces: None };
            assert!(house.client.submit(house.mount, submission, now).is_ok());
            self.submitted += 1;
        }
        house.client.turn(now);
        house.target.poll(now);
        while let Some(done) = house.client.next_done(house.mount) {
            assert!(done.result.is_ok(), "{:?}", done.result);
            self.buffers.extend(done.buffer);
            self.completed.set(self.completed.get() + 1);
        }
        Progress::Busy
    }
}

/// What the process that is run does; it ends here.
fn run_under_the_filter(traffic: &str) -> ! {
    const fn at(i: u64) -> u64 {
        i % 16 * 4096
    }
    let (inline, op): (u32, fn(File, u64) -> Op) = match traffic {
        "read-chunk" | "yield" => (4096, |file, i| Op::Read { file, offset: at(i), len: 4096 }),
        "read-inline" => (16_384, |file, i| Op::Read { file, offset: at(i), len: 4096 }),
        "write-chunk" => (4096, |file, i| Op::Write {
            file,
            offset: at(i),
            len: 4096,
            stable: StableHow::Unstable,
        }),
        "write-gathered" => (16_384, |file, i| Op::Write {
            file,
            offset: at(i),
            len: 4096,
            stable: StableHow::Unstable,
        }),
        "getattr" => (4096, |file, _| Op::Getattr { file }),
        other => panic!("no such traffic: {other}"),
    };
    let yields = traffic == "yield";
    let traffic = Traffic::prepare(inline, op);
    let completed = Rc::clone(&traffic.completed);
    let mut reactor = Reactor::new("test", ReactorConfig::default()).expect("a reactor");
    reactor.add_poller(traffic).expect("there is room");
    let clock = Clock::new();
    while completed.get() < WARM_UP {
        reactor.turn(clock.now());
    }
    forbid_system_calls();
    while completed.get() < WARM_UP + RPCS {
        reactor.turn(clock.now());
        if yields {
            std::thread::yield_now();
        }
    }
    // SAFETY: ends the process, whatever its other threads are at.
    unsafe { libc::_exit(0) }
}

/// Any system call of this thread from here on ends the process by SIGSYS, except its own end, and
/// except the look that the target takes at its MOUNT port every now and then, by the clock.
fn forbid_system_calls() {
    let number = std::mem::offset_of!(libc::seccomp_data, nr) as u32;
    let word = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        word(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, number),
        word(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, libc::SYS_exit_group as u32),
        word(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_accept4 as u32),
        word(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        word(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the first takes numbers only; the second reads the program, which outlives the call.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(set, "no seccomp filter: {}", std::io::Error::last_os_error());
}

/// Runs this test in a process of its own, with this traffic. The signal that ended it, if one did.
fn run(test: &str, traffic: &str) -> Option<i32> {
    let itself = std::env::current_exe().expect("it has a path");
    let ran = Command::new(itself).args(["--exact", test]).env(TRAFFIC, traffic).output();
    let ran = ran.expect("it can be run");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() || ran.status.signal().is_some(), "{traffic}: {said}");
    ran.status.signal()
}

#[test]
fn ten_thousand_rpcs_of_each_kind_make_no_system_call() {
    const TEST: &str = "ten_thousand_rpcs_of_each_kind_make_no_system_call";
    if let Ok(traffic) = std::env::var(TRAFFIC) {
        run_under_the_filter(&traffic);
    }
    for traffic in ["read-chunk", "read-inline", "write-chunk", "write-gathered", "getattr"] {
        assert_eq!(run(TEST, traffic), None, "{traffic}: a system call was made");
    }
}

#[test]
fn a_single_system_call_on_the_path_would_be_noticed() {
    const TEST: &str = "a_single_system_call_on_the_path_would_be_noticed";
    if let Ok(traffic) = std::env::var(TRAFFIC) {
        run_under_the_filter(&traffic);
    }
    assert_eq!(run(TEST, "yield"), Some(libc::SIGSYS));
}
