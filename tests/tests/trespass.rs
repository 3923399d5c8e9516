//! A server that writes where it has no business: the NIC refuses, that connection ends, and
//! nothing else does.

#![forbid(unsafe_code)]

use client::{File, Op, Output};
use hugepages::Buffer;
use rpcrdma::{Payload, Registration, TransportConfig};
use system_tests::bare::Bare;
use system_tests::{House, Plan, pattern};
use wire::nfs3::{self, StableHow};
use wire::rpc::{Auth, CallTemplate};
use wire::xdr::{Full, Writer};

const LEN: usize = 8192;

fn house(registration: Registration) -> (House, File) {
    let mut plan = Plan::default();
    plan.transport.registration = Some(registration);
    plan.transport.reconnect_min_ns = 1_000_000;
    let mut house = House::build(plan);
    let file = house.create("f");
    let buffer = house.filled(65_536, 1);
    let op = Op::Write { file, offset: 0, len: 65_536, stable: StableHow::FileSync };
    house.op(op, Some(buffer)).result.unwrap();
    (house, file)
}

/// One READ by Write chunk; what is behind it in the buffer stays as it is.
fn read(house: &mut House, file: File) -> Buffer {
    let mut buffer = house.buffer();
    buffer.fill(0xee);
    let op = Op::Read { file, offset: 0, len: LEN as u32 };
    let done = house.op(op, Some(buffer));
    assert!(matches!(done.result, Ok(Output::Read { .. })), "{:?}", done.result);
    assert!(done.data() == &pattern(65_536, 1)[..LEN]);
    let buffer = done.buffer.unwrap();
    assert!(buffer[LEN..].iter().all(|&byte| byte == 0xee), "nothing beyond what was offered");
    buffer
}

/// Follows the order with one READ, which costs one connection and is right all the same.
fn refused(house: &mut House, file: File, order: &str) -> Buffer {
    drop(read(house, file));
    let connections = house.counters().connect_count;
    let misbehaved = house.target.stats().misbehaved.get();
    house.target.switch().set(order.parse().unwrap());
    let buffer = read(house, file);
    let before = (buffer.addr(), buffer.to_vec());
    house.run_until(|house| house.counters().connect_count == connections + 1);
    assert_eq!(house.target.stats().misbehaved.get(), misbehaved + 1, "{order}");
    assert_eq!((buffer.addr(), buffer.to_vec()), before, "{order}: not after the result either");
    buffer
}

// req: 8166-8.1-1
#[test]
fn a_write_outside_the_window_is_refused() {
    let (mut house, file) = house(Registration::Window);
    drop(refused(&mut house, file, "write-outside=1"));
}

// req: 8166-8.1-1
#[test]
fn a_write_after_the_invalidation_is_refused() {
    let (mut house, file) = house(Registration::Window);
    drop(refused(&mut house, file, "write-late=1"));
}

// req: 8166-8.1-1
#[test]
fn a_write_by_the_key_of_an_earlier_call_is_refused() {
    let (mut house, file) = house(Registration::Window);
    drop(refused(&mut house, file, "write-stale=1"));
}

/// A READ of the first bytes, by a transport without a client.
fn read_bare(bare: &mut Bare, file: File) -> Buffer {
    let mut buffer = bare.endpoint.pool(bare.connection).unwrap().alloc().unwrap();
    buffer.fill(0xee);
    let template = CallTemplate::new(nfs3::PROGRAM, nfs3::VERSION, &Auth::None);
    let (len, file) = (LEN as u32, file.handle);
    let encode = |xid: u32, w: &mut Writer<'_>| -> Result<(), Full> {
        template.write(xid, nfs3::procedure::READ, w)?;
        w.value(&nfs3::ReadArgs { file, offset: 0, count: len })
    };
    let (_, reply, buffer) = bare.call(Payload::Receive { buffer, len }, encode);
    reply.expect("an answer");
    let buffer = buffer.expect("the buffer comes back");
    assert!(buffer[..LEN] == pattern(65_536, 1)[..LEN]);
    buffer
}

// req: 8166-8.1-1
/// Even with keys that are valid all the time.
#[test]
fn a_write_by_the_key_of_another_mount_is_refused_and_that_mount_goes_on() {
    for registration in [Registration::Static, Registration::Window] {
        let (house, file) = house(registration);
        let mut config = TransportConfig::new(house.target.nfs_addr());
        config.buffers = Plan::default().transport.buffers;
        config.registration = Some(Registration::Static);
        let mut bare = Bare::connect(house, config);
        drop(read(&mut bare.house, file));
        let mut theirs = read_bare(&mut bare, file);
        theirs.fill(0x77);
        let connections = bare.house.counters().connect_count;
        bare.house.target.switch().set("write-elsewhere=1".parse().unwrap());
        drop(read(&mut bare.house, file));
        assert_eq!(bare.house.counters().connect_count, connections + 1, "the order was followed");
        assert!(theirs.iter().all(|&byte| byte == 0x77), "another mount's memory is untouched");
        drop(theirs);
        drop(read_bare(&mut bare, file));
        assert_eq!(bare.counters().connect_count, 1, "and its connection goes on");
    }
}
