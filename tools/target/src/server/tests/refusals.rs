//! What cannot be served: answered with the error that says so, or the end of the connection.

use wire::rpc::RpcError;

use super::*;

#[test]
fn results_too_long_for_where_they_should_go_are_refused() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 1024);
    let file = client.create(&mut world, "f");
    write_inline(&mut client, &mut world, file, 0, &[7; 500]);
    let answer =
        client.inline(&mut world, procedure::READ, &ReadArgs { file, offset: 0, count: 4096 });
    assert_eq!(answer.kind, Kind::Error(ErrorBody::Chunk));
    let (xid, message) = client.rpc(procedure::GETATTR, &GetattrArgs { file });
    let reply = Some(vec![client.segment(0, 16)]);
    client.call(xid, &message, &Lists { reply, ..Lists::default() });
    assert_eq!(client.answer(&mut world).kind, Kind::Error(ErrorBody::Chunk));
    // The connection goes on.
    assert_eq!(read_inline(&mut client, &mut world, file, 0, 500), [7; 500]);
}

#[test]
fn headers_that_make_no_sense_get_the_error_that_says_so() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_be_bytes()).collect() };
    client.send(&words(&[77, 2, 1, 0, 0, 0, 0]));
    let answer = client.answer(&mut world);
    let versions = ErrorBody::Version { low: 1, high: 1 };
    assert_eq!((answer.xid, answer.kind), (77, Kind::Error(versions)));
    for message in [
        words(&[78, 1, 1, 3, 0, 0, 0]),           // DONE
        words(&[78, 1, 1, 0, 2, 0, 0]),           // no such discriminator
        words(&[78, 1, 1, 0, 0, 1, 0, 0, 0]),     // a Write chunk without segments
        words(&[78, 1, 1, 1, 0, 0, 0]),           // NOMSG without a chunk
        words(&[78, 1, 1, 0, 0, 1, u32::MAX, 0]), // segments without end
    ] {
        client.send(&message);
        let answer = client.answer(&mut world);
        assert_eq!((answer.xid, answer.kind), (78, Kind::Error(ErrorBody::Chunk)), "{message:?}");
    }
    client.inline(&mut world, procedure::NULL, &());
    assert_eq!(world.target.stats().rdma_errors.get(), 6);
}

#[test]
fn a_bad_read_list_is_reported_and_ends_the_connection() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    let (xid, message) = client.rpc(procedure::NULL, &());
    let position = 4 + message.len() as u32;
    let reads = vec![ReadSegment { position, segment: client.segment(0, 64) }];
    client.call(xid, &message, &Lists { reads, ..Lists::default() });
    assert_eq!(client.answer(&mut world).kind, Kind::Error(ErrorBody::Chunk));
    ends(&mut world, &mut client);
}

#[test]
fn what_is_no_call_ends_the_connection() {
    let mut world = world();
    let null = |client: &mut Client| client.rpc(procedure::NULL, &());
    let cases: [&dyn Fn(&mut Client); 5] = [
        &|client| client.send(&[1, 2, 3]),
        &|client| client.send(&[]),
        &|client| {
            let (xid, message) = null(client);
            client.call(xid, &message[..20], &Lists::default());
        },
        &|client| {
            let (xid, message) = null(client);
            client.call(xid ^ 1, &message, &Lists::default());
        },
        &|client| {
            let (xid, message) = null(client);
            let mut segment = client.segment(0, message.len());
            segment.handle ^= 0xffff;
            let reads = vec![ReadSegment { position: 0, segment }];
            client.call(xid, &[], &Lists { reads, no_message: true, ..Lists::default() });
        },
    ];
    for case in cases {
        let mut client = Client::connect(&mut world, 4096);
        case(&mut client);
        ends(&mut world, &mut client);
    }
    assert_eq!(world.target.stats().malformed.get(), 4);
    assert_eq!(world.target.stats().wr_errors.get(), 1);
}

#[test]
fn a_write_chunk_smaller_than_the_read_ends_the_connection() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    let file = client.create(&mut world, "f");
    let (xid, message) = client.rpc(procedure::READ, &ReadArgs { file, offset: 0, count: 4096 });
    let writes = vec![vec![client.segment(0, 4095)]];
    client.call(xid, &message, &Lists { writes, ..Lists::default() });
    ends(&mut world, &mut client);
}

#[test]
fn rpc_errors_are_told() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    let answer = client.inline(&mut world, procedure::MKNOD, &());
    assert_eq!(answer.rpc().outcome, Err(RpcError::ProcUnavail));
    let answer = client.inline(&mut world, procedure::GETATTR, &7_u32);
    assert_eq!(answer.rpc().outcome, Err(RpcError::GarbageArgs));
    let mut patched = |word: usize, value: u32| {
        let (xid, mut message) = client.rpc(procedure::NULL, &());
        message[4 * word..4 * word + 4].copy_from_slice(&value.to_be_bytes());
        client.call(xid, &message, &Lists::default());
        client.answer(&mut world).rpc().outcome.unwrap_err()
    };
    assert_eq!(patched(2, 3), RpcError::RpcMismatch { low: 2, high: 2 });
    assert_eq!(patched(3, 100_005), RpcError::ProgUnavail);
    assert_eq!(patched(4, 4), RpcError::ProgMismatch { low: 3, high: 3 });
    assert!(matches!(patched(6, 6), RpcError::Auth(_)));
}

#[test]
fn random_bytes_neither_stop_nor_wedge_the_server() {
    let mut world = world();
    let mut state = 0x1234_5678_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u32
    };
    for round in 0..60 {
        let mut client = Client::connect(&mut world, 4096);
        let file = world.root();
        for _ in 0..8 {
            let (xid, rpc) = client.rpc(random() % 23, &ReadArgs { file, offset: 0, count: 64 });
            let mut bytes: Vec<u8> =
                [xid, 1, 1, random() % 5].iter().flat_map(|word| word.to_be_bytes()).collect();
            let lists = random() % 24;
            bytes.extend((0..lists).flat_map(|_| (random() % 3).to_be_bytes()));
            bytes.extend(rpc);
            let flips = random() % 4;
            for _ in 0..flips * (round % 3) {
                let at = random() as usize % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(4096);
            client.send(&bytes);
        }
        world.turns(20);
        client.poll();
    }
    world.turns(1000);
    assert_eq!(world.target.open_connections(), 0, "all clients are gone");
    let mut client = Client::connect(&mut world, 4096);
    client.inline(&mut world, procedure::NULL, &());
}
