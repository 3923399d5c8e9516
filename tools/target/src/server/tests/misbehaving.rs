//! Every order is followed, as often as ordered and no more.

use super::*;

/// A world with a file of 4,096 bytes, a connection, and then these orders.
fn ordered(text: &str) -> (World, Client, FileHandle) {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    let file = client.create(&mut world, "f");
    ok::<WriteOk>(&write_by_chunk(&mut client, &mut world, file, &pattern(4096), 1));
    world.target.switch().set(text.parse().unwrap());
    (world, client, file)
}

fn null(client: &mut Client) -> u32 {
    let (xid, message) = client.rpc(procedure::NULL, &());
    client.call(xid, &message, &Lists::default());
    xid
}

#[test]
fn replies_are_dropped_doubled_and_delayed() {
    let (mut world, mut client, _) = ordered("drop-replies=2");
    null(&mut client);
    null(&mut client);
    let third = null(&mut client);
    assert_eq!(client.answer(&mut world).xid, third);
    assert_eq!(world.target.stats().misbehaved.get(), 2);

    world.target.switch().set("duplicate-replies=1".parse().unwrap());
    let xid = null(&mut client);
    let twice = [client.answer(&mut world).xid, client.answer(&mut world).xid];
    assert_eq!(twice, [xid, xid]);

    world.target.switch().set("delay-replies=20ms".parse().unwrap());
    let (before, xid) = (world.now, null(&mut client));
    assert!(client.message(&mut world).is_none());
    while client.arrived.is_empty() {
        world.turns(1);
        client.poll();
    }
    assert_eq!(client.answer(&mut world).xid, xid);
    assert!(world.now.ns_since(before) >= 20_000_000);
}

#[test]
fn headers_lie() {
    let (mut world, mut client, _) = ordered("wrong-xid=1");
    assert_eq!(null(&mut client), !client.answer(&mut world).xid);
    world.target.switch().set("wrong-version=1".parse().unwrap());
    null(&mut client);
    assert_eq!(client.message(&mut world).unwrap()[4..8], [0, 0, 0, 2]);
    world.target.switch().set("truncate-replies=1".parse().unwrap());
    null(&mut client);
    assert_eq!(client.message(&mut world).unwrap().len(), 26);
    world.target.switch().set("garbage-replies=1".parse().unwrap());
    let xid = null(&mut client);
    let message = client.message(&mut world).unwrap();
    assert_eq!(message.len(), 52);
    assert_ne!(message[..4], xid.to_be_bytes());
    null(&mut client);
    assert_eq!(client.answer(&mut world).credits, 64, "and then no more");
}

#[test]
fn grants_are_what_was_ordered() {
    let (mut world, mut client, _) = ordered("credits=0");
    for (text, grant) in [("credits=0", 0), ("credits=7", 7), ("", 64)] {
        world.target.switch().set(text.parse().unwrap());
        null(&mut client);
        assert_eq!(client.answer(&mut world).credits, grant);
    }
}

#[test]
fn returned_chunks_lie() {
    let (mut world, mut client, file) = ordered("foreign-rkey=1");
    let mut read = |world: &mut World, text: &str| {
        world.target.switch().set(text.parse().unwrap());
        let answer = read_by_chunk(&mut client, world, file, 4096, &[4096]);
        let count = answer.open::<ReadRes>().0.unwrap().count;
        (answer.write_chunks[0][0], count, client.segment(0, 4096))
    };
    let (returned, _, ours) = read(&mut world, "foreign-rkey=1");
    assert_ne!(returned.handle, ours.handle);
    let (returned, _, ours) = read(&mut world, "foreign-offset=1");
    assert_eq!((returned.handle, returned.offset != ours.offset), (ours.handle, true));
    let (returned, _, ours) = read(&mut world, "long-chunk=1");
    assert!(returned.length > ours.length);
    let (returned, count, _) = read(&mut world, "read-count=1");
    assert_ne!(returned.length, count);
    let (returned, count, ours) = read(&mut world, "");
    assert_eq!((returned, count), (ours, 4096));
}

#[test]
fn calls_fail_as_ordered() {
    let (mut world, mut client, file) = ordered("status=JUKEBOX:READ:2,status=NOSPC:WRITE");
    let args = ReadArgs { file, offset: 0, count: 8 };
    for _ in 0..2 {
        let answer = client.inline(&mut world, procedure::READ, &args);
        assert_eq!(answer.results::<ReadRes>().unwrap_err().status, Status::Jukebox);
    }
    let answer = write_inline(&mut client, &mut world, file, 0, b"x");
    assert_eq!(answer.results::<WriteRes>().unwrap_err().status, Status::NoSpace);
    assert_eq!(read_inline(&mut client, &mut world, file, 0, 8), pattern(8));

    for (text, body) in
        [("err-chunk=1", ErrorBody::Chunk), ("err-vers=1", ErrorBody::Version { low: 1, high: 1 })]
    {
        world.target.switch().set(text.parse().unwrap());
        null(&mut client);
        assert_eq!(client.answer(&mut world).kind, Kind::Error(body));
    }
}

#[test]
fn counts_fall_short_and_verifiers_change() {
    let (mut world, mut client, file) = ordered("short-read=1,short-write=1");
    assert_eq!(read_inline(&mut client, &mut world, file, 0, 100), pattern(100)[..50]);
    let first: WriteOk = ok(&write_inline(&mut client, &mut world, file, 0, &[1; 100]));
    assert_eq!(first.count, 50);
    let second: WriteOk = ok(&write_inline(&mut client, &mut world, file, 0, &[1; 100]));
    assert_eq!((second.count, second.verifier), (100, first.verifier));
    world.target.switch().set("change-verifier".parse().unwrap());
    let commit = CommitArgs { file, offset: 0, count: 0 };
    let commit: CommitOk = ok(&client.inline(&mut world, procedure::COMMIT, &commit));
    assert_ne!(commit.verifier, first.verifier);
    let third: WriteOk = ok(&write_inline(&mut client, &mut world, file, 0, b"x"));
    assert_eq!(third.verifier, commit.verifier);
}

#[test]
fn the_connection_ends_after_as_many_calls_as_ordered() {
    let (mut world, mut client, _) = ordered("disconnect-after=2");
    client.inline(&mut world, procedure::NULL, &());
    client.inline(&mut world, procedure::NULL, &());
    null(&mut client);
    ends(&mut world, &mut client);
    let mut client = Client::connect(&mut world, 4096);
    client.inline(&mut world, procedure::NULL, &());
}
