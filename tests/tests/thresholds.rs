//! Any inline thresholds, any sizes, any kind of operation: whatever way the data takes, it arrives.

#![forbid(unsafe_code)]

use client::{Op, Output};
use proptest::prelude::*;
use rpcrdma::Registration;
use system_tests::{House, Plan, pattern};

const KIB: u32 = 1024;
const MIB: u32 = 1024 * 1024;
/// No head or transport header of a call or reply is longer.
const HEAD_MAX: u32 = 512;

/// What each end is set to, in KiB: the client's send and receive, the target's.
#[derive(Clone, Copy, Debug)]
struct Thresholds {
    ours: (u32, u32),
    theirs: (u32, u32),
}

impl Thresholds {
    /// What is negotiated: for calls, for replies.
    fn negotiated(&self) -> (u32, u32) {
        (self.ours.0.min(self.theirs.1) * KIB, self.ours.1.min(self.theirs.0) * KIB)
    }

    fn plan(&self, registration: Registration) -> Plan {
        let mut plan = Plan::default();
        plan.transport.registration = Some(registration);
        plan.transport.max_requests = 8;
        plan.transport.inline_send = self.ours.0 * KIB;
        plan.transport.inline_receive = self.ours.1 * KIB;
        plan.transport.buffers.buffer_len = MIB;
        plan.transport.buffers.count = 2;
        plan.target.inline_send_bytes = self.theirs.0 * KIB;
        plan.target.inline_receive_bytes = self.theirs.1 * KIB;
        plan.target.credits = 8;
        plan
    }
}

fn threshold() -> impl Strategy<Value = u32> {
    prop_oneof![Just(1), Just(2), Just(4), Just(8), Just(16), Just(64), Just(256), 1..=256u32]
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    let both = || (threshold(), threshold());
    (both(), both()).prop_map(|(ours, theirs)| Thresholds { ours, theirs })
}

/// A size, or a distance below a threshold: of calls or of replies.
#[derive(Clone, Copy, Debug)]
enum Size {
    Bytes(u32),
    BelowCall(u32),
    BelowReply(u32),
}

fn size() -> impl Strategy<Value = Size> {
    let fixed = [0, 1, 3, 511, 512, 513, 4095, 4096, 4097, MIB - 1, MIB];
    prop_oneof![
        proptest::sample::select(fixed.to_vec()).prop_map(Size::Bytes),
        (0..HEAD_MAX).prop_map(Size::BelowCall),
        (0..HEAD_MAX).prop_map(Size::BelowReply),
        (0..100_000u32).prop_map(Size::Bytes),
    ]
}

fn registration() -> impl Strategy<Value = Registration> {
    prop_oneof![Just(Registration::Static), Just(Registration::Window)]
}

/// The names in the root, whatever way the listing comes.
fn list(house: &mut House) -> Vec<Vec<u8>> {
    let dir = house.client.root(house.mount).expect("mounted");
    let (mut cookie, mut verifier, mut names) = (0, [0; 8], Vec::new());
    loop {
        let buffer = house.buffer();
        let done = house.op(Op::Readdirplus { dir, cookie, verifier }, Some(buffer));
        assert!(matches!(done.result, Ok(Output::Listing { .. })), "{:?}", done.result);
        let listing = client::listing(done.data()).expect("a listing");
        verifier = listing.verifier;
        for entry in listing.entries.iter() {
            cookie = entry.cookie;
            names.push(entry.name.to_vec());
        }
        if listing.eof {
            names.retain(|name| !name.starts_with(b"."));
            names.sort();
            return names;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    // req: 8166-3.3.3-2
    #[test]
    fn every_operation_works_at_every_threshold(
        thresholds in thresholds(),
        registration in registration(),
        sizes in prop::collection::vec(size(), 1..6),
    ) {
        let mut house = House::build(thresholds.plan(registration));
        let (call, reply) = thresholds.negotiated();
        let file = house.create(&"n".repeat(255));
        for (index, size) in sizes.into_iter().enumerate() {
            let len = match size {
                Size::Bytes(bytes) => bytes,
                Size::BelowCall(less) => call - less,
                Size::BelowReply(less) => reply - less,
            };
            let (data, before) = (pattern(len as usize, index as u64), house.counters());
            house.write(file, index as u64 * 3, &data);
            let found = house.read(file, index as u64 * 3, data.len() as u32);
            assert!(found == data, "{} bytes at {}", data.len(), index * 3);
            // What fits for certain needs no chunk, and what cannot fit has one.
            let after = house.counters();
            let chunks = after.read_chunk_count - before.read_chunk_count;
            prop_assert!(chunks == 0 || len + HEAD_MAX > call, "WRITE of {len}");
            prop_assert!(chunks == 1 || len < call, "WRITE of {len}");
            let chunks = after.write_chunk_count - before.write_chunk_count;
            prop_assert!(chunks == 0 || len + HEAD_MAX > reply, "READ of {len}");
            prop_assert!(chunks == 1 || len < reply, "READ of {len}");
        }
        house.op(Op::Getattr { file }, None).result.expect("attributes");
        prop_assert_eq!(list(&mut house), [vec![b'n'; 255]]);
        let counters = house.counters();
        prop_assert_eq!(counters.bad_reply_count + counters.bad_xids + counters.rdma_errors, 0);
        prop_assert_eq!((counters.connect_count, house.fabric.violation_count()), (1, 0));
    }
}

// req: 8166-3.3.1-4
/// Not even by what callers keep of the Receives for as long as they like.
#[test]
fn kept_receives_never_leave_the_connection_without_any() {
    let mut plan = Plan::default().inline(16 * KIB);
    plan.transport.max_requests = 8;
    let mut house = House::build(plan);
    let file = house.create("f");
    house.write(file, 0, &pattern(8192, 1));
    let mut kept = Vec::new();
    for _ in 0..100 {
        let buffer = house.buffer();
        let mut done = house.op(Op::Read { file, offset: 0, len: 8192 }, Some(buffer));
        assert!(done.data() == pattern(8192, 1));
        kept.extend(done.take_received());
    }
    let counters = house.counters();
    assert_eq!(kept.len(), 4, "half as many as calls may be in flight");
    assert_eq!(counters.kept_receives, 4);
    assert_eq!(counters.fixup_copy_count, 96 * 8192, "the others were copied");
    assert!(kept.iter().all(|kept| kept[..] == pattern(8192, 1)), "they stay as they are");
    // They outlive their connection, too.
    house.unmount();
    assert!(kept.iter().all(|kept| kept[..] == pattern(8192, 1)));
    drop(house);
    assert!(kept.iter().all(|kept| kept[..] == pattern(8192, 1)));
}

#[test]
fn a_kept_receive_that_is_dropped_is_used_again() {
    let mut plan = Plan::default().inline(16 * KIB);
    plan.transport.max_requests = 8;
    let mut house = House::build(plan);
    let file = house.create("f");
    house.write(file, 0, &pattern(8192, 1));
    for _ in 0..1_000 {
        assert!(house.read(file, 0, 8192) == pattern(8192, 1));
    }
    assert_eq!(house.counters().kept_receives, 1_000);
    assert_eq!(house.counters().fixup_copy_count, 0);
}
