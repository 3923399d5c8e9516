use std::collections::BTreeSet;

use verbs::soft::{Clock, SoftFabric};

use super::*;
use crate::connection::HEADER_ROOM;
use crate::error::Loss;
use crate::fixtures::{Nobody, config, connected, endpoint, established};
use crate::recovery::Recovery;
use crate::request::Request;
use crate::work_id::Kind;

/// The XID of the first call of each of `count` connections made from one configuration.
fn first_xids(config: &TransportConfig, count: usize) -> BTreeSet<u32> {
    let mut endpoint = endpoint();
    for _ in 0..count {
        endpoint.connect(config.clone(), Timestamp(0)).unwrap();
    }
    let connections = endpoint.places.iter_mut().filter_map(|place| place.connection.as_mut());
    connections
        .map(|connection| {
            let (_, request) = connection.slots.take(0).unwrap();
            request.xid
        })
        .collect()
}

#[test]
fn connections_of_one_configuration_did_not_start_from_one_xid() {
    assert_eq!(first_xids(&config(), 8).len(), 8);
    let repeatable = TransportConfig { xid_seed: Some(7), ..config() };
    assert_eq!(first_xids(&repeatable, 8).len(), 1, "unless that was asked for");
}

#[test]
fn more_connections_than_the_endpoint_was_made_for_are_refused() {
    let fabric = SoftFabric::new(Clock::virtual_time());
    let limits = EndpointConfig { connections_max: 2, ..EndpointConfig::default() };
    let mut endpoint = Endpoint::new(fabric, limits);
    for _ in 0..2 {
        endpoint.connect(config(), Timestamp(0)).unwrap();
    }
    let refused = endpoint.connect(config(), Timestamp(0)).unwrap_err();
    assert!(refused.to_string().contains("connections = 3"), "{refused}");
}

#[test]
fn a_parked_caller_was_woken_while_calls_waited_to_be_sent_again() {
    let mut endpoint = endpoint();
    let connection = established(&mut endpoint);
    connection.parked = true;
    let (_, request) = connection.slots.take(0).unwrap();
    request.pending = true;
    // SAFETY: nothing was ever posted.
    unsafe { connection.slots.queue_resends() };
    assert!(!connection.take_wake(), "it would be sent away once more");
    assert!(connection.parked, "and is not forgotten");
    connection.slots.next_resend();
    assert!(connection.take_wake());
}

#[test]
fn a_parked_caller_is_woken_only_where_there_is_all_that_a_call_takes() {
    let mut endpoint = endpoint();
    let connection = established(&mut endpoint);
    connection.parked = true;

    connection.credits.take();
    assert!(!connection.take_wake(), "no credit");
    connection.credits.replied(4);

    while connection.sender.getter.get(1).is_some() {}
    assert!(!connection.take_wake(), "no place in the ring");
    connection.sender = connection.config.sender();

    let slots: Vec<_> = std::iter::from_fn(|| connection.slots.take_for_reply()).collect();
    assert!(!connection.take_wake(), "no slot");
    slots.into_iter().for_each(|slot| connection.slots.put(slot));

    let Connection { long_calls, counters, .. } = connection;
    let mut long: Vec<_> = (0..crate::config::LONG_CALLS).map(|_| Request::default()).collect();
    for request in &mut long {
        long_calls.lend_to(request, counters).unwrap();
    }
    assert!(long_calls.lend_to(&mut Request::default(), counters).is_err());
    assert!(!connection.take_wake(), "no buffer for a long call");
    assert_eq!(connection.holdings().long_calls, crate::config::LONG_CALLS);
    long.iter_mut().for_each(|request| connection.long_calls.put(request.long.take()));

    assert!(connection.parked, "nobody was forgotten");
    assert!(connection.take_wake());
    assert!(!connection.take_wake(), "once");
}

#[test]
fn a_long_call_takes_a_message_that_just_fills_its_buffer() {
    let mut endpoint = endpoint();
    let Connection { long_calls, counters, .. } = established(&mut endpoint);
    let mut request = Request::default();
    request.shape.body_len = crate::config::CALL_MAX as usize;
    assert_eq!(long_calls.lend_to(&mut request, counters), Ok(()));
    long_calls.put(request.long.take());
    request.shape.body_len += 1;
    let refused = long_calls.lend_to(&mut request, counters);
    assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
}

/// Makes a call that has to wait; what was counted by then: for credits, the ring, slots.
fn refused(endpoint: &mut Endpoint<SoftFabric>, id: ConnectionId) -> [u64; 3] {
    let mut call = Call { token: 0, payload: crate::Payload::None, reply_max: 512 };
    let called = endpoint.call(id, &mut call, Timestamp(0), |_, w| w.put(&[0; 40]));
    assert_eq!(called, Err(Refusal::Busy));
    let counters = endpoint.counters(id).unwrap();
    [counters.credit_waits, counters.empty_sendctx_q, counters.slot_waits]
}

#[test]
fn what_a_caller_has_to_wait_for_is_counted() {
    let mut endpoint = endpoint();
    let id = established(&mut endpoint).id;
    fn connection(endpoint: &mut Endpoint<SoftFabric>) -> &mut Connection<SoftFabric> {
        endpoint.get_mut(ConnectionId { index: 0, life: 1 }).unwrap()
    }

    connection(&mut endpoint).credits.take();
    assert_eq!(refused(&mut endpoint, id), [1, 0, 0]);
    connection(&mut endpoint).credits.replied(4);

    let (slot, request) = connection(&mut endpoint).slots.take(0).unwrap();
    request.pending = true;
    // SAFETY: nothing was ever posted.
    unsafe { connection(&mut endpoint).slots.queue_resends() };
    assert_eq!(refused(&mut endpoint, id), [2, 0, 0], "those to be sent again go first");
    let slots = &mut connection(&mut endpoint).slots;
    assert_eq!(slots.next_resend(), Some(slot));
    slots.get(slot).pending = false;
    slots.put(slot);

    while connection(&mut endpoint).sender.getter.get(1).is_some() {}
    assert_eq!(refused(&mut endpoint, id), [2, 1, 0]);
    let connection = connection(&mut endpoint);
    connection.sender = connection.config.sender();

    while connection.slots.take_for_reply().is_some() {}
    assert_eq!(refused(&mut endpoint, id), [2, 1, 1]);
}

#[test]
fn a_connection_that_was_given_up_is_not_revived_by_a_late_answer() {
    let mut endpoint = endpoint();
    let connection = established(&mut endpoint);
    connection.lose(Loss::Disconnected, Timestamp(0));
    let late = CmEvent::Established { private_data: Vec::new() };
    connection.on_event(late, Timestamp(0), &mut Nobody::default());
    assert_eq!((connection.state, connection.counters.connect_count), (State::Draining, 0));
}

#[test]
fn a_connection_that_is_closed_while_it_drains_ends_as_closed() {
    let mut endpoint = endpoint();
    let connection = established(&mut endpoint);
    connection.lose(Loss::Disconnected, Timestamp(0));
    let id = connection.id;
    endpoint.close(id, Timestamp(0));
    let mut nobody = Nobody::default();
    endpoint.poll_events(Timestamp(0), &mut nobody);
    assert!(matches!(nobody.0, Some(Error::Closed { .. })), "{:?}", nobody.0);
    assert_eq!(endpoint.connections(), 0);
}

#[test]
fn a_completion_of_a_send_that_is_not_in_flight_is_counted_and_ignored() {
    let mut endpoint = endpoint();
    let connection = established(&mut endpoint);
    // It has no queue pair yet, to which its Receives could be posted.
    connection.link = None;
    for count in 1..4 {
        let id = connection.work_id;
        let batch = [Completion { wr_id: id.with(Kind::Send, 3), ..Completion::default() }];
        let others = connection.on_completions(id, &batch, Timestamp(0), &mut Nobody::default());
        assert!(others.is_empty());
        let Counters { stale_completions, cqes, .. } = connection.counters;
        assert_eq!((stale_completions, cqes), (count, count));
    }
    assert_eq!(connection.state, State::Established);
}

/// It was then made on the device, and drained for as long as that may take.
#[test]
fn a_connection_that_was_closed_while_its_address_was_resolved_was_started() {
    let fabric = SoftFabric::new(Clock::virtual_time());
    let mut endpoint = Endpoint::new(fabric.clone(), EndpointConfig::default());
    let id = endpoint.connect(config(), Timestamp(0)).unwrap();
    endpoint.close(id, Timestamp(0));
    let mut nobody = Nobody::default();
    endpoint.poll_events(Timestamp(0), &mut nobody);
    assert!(matches!(nobody.0, Some(Error::Closed { .. })), "{:?}", nobody.0);
    assert_eq!(fabric.in_use(), verbs::soft::InUse::default());
}

/// A limit that has to be passed is over a nanosecond later.
#[test]
fn a_connection_that_sleeps_knows_when_its_next_time_limit_is_over() {
    let mut endpoint = endpoint();
    let connection = connected(&mut endpoint, Timestamp(7));
    connection.config.connect_timeout_ns = 100;
    connection.config.rpc_timeout_ns = 1_000;
    connection.config.idle_timeout_ns = 5_000;
    connection.config.retrans = 2;
    let limit = |connection: &mut Connection<SoftFabric>, state| {
        connection.state = state;
        connection.next_limit_ns()
    };
    assert_eq!(limit(connection, State::Resolving), Some(108));
    assert_eq!(limit(connection, State::Connecting), Some(108));
    assert_eq!(limit(connection, State::Draining), Some(2_000_000_008));
    assert_eq!(limit(connection, State::Waiting), Some(7));
    assert_eq!(limit(connection, State::Idle), None);
    assert_eq!(limit(connection, State::Closed), None);

    assert_eq!(limit(connection, State::Established), Some(5_008), "no calls");
    connection.config.idle_timeout_ns = 0;
    assert_eq!(limit(connection, State::Established), None, "it may stay without");
    connection.config.idle_timeout_ns = 5_000;
    let (slot, request) = connection.slots.take(3).unwrap();
    (request.pending, request.first_sent_ns, request.sent_ns) = (true, 3, 50);
    assert_eq!(limit(connection, State::Established), Some(1_050), "an unanswered call");

    // SAFETY: nothing was ever posted.
    unsafe { connection.slots.queue_resends() };
    assert_eq!(limit(connection, State::Established), None, "it has yet to be sent again");
    assert_eq!(limit(connection, State::Draining), Some(2_000_000_008));
    for recovery in [Recovery::Soft, Recovery::SoftErr] {
        connection.config.recovery = recovery;
        assert_eq!(limit(connection, State::Draining), Some(3 + 3_000 + 1), "{recovery:?}");
        assert_eq!(limit(connection, State::Idle), Some(3 + 3_000 + 1), "{recovery:?}");
    }
    assert_eq!(connection.slots.next_resend(), Some(slot));
}

#[test]
fn a_time_limit_is_over_once_it_has_passed_and_no_sooner() {
    let fabric = SoftFabric::new(Clock::virtual_time());
    let state_at = |state, idle_timeout_ns, now| {
        let mut endpoint = Endpoint::new(fabric.clone(), EndpointConfig::default());
        let connection = established(&mut endpoint);
        connection.config.connect_timeout_ns = 100;
        connection.config.idle_timeout_ns = idle_timeout_ns;
        connection.state = state;
        connection.on_time(&fabric, Timestamp(now), &mut Nobody::default());
        (connection.state, connection.link.is_some())
    };
    for state in [State::Resolving, State::Connecting] {
        assert_eq!(state_at(state, 0, 100), (state, true));
        assert_eq!(state_at(state, 0, 101), (State::Draining, true));
    }
    assert_eq!(state_at(State::Established, 5_000, 5_000), (State::Established, true));
    assert_eq!(state_at(State::Established, 5_000, 5_001), (State::Draining, true));
    assert_eq!(state_at(State::Established, 0, u64::MAX), (State::Established, true));
    let drain = 2_000_000_000;
    assert_eq!(state_at(State::Draining, 0, drain), (State::Draining, true));
    assert_eq!(state_at(State::Draining, 0, drain + 1), (State::Draining, false), "destroyed");
}

#[test]
fn completions_of_another_connection_are_left_and_not_counted() {
    let mut endpoint = endpoint();
    let connection = established(&mut endpoint);
    let (id, other) = (connection.work_id, WorkId::new(1, 9));
    let completion =
        |id: WorkId| Completion { wr_id: id.with(Kind::Send, 3), ..Completion::default() };
    let batch = [completion(id), completion(other), completion(id)];
    let rest = connection.on_completions(id, &batch, Timestamp(0), &mut Nobody::default());
    assert_eq!(rest.len(), 2);
    assert_eq!(connection.counters.cqes, 1);
}

/// The pad has no SGE then.
#[test]
fn payload_goes_by_chunk_where_a_send_has_two_sges() {
    let mut endpoint = endpoint();
    let connection = established(&mut endpoint);
    let mut buffer = connection.payloads.pool.alloc();
    let len = buffer.as_ref().unwrap().len();
    let limits = &mut connection.limits;
    (limits.inline_send, limits.copy_max, limits.sges) = (4 * len, 0, 2);
    let (payload, len) = (crate::PlainPayload::Send, len as u32);
    let call = crate::PlainCall { token: 0, payload, len, reply_max: 512 };
    assert!(connection.call_plain(call, &mut buffer, Timestamp(0), Bytes(64)));
    assert_eq!(connection.counters.read_chunk_count, 1);
}

/// A message of so many bytes.
struct Bytes(usize);

impl crate::PlainMessage for Bytes {
    fn put(self, _: u32, out: &mut [u8]) -> Option<usize> {
        (self.0 <= out.len()).then_some(self.0)
    }
}

#[test]
fn a_plain_call_is_no_longer_than_the_server_receives() {
    let mut endpoint = endpoint();
    let connection = established(&mut endpoint);
    let payload = crate::PlainPayload::None;
    let call = crate::PlainCall { token: 0, payload, len: 0, reply_max: 512 };
    let most = connection.limits.inline_send - HEADER_ROOM;
    assert!(!connection.call_plain(call, &mut None, Timestamp(0), Bytes(most + 1)));
    assert_eq!(connection.counters.sends, 0, "nothing has happened");
    assert!(connection.call_plain(call, &mut None, Timestamp(0), Bytes(most)));
    assert_eq!(connection.counters.sends, 1);
}
