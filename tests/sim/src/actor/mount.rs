//! How an actor makes its mount, and makes it again where the first attempts fail.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use client::{Client, MountConfig, MountState};
use fastrand::Rng;
use hugepages::Policy;
use reactor::Timestamp;
use rpcrdma::{Counters, EndpointConfig, Fault, PlantedFaults, Registration, TransportConfig};
use verbs::soft::SoftFabric;
use wire::nfs3::FileHandle;
use wire::rpc::{Auth, AuthSys};

use super::memory::Memory;
use super::{Actor, Allowed, Orders, Phase, Seen};
use crate::finding::{Checker, Finding};
use crate::model::Name;
use crate::shape::{MOUNTS_MAX, MountShape, log};

/// How long a connection may take to be made.
const CONNECT_NS_MAX: u64 = 50_000_000;

/// Lots of XIDs for the connections of one mount.
const XID_LOTS: u32 = 16;

impl Actor {
    /// A client that begins to mount.
    pub fn new(
        index: usize,
        (shape, allowed): (MountShape, Allowed),
        rng: Rng,
        fabric: &SoftFabric,
        server: (SocketAddr, FileHandle),
        orders: Orders,
        fault: Option<Fault>,
    ) -> Result<Self, Finding> {
        let mut client = Client::new(fabric.clone(), endpoint(&shape));
        let config = mount(index, &shape, server, fault);
        let now = Timestamp(fabric.now_ns());
        let mount = client.mount(&config, now);
        let mount = mount.map_err(|error| Checker::Results.says(format!("mount: {error}")))?;
        Ok(Self {
            client,
            config,
            mount,
            index,
            left: 0,
            sizes: 0,
            names: vec![(Name::Absent, false); shape.names as usize],
            files: Vec::new(),
            memory: Memory::new(shape.memory),
            shape,
            rng,
            allowed,
            phase: Phase::Mounting,
            orders,
            orders_taken: 0,
            no_more_work: false,
            pending: BTreeMap::new(),
            next_tag: 0,
            unread: None,
            mount_at: now,
            in_place: Vec::new(),
            pause: (now, Rc::new(Cell::new(false))),
            last_turn: now,
            last: Counters::default(),
            seen: Seen::default(),
            digest: 0,
        })
    }

    /// A mount that has never worked says why; whoever wants it all the same tries again.
    pub(super) fn mounting(&mut self, state: &MountState, now: Timestamp) -> Result<(), Finding> {
        match state {
            MountState::Mounting => {}
            MountState::Mounted => {
                self.memory.set_pool(self.client.pool(self.mount).cloned());
                self.phase = Phase::Preparing;
            }
            MountState::Gone(_) if self.allowed.mount_fails => {
                if now < self.mount_at {
                    return Ok(());
                }
                self.mount_at = now.add_ns(log(&mut self.rng, 10_000, 10_000_000));
                self.seen.remounts += 1;
                self.client.unmount(self.mount, now);
                // The server may remember calls of the last attempt.
                let seed = self.config.transport.xid_seed.unwrap_or_default();
                self.config.transport.xid_seed = Some(seed + XID_LOTS * (MOUNTS_MAX + 1));
                let again = self.client.mount(&self.config, now);
                self.mount = again.map_err(|error| Checker::Results.says(error.to_string()))?;
            }
            MountState::Gone(error) => {
                return Err(Checker::Results.says(format!("cannot mount: {error}")));
            }
        }
        Ok(())
    }
}

/// The endpoint of a client of this shape.
pub(crate) fn endpoint(shape: &MountShape) -> EndpointConfig {
    let (cq_depth, poll_batch) = (cq_depth(shape), shape.poll_batch);
    EndpointConfig { cq_depth, poll_batch, ..EndpointConfig::default() }
}

/// How the client of this number mounts.
pub(crate) fn mount(
    index: usize,
    shape: &MountShape,
    (remote, root): (SocketAddr, FileHandle),
    fault: Option<Fault>,
) -> MountConfig {
    let sys = AuthSys { stamp: 0, machine: "sim".into(), uid: 0, gid: 0, gids: vec![1; index] };
    MountConfig {
        root,
        auth: Auth::Sys(sys),
        queue_depth: shape.queue_depth,
        uncommitted_max: shape.uncommitted_max,
        jukebox_wait_ns: shape.jukebox_wait_ns,
        transport: transport(index, shape, remote, fault),
    }
}

/// Entries of the completion queue: for every connection, and once more for those of an attempt to
/// mount that is not quite gone.
fn cq_depth(shape: &MountShape) -> u32 {
    2 * shape.nconnect * (10 * shape.max_requests + 32)
}

fn transport(
    index: usize,
    shape: &MountShape,
    remote: SocketAddr,
    fault: Option<Fault>,
) -> TransportConfig {
    let mut transport = TransportConfig::new(remote);
    transport.nconnect = shape.nconnect;
    transport.max_requests = shape.max_requests;
    transport.send_batch = shape.send_batch;
    transport.inline_send = shape.inline_send;
    transport.inline_receive = shape.inline_receive;
    transport.copy_max = shape.copy_max;
    transport.receive_copy_max = shape.receive_copy_max;
    transport.registration =
        Some(if shape.windows { Registration::Window } else { Registration::Static });
    transport.rpc_timeout_ns = shape.rpc_timeout_ns;
    transport.recovery = shape.recovery;
    transport.retrans = shape.retrans;
    (transport.reconnect_min_ns, transport.reconnect_max_ns) = shape.reconnect_ns;
    transport.connect_timeout_ns = CONNECT_NS_MAX;
    transport.idle_timeout_ns = shape.idle_timeout_ns;
    transport.xid_seed = Some(index as u32 * XID_LOTS);
    transport.buffers.policy = Policy::Off;
    transport.buffers.buffer_len = shape.buffer_len;
    transport.buffers.count = shape.buffers;
    transport.own_regions_max = shape.own_regions_max;
    let inline_send = shape.long_calls;
    transport.planted = PlantedFaults { fault, inline_send, ..PlantedFaults::default() };
    transport
}
