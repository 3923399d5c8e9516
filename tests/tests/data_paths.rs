//! Every way that data takes, written by each and read back by each, and counted.

#![forbid(unsafe_code)]

use client::{Op, Output};
use system_tests::{House, Plan, pattern};
use wire::nfs3::StableHow;

#[test]
fn small_writes_are_copied_larger_ones_gathered_and_the_largest_fetched() {
    let mut house = House::build(Plan::default());
    let file = house.create("f");
    let before = house.counters();
    for (len, seed) in
        [(1usize, 1u64), (511, 2), (512, 3), (513, 4), (3000, 5), (4096, 6), (131_072, 7)]
    {
        let data = pattern(len, seed);
        house.write(file, 0, &data);
        assert_eq!(house.read(file, 0, len as u32), data, "{len} bytes");
    }
    let after = house.counters();
    let gained = |name: fn(&rpcrdma::Counters) -> u64| name(&after) - name(&before);
    assert_eq!(gained(|c| c.pullup_copy_count), 1 + 511 + 512, "copied");
    assert_eq!(gained(|c| c.gathered_sends), 2, "513 and 3000 bytes");
    assert_eq!(gained(|c| c.read_chunk_count), 2, "4096 just misses inline, and 131072");
    assert_eq!(gained(|c| c.read_chunk_bytes), 4096 + 131_072);
    assert_eq!(gained(|c| c.write_chunk_count), 2);
    assert_eq!(gained(|c| c.total_rdma_request), 4096 + 131_072, "offered for what is read");
    assert_eq!(gained(|c| c.total_rdma_reply), 4096 + 131_072);
    assert_eq!(gained(|c| c.fixup_copy_count), 1 + 511 + 512);
    assert_eq!(gained(|c| c.kept_receives), 2, "513 and 3000 bytes stay where they came");
    assert_eq!(gained(|c| c.sends), 14);
    assert_eq!(gained(|c| c.recvs), 14);
}

#[test]
fn with_wide_inline_thresholds_a_block_needs_no_chunk() {
    let mut house = House::build(Plan::default().inline(16 * 1024));
    let file = house.create("f");
    let data = pattern(8192, 9);
    house.write(file, 4096, &data);
    assert_eq!(house.read(file, 4096, 8192), data);
    let counters = house.counters();
    assert_eq!(counters.read_chunk_count + counters.write_chunk_count, 0);
    assert_eq!(counters.gathered_sends, 1);
}

#[test]
fn more_writes_than_the_server_has_staging_buffers_do_not_wait_for_each_other() {
    let mut plan = Plan::default();
    plan.target.staging_buffers = 2;
    let mut house = House::build(plan);
    let file = house.create("f");
    for tag in 0..32 {
        let buffer = house.filled(131_072, tag);
        let (offset, len, stable) = (tag * 131_072, 131_072, StableHow::Unstable);
        house.submit(tag, Op::Write { file, offset, len, stable }, Some(buffer));
    }
    house.run_until(|house| house.done_count() == 32);
    drop(house.take_done());
    for tag in 0..32 {
        assert!(house.read(file, tag * 131_072, 131_072) == pattern(131_072, tag));
    }
}

#[test]
fn unaligned_lengths_keep_their_neighbours_intact() {
    for inline in [4096, 65536] {
        let mut house = House::build(Plan::default().inline(inline));
        let file = house.create("f");
        let mut model = pattern(70_000, 1);
        house.write(file, 0, &model);
        for (offset, len) in
            [(1usize, 1usize), (3, 2), (5, 3), (4097, 4095), (10_001, 5_001), (20_003, 30_001)]
        {
            let data = pattern(len, offset as u64);
            house.write(file, offset as u64, &data);
            model[offset..offset + len].copy_from_slice(&data);
            assert_eq!(house.read(file, 0, 70_000), model, "inline {inline}, {len} at {offset}");
            assert_eq!(house.read(file, offset as u64, len as u32), data);
        }
    }
}

#[test]
fn reading_past_the_end_returns_what_there_is() {
    for len in [100, 100_000] {
        let mut house = House::build(Plan::default());
        let file = house.create("f");
        house.write(file, 0, &pattern(50, 1));
        assert_eq!(house.read(file, 0, len), pattern(50, 1));
        assert_eq!(house.read(file, 50, len), []);
        assert_eq!(house.read(file, 0, 0), [], "a READ of nothing");
    }
}

#[test]
fn a_directory_listing_comes_inline_or_by_reply_chunk() {
    for inline in [4096, 65536] {
        let mut plan = Plan::default().inline(inline);
        plan.transport.buffers.buffer_len = 32 * 1024;
        let mut house = House::build(plan);
        for name in 0..40 {
            house.create(&format!("file-{name:02}"));
        }
        let dir = house.client.root(house.mount).unwrap();
        let buffer = house.buffer();
        let op = Op::Readdirplus { dir, cookie: 0, verifier: [0; 8] };
        let done = house.op(op, Some(buffer));
        assert!(matches!(done.result, Ok(Output::Listing { .. })), "{:?}", done.result);
        let listing = client::listing(done.data()).unwrap();
        let mut names: Vec<_> = listing.entries.iter().map(|entry| entry.name.to_vec()).collect();
        names.retain(|name| !name.starts_with(b"."));
        names.sort();
        let expected: Vec<_> = (0..40).map(|name| format!("file-{name:02}").into_bytes()).collect();
        assert_eq!(names, expected, "inline {inline}");
        assert_eq!(house.counters().reply_chunk_count > 0, inline == 4096);
    }
}

#[test]
fn the_whole_life_of_a_file() {
    let mut house = House::build(Plan::default());
    let root = house.client.root(house.mount).unwrap();
    let file = house.create("f");
    house.write(file, 0, &pattern(1000, 1));
    let commit = house.op(Op::Commit { file, offset: 0, count: 0 }, None);
    assert!(matches!(commit.result, Ok(Output::Committed { .. })));
    let attributes = wire::nfs3::Sattr { size: Some(10), ..Default::default() }.into();
    house.op(Op::Setattr { file, attributes }, None).result.unwrap();
    let Ok(Output::Attributes(Some(found))) = house.op(Op::Getattr { file }, None).result else {
        panic!("GETATTR gives attributes")
    };
    assert_eq!(found.size, 10);
    let access = house.op(Op::Access { file, access: 0x3f }, None);
    assert!(matches!(access.result, Ok(Output::Access(bits)) if bits & 1 != 0));
    let space = house.op(Op::Fsstat { file }, None);
    assert!(matches!(space.result, Ok(Output::Fsstat(space)) if space.available_bytes > 0));
    house.op(Op::Null, None).result.unwrap();
    house.op(Op::Remove { dir: root, name: "f".into() }, None).result.unwrap();
    let gone = house.op(Op::Lookup { dir: root, name: "f".into() }, None).result.unwrap_err();
    assert_eq!(gone.errno(), 2, "{gone}");
    let stale = house.op(Op::Getattr { file }, None).result.unwrap_err();
    assert_eq!(stale.errno(), 116, "{stale}");
}

#[test]
fn a_buffer_that_an_operation_has_no_use_for_comes_back_all_the_same() {
    let mut house = House::build(Plan::default());
    let file = house.create("f");
    let buffer = house.buffer();
    let done = house.op(Op::Getattr { file }, Some(buffer));
    assert!(done.result.is_ok() && done.buffer.is_some());
}

#[test]
fn an_operation_that_cannot_be_sent_says_why_and_returns_its_buffer() {
    let mut house = House::build(Plan::default());
    let file = house.create("f");
    let home = house.buffers_home();
    let buffer = house.buffer();
    let done = house.op(Op::Read { file, offset: 0, len: 1 << 21 }, Some(buffer));
    let error = done.result.unwrap_err().to_string();
    assert!(error.contains("2097152") && error.contains("at most"), "{error}");
    drop(done.buffer.expect("returned"));
    let error = house.op(Op::Read { file, offset: 0, len: 1 }, None).result.unwrap_err();
    assert!(error.to_string().contains("buffer"), "{error}");
    let dir = house.client.root(house.mount).unwrap();
    for name in ["", "a/b", &"x".repeat(256)] {
        let error = house.op(Op::Lookup { dir, name: name.into() }, None).result.unwrap_err();
        assert!(error.to_string().contains("1 to 255"), "{error}");
    }
    let missing = house.op(Op::Open { path: "no/such/file".into(), create: None }, None);
    let error = missing.result.unwrap_err().to_string();
    assert!(error.contains("\"no\"") && error.contains("NOENT"), "{error}");
    assert_eq!(house.buffers_home(), home);
}

#[test]
fn a_write_that_just_filled_a_staging_buffer_was_fetched_for_ever() {
    let mut house = House::build(Plan::default());
    let file = house.create("f");
    // With its call around it, each length near the size of the target's small staging buffers.
    for len in 16_384 - 300..=16_384 {
        house.write(file, 0, &pattern(len, len as u64));
    }
    assert_eq!(house.target.stats().rdma_reads.get(), 301, "one for each");
}
