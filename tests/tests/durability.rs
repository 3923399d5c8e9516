//! Data that was written unstable, and servers that restart and lose it: nothing that a Sync has
//! vouched for is ever lost, and what it has not is written again.

#![forbid(unsafe_code)]

use std::time::Duration;

use client::{Error, File, Op, Output};
use hugepages::Buffer;
use proptest::prelude::*;
use system_tests::{House, Plan, pattern};
use verbs::soft::FaultPlan;
use wire::nfs3::{StableHow, procedure};

const MS: u64 = 1_000_000;
const KIB: usize = 1024;
const BUFFER_LEN: u32 = 64 << 10;
/// Buffers of the caller's share.
const BUFFERS: usize = 64;

/// A target that loses unstable data, and room to keep so many writes.
fn plan(kept: u64) -> Plan {
    let mut plan = Plan::default();
    plan.transport.rpc_timeout_ns = 50 * MS;
    plan.transport.reconnect_min_ns = MS;
    plan.transport.reconnect_max_ns = 8 * MS;
    plan.transport.buffers.buffer_len = BUFFER_LEN;
    plan.transport.buffers.count = BUFFERS as u32;
    plan.uncommitted_max = kept * u64::from(BUFFER_LEN);
    plan.target.loses_unstable = true;
    plan
}

fn house(plan: Plan) -> (House, File) {
    let mut house = House::build(plan);
    let file = house.create("f");
    (house, file)
}

fn restart(house: &mut House) {
    let now = house.now();
    house.target.restart(now);
}

fn begin_write(house: &mut House, tag: u64, file: File, offset: u64, bytes: &[u8]) {
    let mut buffer = house.buffer();
    buffer[..bytes.len()].copy_from_slice(bytes);
    let len = bytes.len() as u32;
    house.submit(tag, Op::WriteBack { file, offset, len }, Some(buffer));
}

/// Takes all results, of which there are to be so many; everything was written.
fn written(house: &mut House, count: usize) {
    house.run_until(|house| house.done_count() == count);
    for done in house.take_done() {
        assert!(matches!(done.result, Ok(Output::Written { .. })), "{:?}", done.result);
        assert!(done.buffer.is_some());
    }
}

fn write(house: &mut House, file: File, offset: u64, bytes: &[u8]) {
    begin_write(house, 0, file, offset, bytes);
    house.run_until(|house| house.done_count() == 1);
    let done = house.take_done().remove(0);
    let whole = bytes.len() as u32;
    assert!(matches!(done.result, Ok(Output::Written { count, .. }) if count == whole));
    assert!(done.buffer.is_some());
}

fn sync(house: &mut House, file: File) -> Result<(), Error> {
    house.op(Op::Sync { file }, None).result.map(drop)
}

fn read(house: &mut House, file: File, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let part = (len - bytes.len()).min(BUFFER_LEN as usize) as u32;
        let buffer = house.buffer();
        let done = house.op(Op::Read { file, offset: bytes.len() as u64, len: part }, Some(buffer));
        let Ok(Output::Read { count, .. }) = done.result else { panic!("{:?}", done.result) };
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(done.data());
    }
    bytes
}

fn calls(house: &House, procedure: u32) -> u64 {
    house.target.stats().calls[procedure as usize].get()
}

/// Nothing is kept any more, and every buffer is where it belongs.
fn clean(house: &mut House, file: File) {
    house.run_for(Duration::from_millis(1));
    assert_eq!(house.client.uncommitted(house.mount, file), 0);
    assert_eq!(house.client.in_flight(house.mount), 0);
    let pool = house.client.pool(house.mount).unwrap();
    assert_eq!((pool.available(), pool.abandoned()), (pool.capacity(), 0));
    assert_eq!(house.fabric.violation_count(), 0);
}

#[test]
fn the_target_does_lose_what_the_bare_protocol_does_not_protect() {
    let (mut house, file) = house(plan(8));
    let buffer = house.filled(4096, 1);
    let op = Op::Write { file, offset: 0, len: 4096, stable: StableHow::Unstable };
    house.op(op, Some(buffer)).result.unwrap();
    restart(&mut house);
    house.op(Op::Commit { file, offset: 0, count: 0 }, None).result.unwrap();
    assert_eq!(read(&mut house, file, 4096), []);
}

#[test]
fn a_restart_between_write_and_commit_costs_nothing_but_time() {
    for len in [300, 3000, 4096, 64 * KIB] {
        let (mut house, file) = house(plan(8));
        let (one, two) = (pattern(len, 1), pattern(len, 2));
        write(&mut house, file, 0, &one);
        restart(&mut house);
        write(&mut house, file, len as u64, &two);
        assert_eq!(house.client.uncommitted(house.mount, file), 2 * len as u64);
        let before = calls(&house, procedure::WRITE);
        sync(&mut house, file).unwrap();
        assert_eq!(calls(&house, procedure::WRITE) - before, 1, "only what was lost");
        restart(&mut house);
        assert_eq!(read(&mut house, file, 2 * len), [one, two].concat());
        clean(&mut house, file);
    }
}

#[test]
fn a_restart_at_any_moment_of_the_commit_costs_nothing_but_time() {
    for moment in 0..60 {
        let (mut house, file) = house(plan(8));
        let bytes = pattern(100 * KIB, 1);
        write(&mut house, file, 0, &bytes[..50 * KIB]);
        write(&mut house, file, 50 * KIB as u64, &bytes[50 * KIB..]);
        house.submit(0, Op::Sync { file }, None);
        for _ in 0..moment {
            house.step();
        }
        let answered = house.done_count() > 0;
        restart(&mut house);
        house.run_until(|house| house.done_count() == 1);
        assert!(house.take_done()[0].result.is_ok());
        if answered {
            assert_eq!(calls(&house, procedure::WRITE), 2, "it was durable: nothing is repeated");
        }
        restart(&mut house);
        assert_eq!(read(&mut house, file, 100 * KIB), bytes, "restart after {moment} steps");
        clean(&mut house, file);
    }
}

#[test]
fn any_number_of_restarts_during_one_sync_ends_with_everything_durable() {
    for pause in [5, 17, 40, 200] {
        for restarts in [2, 3, 8] {
            let (mut house, file) = house(plan(16));
            let bytes = pattern(12 * 16 * KIB, 1);
            for (index, part) in bytes.chunks(16 * KIB).enumerate() {
                write(&mut house, file, (index * 16 * KIB) as u64, part);
            }
            restart(&mut house);
            house.submit(0, Op::Sync { file }, None);
            for _ in 0..restarts {
                (0..pause).for_each(|_| house.step());
                restart(&mut house);
            }
            house.run_until(|house| house.done_count() == 1);
            house.take_done().remove(0).result.unwrap();
            restart(&mut house);
            assert_eq!(read(&mut house, file, bytes.len()), bytes);
            clean(&mut house, file);
        }
    }
}

#[test]
fn a_server_whose_verifier_never_stays_the_same_is_asked_for_stable_writes() {
    let (mut house, file) = house(plan(8));
    write(&mut house, file, 0, &pattern(4096, 1));
    house.submit(0, Op::Sync { file }, None);
    let mut commits = 0;
    house.target.switch().set("change-verifier".parse().unwrap());
    while house.done_count() == 0 {
        house.step();
        if calls(&house, procedure::COMMIT) + calls(&house, procedure::WRITE) > commits {
            commits = calls(&house, procedure::COMMIT) + calls(&house, procedure::WRITE);
            house.target.switch().set("change-verifier".parse().unwrap());
        }
        assert!(commits < 20, "it goes round for ever");
    }
    house.take_done().remove(0).result.unwrap();
    restart(&mut house);
    assert_eq!(read(&mut house, file, 4096), pattern(4096, 1));
}

#[test]
fn overlapping_writes_that_were_lost_end_as_the_last_one_had_it() {
    let (mut house, file) = house(plan(16));
    let mut model = vec![0; 64 * KIB];
    let writes = [(0, 60), (10, 20), (12, 4), (58, 6), (0, 5), (30, 30), (10, 20), (2, 1), (63, 1)];
    for (seed, (at, len)) in writes.into_iter().enumerate() {
        if seed == 4 {
            restart(&mut house);
        }
        let bytes = pattern(len * KIB, seed as u64);
        model[at * KIB..(at + len) * KIB].copy_from_slice(&bytes);
        write(&mut house, file, (at * KIB) as u64, &bytes);
    }
    sync(&mut house, file).unwrap();
    restart(&mut house);
    assert!(read(&mut house, file, 64 * KIB) == model);
    clean(&mut house, file);
}

#[test]
fn a_block_that_was_overwritten_many_times_is_sent_again_once() {
    let (mut house, file) = house(plan(32));
    for seed in 0..10 {
        write(&mut house, file, 4096, &pattern(4096, seed));
    }
    restart(&mut house);
    sync(&mut house, file).unwrap();
    assert_eq!(calls(&house, procedure::WRITE), 11);
    assert_eq!(read(&mut house, file, 8192)[4096..], pattern(4096, 9));
    clean(&mut house, file);
}

#[test]
fn writes_during_a_recovery_wait_and_win_over_what_is_sent_again() {
    for moment in (0..120).step_by(3) {
        let (mut house, file) = house(plan(16));
        for part in 0..8 {
            write(&mut house, file, part * 8192, &pattern(8192, part));
        }
        restart(&mut house);
        house.submit(0, Op::Sync { file }, None);
        (0..moment).for_each(|_| house.step());
        let newer: Vec<_> = (0..8).map(|part| pattern(4096, 100 + part)).collect();
        for (part, bytes) in (0..8).zip(&newer) {
            begin_write(&mut house, 1 + part, file, part * 8192, bytes);
        }
        house.run_until(|house| house.done_count() == 9);
        assert!(house.take_done().iter().all(|done| done.result.is_ok()));
        sync(&mut house, file).unwrap();
        restart(&mut house);
        let bytes = read(&mut house, file, 64 * KIB);
        for (part, newer) in newer.iter().enumerate() {
            assert!(bytes[part * 8192..][..4096] == newer[..], "write {part} after {moment} steps");
            let older = pattern(8192, part as u64);
            assert!(bytes[part * 8192 + 4096..][..4096] == older[4096..]);
        }
        clean(&mut house, file);
    }
}

#[test]
fn a_bare_commit_of_a_part_releases_nothing_that_is_kept() {
    let (mut house, file) = house(plan(8));
    write(&mut house, file, 0, &pattern(8192, 1));
    let done = house.op(Op::Commit { file, offset: 0, count: 4096 }, None);
    done.result.unwrap();
    assert_eq!(house.client.uncommitted(house.mount, file), 8192);
    write(&mut house, file, 4096, &pattern(4096, 2));
    restart(&mut house);
    sync(&mut house, file).unwrap();
    restart(&mut house);
    let bytes = read(&mut house, file, 8192);
    assert_eq!(bytes[..4096], pattern(8192, 1)[..4096]);
    assert_eq!(bytes[4096..], pattern(4096, 2));
    clean(&mut house, file);
}

#[test]
fn a_server_that_takes_writes_in_parts_gets_all_of_them() {
    for len in [7, 3000, 10_001, 64 * KIB] {
        let (mut house, file) = house(plan(8));
        let bytes = pattern(len, 3);
        house.target.switch().set("short-write=2".parse().unwrap());
        write(&mut house, file, 0, &bytes);
        assert_eq!(calls(&house, procedure::WRITE), 3);
        assert!(read(&mut house, file, len) == bytes);
        restart(&mut house);
        house.target.switch().set("short-write=2".parse().unwrap());
        sync(&mut house, file).unwrap();
        assert_eq!(calls(&house, procedure::WRITE), 6);
        restart(&mut house);
        assert!(read(&mut house, file, len) == bytes);
        clean(&mut house, file);
    }
}

#[test]
fn a_restart_between_the_parts_of_a_write_loses_neither_part() {
    for moment in 0..60 {
        let (mut house, file) = house(plan(8));
        let bytes = pattern(40 * KIB, 4);
        house.target.switch().set("short-write=2".parse().unwrap());
        begin_write(&mut house, 0, file, 0, &bytes);
        (0..moment).for_each(|_| house.step());
        restart(&mut house);
        written(&mut house, 1);
        sync(&mut house, file).unwrap();
        restart(&mut house);
        assert!(read(&mut house, file, 40 * KIB) == bytes, "restart after {moment} steps");
        clean(&mut house, file);
    }
}

#[test]
fn an_error_of_a_write_that_is_sent_again_surfaces_at_fsync_and_the_next_tries_again() {
    for (status, errno) in [("NOSPC", 28), ("IO", 5)] {
        let (mut house, file) = house(plan(8));
        for part in 0..4 {
            write(&mut house, file, part * 4096, &pattern(4096, part));
        }
        restart(&mut house);
        let orders = format!("status={status}:WRITE:2");
        house.target.switch().set(orders.parse().unwrap());
        let error = sync(&mut house, file).unwrap_err();
        assert_eq!(error.errno(), errno, "{error}");
        assert_eq!(house.client.uncommitted(house.mount, file), 4 * 4096, "the data is still kept");
        sync(&mut house, file).unwrap();
        restart(&mut house);
        let expected: Vec<u8> = (0..4).flat_map(|part| pattern(4096, part)).collect();
        assert_eq!(read(&mut house, file, 4 * 4096), expected);
        clean(&mut house, file);
    }
}

#[test]
fn a_commit_that_fails_is_no_commit() {
    let (mut house, file) = house(plan(8));
    write(&mut house, file, 0, &pattern(4096, 1));
    house.target.switch().set("status=IO:COMMIT:1".parse().unwrap());
    assert_eq!(sync(&mut house, file).unwrap_err().errno(), 5);
    sync(&mut house, file).unwrap();
    assert_eq!(calls(&house, procedure::WRITE), 2, "what may have been dropped is sent again");
    restart(&mut house);
    assert_eq!(read(&mut house, file, 4096), pattern(4096, 1));
    clean(&mut house, file);
}

#[test]
fn a_failed_write_gives_its_buffer_back_as_it_was() {
    let (mut house, file) = house(plan(8));
    let bytes = pattern(10_000, 1);
    let buffer = house.filled(10_000, 1);
    house.target.switch().set("short-write=1".parse().unwrap());
    house.submit(0, Op::WriteBack { file, offset: 0, len: 10_000 }, Some(buffer));
    house.run_until(|house| calls(house, procedure::WRITE) == 1);
    house.target.switch().set("status=NOSPC:WRITE:1".parse().unwrap());
    house.run_until(|house| house.done_count() == 1);
    let done = house.take_done().remove(0);
    assert_eq!(done.result.unwrap_err().errno(), 28);
    assert_eq!(done.buffer.unwrap()[..10_000], bytes);
    clean(&mut house, file);
}

#[test]
fn with_uncommitted_max_reached_the_client_commits_by_itself() {
    for kept in [0, 1, 2, 5, 8] {
        let (mut house, file) = house(plan(kept));
        let bytes = pattern(64 * 4096, 5);
        for round in 0..8 {
            for part in 0..8 {
                let at = round * 8 + part;
                let from = at as usize * 4096;
                begin_write(&mut house, part, file, at * 4096, &bytes[from..from + 4096]);
            }
            written(&mut house, 8);
            let uncommitted = house.client.uncommitted(house.mount, file);
            assert!(uncommitted <= kept * 4096, "{uncommitted} bytes, room for {kept} writes");
            restart(&mut house);
        }
        let commits = calls(&house, procedure::COMMIT);
        assert!(commits > 0, "nobody has asked for one");
        sync(&mut house, file).unwrap();
        restart(&mut house);
        assert!(read(&mut house, file, bytes.len()) == bytes);
        clean(&mut house, file);
    }
}

#[test]
fn without_room_to_keep_anything_a_result_means_durable() {
    let (mut house, file) = house(plan(0));
    for part in 0..4 {
        write(&mut house, file, part * 4096, &pattern(4096, part));
        restart(&mut house);
    }
    assert_eq!(calls(&house, procedure::WRITE), 4);
    assert_eq!(read(&mut house, file, 4 * 4096).len(), 4 * 4096);
    clean(&mut house, file);
}

#[test]
fn a_dry_pool_makes_writes_wait_for_a_commit_and_nothing_else() {
    let (mut house, file) = house(plan(8));
    // Somebody takes all but four.
    let taken: Vec<_> = (0..BUFFERS + 4).map(|_| house.buffer()).collect();
    for round in 0..10 {
        for part in 0..4 {
            begin_write(&mut house, part, file, (round * 4 + part) * 4096, &pattern(4096, part));
        }
        written(&mut house, 4);
    }
    drop(taken);
    sync(&mut house, file).unwrap();
    clean(&mut house, file);
}

#[test]
fn memory_of_the_callers_own_comes_back_at_once_and_a_copy_is_kept() {
    let (mut house, file) = house(plan(2));
    let bytes = pattern(4096, 7);
    for part in 0..3 {
        let own = Buffer::from_vec(bytes.clone()).unwrap();
        let at = own.addr();
        let op = Op::WriteBack { file, offset: part * 4096, len: 4096 };
        let done = house.op(op, Some(own));
        done.result.unwrap();
        let mut own = done.buffer.unwrap();
        assert_eq!(own.addr(), at);
        own.fill(0);
        if part == 0 {
            restart(&mut house);
        }
    }
    sync(&mut house, file).unwrap();
    restart(&mut house);
    assert_eq!(read(&mut house, file, 3 * 4096), [&bytes[..], &bytes, &bytes].concat());
    clean(&mut house, file);
}

#[test]
fn room_taken_by_other_files_is_given_back() {
    let (mut house, _) = house(plan(8));
    let files: Vec<_> = (0..6).map(|n| house.create(&format!("f{n}"))).collect();
    for round in 0..5u64 {
        for file in &files {
            write(&mut house, *file, round * 4096, &pattern(4096, round));
        }
    }
    house.run_for(Duration::from_millis(1));
    let kept: u64 = files.iter().map(|file| house.client.uncommitted(house.mount, *file)).sum();
    assert!(kept <= 4 * 4096, "at most half stays: {kept}");
    for file in &files {
        sync(&mut house, *file).unwrap();
    }
    clean(&mut house, files[0]);
}

#[test]
fn a_lost_connection_is_no_lost_data() {
    let (mut house, file) = house(plan(32));
    let bytes = pattern(16 * 4096, 6);
    for (part, data) in bytes.chunks(4096).enumerate() {
        if part % 4 == 3 {
            let qp = house.client_qp();
            house.faults().set(qp, FaultPlan::new().disconnect_after(1));
            let connects = house.counters().connect_count;
            house.run_until(|house| {
                house.counters().connect_count > connects
                    || { house.done_count() > 0 }
                    || house.client.in_flight(house.mount) == 0
            });
        }
        write(&mut house, file, part as u64 * 4096, data);
    }
    let now = house.now();
    house.target.disconnect_all(now);
    sync(&mut house, file).unwrap();
    assert!(house.counters().connect_count > 2);
    let repeated = house.counters().retransmissions;
    let writes = calls(&house, procedure::WRITE);
    assert!(writes <= 16 + repeated, "the verifier is the same: {writes} writes");
    assert_eq!(calls(&house, procedure::COMMIT), 1);
    assert!(read(&mut house, file, bytes.len()) == bytes);
    clean(&mut house, file);
}

#[test]
fn several_syncs_share_a_commit() {
    let (mut house, file) = house(plan(8));
    write(&mut house, file, 0, &pattern(4096, 1));
    for tag in 0..10 {
        house.submit(tag, Op::Sync { file }, None);
    }
    house.run_until(|house| house.done_count() == 10);
    assert!(house.take_done().iter().all(|done| done.result.is_ok()));
    assert!(calls(&house, procedure::COMMIT) <= 2);
    clean(&mut house, file);
}

#[test]
fn unmounting_with_kept_data_returns_everybody_at_once() {
    let (mut house, file) = house(plan(4));
    let pool = house.client.pool(house.mount).unwrap().clone();
    for part in 0..4 {
        write(&mut house, file, part * 4096, &pattern(4096, part));
    }
    house.faults().reject_connects(u32::MAX, 8);
    restart(&mut house);
    for part in 0..8 {
        begin_write(&mut house, part, file, part * 4096, &pattern(4096, part));
    }
    house.submit(8, Op::Sync { file }, None);
    house.run_for(Duration::from_millis(5));
    house.unmount();
    assert_eq!(house.done_count(), 9);
    let done = house.take_done();
    assert!(done.iter().all(|done| done.result.is_err()));
    assert!(done.iter().all(|done| done.buffer.is_some() == (done.tag < 8)));
    drop(done);
    assert_eq!((pool.available(), pool.abandoned()), (pool.capacity(), 0));
}

/// A step of the property test.
#[derive(Clone, Debug)]
enum Act {
    Write { file: usize, at: usize, len: usize },
    Sync { file: usize },
    Restart,
    Disconnect,
    Steps(u32),
    Short(u32),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        10 => (0..2usize, 0..24usize, 1..9usize)
            .prop_map(|(file, at, len)| Act::Write { file, at, len }),
        2 => (0..2usize).prop_map(|file| Act::Sync { file }),
        2 => Just(Act::Restart),
        1 => Just(Act::Disconnect),
        4 => (0..40u32).prop_map(Act::Steps),
        1 => (1..3u32).prop_map(Act::Short),
    ]
}

const UNIT: usize = 512;
const FILE_LEN: usize = 32 * UNIT;

/// Bytes and, for each unit, which write is there: what may be found after a crash is told apart
/// by number.
struct Model {
    /// The last write of each unit, whether or not it has a result.
    last: Vec<u64>,
    /// As of the last successful Sync.
    synced: Vec<u64>,
}

fn unit_bytes(number: u64, unit: usize) -> Vec<u8> {
    match number {
        0 => vec![0; UNIT],
        _ => pattern(UNIT, number << 8 | unit as u64),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Writes, Syncs and restarts at any moment, several at a time: what a Sync has vouched for is
    /// there after any crash, or something newer; after the last Sync everything is.
    #[test]
    fn committed_data_is_always_there(acts in prop::collection::vec(act(), 1..60), kept in 0u64..12) {
        let (mut house, first) = house(plan(kept));
        let files = [first, house.create("g")];
        let mut models: Vec<_> = (0..2)
            .map(|_| Model { last: vec![0; 32], synced: vec![0; 32] })
            .collect();
        // Tags: writes count up; they carry the range that is busy.
        let mut busy: Vec<(u64, usize, usize, usize)> = Vec::new();
        let mut number = 0;
        for act in acts {
            match act {
                Act::Write { file, at, len } => {
                    let len = len.min(32 - at);
                    let clash = |&(_, f, a, l): &(u64, usize, usize, usize)| {
                        f == file && a < at + len && at < a + l
                    };
                    // Overlapping writes at the same time have no order.
                    while busy.iter().any(clash) {
                        house.step();
                        settle(&mut house, &mut busy);
                    }
                    number += 1;
                    let units = at..at + len;
                    let bytes: Vec<u8> =
                        units.clone().flat_map(|unit| unit_bytes(number, unit)).collect();
                    models[file].last[units].fill(number);
                    begin_write(&mut house, number, files[file], (at * UNIT) as u64, &bytes);
                    busy.push((number, file, at, len));
                }
                Act::Sync { file } => {
                    while !busy.is_empty() {
                        house.step();
                        settle(&mut house, &mut busy);
                    }
                    sync(&mut house, files[file]).unwrap();
                    models[file].synced = models[file].last.clone();
                }
                Act::Restart => restart(&mut house),
                Act::Disconnect => {
                    let now = house.now();
                    house.target.disconnect_all(now);
                }
                Act::Steps(steps) => (0..steps).for_each(|_| house.step()),
                Act::Short(count) => {
                    let orders = format!("short-write={count}");
                    house.target.switch().set(orders.parse().unwrap());
                }
            }
        }
        while !busy.is_empty() {
            house.step();
            settle(&mut house, &mut busy);
        }
        house.target.switch().set(Default::default());
        restart(&mut house);
        for (file, model) in files.into_iter().zip(&models) {
            let found = read(&mut house, file, FILE_LEN);
            for (unit, (&synced, &last)) in model.synced.iter().zip(&model.last).enumerate() {
                let bytes = found.get(unit * UNIT..(unit + 1) * UNIT);
                let bytes = bytes.map_or_else(|| vec![0; UNIT], <[u8]>::to_vec);
                let candidates: Vec<_> = (synced..=last).map(|n| unit_bytes(n, unit)).collect();
                // A short WRITE may be durable when the rest of the same write is lost.
                let known = (0..UNIT).all(|at| candidates.iter().any(|c| c[at] == bytes[at]));
                prop_assert!(known, "unit {unit}: neither what was synced nor anything newer");
            }
        }
        for (file, model) in files.into_iter().zip(&models) {
            sync(&mut house, file).unwrap();
            restart(&mut house);
            let mut found = read(&mut house, file, FILE_LEN);
            found.resize(FILE_LEN, 0);
            let expected: Vec<u8> =
                model.last.iter().enumerate().flat_map(|(at, &n)| unit_bytes(n, at)).collect();
            prop_assert!(found == expected, "after the last Sync everything is there");
        }
        clean(&mut house, files[0]);
    }
}

fn settle(house: &mut House, busy: &mut Vec<(u64, usize, usize, usize)>) {
    for done in house.take_done() {
        assert!(matches!(done.result, Ok(Output::Written { .. })), "{:?}", done.result);
        busy.retain(|(tag, ..)| *tag != done.tag);
    }
}
