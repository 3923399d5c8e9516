use std::collections::BTreeSet;

use hugepages::Policy;
use verbs::soft::{Clock, SoftFabric};

use super::*;

fn config() -> TransportConfig {
    let mut config = TransportConfig::new(std::net::SocketAddr::from(([127, 0, 0, 1], 20049)));
    config.max_requests = 4;
    config.buffers.policy = Policy::Off;
    config.buffers.count = 1;
    config
}

/// The XID of the first call of each of `count` connections made from one configuration.
fn first_xids(config: &TransportConfig, count: usize) -> BTreeSet<u32> {
    let fabric = SoftFabric::new(Clock::virtual_time());
    let mut endpoint = Endpoint::new(fabric, EndpointConfig::default());
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
    let fabric = SoftFabric::new(Clock::virtual_time());
    let mut endpoint = Endpoint::new(fabric, EndpointConfig::default());
    endpoint.connect(config(), Timestamp(0)).unwrap();
    let connection = endpoint.places[0].connection.as_mut().unwrap();
    connection.state = State::Established;
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
