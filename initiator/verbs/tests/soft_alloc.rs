//! Once a pair is connected, messages allocate nothing, on any path.

#[path = "contract/ends.rs"]
#[allow(dead_code, reason = "shared with the contract tests, which use all of it")]
mod ends;

use ends::{Pair, recv, send, unsignaled, write};
use verbs::soft::{Clock, SoftFabric, SoftWindow};
use verbs::{
    Access, Bind, Completion, CompletionQueue, Connection, MemoryWindow, Op, ProtectionDomain,
    SendWr, WindowAccess, next_rkey,
};

/// An exchange as an RPC with a Write chunk makes it: a key and a call, data, a reply that ends the
/// key.
fn exchange(
    pair: &mut Pair<SoftFabric>,
    window: &SoftWindow,
    call: &ends::Memory<SoftFabric>,
    reply: &ends::Memory<SoftFabric>,
    id: u64,
) {
    let mut batch = [Completion::default(); 8];
    pair.active.post_recv(&[recv(id, call.sge(512, 256))]).unwrap();
    pair.passive.post_recv(&[recv(id, reply.sge(512, 256))]).unwrap();
    let sges = [call.sge(0, 64), call.sge(64, 64)];
    let asks = if id % 4 == 3 { send(id, &sges) } else { unsignaled(id, &sges) };
    let rkey = next_rkey(window.rkey());
    let lends = Bind {
        window: window.handle(),
        region: call.handle(),
        new_rkey: rkey,
        addr: call.addr() + 768,
        length: 256,
        access: WindowAccess::WRITE,
    };
    let lends = Op::BindWindow(&lends);
    pair.active.post_send(&[SendWr { op: lends, ..unsignaled(id, &[]) }, asks]).unwrap();
    assert_eq!(pair.passive.cq.poll(&mut batch), Ok(1));
    let (data, answer) = ([reply.sge(0, 256)], [reply.sge(256, 64)]);
    let place = write(id, &data, call.addr() + 768, rkey);
    let answer = SendWr { op: Op::SendWithInvalidate { rkey }, ..send(id, &answer) };
    pair.passive.post_send(&[place, answer]).unwrap();
    while pair.passive.cq.poll(&mut batch).unwrap() > 0 {}
    while pair.active.cq.poll(&mut batch).unwrap() > 0 {}
}

#[test]
fn steady_traffic_allocates_nothing() {
    let fabric = SoftFabric::new(Clock::virtual_time());
    let mut pair = Pair::new(&fabric, [127, 0, 0, 1].into());
    let call = pair.active.memory(1024, Access::BINDABLE);
    let window = pair.active.domain.new_window().unwrap();
    let reply = pair.passive.memory(1024, Access::LOCAL);
    for phase in ["plain", "late", "lost"] {
        let qp = pair.active.connection.qp_num();
        match phase {
            "late" => fabric.faults().amend(qp, |plan| plan.ack_delay_ns(1)),
            "lost" => fabric.faults().amend(qp, |plan| plan.drop_acks(u32::MAX)),
            _ => {}
        }
        // Lost acknowledgements free no Send Queue entries.
        let count = if phase == "lost" { 30 } else { 100_000 };
        exchange(&mut pair, &window, &call, &reply, 0);
        let started = std::time::Instant::now();
        let allocations = allocation_counter::measure(|| {
            for id in 1..=count {
                exchange(&mut pair, &window, &call, &reply, id);
                fabric.advance(1);
            }
        });
        let each_ns = started.elapsed().as_nanos() / u128::from(count);
        assert_eq!(allocations.count_total, 0, "while acknowledgements are {phase}");
        println!("{phase}: {each_ns} ns an exchange of three messages");
    }
    assert_eq!(fabric.violations(), []);
}
