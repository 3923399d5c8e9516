//! The seed's fault: the Reply overtakes the acknowledgement of the Send that asked for it.

#![forbid(unsafe_code)]

use std::time::Duration;

use client::{Op, Output};
use system_tests::{House, Plan, pattern};
use wire::nfs3::StableHow;

const BLOCK: usize = 4096;

/// Gathers 4 KiB inline; a small ring, so that it fills.
fn plan() -> Plan {
    let mut plan = Plan::default().inline(16 * 1024);
    plan.transport.max_requests = 8;
    plan
}

fn write(house: &mut House, file: client::File, index: u64) {
    let buffer = house.filled(BLOCK, index);
    let (offset, len) = (index * BLOCK as u64, BLOCK as u32);
    house.submit(index, Op::Write { file, offset, len, stable: StableHow::Unstable }, Some(buffer));
}

#[test]
fn a_reply_alone_returns_no_buffer_fills_the_ring_and_loses_nothing() {
    let mut house = House::build(plan());
    let file = house.create("f");
    let (pool, home) = (house.client.pool(house.mount).unwrap().capacity(), house.buffers_home());
    assert_eq!(pool, home);
    let qp = house.client_qp();
    house.faults().hold_acks(qp);

    let before = house.counters();
    for index in 0..40 {
        write(&mut house, file, index);
    }
    // Longer than the retransmission timeout: the NIC reads the lent memory again.
    house.run_for(Duration::from_millis(200));

    let held = house.counters();
    assert!(held.recvs > before.recvs, "Replies arrive all the while");
    assert_eq!(house.done_count(), 0, "but no RPC completes on its Reply alone");
    assert_eq!(house.buffers_home(), home - 40, "and no buffer comes back");
    assert_eq!(held.recvs - before.recvs, held.replies_before_send);
    assert!(held.empty_sendctx_q > 0, "the ring is full, and callers were parked for it: {held:?}");
    assert!(held.sends - before.sends < 40);

    house.faults().release_acks(qp);
    house.run_until(|house| house.done_count() == 40);
    let done = house.take_done();
    let order: Vec<u64> = done.iter().map(|done| done.tag).collect();
    assert_eq!(order, (0..40).collect::<Vec<_>>(), "all complete, in order");
    assert!(done.iter().all(|done| done.result.is_ok() && done.buffer.is_some()));
    drop(done);
    assert_eq!(house.buffers_home(), home, "every buffer is home");
    assert_eq!(house.fabric.violation_count(), 0, "nothing changed under the NIC's eyes");
    assert!(house.fabric.retransmissions() > 0, "although it looked again");

    for index in 0..40 {
        let buffer = house.buffer();
        let (offset, len) = (index * BLOCK as u64, BLOCK as u32);
        let done = house.op(Op::Read { file, offset, len }, Some(buffer));
        assert_eq!(done.data(), pattern(BLOCK, index));
    }
}

#[test]
fn a_header_slot_is_not_reused_while_its_send_is_retried() {
    let mut plan = plan();
    plan.transport.max_requests = 2;
    let mut house = House::build(plan);
    let file = house.create("f");
    let qp = house.client_qp();
    house.faults().hold_acks(qp);
    // GETATTR gathers nothing and so completes on its Reply; its Send still owns the header.
    let mut completed = 0;
    for tag in 0..32 {
        house.submit(tag, Op::Getattr { file }, None);
        house.run_for(Duration::from_millis(100));
        completed += house.take_done().len();
    }
    assert!(completed > 2, "calls complete while their Sends are out: {completed}");
    assert!(completed < 32, "until every slot is pinned");
    assert!(house.fabric.retransmissions() > 0);
    assert_eq!(house.fabric.violation_count(), 0, "no header changed while its Send was retried");
    house.faults().release_acks(qp);
    house.run_until(|house| house.done_count() == 32 - completed);
    assert!(house.take_done().iter().all(|done| done.result.is_ok()));
}

/// The proof that the test above can fail: the kernel initiators' mistake, planted.
#[test]
fn without_the_rule_the_fabric_sees_the_corruption() {
    let mut plan = plan();
    plan.transport.planted.fault = Some(rpcrdma::Fault::ReleaseOnReply);
    let mut house = House::build(plan);
    let file = house.create("f");
    let qp = house.client_qp();
    house.faults().hold_acks(qp);
    write(&mut house, file, 0);
    house.run_until(|house| house.done_count() == 1);
    let mut buffer = house.take_done().remove(0).buffer.expect("released by the planted fault");
    buffer[..BLOCK].fill(0x5a);
    house.run_for(Duration::from_millis(500));
    assert!(house.fabric.violation_count() > 0, "the retransmission read the caller's new bytes");
}

#[test]
fn a_lost_acknowledgement_is_survived_by_every_path() {
    for inline in [4096, 16 * 1024] {
        let mut house = House::build(Plan::default().inline(inline));
        let file = house.create("f");
        for round in 0..20 {
            let qp = house.client_qp();
            house.faults().drop_acks(qp, 2);
            let buffer = house.filled(BLOCK, round);
            let op = Op::Write {
                file,
                offset: round * BLOCK as u64,
                len: BLOCK as u32,
                stable: StableHow::FileSync,
            };
            let written = house.op(op, Some(buffer));
            assert!(matches!(written.result, Ok(Output::Written { .. })), "{:?}", written.result);
            let mut buffer = written.buffer.unwrap();
            buffer.fill(0);
            let op = Op::Read { file, offset: round * BLOCK as u64, len: BLOCK as u32 };
            let read = house.op(op, Some(buffer));
            assert_eq!(read.data(), pattern(BLOCK, round));
        }
        assert_eq!(house.fabric.violation_count(), 0);
    }
}
