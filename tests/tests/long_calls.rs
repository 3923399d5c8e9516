//! Calls whose message is too long to go inline (RFC 8166 §3.5.3), alone and with data.

#![forbid(unsafe_code)]

use client::{Op, Output};
use rpcrdma::{Payload, Registration, TransportConfig};
use system_tests::bare::{Bare, largest_header};
use system_tests::{House, Plan, pattern};
use verbs::soft::FaultPlan;
use wire::nfs3::{self, StableHow};
use wire::rpc;
use wire::xdr::{Decode, Reader};

const BOTH: [Registration; 2] = [Registration::Static, Registration::Window];

/// A plan in which hardly any call is short enough to go inline.
fn plan(registration: Registration, inline_send: u32) -> Plan {
    let mut plan = Plan::default();
    plan.transport.registration = Some(registration);
    plan.transport.reconnect_min_ns = 1_000_000;
    plan.transport.planted.inline_send = Some(inline_send);
    plan
}

#[test]
fn a_call_that_does_not_fit_a_kibibyte_is_fetched_by_the_server() {
    for registration in BOTH {
        let mut house = House::build(Plan::default());
        let name = "n".repeat(255);
        let file = house.create(&name);
        let dir = house.client.root(house.mount).expect("mounted").handle;
        let mut config = TransportConfig::new(house.target.nfs_addr());
        config.buffers = Plan::default().transport.buffers;
        config.inline_send = 1024;
        config.registration = Some(registration);
        let mut bare = Bare::connect(house, config);
        for round in 1..=300 {
            // More often than a window has keys.
            let (_, reply, _) = bare.call(Payload::None, |xid, w| {
                largest_header(xid, nfs3::procedure::LOOKUP, &[0; 400], w)?;
                w.value(&nfs3::LookupArgs { dir, name: name.as_bytes() })
            });
            let reply = reply.expect("an answer");
            let mut r = Reader::new(&reply);
            assert!(rpc::Reply::decode(&mut r).expect("a reply").outcome.is_ok());
            let found: Result<nfs3::LookupOk, nfs3::Failed<_>> =
                nfs3::LookupRes::decode(&mut r).expect("a result");
            assert_eq!(found.expect("it is there").handle, file.handle);
            assert_eq!(bare.counters().nomsg_call_count, round);
        }
        let counters = bare.counters();
        assert_eq!(counters.local_inv_needed, 0, "one key, which the server invalidates");
        assert_eq!(bare.house.fabric.violation_count(), 0);
    }
}

#[test]
fn a_call_longer_than_any_is_refused_with_its_length_and_costs_nothing() {
    let mut house = House::build(Plan::default());
    let root = house.client.root(house.mount).expect("mounted").handle;
    let config = TransportConfig {
        inline_send: 1024,
        buffers: Plan::default().transport.buffers,
        ..TransportConfig::new(house.target.nfs_addr())
    };
    house.step();
    let mut bare = Bare::connect(house, config);
    // The first does not even fit the header buffer, the second no chunk.
    for len in [8192, 3000].repeat(500) {
        let mut call = rpcrdma::Call { token: 0, payload: Payload::None, reply_max: 512 };
        let (now, id) = (bare.house.now(), bare.connection);
        let refused = bare.endpoint.call(id, &mut call, now, |xid, w| {
            largest_header(xid, nfs3::procedure::NULL, &[0; 400], w)?;
            w.put(&[0; 8192][..len])
        });
        let why = format!("{:?}", refused.expect_err("too long"));
        assert!(why.contains("CallTooLong"), "{why}");
    }
    let (_, reply, _) = bare.call(Payload::None, |xid, w| {
        largest_header(xid, nfs3::procedure::GETATTR, &[0; 400], w)?;
        w.value(&nfs3::GetattrArgs { file: root })
    });
    assert!(reply.is_ok(), "every slot is still there");
    assert_eq!(bare.counters().failed_marshal_count, 1_000);
}

// req: 8166-3.4.4.4-1
#[test]
fn data_goes_in_a_chunk_of_its_own_beside_a_long_call() {
    for registration in BOTH {
        for inline_send in [0, 200] {
            let mut house = House::build(plan(registration, inline_send));
            let file = house.create("f");
            let before = house.counters();
            for (len, seed) in [(0usize, 1u64), (1, 2), (3, 3), (4095, 4), (4096, 5), (131_072, 6)]
            {
                let data = pattern(len, seed);
                house.write(file, 0, &data);
                assert_eq!(house.read(file, 0, len as u32), data, "{len} bytes");
            }
            let counters = house.counters();
            assert_eq!(counters.nomsg_call_count > before.nomsg_call_count, inline_send == 0);
            let chunks = counters.read_chunk_count - before.read_chunk_count;
            // 1 and 3 bytes fit, where there is room for the head.
            let (chunks_expected, copied_expected) = if inline_send == 0 { (5, 0) } else { (3, 4) };
            assert_eq!(chunks, chunks_expected);
            assert_eq!(counters.pullup_copy_count, copied_expected);
            // The server invalidates a key that is alone; two are left to us.
            let two_keys = registration == Registration::Window && inline_send == 0;
            assert_eq!(counters.local_inv_needed, if two_keys { 2 * (5 + 3) } else { 0 });
            assert_eq!(house.fabric.violation_count(), 0);
        }
    }
}

#[test]
fn more_long_calls_than_buffers_for_them_wait_and_all_complete() {
    for registration in BOTH {
        let mut house = House::build(plan(registration, 0));
        let file = house.create("f");
        for round in 0..20 {
            for tag in 0..64 {
                house.submit(tag, Op::Getattr { file }, None);
            }
            house.run_until(|house| house.done_count() == 64);
            assert!(house.take_done().iter().all(|done| done.result.is_ok()), "{round}");
        }
        assert!(house.counters().long_call_waits > 0);
    }
}

#[test]
fn long_calls_of_a_lost_connection_are_sent_again() {
    for registration in BOTH {
        let mut house = House::build(plan(registration, 0));
        let file = house.create("f");
        for round in 1..30 {
            let qp = house.client_qp();
            house.faults().set(qp, FaultPlan::new().disconnect_after(round * 3));
            for tag in 0..24 {
                let buffer = house.filled(5_000, round << 8 | tag);
                let (offset, len, stable) = (tag * 8192, 5_000, StableHow::Unstable);
                house.submit(tag, Op::Write { file, offset, len, stable }, Some(buffer));
            }
            house.run_until(|house| house.done_count() == 24);
            for done in house.take_done() {
                assert!(matches!(done.result, Ok(Output::Written { .. })), "{:?}", done.result);
            }
            for tag in 0..24 {
                assert!(house.read(file, tag * 8192, 5_000) == pattern(5_000, round << 8 | tag));
            }
        }
        let counters = house.counters();
        assert!(counters.retransmissions > 0 && counters.connect_count > 5, "{counters:?}");
        assert_eq!(counters.failed_marshal_count, 0);
        assert_eq!(house.fabric.violation_count(), 0);
    }
}
