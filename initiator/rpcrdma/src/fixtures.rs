//! What tests of connections begin with.

use hugepages::Policy;
use reactor::Timestamp;
use verbs::soft::{Clock, SoftFabric};

use crate::connection::Connection;
use crate::state::State;
use crate::{
    Completed, ConnectionId, Endpoint, EndpointConfig, Error, Event, TransportConfig, Upcalls,
};

pub(crate) fn config() -> TransportConfig {
    let mut config = TransportConfig::new(([127, 0, 0, 1], 20049).into());
    config.max_requests = 4;
    config.buffers.policy = Policy::Off;
    config.buffers.count = 1;
    config
}

pub(crate) fn endpoint() -> Endpoint<SoftFabric> {
    Endpoint::new(SoftFabric::new(Clock::virtual_time()), EndpointConfig::default())
}

/// The endpoint's first connection; its address is being resolved.
pub(crate) fn connected(
    endpoint: &mut Endpoint<SoftFabric>,
    now: Timestamp,
) -> &mut Connection<SoftFabric> {
    let id = endpoint.connect(config(), now).unwrap();
    endpoint.get_mut(id).unwrap()
}

/// A connection that is established as far as its own state says.
pub(crate) fn established(endpoint: &mut Endpoint<SoftFabric>) -> &mut Connection<SoftFabric> {
    let connection = connected(endpoint, Timestamp(0));
    connection.state = State::Established;
    connection
}

/// Has no calls; remembers why the connection was closed.
#[derive(Default)]
pub(crate) struct Nobody(pub(crate) Option<Error>);

impl Upcalls for Nobody {
    fn complete(&mut self, _: ConnectionId, _: Completed<'_>) -> usize {
        0
    }
    fn wake(&mut self, _: ConnectionId) {}
    fn event(&mut self, _: ConnectionId, event: Event) {
        if let Event::Closed { cause, .. } = event {
            self.0 = Some(cause);
        }
    }
}
