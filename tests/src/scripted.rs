//! A server that says what a test wants, byte for byte, whether or not it is right: raw verbs on the
//! soft fabric, no RPC and no file system behind it.
//!
//! One thread, virtual time. A connection that is lost is forgotten, and the next one accepted.

use std::collections::VecDeque;
use std::net::SocketAddr;

use hugepages::{PageSize, Policy, Region, RegionSpec};
use verbs::soft::{SoftConnection, SoftCq, SoftDomain, SoftFabric, SoftListener};
use verbs::{
    Access, Bind, CmEvent, Completion, CompletionQueue as _, ConnectParams, Connection as _,
    Listener as _, MemoryRegion as _, Op, ProtectionDomain, Provider as _, QueuePairCaps, RecvWr,
    SendWr, Sge, WcStatus,
};
use wire::rpcrdma::Segment;
use wire::rpcrdma::private_data::PrivateData;

/// Bytes of a message, at most.
pub const MESSAGE_MAX: usize = 8192;
/// Messages that find a Receive, at most, between two turns.
const RECEIVES: usize = 160;
/// Messages under way to the client, at most.
const SENDS: usize = 64;
/// Bytes of one RDMA Read or Write, at most.
pub const TRANSFER_MAX: usize = 1 << 17;
const TRANSFER_AT: usize = (RECEIVES + SENDS) * MESSAGE_MAX;
const MEMORY: usize = TRANSFER_AT + TRANSFER_MAX;
/// Turns that a transfer may take.
const TRANSFER_TURNS_MAX: u32 = 10_000;

/// What the work requests of Sends and transfers are known by, apart from Receives.
const SEND: u64 = 1 << 32;
const TRANSFER: u64 = 1 << 33;

/// See the module documentation.
pub struct Scripted {
    fabric: SoftFabric,
    listener: SoftListener,
    link: Option<Link>,
    /// What each connection is accepted with; `None` refuses it.
    pub private_data: Option<Vec<u8>>,
    /// What the client asked with, last.
    pub asked_with: Vec<u8>,
    /// Messages that have arrived, in their order, of all connections.
    pub arrived: VecDeque<Vec<u8>>,
    /// Connections that were accepted.
    pub accepted: u64,
}

/// One connection. Fields go in this order: the queue pair before what its work requests name.
struct Link {
    id: SoftConnection,
    cq: SoftCq,
    registration: <SoftDomain as ProtectionDomain>::Region,
    memory: Region,
    free_sends: Vec<u64>,
    transferred: Option<WcStatus>,
    broken: bool,
}

/// Private data of a server that takes and sends so many bytes inline.
#[must_use]
pub fn inline(bytes: u32) -> Option<Vec<u8>> {
    let data = PrivateData { send_size: bytes, receive_size: bytes, remote_invalidation: true };
    Some(data.emit().to_vec())
}

impl Scripted {
    /// Listens at a port of its own.
    #[must_use]
    pub fn listen(fabric: &SoftFabric) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = fabric.listen(any, 16).expect("there is a port");
        Self {
            fabric: fabric.clone(),
            listener,
            link: None,
            private_data: inline(4096),
            asked_with: Vec::new(),
            arrived: VecDeque::new(),
            accepted: 0,
        }
    }

    /// Where.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Accepts who asks, and takes what has arrived.
    pub fn turn(&mut self) {
        while let Ok(Some(incoming)) = self.listener.poll() {
            self.asked_with = incoming.private_data;
            let mut id = incoming.connection;
            match &self.private_data {
                Some(data) => {
                    self.link = Link::accept(id, data);
                    self.accepted += u64::from(self.link.is_some());
                }
                None => drop(id.reject(&[])),
            }
        }
        if let Some(link) = &mut self.link {
            link.poll(&mut self.arrived);
        }
        self.link.take_if(|link| link.broken);
    }

    /// There is a connection.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.link.is_some()
    }

    /// Sends any bytes, as long as there is a connection with room for them.
    pub fn send(&mut self, bytes: &[u8]) {
        self.send_as(bytes, Op::Send);
    }

    /// The same, and invalidates a key of the client's.
    pub fn send_and_invalidate(&mut self, bytes: &[u8], rkey: u32) {
        self.send_as(bytes, Op::SendWithInvalidate { rkey });
    }

    fn send_as(&mut self, bytes: &[u8], op: Op<&Bind>) {
        let Some(link) = &mut self.link else { return };
        let bytes = &bytes[..bytes.len().min(MESSAGE_MAX)];
        if let Some(slot) = link.free_sends.pop() {
            let at = (RECEIVES + slot as usize) * MESSAGE_MAX;
            link.put(at, bytes);
            link.post(SEND | slot, at, bytes.len(), op);
        }
    }

    /// Writes to the client's memory; says whether that worked, once it has.
    pub fn write(&mut self, to: Segment, bytes: &[u8]) -> bool {
        let bytes = &bytes[..bytes.len().min(TRANSFER_MAX)];
        let Some(link) = &mut self.link else { return false };
        link.put(TRANSFER_AT, bytes);
        let op = Op::RdmaWrite { remote_addr: to.offset, rkey: to.handle };
        self.transfer(bytes.len(), op)
    }

    /// Reads the client's memory.
    pub fn read(&mut self, from: Segment) -> Option<Vec<u8>> {
        let len = (from.length as usize).min(TRANSFER_MAX);
        let op = Op::RdmaRead { remote_addr: from.offset, rkey: from.handle };
        let done = self.transfer(len, op);
        let link = self.link.as_ref().filter(|_| done)?;
        Some(link.get(TRANSFER_AT, len))
    }

    fn transfer(&mut self, len: usize, op: Op<&Bind>) -> bool {
        let Some(link) = &mut self.link else { return false };
        link.transferred = None;
        link.post(TRANSFER, TRANSFER_AT, len, op);
        for _ in 0..TRANSFER_TURNS_MAX {
            let Some(link) = &self.link else { return false };
            if let Some(status) = link.transferred {
                return status == WcStatus::Success;
            }
            self.fabric.advance(1_000);
            self.turn();
        }
        false
    }

    /// Ends the connection.
    pub fn disconnect(&mut self) {
        self.link = None;
    }
}

impl Link {
    fn accept(mut id: SoftConnection, private_data: &[u8]) -> Option<Self> {
        let domain = id.new_domain().ok()?;
        let cq = id.new_completion_queue(1024).ok()?;
        let caps = QueuePairCaps {
            send_wr_max: SENDS as u32 + 16,
            recv_wr_max: RECEIVES as u32,
            send_sge_max: 1,
        };
        id.create_queue_pair(&domain, &cq, &caps).ok()?;
        let memory = Region::map(&RegionSpec {
            len: MEMORY,
            policy: Policy::Off,
            page_size: PageSize::default(),
            numa_node: None,
            lock: false,
        })
        .ok()?;
        // SAFETY: the region goes after the registration, and no reference into it is ever made.
        let registered = unsafe { domain.register(memory.addr(), MEMORY, Access::LOCAL) };
        let mut link = Self {
            id,
            cq,
            registration: registered.ok()?,
            memory,
            free_sends: (0..SENDS as u64).collect(),
            transferred: None,
            broken: false,
        };
        (0..RECEIVES).for_each(|slot| link.post_receive(slot));
        let params =
            ConnectParams { private_data, initiator_depth: 16, ..ConnectParams::default() };
        link.id.accept(&params).ok()?;
        Some(link)
    }

    fn poll(&mut self, arrived: &mut VecDeque<Vec<u8>>) {
        let mut done = [Completion::default(); 64];
        let count = self.cq.poll(&mut done).unwrap_or_default();
        for done in &done[..count] {
            let ok = done.status == WcStatus::Success;
            self.broken |= !ok;
            match done.wr_id {
                TRANSFER => self.transferred = Some(done.status),
                send if send & SEND != 0 => self.free_sends.push(send & !SEND),
                slot if ok => {
                    let at = slot as usize * MESSAGE_MAX;
                    arrived.push_back(self.get(at, done.byte_len as usize));
                    self.post_receive(slot as usize);
                }
                _ => {}
            }
        }
        while let Some(event) = self.id.poll_event() {
            self.broken |= !matches!(event, CmEvent::Established { .. });
        }
    }

    fn sge(&self, at: usize, length: usize) -> Sge {
        let addr = self.memory.addr() as u64 + at as u64;
        Sge { addr, length: length as u32, lkey: self.registration.lkey() }
    }

    fn post_receive(&mut self, slot: usize) {
        let wr = RecvWr { wr_id: slot as u64, sge: self.sge(slot * MESSAGE_MAX, MESSAGE_MAX) };
        // SAFETY: the memory outlives the queue pair, and nobody makes references into it.
        self.broken |= unsafe { self.id.post_recv([wr]) }.is_err();
    }

    fn post(&mut self, wr_id: u64, at: usize, len: usize, op: Op<&Bind>) {
        let sges = [self.sge(at, len)];
        let wr = SendWr { wr_id, sges: &sges, op, signaled: true, fence: false };
        // SAFETY: as above; its place is not used again before it has completed.
        self.broken |= unsafe { self.id.post_send([wr]) }.is_err();
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= MEMORY);
        // SAFETY: inside the region, at a place that no work request has now.
        unsafe {
            let to = self.memory.addr().add(at);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }

    fn get(&self, at: usize, len: usize) -> Vec<u8> {
        assert!(at + len <= MEMORY);
        let mut bytes = vec![0; len];
        // SAFETY: inside the region; the work request that had the place has completed.
        unsafe {
            let from = self.memory.addr().add(at);
            std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), len);
        }
        bytes
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.id.disconnect();
        let mut done = [Completion::default(); 64];
        while self.cq.poll(&mut done).is_ok_and(|count| count > 0) {}
    }
}
