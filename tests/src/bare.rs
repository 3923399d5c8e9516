//! The transport without the client on top of it: calls that no client would make.

use hugepages::Buffer;
use rpcrdma::{
    Call, Completed, ConnectionId, Counters, Endpoint, EndpointConfig, Error, Event, Payload,
    State, TransportConfig, Upcalls,
};
use verbs::soft::SoftFabric;
use wire::nfs3;
use wire::rpc::{self, AuthSys, CallHeader, OpaqueAuth, Reply, RpcError};
use wire::xdr::{Decode, Encode, Full, Reader, Writer};

use crate::House;

/// Reply messages are no longer, in these tests.
const REPLY_MAX: u32 = 512;

/// A connection to the server of a house, beside its mount.
pub struct Bare {
    /// With fabric and target.
    pub house: House,
    /// The transport.
    pub endpoint: Endpoint<SoftFabric>,
    /// Its one connection.
    pub connection: ConnectionId,
    /// What came of calls.
    pub results: Results,
}

/// A finished call: token, reply message, buffer.
pub type Finished = (u64, Result<Vec<u8>, Error>, Option<Buffer>);

/// Collects what the transport says.
#[derive(Default)]
pub struct Results {
    /// In the order of completion.
    pub finished: Vec<Finished>,
    /// Whether calls from the server are served.
    pub serves_backward: bool,
    /// How many came.
    pub backward_calls: u64,
}

impl Upcalls for Results {
    fn complete(&mut self, _connection: ConnectionId, completed: Completed<'_>) -> usize {
        let message = completed.message().map(<[u8]>::to_vec).map_err(|error| *error);
        self.finished.push((completed.token, message, completed.buffer));
        0
    }

    fn backward_call(
        &mut self,
        _connection: ConnectionId,
        call: &[u8],
        reply: &mut Writer<'_>,
    ) -> Result<(), RpcError> {
        self.backward_calls += 1;
        let call = CallHeader::decode(&mut Reader::new(call)).map_err(|_| RpcError::GarbageArgs)?;
        if !self.serves_backward {
            return Err(RpcError::ProgUnavail);
        }
        reply.value(&Reply::success(call.xid)).map_err(|_| RpcError::SystemErr)
    }

    fn wake(&mut self, _connection: ConnectionId) {}

    fn event(&mut self, _connection: ConnectionId, _event: Event) {}
}

impl Bare {
    /// Connects; the address is filled in.
    #[must_use]
    pub fn connect(house: House, mut config: TransportConfig) -> Self {
        config.remote = house.target.nfs_addr();
        let mut endpoint = Endpoint::new(house.fabric.clone(), EndpointConfig::default());
        let connection = endpoint.connect(config, house.now()).expect("the settings are valid");
        let mut bare = Self { house, endpoint, connection, results: Results::default() };
        bare.run_until(|bare| bare.endpoint.state(bare.connection) == State::Established);
        bare
    }

    /// One turn of everything.
    pub fn step(&mut self) {
        let now = self.house.now();
        self.endpoint.flush(now);
        self.endpoint.poll(now, &mut self.results);
        self.endpoint.poll_events(now, &mut self.results);
        self.house.step();
    }

    /// Turns until a condition holds.
    pub fn run_until(&mut self, condition: impl Fn(&Self) -> bool) {
        for _ in 0..1_000_000 {
            if condition(self) {
                return;
            }
            self.step();
        }
        panic!("nothing came of it: {:?}", self.endpoint.counters(self.connection));
    }

    /// One call from start to end; it may have to wait for room.
    pub fn call(
        &mut self,
        payload: Payload,
        encode: impl Fn(u32, &mut Writer<'_>) -> Result<(), Full>,
    ) -> Finished {
        let mut call = Call { token: 7, payload, reply_max: REPLY_MAX };
        while let Err(why) =
            self.endpoint.call(self.connection, &mut call, self.house.now(), &encode)
        {
            assert_eq!(why, rpcrdma::Refusal::Busy);
            self.step();
        }
        self.run_until(|bare| !bare.results.finished.is_empty());
        self.results.finished.remove(0)
    }

    /// The transport's counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *self.endpoint.counters(self.connection).expect("it is connected")
    }
}

/// The header of a call with all that an AUTH_SYS credential may hold, of uid 0, and this verifier.
///
/// # Errors
/// There is no room for it.
pub fn largest_header(
    xid: u32,
    procedure: u32,
    verifier: &[u8],
    w: &mut Writer<'_>,
) -> Result<(), Full> {
    let mut body = [0; 400];
    let mut sys = Writer::new(&mut body);
    let machine = "m".repeat(255);
    AuthSys { stamp: 1, machine, uid: 0, gid: 0, gids: (0..16).collect() }.encode(&mut sys)?;
    let len = sys.position();
    w.value(&CallHeader {
        xid,
        rpc_vers: rpc::VERSION,
        prog: nfs3::PROGRAM,
        vers: nfs3::VERSION,
        procedure,
        cred: OpaqueAuth { flavor: rpc::flavor::SYS, body: &body[..len] },
        verf: OpaqueAuth { flavor: rpc::flavor::NONE, body: verifier },
    })
}
