//! Calls whose message is too long to go inline: the server fetches them by a Position-Zero Read
//! chunk (RFC 8166 §3.5.3).

use std::time::{Duration, Instant};

use client::{Located, Op, Output};
use reactor::Clock;
use rpcrdma::{
    Call, Completed, ConnectionId, Counters, Endpoint, EndpointConfig, Error, Event, Payload,
    Registration, State, TransportConfig, Upcalls,
};
use system_tests::bare::largest_header;
use system_tests::pattern;
use verbs::ibv::Ibv;
use wire::nfs3::{self, FileHandle};
use wire::rpc;
use wire::xdr::{Decode, Full, Reader, Writer};

use crate::kernel::assert_no_rdma_left;
use crate::server::Server;
use crate::session::{BOTH, Session, transport};

/// What a symbolic link may point to and still fit into a call of this transport.
const TARGET_LEN: usize = 1000;
const ROUNDS: u64 = 20;

/// The transport without the client on top of it: the client makes no call this long.
struct Bare {
    endpoint: Endpoint<Ibv>,
    connection: ConnectionId,
    clock: Clock,
    results: Results,
}

/// Reply messages, in the order of completion.
#[derive(Default)]
struct Results(Vec<Result<Vec<u8>, Error>>);

impl Upcalls for Results {
    fn complete(&mut self, _connection: ConnectionId, completed: Completed<'_>) -> usize {
        self.0.push(completed.message().map(<[u8]>::to_vec).map_err(|error| *error));
        0
    }

    fn wake(&mut self, _connection: ConnectionId) {}

    fn event(&mut self, _connection: ConnectionId, _event: Event) {}
}

impl Bare {
    fn connect(located: &Located, registration: Registration) -> Self {
        let config = TransportConfig {
            inline_send: 1024,
            registration: Some(registration),
            ..transport(located)
        };
        let clock = Clock::new();
        let mut endpoint = Endpoint::new(Ibv, EndpointConfig::default());
        let connection = endpoint.connect(config, clock.now()).expect("the settings are valid");
        let mut bare = Self { endpoint, connection, clock, results: Results::default() };
        bare.run_until(|bare| bare.endpoint.state(bare.connection) == State::Established);
        bare
    }

    fn run_until(&mut self, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            let now = self.clock.now();
            self.endpoint.flush(now);
            self.endpoint.poll(now, &mut self.results);
            self.endpoint.poll_events(now, &mut self.results);
            std::thread::yield_now();
            assert!(start.elapsed() < Duration::from_secs(60), "nothing came of it");
        }
    }

    fn call(&mut self, encode: impl Fn(u32, &mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
        let mut call = Call { token: 0, payload: Payload::None, reply_max: 512 };
        let now = self.clock.now();
        self.endpoint.call(self.connection, &mut call, now, encode).expect("there is room");
        self.run_until(|bare| !bare.results.0.is_empty());
        self.results.0.remove(0).expect("a reply")
    }

    fn counters(&self) -> Counters {
        *self.endpoint.counters(self.connection).expect("it is connected")
    }

    fn close(mut self) {
        self.endpoint.close(self.connection, self.clock.now());
        self.run_until(|bare| bare.endpoint.connections() == 0);
    }
}

/// SYMLINK (RFC 1813 §3.3.10), the longest call of NFSv3 without data.
fn symlink(
    xid: u32,
    w: &mut Writer<'_>,
    dir: FileHandle,
    name: &[u8],
    target: &[u8],
) -> Result<(), Full> {
    largest_header(xid, nfs3::procedure::SYMLINK, &[], w)?;
    w.value(&nfs3::MkdirArgs { dir, name, attributes: nfs3::Sattr::default() })?;
    w.opaque(target)
}

fn assert_accepted(reply: &[u8]) -> Reader<'_> {
    let mut r = Reader::new(reply);
    let header = rpc::Reply::decode(&mut r).expect("a reply");
    assert!(header.outcome.is_ok(), "{header:?}");
    r
}

#[test]
fn knfsd_fetches_calls_that_do_not_fit_a_kibibyte() {
    let Some(server) = Server::find() else { return };
    for registration in BOTH {
        let (dir, path) = server.fresh_dir("long");
        let located = server.locate(&path).unwrap();
        let mut session = Session::mount(&located);
        let parent = match session.op(Op::Open { path: "long".into(), create: None }, None).result {
            Ok(Output::Opened { file, .. }) => file.handle,
            other => panic!("{other:?}"),
        };
        let mut bare = Bare::connect(&located, registration);
        for round in 0..ROUNDS {
            // Every byte of a call that was fetched is seen in the export.
            let letters = |len, seed| -> Vec<u8> {
                pattern(len, seed).into_iter().map(|byte| b'a' + byte % 26).collect()
            };
            let (name, target) = (letters(255, round + 1), letters(TARGET_LEN, round + 100));
            let reply = bare.call(|xid, w| symlink(xid, w, parent, &name, &target));
            let made = nfs3::CreateRes::decode(&mut assert_accepted(&reply)).expect("a result");
            assert!(made.is_ok(), "{made:?}");
            let name = String::from_utf8(name).unwrap();
            let seen = std::fs::read_link(dir.join(&name)).expect("the link is in the export");
            assert_eq!(seen.as_os_str().as_encoded_bytes(), target);
            assert_eq!(bare.counters().nomsg_call_count, round + 1);
            // A short call between them goes inline.
            let reply = bare.call(|xid, w| {
                largest_header(xid, nfs3::procedure::GETATTR, &[], w)?;
                w.value(&nfs3::GetattrArgs { file: parent })
            });
            let found = nfs3::GetattrRes::decode(&mut assert_accepted(&reply)).expect("a result");
            assert!(found.is_ok(), "{found:?}");
        }
        let counters = bare.counters();
        assert_eq!((counters.sends, counters.recvs), (2 * ROUNDS, 2 * ROUNDS));
        assert_eq!((counters.bad_reply_count, counters.rdma_errors), (0, 0));
        assert_eq!(counters.connect_count, 1);
        assert_eq!(counters.local_inv_needed, 0, "one key, which the server invalidates");
        bare.close();
        session.unmount();
    }
    assert_no_rdma_left();
}

#[test]
fn knfsd_answers_the_clients_calls_when_it_must_fetch_each() {
    let Some(server) = Server::find() else { return };
    for registration in BOTH {
        let (dir, path) = server.fresh_dir("long-each");
        let located = server.locate(&path).unwrap();
        let mut config = transport(&located);
        config.registration = Some(registration);
        // Nothing is short enough to go inline.
        config.planted.inline_send = Some(0);
        let mut session = Session::mount_with(&located, config).unwrap();
        let file = session.create(&"n".repeat(255));
        let seen = dir.join("n".repeat(255));
        let before = session.counters();
        // Replies inline, and Write chunks beside the call's own chunk.
        for (len, seed) in [(1usize, 1u64), (3001, 2), (4097, 3), (131_073, 4)] {
            let data = pattern(len, seed);
            std::fs::write(&seen, &data).unwrap();
            assert!(session.read(file, 0, len as u32).0 == data, "{len} bytes");
            let attributes =
                nfs3::Sattr { size: Some(len as u64 - 1), ..Default::default() }.into();
            session.op(Op::Setattr { file, attributes }, None).result.unwrap();
            assert_eq!(std::fs::metadata(&seen).unwrap().len(), len as u64 - 1);
        }
        let after = session.counters();
        assert_eq!(after.nomsg_call_count - before.nomsg_call_count, 8, "every call is fetched");
        assert_eq!(after.write_chunk_count - before.write_chunk_count, 2);
        session.assert_balanced();
        session.unmount();
    }
    assert_no_rdma_left();
}
