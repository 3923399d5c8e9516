//! Once a pair is connected, messages allocate nothing, on any path.

#[path = "contract/ends.rs"]
#[allow(dead_code, reason = "shared with the contract tests, which use all of it")]
mod ends;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ends::{Pair, recv, send, unsignaled, write};
use verbs::soft::{Clock, SoftFabric};
use verbs::{Access, Completion, CompletionQueue, Connection};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: passes everything on to the system's allocator; the counter is a plain thread-local cell.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `alloc` above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// An exchange as an RPC with a Write chunk makes it: a call, data, a reply.
fn exchange(
    pair: &mut Pair<SoftFabric>,
    call: &ends::Memory<SoftFabric>,
    reply: &ends::Memory<SoftFabric>,
    id: u64,
) {
    let mut batch = [Completion::default(); 8];
    pair.active.post_recv(&[recv(id, call.sge(512, 256))]).unwrap();
    pair.passive.post_recv(&[recv(id, reply.sge(512, 256))]).unwrap();
    let sges = [call.sge(0, 64), call.sge(64, 64)];
    let asks = if id % 4 == 3 { send(id, &sges) } else { unsignaled(id, &sges) };
    pair.active.post_send(&[asks]).unwrap();
    assert_eq!(pair.passive.cq.poll(&mut batch), Ok(1));
    let (data, answer) = ([reply.sge(0, 256)], [reply.sge(256, 64)]);
    let place = write(id, &data, call.addr() + 768, call.rkey());
    pair.passive.post_send(&[place, send(id, &answer)]).unwrap();
    while pair.passive.cq.poll(&mut batch).unwrap() > 0 {}
    while pair.active.cq.poll(&mut batch).unwrap() > 0 {}
}

#[test]
fn steady_traffic_allocates_nothing() {
    let fabric = SoftFabric::new(Clock::virtual_time());
    let mut pair = Pair::new(&fabric, [127, 0, 0, 1].into());
    let call = pair.active.memory(1024, Access::REMOTE);
    let reply = pair.passive.memory(1024, Access::LOCAL);
    for phase in ["plain", "late", "lost"] {
        let qp = pair.active.connection.qp_num();
        match phase {
            "late" => fabric.faults().amend(qp, |plan| plan.ack_delay_ns(1)),
            "lost" => fabric.faults().amend(qp, |plan| plan.drop_acks(u32::MAX)),
            _ => {}
        }
        let count = if phase == "lost" { 40 } else { 100_000 };
        exchange(&mut pair, &call, &reply, 0);
        let before = ALLOCATIONS.with(Cell::get);
        let started = std::time::Instant::now();
        for id in 1..=count {
            exchange(&mut pair, &call, &reply, id);
            fabric.advance(1);
        }
        let each_ns = started.elapsed().as_nanos() / u128::from(count);
        assert_eq!(ALLOCATIONS.with(Cell::get), before, "while acknowledgements are {phase}");
        println!("{phase}: {each_ns} ns an exchange of three messages");
    }
    assert_eq!(fabric.violations(), []);
}
