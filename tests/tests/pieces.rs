//! Payloads in several pieces, as preadv(2) and pwritev(2) take them: every way that data takes,
//! both kinds of keys, any lengths.

#![forbid(unsafe_code)]

use client::{File, Op, Output, Piece, Pieces, SEGMENTS_MAX};
use hugepages::Buffer;
use proptest::prelude::*;
use rpcrdma::Registration;
use system_tests::{House, Plan, pattern};
use wire::nfs3::StableHow;

fn house(registration: Registration, inline: u32) -> (House, File) {
    let mut plan = Plan::default().inline(inline);
    plan.transport.registration = Some(registration);
    let mut house = House::build(plan);
    let file = house.create("f");
    (house, file)
}

/// A piece of the mount's pool, or of memory of the test's own, with something in front of it that
/// must not be touched.
fn piece(house: &House, own: bool, offset: u32, bytes: &[u8]) -> Piece {
    let (at, len) = (offset as usize, bytes.len());
    let mut buffer = match own {
        true => Buffer::from_vec(vec![0; at + len + 1]).unwrap(),
        false => house.buffer(),
    };
    buffer.fill(0xee);
    buffer[at..at + len].copy_from_slice(bytes);
    Piece::new(buffer, offset, len as u32)
}

/// Pieces of these lengths, each at an odd place, every `own_every`-th in memory of the test's own.
fn pieces(house: &House, lens: &[usize], own_every: usize, data: &[u8]) -> Pieces {
    let mut rest = data;
    let list = lens.iter().enumerate().map(|(at, &len)| {
        let (now, later) = rest.split_at(len);
        rest = later;
        piece(house, at % own_every == 0, at as u32 * 3, now)
    });
    Pieces::new(list).unwrap()
}

fn write(house: &mut House, file: File, offset: u64, lens: &[usize], data: &[u8]) -> Pieces {
    let pieces = pieces(house, lens, 2, data);
    let len = data.len() as u32;
    let op = Op::Write { file, offset, len, stable: StableHow::Unstable };
    let done = house.op_vectored(op, pieces);
    assert!(
        matches!(done.result, Ok(Output::Written { count, .. }) if count == len),
        "{lens:?}: {:?}",
        done.result
    );
    done.pieces.expect("the pieces come back with the result")
}

fn read(house: &mut House, file: File, offset: u64, lens: &[usize]) -> (u32, Pieces) {
    let len = lens.iter().sum::<usize>();
    let pieces = pieces(house, lens, 3, &vec![0xee; len]);
    let done = house.op_vectored(Op::Read { file, offset, len: len as u32 }, pieces);
    let Ok(Output::Read { count, .. }) = done.result else { panic!("{lens:?}: {:?}", done.result) };
    (count, done.pieces.expect("the pieces come back"))
}

/// Writes in one division and reads in another, and everything around is as it was.
fn round_trip(house: &mut House, file: File, out: &[usize], back: &[usize], seed: u64) {
    let len = out.iter().sum::<usize>();
    let data = pattern(len, seed);
    let written = write(house, file, 5, out, &data);
    assert!(written.to_vec(len) == data, "the pieces are as they were");
    let (count, pieces) = read(house, file, 5, back);
    assert_eq!(count as usize, len.min(back.iter().sum()));
    assert!(pieces.to_vec(count as usize) == data[..count as usize], "{out:?} {back:?}");
    for (at, piece) in pieces.into_pieces().into_iter().enumerate() {
        let buffer = piece.into_buffer().unwrap();
        assert!(buffer[..at * 3].iter().all(|&byte| byte == 0xee), "in front of piece {at}");
        let end = at * 3 + back[at];
        assert!(buffer[end..].iter().all(|&byte| byte == 0xee), "behind piece {at}");
    }
    assert_eq!(house.fabric.violation_count(), 0);
}

const BOTH: [Registration; 2] = [Registration::Static, Registration::Window];

#[test]
fn pieces_are_copied_gathered_and_offered_as_segments() {
    for registration in BOTH {
        for inline in [4096, 65_536] {
            let (mut house, file) = house(registration, inline);
            let before = house.counters();
            round_trip(&mut house, file, &[1, 2, 3], &[4, 1, 1], 1);
            let copied = house.counters();
            assert_eq!(copied.pullup_copy_count - before.pullup_copy_count, 6);
            round_trip(&mut house, file, &[601, 0, 403, 7], &[1000, 11], 2);
            let gathered = house.counters();
            assert_eq!(gathered.gathered_sends - copied.gathered_sends, 1);
            round_trip(&mut house, file, &[4097, 3, 5001, 20_002], &[20_001, 9102], 3);
            let after = house.counters();
            let chunks = u64::from(inline == 4096);
            assert_eq!(after.read_chunk_count - gathered.read_chunk_count, chunks);
            assert_eq!(after.write_chunk_count - gathered.write_chunk_count, chunks);
            assert_eq!((after.bad_reply_count, after.recvs), (0, after.sends));
        }
    }
}

#[test]
fn a_mebibyte_in_eight_pieces() {
    for registration in BOTH {
        let (mut house, file) = house(registration, 4096);
        let odd = [131_071, 131_069, 131_072, 131_000, 131_075, 131_073, 131_072, 131_144];
        // Longer than a buffer of the pool less the place in front: all of the test's own.
        let data = pattern(1 << 20, 9);
        assert_eq!(odd.iter().sum::<usize>(), 1 << 20);
        let own = |bytes: &[u8]| {
            Piece::new(Buffer::from_vec(bytes.to_vec()).unwrap(), 0, bytes.len() as u32)
        };
        let mut rest = &data[..];
        let list: Vec<Piece> = odd.iter().map(|&len| own(rest.split_off(..len).unwrap())).collect();
        let op = Op::Write { file, offset: 0, len: 1 << 20, stable: StableHow::FileSync };
        let done = house.op_vectored(op, Pieces::new(list).unwrap());
        assert!(matches!(done.result, Ok(Output::Written { count: 1_048_576, .. })), "{done:?}");
        let list = odd.iter().rev().map(|&len| own(&vec![0; len]));
        let op = Op::Read { file, offset: 0, len: 1 << 20 };
        let done = house.op_vectored(op, Pieces::new(list).unwrap());
        assert!(matches!(done.result, Ok(Output::Read { count: 1_048_576, .. })));
        assert!(done.pieces.unwrap().to_vec(1 << 20) == data);
        assert_eq!(house.fabric.violation_count(), 0);
    }
}

#[test]
fn pieces_of_nothing_move_nothing() {
    for registration in BOTH {
        let (mut house, file) = house(registration, 4096);
        write(&mut house, file, 0, &[0, 0, 0], &[]);
        write(&mut house, file, 0, &[0, 10, 0], &pattern(10, 1));
        let (count, _) = read(&mut house, file, 0, &[0]);
        assert_eq!(count, 0);
        let (count, pieces) = read(&mut house, file, 0, &[0, 5000, 0, 5000]);
        assert_eq!((count, pieces.to_vec(10)), (10, pattern(10, 1)));
    }
}

#[test]
fn each_segment_has_a_window_and_every_key_ends_before_the_caller_sees_the_result() {
    let (mut house, file) = house(Registration::Window, 4096);
    round_trip(&mut house, file, &[9000, 9000, 9000], &[9000, 9000, 9000], 1);
    let before = house.counters();
    round_trip(&mut house, file, &[9000, 9000, 9000], &[9000, 9000, 9000], 1);
    let after = house.counters();
    // The server may end only one key with its reply, and does so where there is one only.
    assert_eq!(after.local_inv_needed - before.local_inv_needed, 6);
    assert_eq!(after.sends - before.sends, 2);
    assert_eq!(after.send_wrs - before.send_wrs, 2 + 6 + 6, "calls, binds, invalidations");
    assert_eq!(after.mrs_allocated, before.mrs_allocated, "windows are kept for the next call");
}

#[test]
fn many_calls_in_pieces_share_a_small_send_queue() {
    for registration in BOTH {
        let mut plan = Plan::default();
        plan.transport.registration = Some(registration);
        plan.transport.max_requests = 1;
        let mut house = House::build(plan);
        let file = house.create("f");
        for tag in 0..40 {
            let lens = [1001; SEGMENTS_MAX];
            let pieces = pieces(&house, &lens, 1, &pattern(8008, tag));
            let (offset, len, stable) = (tag * 8008, 8008, StableHow::Unstable);
            house.submit_vectored(tag, Op::Write { file, offset, len, stable }, pieces);
        }
        house.run_until(|house| house.done_count() == 40);
        assert!(house.take_done().iter().all(|done| done.result.is_ok()));
        for tag in 0..40 {
            let (count, pieces) = read(&mut house, file, tag * 8008, &[8000, 8]);
            assert_eq!(count, 8008);
            assert!(pieces.to_vec(8008) == pattern(8008, tag));
        }
    }
}

#[test]
fn calls_in_pieces_wait_until_the_send_queue_has_room_for_all_their_binds() {
    let mut plan = Plan::default();
    plan.transport.registration = Some(Registration::Window);
    plan.transport.max_requests = 16;
    let mut house = House::build(plan);
    let file = house.create("f");
    write(&mut house, file, 0, &[8008], &pattern(8008, 1));
    let before = house.counters();
    for tag in 0..16 {
        let pieces = pieces(&house, &[1001; SEGMENTS_MAX], 1, &[0; 8008]);
        house.submit_vectored(tag, Op::Read { file, offset: 0, len: 8008 }, pieces);
    }
    house.run_until(|house| house.done_count() == 16);
    for done in house.take_done() {
        assert!(done.result.is_ok());
        assert!(done.pieces.unwrap().to_vec(8008) == pattern(8008, 1));
    }
    let after = house.counters();
    assert_eq!(after.connect_count, 1, "no queue was asked for more than it holds");
    assert!(after.empty_sendctx_q > before.empty_sendctx_q, "{after:?}");
    let made = after.mrs_allocated - before.mrs_allocated;
    let more = SEGMENTS_MAX as u64 - 1;
    assert!(made > 0 && made.is_multiple_of(more) && made <= 16 * more, "{made} windows more");
}

/// Each took a Send Queue entry for every piece, and two of them did not fit.
#[test]
fn pieces_that_came_inline_kept_the_send_queue_for_ever() {
    let mut plan = Plan::default();
    plan.transport.registration = Some(Registration::Window);
    plan.transport.max_requests = 2;
    plan.transport.send_batch = Some(2);
    let mut house = House::build(plan);
    let file = house.create("f");
    write(&mut house, file, 0, &[80], &pattern(80, 1));
    for _ in 0..8 {
        let (count, pieces) = read(&mut house, file, 0, &[10; SEGMENTS_MAX]);
        assert_eq!((count, pieces.to_vec(80)), (80, pattern(80, 1)));
    }
}

#[test]
fn pieces_that_are_not_the_payload_are_refused_and_returned() {
    let (mut house, file) = house(Registration::Window, 4096);
    let short = pieces(&house, &[10, 10], 1, &[0; 20]);
    let done = house.op_vectored(Op::Read { file, offset: 0, len: 21 }, short);
    let error = done.result.unwrap_err().to_string();
    assert!(error.contains("READ of 21 bytes with pieces of 20"), "{error}");
    assert_eq!(done.pieces.unwrap().total_len(), 20);
    let outside = Pieces::new([Piece::new(Buffer::from_vec(vec![0; 10]).unwrap(), 8, 3)]).unwrap();
    let done = house.op_vectored(Op::Read { file, offset: 0, len: 3 }, outside);
    let error = done.result.unwrap_err().to_string();
    assert!(error.contains("payload length = 3"), "{error}");
    assert!(done.pieces.is_some());
}

#[test]
fn a_server_that_lies_about_segments_fails_the_call_and_nothing_else() {
    let (mut house, file) = house(Registration::Static, 4096);
    let data = pattern(20_000, 1);
    write(&mut house, file, 0, &[20_000], &data);
    for (orders, words) in [
        ("gap-chunk=1", "before the one ahead of it is full"),
        ("swap-segments=1", "not the one that was offered"),
        ("long-chunk=1", "in a chunk of 9000"),
        ("foreign-rkey=1", "not the one that was offered"),
        ("foreign-offset=1", "not the one that was offered"),
    ] {
        house.target.switch().set(orders.parse().unwrap());
        let lens = [9000, 10_000, 1000];
        let offered = pieces(&house, &lens, 2, &[0; 20_000]);
        let done = house.op_vectored(Op::Read { file, offset: 0, len: 20_000 }, offered);
        let error = done.result.unwrap_err().to_string();
        assert!(error.contains(words), "{orders}: {error}");
        assert!(done.pieces.is_some(), "{orders}");
        let (count, read) = read(&mut house, file, 0, &lens);
        assert_eq!(count, 20_000, "{orders}");
        assert!(read.to_vec(20_000) == data, "{orders}");
    }
}

#[test]
fn gathered_pieces_wait_for_their_send_all_of_them() {
    let (mut house, file) = house(Registration::Window, 16_384);
    let home = house.buffers_home();
    let qp = house.client_qp();
    house.faults().hold_acks(qp);
    let data = pattern(3000, 1);
    let list = pieces(&house, &[1001, 999, 1000], 2, &data);
    let op = Op::Write { file, offset: 0, len: 3000, stable: StableHow::Unstable };
    house.submit_vectored(1, op, list);
    let received = house.counters().recvs;
    house.run_for(std::time::Duration::from_millis(200));
    assert_eq!(house.counters().recvs, received + 1, "the Reply is here");
    assert_eq!((house.done_count(), house.buffers_home()), (0, home - 1), "its pieces are not");
    house.faults().release_acks(qp);
    house.run_until(|house| house.done_count() == 1);
    assert!(house.take_done().remove(0).pieces.unwrap().to_vec(3000) == data);
    assert_eq!(house.fabric.violation_count(), 0);
}

#[test]
fn pieces_survive_lost_connections() {
    for registration in BOTH {
        let mut plan = Plan::default();
        plan.transport.registration = Some(registration);
        plan.transport.reconnect_min_ns = 1_000_000;
        let mut house = House::build(plan);
        let file = house.create("f");
        for round in 1..12 {
            let qp = house.client_qp();
            house.faults().set(qp, verbs::soft::FaultPlan::new().disconnect_after(round % 2 + 1));
            let lens = [5001, 7, 9003];
            round_trip(&mut house, file, &lens, &lens, round);
        }
        let counters = house.counters();
        assert!(counters.connect_count > 1 && counters.retransmissions > 0, "{counters:?}");
    }
}

/// Where to cut `len` bytes into up to eight pieces, some of them empty.
fn cuts(len: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..=len, 0..SEGMENTS_MAX).prop_map(move |mut cuts| {
        cuts.sort_unstable();
        cuts.push(len);
        let mut from = 0;
        cuts.into_iter().map(|to| to - std::mem::replace(&mut from, to)).collect()
    })
}

fn division() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    let len = prop_oneof![0usize..64, 400usize..800, 3000usize..4200, 10_000usize..100_000];
    len.prop_flat_map(|len| (cuts(len), cuts(len)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_division_of_any_length_arrives_whole(
        divisions in prop::collection::vec(division(), 1..6),
        window: bool,
        inline in prop_oneof![Just(1024), Just(4096), Just(65_536)],
    ) {
        let registration = if window { Registration::Window } else { Registration::Static };
        let (mut house, file) = house(registration, inline);
        for (seed, (out, back)) in divisions.iter().enumerate() {
            round_trip(&mut house, file, out, back, seed as u64);
        }
    }
}
