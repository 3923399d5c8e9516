//! The server on the soft fabric, against a client that posts its own work requests.

mod client;
mod misbehaving;
mod refusals;

use reactor::Timestamp;
use verbs::soft::{FaultPlan, Scope};
use verbs::{CmEvent, ConnectParams, Connection as _, Provider as _, QueuePairCaps};
use wire::nfs3::{self, procedure, *};
use wire::rpc::Reply;
use wire::rpcrdma::{ErrorBody, Kind, ReadSegment, Segment};
use wire::xdr::Decode;

use client::{Answer, Client, Lists, World, config};

fn world() -> World {
    World::new(config())
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

/// WRITE with its data inline.
fn write_inline(
    client: &mut Client,
    world: &mut World,
    file: FileHandle,
    offset: u64,
    data: &[u8],
) -> Answer {
    let (xid, message) = write_message(client, file, offset, data);
    client.call(xid, &message, &Lists::default());
    client.answer(world)
}

fn write_args(file: FileHandle, offset: u64, len: usize) -> WriteArgs {
    let (count, stable) = (len as u32, StableHow::FileSync);
    WriteArgs { file, offset, count, stable, data_len: count }
}

fn write_message(
    client: &mut Client,
    file: FileHandle,
    offset: u64,
    data: &[u8],
) -> (u32, Vec<u8>) {
    let args = write_args(file, offset, data.len());
    let (xid, mut message) = client.rpc(procedure::WRITE, &args);
    message.extend(data);
    message.resize(message.len().next_multiple_of(4), 0);
    (xid, message)
}

/// WRITE with its data in a Read chunk of these segments.
fn write_by_chunk(
    client: &mut Client,
    world: &mut World,
    file: FileHandle,
    data: &[u8],
    segments: usize,
) -> Answer {
    let (xid, message) = client.rpc(procedure::WRITE, &write_args(file, 0, data.len()));
    client.put(0, data);
    let each = data.len().div_ceil(segments);
    let position = message.len() as u32;
    let reads = (0..segments).map(|i| {
        let len = each.min(data.len() - i * each);
        ReadSegment { position, segment: client.segment(i * each, len) }
    });
    let lists = Lists { reads: reads.collect(), ..Lists::default() };
    client.call(xid, &message, &lists);
    client.answer(world)
}

/// Calls a WRITE of 1 MiB with its data in a Read chunk, and does not wait for the answer.
fn ask_to_write(client: &mut Client, file: FileHandle) {
    let (xid, message) = client.rpc(procedure::WRITE, &write_args(file, 0, 1 << 20));
    let position = message.len() as u32;
    let reads = vec![ReadSegment { position, segment: client.segment(0, 1 << 20) }];
    client.call(xid, &message, &Lists { reads, ..Lists::default() });
}

/// A client whose data is being fetched over a slow link, and the file that it is for.
fn amid_a_fetch(world: &mut World) -> (Client, FileHandle) {
    let mut client = Client::connect(world, 4096);
    let file = client.create(world, "f");
    world.fabric.faults().latency_ns(Scope::All, 1_000_000);
    ask_to_write(&mut client, file);
    world.turns(120);
    (client, file)
}

fn read_inline(
    client: &mut Client,
    world: &mut World,
    file: FileHandle,
    offset: u64,
    count: u32,
) -> Vec<u8> {
    let answer = client.inline(world, procedure::READ, &ReadArgs { file, offset, count });
    let (result, mut rest): (ReadRes, _) = answer.open();
    result.unwrap().take_inline_data(&mut rest).unwrap().to_vec()
}

/// READ into Write chunk segments of these lengths.
fn read_by_chunk(
    client: &mut Client,
    world: &mut World,
    file: FileHandle,
    count: u32,
    lengths: &[usize],
) -> Answer {
    let (xid, message) = client.rpc(procedure::READ, &ReadArgs { file, offset: 0, count });
    let mut at = 0;
    let chunk: Vec<Segment> = lengths
        .iter()
        .map(|&len| {
            at += len;
            client.segment(at - len, len)
        })
        .collect();
    client.call(xid, &message, &Lists { writes: vec![chunk], ..Lists::default() });
    client.answer(world)
}

fn ok<'a, T: Decode<'a>>(answer: &'a Answer) -> T {
    let result: Result<T, Failed<()>> = answer.results();
    result.unwrap()
}

#[test]
fn null_is_answered_with_the_grant() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    let answer = client.inline(&mut world, procedure::NULL, &());
    assert_eq!(answer.rpc(), Reply::success(answer.xid));
    assert_eq!((answer.credits, answer.message.len()), (64, 24));
    assert_eq!(world.target.stats().calls[0].get(), 1);
}

#[test]
fn small_files_are_written_and_read_inline() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    let file = client.create(&mut world, "small");
    let data = pattern(1021);
    let answer = write_inline(&mut client, &mut world, file, 5, &data);
    let written: WriteOk = ok(&answer);
    assert_eq!((written.count, written.committed), (1021, StableHow::FileSync));
    assert_eq!(read_inline(&mut client, &mut world, file, 5, 2000), data);
    let answer = client.inline(&mut world, procedure::GETATTR, &GetattrArgs { file });
    let attr: Fattr = ok(&answer);
    assert_eq!((attr.size, attr.file_type), (1026, FileType::Regular));
}

#[test]
fn four_kibibytes_fit_inline_at_eight() {
    let mut config = config();
    (config.inline_send_bytes, config.inline_receive_bytes) = (8192, 8192);
    let mut world = World::new(config);
    let mut client = Client::connect(&mut world, 8192);
    let file = client.create(&mut world, "f");
    let data = pattern(4096);
    write_inline(&mut client, &mut world, file, 0, &data);
    assert_eq!(read_inline(&mut client, &mut world, file, 0, 4096), data);
    assert_eq!(world.target.stats().rdma_reads.get(), 0);
}

#[test]
fn a_mebibyte_travels_by_chunks_of_several_segments() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    let file = client.create(&mut world, "large");
    let data = pattern(1 << 20);
    let written: WriteOk = ok(&write_by_chunk(&mut client, &mut world, file, &data, 2));
    assert_eq!(written.count, 1 << 20);
    client.put(0, &vec![0; 1 << 20]);
    let lengths = [600_000, (1 << 20) - 600_000 + 100, 4096];
    let answer = read_by_chunk(&mut client, &mut world, file, 1 << 20, &lengths);
    let (read, rest): (ReadRes, _) = answer.open();
    rest.finish().unwrap();
    let read = read.unwrap();
    assert_eq!((read.count, read.eof), (1 << 20, true));
    let returned: Vec<_> = answer.write_chunks[0].iter().map(|s| s.length as usize).collect();
    assert_eq!(returned, [600_000, (1 << 20) - 600_000, 0]);
    assert_eq!(client.get(0, 1 << 20), data);
}

#[test]
fn odd_lengths_need_no_padding_in_chunks() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    let file = client.create(&mut world, "odd");
    let data = pattern(4099);
    let written: WriteOk = ok(&write_by_chunk(&mut client, &mut world, file, &data, 3));
    assert_eq!(written.count, 4099);
    let answer = read_by_chunk(&mut client, &mut world, file, 8192, &[8192]);
    assert_eq!(answer.open::<ReadRes>().0.unwrap().count, 4099);
    assert_eq!(client.get(0, 4099), data);
}

#[test]
fn a_long_call_comes_in_a_position_zero_chunk() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 1024);
    let file = client.create(&mut world, "long");
    let data = pattern(5000);
    let (xid, message) = write_message(&mut client, file, 0, &data);
    client.put(0, &message);
    let reads = vec![
        ReadSegment { position: 0, segment: client.segment(0, 100) },
        ReadSegment { position: 0, segment: client.segment(100, message.len() - 100) },
    ];
    client.call(xid, &[], &Lists { reads, no_message: true, ..Lists::default() });
    let answer = client.answer(&mut world);
    assert_eq!(ok::<WriteOk>(&answer).count, 5000);
    assert_eq!(read_inline(&mut client, &mut world, file, 4500, 500), data[4500..]);
}

#[test]
fn a_reply_chunk_is_used_whenever_it_is_offered() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    let mut expected: Vec<String> = (0..200).map(|i| format!("entry-{i:03}")).collect();
    for name in &expected {
        client.create(&mut world, name);
    }
    let dir = world.root();
    let (mut cookie, mut names, mut replies) = (0, Vec::new(), 0);
    loop {
        let args =
            ReaddirplusArgs { dir, cookie, verifier: [0; 8], dircount: 8192, maxcount: 16384 };
        let (xid, message) = client.rpc(procedure::READDIRPLUS, &args);
        let reply = vec![client.segment(0, 10_000), client.segment(10_000, 10_000)];
        client.call(xid, &message, &Lists { reply: Some(reply), ..Lists::default() });
        let answer = client.answer(&mut world);
        assert_eq!(answer.kind, Kind::NoMsg);
        let listing: ReaddirplusRes<'_> = answer.results();
        let listing = listing.unwrap();
        for entry in listing.entries.iter() {
            cookie = entry.cookie;
            names.push(String::from_utf8(entry.name.to_vec()).unwrap());
            assert!(entry.attributes.is_some() && entry.handle.is_some());
        }
        replies += 1;
        if listing.eof {
            break;
        }
    }
    expected.extend([".".to_owned(), "..".to_owned()]);
    expected.sort();
    names.sort();
    assert_eq!(names, expected);
    assert!(replies > 1);

    let (xid, message) = client.rpc(procedure::NULL, &());
    let reply = Some(vec![client.segment(0, 64)]);
    client.call(xid, &message, &Lists { reply, ..Lists::default() });
    let answer = client.answer(&mut world);
    assert_eq!((answer.kind, answer.reply_chunk.clone().unwrap()[0].length), (Kind::NoMsg, 24));
}

/// The server leaves, and keeps nothing.
fn ends(world: &mut World, client: &mut Client) {
    world.turns(300);
    client.poll();
    assert!(matches!(client.event(), Some(CmEvent::Disconnected)), "still connected");
    assert_eq!(world.target.open_connections(), 0);
}

#[test]
fn every_procedure_has_its_shape() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    let (dir, w) = (world.root(), &mut world);
    let attributes = Sattr { mode: Some(0o700), ..Sattr::default() };
    let made = client.inline(w, procedure::MKDIR, &MkdirArgs { dir, name: b"d", attributes });
    let made: CreateOk = ok(&made);
    let found = client.inline(w, procedure::LOOKUP, &DirOpArgs { dir, name: b"d" });
    assert_eq!(Some(ok::<LookupOk>(&found).handle), made.handle);
    let file = client.create(w, "f");
    let attributes = Sattr { size: Some(1 << 30), ..Sattr::default() };
    let args = SetattrArgs { file, attributes, guard: None };
    let set: WccData = ok(&client.inline(w, procedure::SETATTR, &args));
    assert_eq!(set.after.unwrap().size, 1 << 30);
    let args = SetattrArgs { guard: Some(nfs3::Time::default()), ..args };
    let set = client.inline(w, procedure::SETATTR, &args);
    assert_eq!(set.results::<SetattrRes>().unwrap_err().status, Status::NotSync);
    let access = AccessArgs { file, access: 0x3f };
    assert_eq!(ok::<AccessOk>(&client.inline(w, procedure::ACCESS, &access)).access, 0x0d);
    let info: FsinfoOk = ok(&client.inline(w, procedure::FSINFO, &FsinfoArgs { root: dir }));
    assert_eq!((info.rtmax, info.wtmax), (1 << 20, 1 << 20));
    let space: FsstatOk = ok(&client.inline(w, procedure::FSSTAT, &FsstatArgs { root: dir }));
    assert_eq!(space.total_bytes, 64 << 20);
    let commit = CommitArgs { file, offset: 0, count: 0 };
    ok::<CommitOk>(&client.inline(w, procedure::COMMIT, &commit));
    ok::<WccData>(&client.inline(w, procedure::REMOVE, &DirOpArgs { dir, name: b"f" }));
    ok::<WccData>(&client.inline(w, procedure::RMDIR, &DirOpArgs { dir, name: b"d" }));
    let gone = client.inline(w, procedure::GETATTR, &GetattrArgs { file });
    assert_eq!(gone.results::<GetattrRes>().unwrap_err().status, Status::Stale);
    let file = FileHandle::from_bytes(b"somebody else's").unwrap();
    let foreign = client.inline(w, procedure::GETATTR, &GetattrArgs { file });
    assert_eq!(foreign.results::<GetattrRes>().unwrap_err().status, Status::BadHandle);
}

#[test]
fn space_runs_out_with_a_status() {
    let mut config = config();
    config.storage = crate::Storage::Memory { capacity_bytes: 1 << 20 };
    let mut world = World::new(config);
    let mut client = Client::connect(&mut world, 4096);
    let file = client.create(&mut world, "f");
    ok::<WriteOk>(&write_by_chunk(&mut client, &mut world, file, &pattern(1 << 20), 1));
    let answer = write_inline(&mut client, &mut world, file, 1 << 20, b"x");
    assert_eq!(answer.results::<WriteRes>().unwrap_err().status, Status::NoSpace);
}

#[test]
fn calls_beyond_the_credits_are_counted() {
    let mut config = config();
    config.credits = 4;
    let mut world = World::new(config);
    let mut client = Client::connect(&mut world, 4096);
    let overruns = |world: &World| world.target.stats().credit_overruns.get();
    let burst = |client: &mut Client, world: &mut World, count| {
        for _ in 0..count {
            let (xid, message) = client.rpc(procedure::NULL, &());
            client.call(xid, &message, &Lists::default());
        }
        (0..count).for_each(|_| assert_eq!(client.answer(world).credits, 4));
    };
    burst(&mut client, &mut world, 2);
    assert_eq!(overruns(&world), 1, "one call until the first grant");
    burst(&mut client, &mut world, 4);
    assert_eq!(overruns(&world), 1);
    burst(&mut client, &mut world, 6);
    assert_eq!(overruns(&world), 3);
}

#[test]
fn a_full_queue_of_large_calls_waits_for_staging_and_completes() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    let file = client.create(&mut world, "f");
    ok::<WriteOk>(&write_by_chunk(&mut client, &mut world, file, &pattern(1 << 20), 1));
    for _ in 0..32 {
        let args = ReadArgs { file, offset: 0, count: 1 << 20 };
        let (xid, message) = client.rpc(procedure::READ, &args);
        let writes = vec![vec![client.segment(0, 1 << 20)]];
        client.call(xid, &message, &Lists { writes, ..Lists::default() });
    }
    for _ in 0..32 {
        assert_eq!(client.answer(&mut world).open::<ReadRes>().0.unwrap().count, 1 << 20);
    }
    assert!(world.target.stats().calls_parked.get() > 0);
}

#[test]
fn one_turn_posts_one_chain() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    client.inline(&mut world, procedure::NULL, &());
    world.turns(10);
    let stats = world.target.stats();
    let (doorbells, completions) = (stats.doorbells.get(), stats.completions.get());
    for _ in 0..32 {
        let (xid, message) = client.rpc(procedure::NULL, &());
        client.call(xid, &message, &Lists::default());
    }
    (0..32).for_each(|_| drop(client.answer(&mut world)));
    world.turns(10);
    assert_eq!(stats.doorbells.get() - doorbells, 1);
    assert_eq!(stats.completions.get() - completions, 32 + 2, "Receives, and two signaled Sends");
}

#[test]
fn clients_that_leave_at_any_moment_leave_nothing_behind() {
    let mut world = world();
    for turns in 0..12 {
        let mut client = Client::connect(&mut world, 4096);
        let file = client.create(&mut world, &turns.to_string());
        for _ in 0..8 {
            ask_to_write(&mut client, file);
        }
        world.turns(turns);
        if turns % 2 == 0 {
            client.disconnect();
        } else {
            drop(client);
        }
        world.turns(400);
        assert_eq!(world.target.open_connections(), 0);
    }
    assert_eq!(world.target.stats().connections_closed.get(), 12);
    // All staging is back: as many calls as ever complete.
    let mut client = Client::connect(&mut world, 4096);
    let file = client.create(&mut world, "after");
    for _ in 0..8 {
        ok::<WriteOk>(&write_by_chunk(&mut client, &mut world, file, &pattern(1 << 20), 1));
    }
    assert_eq!(world.fabric.violation_count(), 0);
}

#[test]
fn no_more_connections_than_configured() {
    let mut config = config();
    config.connections_max = 2;
    let mut world = World::new(config);
    let first = Client::connect(&mut world, 4096);
    let _second = Client::connect(&mut world, 4096);
    let third = Client::try_connect(&mut world, &[]).err();
    assert!(matches!(third, Some(CmEvent::Rejected { .. })), "{third:?}");
    assert_eq!(world.target.stats().connections_refused.get(), 1);
    drop(first);
    world.turns(300);
    let _third = Client::connect(&mut world, 4096);
}

#[test]
fn places_of_clients_that_fell_silent_stayed_taken_for_ever() {
    let mut config = config();
    config.connections_max = 2;
    let mut world = World::new(config);
    let _silent = Client::connect(&mut world, 4096);
    let mut busy = Client::connect(&mut world, 4096);
    let refused = |world: &mut World| Client::try_connect(world, &[]).is_err();
    assert!(refused(&mut world));
    assert_eq!(world.target.stats().connections_ousted.get(), 0, "nobody has been silent for long");
    world.now = world.now.add_ns(2_000_000_000);
    busy.inline(&mut world, procedure::NULL, &());
    assert!(refused(&mut world), "who comes to a full server is refused all the same");
    world.turns(300);
    let _third = Client::connect(&mut world, 4096);
    busy.inline(&mut world, procedure::NULL, &());
    assert_eq!(world.target.stats().connections_ousted.get(), 1);
}

#[test]
fn memory_was_lost_for_ever_when_the_drain_could_not_be_posted() {
    let mut config = config();
    config.staging_buffers = 1;
    let mut world = World::new(config);
    let (mut client, file) = amid_a_fetch(&mut world);
    let faults = world.fabric.faults();
    faults.set(Scope::All, FaultPlan::new().fail_post(1, libc::ENOMEM));
    client.disconnect();
    world.turns(300);
    let posts_failed = |&(name, times): &(&str, u64)| name == "post failed at once" && times == 1;
    assert!(faults.struck().iter().any(posts_failed), "{:?}", faults.struck());
    assert_eq!(world.target.open_connections(), 0);
    faults.set(Scope::All, FaultPlan::new());
    let mut next = Client::connect(&mut world, 4096);
    ok::<WriteOk>(&write_by_chunk(&mut next, &mut world, file, &pattern(1 << 20), 1));
}

#[test]
fn memory_that_had_come_back_was_given_up_after_the_target_had_stood_still() {
    let mut config = config();
    (config.staging_buffers, config.credits) = (1, 512);
    let mut world = World::new(config);
    let (mut client, file) = amid_a_fetch(&mut world);
    let faults = world.fabric.faults();
    faults.set(Scope::All, FaultPlan::new());
    let before = world.target.stats().completions.get();
    client.disconnect();
    while world.target.stats().completions.get() == before {
        world.turns(1);
    }
    assert_eq!(world.target.open_connections(), 1, "more has come back than one turn takes");
    world.now = world.now.add_ns(6_000_000_000);
    world.turns(300);
    assert_eq!(world.target.open_connections(), 0);
    let mut next = Client::connect(&mut world, 4096);
    ok::<WriteOk>(&write_by_chunk(&mut next, &mut world, file, &pattern(1 << 20), 1));
}

#[test]
fn a_client_that_never_agreed_was_waited_for_for_ever() {
    let mut world = world();
    let mut id = world.fabric.resolve(world.target.nfs_addr(), None).unwrap();
    id.poll_event();
    let (domain, cq) = (id.new_domain().unwrap(), id.new_completion_queue(16).unwrap());
    let caps = QueuePairCaps { send_wr_max: 4, recv_wr_max: 4, send_sge_max: 1 };
    id.create_queue_pair(&domain, &cq, &caps).unwrap();
    id.connect(&ConnectParams::default()).unwrap();
    world.turns(300);
    assert_eq!(world.target.open_connections(), 1, "accepted; the client never looks");
    world.now = world.now.add_ns(11_000_000_000);
    world.turns(300);
    assert_eq!(world.target.open_connections(), 0);
}

#[test]
fn without_private_data_the_default_threshold_holds() {
    let mut world = world();
    let mut client = Client::connect_with(&mut world, &[]);
    let file = client.create(&mut world, "f");
    write_inline(&mut client, &mut world, file, 0, &[1; 500]);
    let args = ReadArgs { file, offset: 0, count: 1000 };
    let answer = client.inline(&mut world, procedure::READ, &args);
    assert_eq!(answer.kind, Kind::Error(ErrorBody::Chunk), "1,156 bytes are more than 1,024");
}

#[test]
fn time_is_the_callers() {
    let mut world = world();
    let mut client = Client::connect(&mut world, 4096);
    let file = client.create(&mut world, "f");
    let answer = client.inline(&mut world, procedure::GETATTR, &GetattrArgs { file });
    assert_eq!(ok::<Fattr>(&answer).mtime.seconds, 1_700_000_000);
    world.now = Timestamp(5_000_000_000);
    write_inline(&mut client, &mut world, file, 0, b"x");
    let answer = client.inline(&mut world, procedure::GETATTR, &GetattrArgs { file });
    assert_eq!(ok::<Fattr>(&answer).mtime.seconds, 1_700_000_005);
}

#[test]
fn reads_and_writes_allocate_nothing() {
    let mut config = config();
    (config.inline_send_bytes, config.inline_receive_bytes) = (8192, 8192);
    let mut world = World::new(config);
    let mut client = Client::connect(&mut world, 8192);
    let file = client.create(&mut world, "f");
    let data = pattern(4096);
    let mut round = |world: &mut World| {
        ok::<WriteOk>(&write_inline(&mut client, world, file, 4096, &data));
        ok::<WriteOk>(&write_by_chunk(&mut client, world, file, &data, 2));
        assert_eq!(read_inline(&mut client, world, file, 0, 4096), data);
        read_by_chunk(&mut client, world, file, 4096, &[2048, 2048]);
    };
    (0..50).for_each(|_| round(&mut world));
    world.allocations = 0;
    (0..500).for_each(|_| round(&mut world));
    assert_eq!(world.allocations, 0);
    client.create(&mut world, "g");
    assert_ne!(world.allocations, 0, "the counter counts");
}
