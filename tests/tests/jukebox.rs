//! A server that is not ready (NFS3ERR_JUKEBOX, RFC 1813 §2.6): whatever was asked is asked again,
//! as a new call, and its memory comes back once and right.

#![forbid(unsafe_code)]

use std::time::Duration;

use client::{Error, File, Op, Output, Piece, Pieces};
use hugepages::Buffer;
use rpcrdma::{Recovery, Registration};
use system_tests::{House, Plan, pattern};
use wire::nfs3::{CreateHow, Sattr, StableHow, procedure};

const MS: u64 = 1_000_000;
const WAIT_NS: u64 = 5 * MS;

fn plan() -> Plan {
    let mut plan = Plan { jukebox_wait_ns: WAIT_NS, ..Plan::default() };
    plan.transport.rpc_timeout_ns = 10 * MS;
    plan.transport.reconnect_min_ns = MS;
    plan.uncommitted_max = 8 * u64::from(plan.transport.buffers.buffer_len);
    plan.target.loses_unstable = true;
    plan
}

fn house(plan: Plan) -> (House, File) {
    let mut house = House::build(plan);
    let file = house.create("f");
    (house, file)
}

fn order(house: &House, orders: &str) {
    house.target.switch().set(orders.parse().unwrap());
}

fn waits(house: &House) -> u64 {
    house.client.jukebox_waits(house.mount)
}

/// Every buffer is home, nothing waits, nothing was touched while it was somebody else's.
fn clean(house: &mut House) {
    house.run_for(Duration::from_millis(1));
    assert_eq!(house.client.in_flight(house.mount), 0);
    let pool = house.client.pool(house.mount).unwrap();
    assert_eq!((pool.available(), pool.abandoned()), (pool.capacity(), 0));
    assert_eq!(house.fabric.violation_count(), 0);
}

fn write(house: &mut House, file: File, bytes: &[u8]) -> Output {
    let mut buffer = house.buffer();
    buffer[..bytes.len()].copy_from_slice(bytes);
    let (len, stable) = (bytes.len() as u32, StableHow::Unstable);
    let done = house.op(Op::Write { file, offset: 0, len, stable }, Some(buffer));
    let buffer = done.buffer.expect("it comes back");
    assert!(buffer[..bytes.len()] == *bytes, "it is what was given");
    done.result.unwrap()
}

fn read(house: &mut House, file: File, len: u32) -> Vec<u8> {
    let mut buffer = house.buffer();
    buffer.fill(0xee);
    let done = house.op(Op::Read { file, offset: 0, len }, Some(buffer));
    assert!(matches!(done.result, Ok(Output::Read { count, .. }) if count == len));
    assert!(done.buffer.is_some(), "it comes back");
    done.data().to_vec()
}

#[test]
fn every_operation_is_asked_again_until_the_server_is_ready() {
    let (mut house, file) = house(plan());
    let dir = house.client.root(house.mount).unwrap();
    let name = || "g".to_owned();
    let (stable, how) = (StableHow::Unstable, CreateHow::Guarded(Sattr::default()).into());
    let operations = [
        ("GETATTR", Op::Getattr { file }),
        ("SETATTR", Op::Setattr { file, attributes: Box::default() }),
        ("LOOKUP", Op::Lookup { dir, name: "f".into() }),
        ("ACCESS", Op::Access { file, access: 1 }),
        ("WRITE", Op::Write { file, offset: 0, len: 9000, stable }),
        ("READ", Op::Read { file, offset: 0, len: 9000 }),
        ("WRITE", Op::WriteBack { file, offset: 0, len: 9000 }),
        ("COMMIT", Op::Sync { file }),
        ("COMMIT", Op::Commit { file, offset: 0, count: 0 }),
        ("CREATE", Op::Create { dir, name: name(), how }),
        ("REMOVE", Op::Remove { dir, name: name() }),
        ("MKDIR", Op::Mkdir { dir, name: name(), attributes: Box::default() }),
        ("RMDIR", Op::Rmdir { dir, name: name() }),
        ("FSINFO", Op::Fsinfo { file }),
        ("FSSTAT", Op::Fsstat { file }),
        ("READDIRPLUS", Op::Readdirplus { dir, cookie: 0, verifier: [0; 8] }),
        ("LOOKUP", Op::Open { path: "f".into(), create: None }),
        ("CREATE", Op::Open { path: "h".into(), create: Some(0o644) }),
        ("GETATTR", Op::Open { path: String::new(), create: None }),
    ];
    for (procedure, op) in operations {
        let (waited, start) = (waits(&house), house.now());
        order(&house, &format!("status=JUKEBOX:{procedure}:3"));
        let buffer = house.filled(9000, 1);
        let done = house.op(op.clone(), Some(buffer));
        assert!(done.result.is_ok(), "{op:?}: {:?}", done.result);
        assert!(done.buffer.is_some(), "{op:?}: the buffer comes back");
        assert_eq!(waits(&house) - waited, 3, "{op:?}");
        assert!(house.now().ns_since(start) >= 3 * WAIT_NS, "{op:?}: it was not asked too soon");
    }
    assert_eq!(read(&mut house, file, 9000), pattern(9000, 1));
    // The same XID would have had the same answer for ever, where a server caches replies.
    assert_eq!(house.target.stats().calls_repeated.get(), 0);
    assert_eq!((house.counters().connect_count, house.counters().retransmissions), (1, 0));
    clean(&mut house);
}

#[test]
fn data_is_right_by_every_way_after_the_server_was_not_ready() {
    for registration in [Registration::Window, Registration::Static] {
        let mut plan = plan();
        plan.transport.registration = Some(registration);
        let (mut house, file) = house(plan);
        for (len, seed) in [(300, 1), (3000, 2), (4096, 3), (131_072, 4)] {
            order(&house, "status=JUKEBOX:WRITE:2,status=JUKEBOX:READ:2");
            let data = pattern(len, seed);
            let written = write(&mut house, file, &data);
            assert!(matches!(written, Output::Written { count, .. } if count == len as u32));
            assert_eq!(read(&mut house, file, len as u32), data, "{len} bytes");
        }
        assert_eq!(waits(&house), 16);
        clean(&mut house);
    }
}

#[test]
fn own_memory_and_pieces_wait_with_their_operation() {
    for registration in [Registration::Window, Registration::Static] {
        let mut plan = plan();
        plan.transport.registration = Some(registration);
        let (mut house, file) = house(plan);
        order(&house, "status=JUKEBOX:WRITE:2,status=JUKEBOX:READ:2");
        let data = pattern(20_001, 7);
        let (head, tail) = data.split_at(777);
        let mut first = house.buffer();
        first[5..5 + 777].copy_from_slice(head);
        let second = Buffer::from_vec(tail.to_vec()).unwrap();
        let len = tail.len() as u32;
        let pieces = Pieces::new([Piece::new(first, 5, 777), Piece::new(second, 0, len)]).unwrap();
        let (len, stable) = (data.len() as u32, StableHow::Unstable);
        let done = house.op_vectored(Op::Write { file, offset: 0, len, stable }, pieces);
        assert!(matches!(done.result, Ok(Output::Written { count, .. }) if count == len));
        let mut pieces = done.pieces.expect("they come back").into_pieces();
        for piece in &mut pieces {
            piece.bytes_mut().fill(0);
        }
        let done =
            house.op_vectored(Op::Read { file, offset: 0, len }, Pieces::new(pieces).unwrap());
        assert!(matches!(done.result, Ok(Output::Read { count, .. }) if count == len));
        let pieces = done.pieces.expect("they come back").into_pieces();
        let [first, second] = pieces.try_into().expect("two");
        assert!(first.into_buffer().unwrap()[5..782] == *head);
        assert!(second.into_buffer().unwrap()[..] == *tail);
        assert_eq!(waits(&house), 4);
        clean(&mut house);
    }
}

#[test]
fn written_data_is_made_durable_by_a_server_that_restarts_and_is_not_ready() {
    let (mut house, file) = house(plan());
    order(&house, "status=JUKEBOX:WRITE:5,status=JUKEBOX:COMMIT:2,short-write=3");
    let data = pattern(40_000, 3);
    for (at, part) in data.chunks(10_000).enumerate() {
        let mut buffer = house.buffer();
        buffer[..part.len()].copy_from_slice(part);
        let op = Op::WriteBack { file, offset: at as u64 * 10_000, len: 10_000 };
        house.submit(at as u64, op, Some(buffer));
    }
    house.run_until(|house| house.done_count() == 4);
    assert!(house.take_done().iter().all(|done| done.result.is_ok() && done.buffer.is_some()));
    let now = house.now();
    house.target.restart(now);
    order(&house, "status=JUKEBOX:WRITE:3,status=JUKEBOX:COMMIT:2");
    house.op(Op::Sync { file }, None).result.unwrap();
    let now = house.now();
    house.target.restart(now);
    order(&house, "");
    assert_eq!(read(&mut house, file, 40_000), data, "it survives another restart");
    assert!(waits(&house) >= 10, "{}", waits(&house));
    clean(&mut house);
}

#[test]
fn others_do_not_wait_for_one_that_is_put_off() {
    let (mut house, file) = house(plan());
    order(&house, "status=JUKEBOX:READ:1");
    let buffer = house.buffer();
    house.submit(1, Op::Read { file, offset: 0, len: 100 }, Some(buffer));
    house.run_until(|house| waits(house) == 1);
    let start = house.now();
    for tag in 2..40 {
        house.submit(tag, Op::Getattr { file }, None);
    }
    house.run_until(|house| house.done_count() == 38);
    assert!(house.now().ns_since(start) < WAIT_NS / 2);
    house.run_until(|house| house.done_count() == 39);
    assert_eq!(house.take_done().pop().unwrap().tag, 1);
    clean(&mut house);
}

#[test]
fn a_soft_mount_gives_up_when_its_time_is_up_and_says_for_what_it_waited() {
    for (recovery, errno) in [(Recovery::Soft, libc::EIO), (Recovery::SoftErr, libc::ETIMEDOUT)] {
        let mut plan = plan();
        plan.transport.recovery = recovery;
        let (mut house, file) = house(plan);
        order(&house, "status=JUKEBOX:any:1000");
        // timeo is 10 ms and retrans 2: 30 ms.
        let limit_ns = 30 * MS;
        let start = house.now();
        let buffer = house.filled(9000, 1);
        let stable = StableHow::Unstable;
        let done = house.op(Op::Write { file, offset: 0, len: 9000, stable }, Some(buffer));
        let took_ns = house.now().ns_since(start);
        assert!(took_ns <= limit_ns && took_ns + WAIT_NS + MS > limit_ns, "{took_ns}");
        let error = done.result.unwrap_err();
        assert!(matches!(error, Error::PutOff { .. }), "{error}");
        assert_eq!(error.errno(), errno);
        let says = error.to_string();
        for part in ["WRITE", "NFS3ERR_JUKEBOX", "30ms"] {
            assert!(says.contains(part), "{says}");
        }
        assert!(done.buffer.is_some());
        drop(done.buffer);
        let done = house.op(Op::Open { path: "f".into(), create: None }, None);
        assert!(done.result.unwrap_err().to_string().contains("\"f\""), "the path is named");
        order(&house, "");
        assert!(house.op(Op::Getattr { file }, None).result.is_ok(), "the mount goes on");
        clean(&mut house);
    }
}

#[test]
fn a_hard_mount_asks_for_as_long_as_it_takes() {
    let (mut house, file) = house(plan());
    order(&house, "status=JUKEBOX:GETATTR:200");
    assert!(house.op(Op::Getattr { file }, None).result.is_ok());
    assert_eq!(waits(&house), 200);
    assert_eq!(house.counters().connect_count, 1, "no call went unanswered");
}

#[test]
fn a_mount_waits_for_a_server_that_is_not_ready_for_its_first_call() {
    let mut plan = plan();
    plan.target.misbehave = "status=JUKEBOX:FSINFO:2".parse().unwrap();
    let (house, _) = house(plan);
    assert_eq!(waits(&house), 2);
}

#[test]
fn unmounting_does_not_wait_for_those_who_wait() {
    let mut plan = plan();
    plan.jukebox_wait_ns = 3_600_000 * MS;
    let (mut house, file) = house(plan);
    order(&house, "status=JUKEBOX:any:1000");
    let stable = StableHow::Unstable;
    for (tag, len) in [(0, 300), (1, 3000), (2, 131_072)] {
        let buffer = house.buffer();
        house.submit(tag, Op::Write { file, offset: 0, len, stable }, Some(buffer));
        let buffer = house.buffer();
        house.submit(tag + 3, Op::WriteBack { file, offset: 0, len }, Some(buffer));
    }
    house.submit(6, Op::Sync { file }, None);
    house.run_until(|house| waits(house) == 7);
    let (start, pool) = (house.now(), house.client.pool(house.mount).cloned().unwrap());
    house.unmount();
    house.step();
    assert!(house.now().ns_since(start) < 100 * MS);
    let done = house.take_done();
    assert_eq!(done.len(), 7);
    for done in &done {
        assert!(matches!(done.result, Err(Error::Transport(_))), "{:?}", done.result);
        assert_eq!(done.buffer.is_some(), done.tag < 6);
    }
    drop(done);
    assert_eq!(house.client.in_flight(house.mount), 0);
    assert_eq!(pool.available(), pool.capacity());
}

#[test]
fn a_connection_that_is_lost_meanwhile_makes_no_difference() {
    let (mut house, file) = house(plan());
    order(&house, "status=JUKEBOX:WRITE:1");
    let data = pattern(131_072, 9);
    let buffer = house.filled(data.len(), 9);
    let (len, stable) = (data.len() as u32, StableHow::FileSync);
    house.submit(0, Op::Write { file, offset: 0, len, stable }, Some(buffer));
    house.run_until(|house| waits(house) == 1);
    let now = house.now();
    house.target.restart(now);
    house.run_until(|house| house.done_count() == 1);
    assert!(house.take_done().remove(0).result.is_ok());
    assert_eq!(house.target.stats().calls[procedure::WRITE as usize].get(), 2);
    assert_eq!(read(&mut house, file, len), data);
    clean(&mut house);
}
