//! Memory of the caller's own: registered when it is first lent, kept registered, never let go
//! while something refers to it.

#![forbid(unsafe_code)]

use client::{File, Op, Output};
use hugepages::Buffer;
use rpcrdma::Registration;
use system_tests::{House, Plan, pattern};
use wire::nfs3::StableHow;

const LEN: usize = 20_001;

fn house(registration: Registration, change: impl FnOnce(&mut Plan)) -> (House, File) {
    let mut plan = Plan::default();
    plan.transport.registration = Some(registration);
    plan.transport.reconnect_min_ns = 1_000_000;
    change(&mut plan);
    let mut house = House::build(plan);
    let file = house.create("f");
    (house, file)
}

fn memory(len: usize, seed: u64) -> Buffer {
    Buffer::from_vec(pattern(len, seed)).unwrap()
}

fn write_op(file: File, offset: u64, len: usize) -> Op {
    Op::Write { file, offset, len: len as u32, stable: StableHow::Unstable }
}

fn write(house: &mut House, file: File, buffer: Buffer) -> Buffer {
    let op = write_op(file, 0, buffer.len());
    let done = house.op(op, Some(buffer));
    assert!(matches!(done.result, Ok(Output::Written { .. })), "{:?}", done.result);
    done.buffer.expect("it comes back")
}

fn read(house: &mut House, file: File, mut buffer: Buffer) -> Buffer {
    buffer.fill(0);
    let op = Op::Read { file, offset: 0, len: buffer.len() as u32 };
    let done = house.op(op, Some(buffer)).in_buffer();
    assert!(matches!(done.result, Ok(Output::Read { .. })), "{:?}", done.result);
    done.buffer.expect("it comes back")
}

const BOTH: [Registration; 2] = [Registration::Static, Registration::Window];

#[test]
fn the_first_use_registers_the_second_does_not() {
    for registration in BOTH {
        let (mut house, file) = house(registration, |_| ());
        let buffer = write(&mut house, file, memory(LEN, 1));
        assert_eq!(house.counters().own_regions_registered, 1);
        assert_eq!(house.counters().hardway_register_count, LEN as u64);
        let mut buffer = read(&mut house, file, buffer);
        assert!(buffer[..] == pattern(LEN, 1));
        for seed in 2..20 {
            buffer.copy_from_slice(&pattern(LEN, seed));
            buffer = write(&mut house, file, buffer);
            buffer = read(&mut house, file, buffer);
            assert!(buffer[..] == pattern(LEN, seed));
        }
        assert_eq!(house.counters().own_regions_registered, 1);
        assert_eq!(house.fabric.violation_count(), 0);
        let buffer = buffer.into_vec().expect_err("the mount has it registered");
        assert!(house.client.deregister(house.mount, &buffer));
        assert!(buffer.into_vec().unwrap() == pattern(LEN, 19));
    }
}

#[test]
fn memory_that_is_only_copied_is_not_registered() {
    let (mut house, file) = house(Registration::Window, |_| ());
    let buffer = write(&mut house, file, memory(100, 1));
    let buffer = read(&mut house, file, buffer);
    assert_eq!(buffer.into_vec().unwrap(), pattern(100, 1));
    assert_eq!(house.counters().own_regions_registered, 0);
}

#[test]
fn a_whole_mebibyte_of_it_in_one_call() {
    for registration in BOTH {
        let (mut house, file) = house(registration, |_| ());
        let buffer = write(&mut house, file, memory(1 << 20, 1));
        let buffer = read(&mut house, file, buffer);
        assert!(buffer[..] == pattern(1 << 20, 1));
        assert_eq!(house.counters().read_chunk_count, 1);
    }
}

#[test]
fn the_longest_unused_is_given_up_and_calls_wait_while_all_are_in_use() {
    for registration in BOTH {
        let (mut house, file) = house(registration, |plan| plan.transport.own_regions_max = 8);
        for tag in 0..40 {
            let buffer = memory(LEN, tag);
            house.submit(tag, write_op(file, tag * LEN as u64, LEN), Some(buffer));
        }
        house.run_until(|house| house.done_count() == 40);
        let counters = house.counters();
        assert!(counters.own_region_waits > 0, "more than eight were wanted at once");
        assert_eq!(counters.own_regions_registered, 40);
        assert!(counters.own_regions_evicted >= 32 - 8, "{counters:?}");
        let done = house.take_done();
        assert!(done.iter().all(|done| done.result.is_ok() && done.buffer.is_some()));
        drop(done);
        for tag in 0..40 {
            let op = Op::Read { file, offset: tag * LEN as u64, len: LEN as u32 };
            let done = house.op(op, Some(memory(LEN, 99))).in_buffer();
            assert!(done.buffer.unwrap()[..] == pattern(LEN, tag), "{tag}");
        }
        assert_eq!(house.fabric.violation_count(), 0);
    }
}

#[test]
fn registrations_outlive_lost_connections_but_not_their_device() {
    for registration in BOTH {
        let (mut house, file) = house(registration, |_| ());
        let mut buffer = write(&mut house, file, memory(LEN, 1));
        for round in 1..10 {
            let qp = house.client_qp();
            house.faults().set(qp, verbs::soft::FaultPlan::new().disconnect_after(round % 3 + 1));
            for _ in 0..3 {
                buffer = read(&mut house, file, buffer);
                assert!(buffer[..] == pattern(LEN, 1));
            }
        }
        let counters = house.counters();
        assert!(counters.connect_count > 5 && counters.retransmissions > 5, "{counters:?}");
        assert_eq!(counters.own_regions_registered, 1, "the domain is still the same");

        let removed = house.faults().remove_device().expect("there is one");
        let op = Op::Read { file, offset: 0, len: LEN as u32 };
        house.submit(1, op, Some(buffer));
        house.run_for(std::time::Duration::from_millis(1));
        house.faults().add_device();
        house.run_until(|house| house.done_count() == 1);
        let done = house.take_done().remove(0).in_buffer();
        assert!(done.result.is_ok(), "{:?}", done.result);
        let buffer = done.buffer.unwrap();
        assert!(buffer[..] == pattern(LEN, 1));
        assert_eq!(house.counters().own_regions_registered, 2, "the next device knows it not");
        drop(removed);
        assert_eq!(house.fabric.violation_count(), 0);
        house.unmount();
        assert!(buffer.into_vec().is_ok(), "nothing is registered any more");
    }
}

#[test]
fn gathered_memory_comes_back_and_is_let_go_only_after_its_send() {
    let (mut house, file) = house(Registration::Window, |plan| {
        *plan = plan.clone().inline(16_384);
        plan.transport.own_regions_max = 8;
    });
    let qp = house.client_qp();
    house.faults().hold_acks(qp);
    let region = memory(3000, 1);
    house.submit(1, write_op(file, 0, 3000), Some(region));
    house.run_for(std::time::Duration::from_millis(100));
    assert_eq!(house.done_count(), 0, "the Reply alone returns nothing");
    // Eight more want a registration; the one that the Send reads is not given up for them.
    for tag in 2..10 {
        house.submit(tag, write_op(file, tag * 3000, 3000), Some(memory(3000, tag)));
    }
    house.run_for(std::time::Duration::from_millis(100));
    let counters = house.counters();
    assert_eq!((counters.own_regions_registered, counters.own_regions_evicted), (8, 0));
    assert!(counters.own_region_waits > 0);
    house.faults().release_acks(qp);
    house.run_until(|house| house.done_count() == 9);
    let done = house.take_done();
    assert!(done.iter().all(|done| done.result.is_ok()));
    assert!(done[0].buffer.as_ref().unwrap()[..] == pattern(3000, 1));
    assert_eq!(house.fabric.violation_count(), 0, "nothing changed under the NIC's eyes");
    assert!(house.fabric.retransmissions() > 0);
}

#[test]
fn memory_that_its_owner_dropped_is_let_go() {
    let (mut house, file) = house(Registration::Window, |_| ());
    let buffer = write(&mut house, file, memory(LEN, 1));
    let watched = std::rc::Rc::downgrade(buffer.region());
    drop(buffer);
    assert!(watched.upgrade().is_some(), "it is registered still");
    house.run_for(std::time::Duration::from_millis(5));
    assert!(watched.upgrade().is_none(), "but not for long");
}
