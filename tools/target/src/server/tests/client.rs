//! A client made by hand: raw verbs and the codecs, so that it can do wrong what it likes.

use std::mem::ManuallyDrop;

use hugepages::{PageSize, Policy, Region, RegionSpec};
use reactor::Timestamp;
use verbs::soft::{Clock, SoftFabric};
use verbs::{
    Access, CmEvent, Completion, CompletionQueue, ConnectParams, Connection, MemoryRegion, Op,
    ProtectionDomain, Provider, QueuePairCaps, RecvWr, SendWr, Sge, WcStatus,
};
use wire::nfs3::{self, FileHandle};
use wire::rpc::{Auth, CallTemplate, Reply};
use wire::rpcrdma::private_data::PrivateData;
use wire::rpcrdma::{Emit, EmitKind, Header, Kind, ReadSegment, Segment};
use wire::xdr::{Decode, Encode, Reader, Writer};

use crate::fs::FileSystem;
use crate::server::to_wire;
use crate::{Config, Storage, Target};

/// Bytes of one send or receive buffer.
const MESSAGE: usize = 8192;
const RECEIVES: usize = 128;
const SENDS: usize = 128;
/// Where data lies that the server reads or writes by itself.
const DATA: usize = (RECEIVES + SENDS) * MESSAGE;
const MEMORY: usize = DATA + (4 << 20);

type C = <SoftFabric as Provider>::Connection;

/// Fabric, target and time, on one thread.
pub(super) struct World {
    pub(super) fabric: SoftFabric,
    pub(super) target: Target<SoftFabric>,
    pub(super) now: Timestamp,
    /// Made by the target during its turns.
    pub(super) allocations: u64,
}

pub(super) fn config() -> Config {
    Config {
        listen: "127.0.0.1:20049".parse().unwrap(),
        storage: Storage::Memory { capacity_bytes: 64 << 20 },
        hugepages: Policy::Off,
        staging_buffers: 4,
        epoch_unix_ns: 1_700_000_000_000_000_000,
        ..Config::default()
    }
}

impl World {
    pub(super) fn new(config: Config) -> Self {
        let fabric = SoftFabric::new(Clock::virtual_time());
        let target = Target::start(&fabric, config).unwrap();
        Self { fabric, target, now: Timestamp(1), allocations: 0 }
    }

    pub(super) fn root(&mut self) -> FileHandle {
        to_wire(self.target.server().fs().root())
    }

    pub(super) fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.now = self.now.add_ns(10_000);
            self.fabric.set_now(self.now.0);
            let allocations = allocation_counter::measure(|| {
                self.target.poll(self.now);
            });
            self.allocations += allocations.count_total;
        }
    }
}

pub(super) struct Client {
    id: C,
    cq: <C as Connection>::Cq,
    registration: ManuallyDrop<<<C as Connection>::Domain as ProtectionDomain>::Region>,
    memory: Region,
    next_send: usize,
    next_xid: u32,
    pub(super) arrived: std::collections::VecDeque<Vec<u8>>,
    pub(super) broken: bool,
}

/// A reply taken apart.
pub(super) struct Answer {
    pub(super) xid: u32,
    pub(super) credits: u32,
    pub(super) kind: Kind,
    pub(super) write_chunks: Vec<Vec<Segment>>,
    pub(super) reply_chunk: Option<Vec<Segment>>,
    /// The RPC message.
    pub(super) message: Vec<u8>,
}

/// How a call's data travels.
#[derive(Clone, Default)]
pub(super) struct Lists {
    pub(super) reads: Vec<ReadSegment>,
    pub(super) writes: Vec<Vec<Segment>>,
    pub(super) reply: Option<Vec<Segment>>,
    pub(super) no_message: bool,
}

impl Client {
    pub(super) fn connect(world: &mut World, inline_bytes: u32) -> Self {
        let ours = PrivateData {
            send_size: inline_bytes,
            receive_size: inline_bytes,
            remote_invalidation: false,
        };
        Self::connect_with(world, &ours.emit())
    }

    pub(super) fn connect_with(world: &mut World, private_data: &[u8]) -> Self {
        Self::try_connect(world, private_data).unwrap_or_else(|event| panic!("{event:?}"))
    }

    /// What came instead of a connection is the error.
    pub(super) fn try_connect(world: &mut World, private_data: &[u8]) -> Result<Self, CmEvent> {
        let mut id = world.fabric.resolve(world.target.nfs_addr(), None).unwrap();
        assert_eq!(id.poll_event(), Some(CmEvent::RouteResolved));
        let domain = id.new_domain().unwrap();
        let cq = id.new_completion_queue(1024).unwrap();
        let caps = QueuePairCaps { send_wr_max: 512, recv_wr_max: 256, send_sge_max: 1 };
        id.create_queue_pair(&domain, &cq, &caps).unwrap();
        let spec = RegionSpec {
            len: MEMORY,
            policy: Policy::Off,
            page_size: PageSize::default(),
            numa_node: None,
            lock: false,
        };
        let memory = Region::map(&spec).unwrap();
        // SAFETY: the region outlives the registration, and no reference into it is ever made.
        let registration = unsafe { domain.register(memory.addr(), MEMORY, Access::REMOTE) };
        let mut client = Self {
            id,
            cq,
            registration: ManuallyDrop::new(registration.unwrap()),
            memory,
            next_send: 0,
            next_xid: 0x1000,
            arrived: Default::default(),
            broken: false,
        };
        (0..RECEIVES).for_each(|slot| client.post_receive(slot));
        client.id.connect(&ConnectParams { private_data, ..ConnectParams::default() }).unwrap();
        for _ in 0..1000 {
            world.turns(1);
            match client.id.poll_event() {
                Some(CmEvent::Established { private_data }) => {
                    assert!(PrivateData::parse(&private_data).is_some());
                    return Ok(client);
                }
                None => {}
                Some(other) => return Err(other),
            }
        }
        panic!("no connection");
    }

    pub(super) fn event(&mut self) -> Option<CmEvent> {
        self.id.poll_event()
    }

    pub(super) fn disconnect(&mut self) {
        self.id.disconnect();
    }

    fn sge(&self, at: usize, length: usize) -> Sge {
        let addr = self.memory.addr() as u64 + at as u64;
        Sge { addr, length: length as u32, lkey: self.registration.lkey() }
    }

    fn post_receive(&mut self, slot: usize) {
        let wr = RecvWr { wr_id: slot as u64, sge: self.sge(slot * MESSAGE, MESSAGE) };
        // SAFETY: the memory lives as long as the client, which makes no references into it.
        unsafe { self.id.post_recv([wr]) }.unwrap();
    }

    /// Memory of the client as the server is told of it.
    pub(super) fn segment(&self, at: usize, length: usize) -> Segment {
        Segment {
            handle: self.registration.rkey(),
            length: length as u32,
            offset: self.memory.addr() as u64 + (DATA + at) as u64,
        }
    }

    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        assert!(DATA + at + bytes.len() <= MEMORY);
        // SAFETY: inside the region; the server touches it only during a call.
        unsafe {
            let to = self.memory.addr().add(DATA + at);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }

    pub(super) fn get(&self, at: usize, len: usize) -> Vec<u8> {
        self.copy(DATA + at, len)
    }

    fn copy(&self, at: usize, len: usize) -> Vec<u8> {
        assert!(at + len <= MEMORY);
        let mut bytes = vec![0; len];
        // SAFETY: as above.
        unsafe {
            let from = self.memory.addr().add(at);
            std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), len);
        }
        bytes
    }

    /// Sends any bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= MESSAGE);
        let at = (RECEIVES + self.next_send % SENDS) * MESSAGE;
        self.next_send += 1;
        // SAFETY: inside the region, and the buffer's last Send was long ago.
        unsafe {
            let to = self.memory.addr().add(at);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
        let sges = [self.sge(at, bytes.len())];
        let op = Op::Send;
        let wr = SendWr { wr_id: u64::MAX, sges: &sges, op, signaled: true, fence: false };
        // SAFETY: the buffer is not used again before its Send completes.
        let _ = unsafe { self.id.post_send([wr]) };
    }

    /// Takes what has arrived.
    pub(super) fn poll(&mut self) {
        let mut done = [Completion::default(); 64];
        let count = self.cq.poll(&mut done).unwrap();
        for done in &done[..count] {
            if done.status != WcStatus::Success {
                self.broken = true;
            } else if done.wr_id != u64::MAX {
                let slot = done.wr_id as usize;
                let bytes = self.copy(slot * MESSAGE, done.byte_len as usize);
                self.arrived.push_back(bytes);
                self.post_receive(slot);
            }
        }
    }

    /// The next message, whatever it is, or `None` when none comes.
    pub(super) fn message(&mut self, world: &mut World) -> Option<Vec<u8>> {
        for _ in 0..300 {
            self.poll();
            if let Some(message) = self.arrived.pop_front() {
                return Some(message);
            }
            world.turns(1);
        }
        None
    }

    pub(super) fn next_xid(&mut self) -> u32 {
        self.next_xid += 1;
        self.next_xid
    }

    /// The bytes of an RPC call.
    pub(super) fn rpc(&mut self, procedure: u32, args: &impl Encode) -> (u32, Vec<u8>) {
        let xid = self.next_xid();
        let mut bytes = vec![0; 1024];
        let mut w = Writer::new(&mut bytes);
        CallTemplate::new(nfs3::PROGRAM, nfs3::VERSION, &Auth::None)
            .write(xid, procedure, &mut w)
            .unwrap();
        w.value(args).unwrap();
        let len = w.position();
        bytes.truncate(len);
        (xid, bytes)
    }

    /// Sends an RPC message with its transport header.
    pub(super) fn call(&mut self, xid: u32, message: &[u8], lists: &Lists) {
        let chunks: Vec<&[Segment]> = lists.writes.iter().map(Vec::as_slice).collect();
        let emit = Emit {
            xid,
            credits: 64,
            kind: if lists.no_message { EmitKind::NoMsg } else { EmitKind::Msg },
            reads: &lists.reads,
            write_chunks: &chunks,
            reply_chunk: lists.reply.as_deref(),
        };
        let mut bytes = vec![0; emit.len()];
        emit.emit(&mut bytes).unwrap();
        bytes.extend(message);
        self.send(&bytes);
    }

    /// The next reply, taken apart.
    pub(super) fn answer(&mut self, world: &mut World) -> Answer {
        let bytes = self.message(world).expect("a reply");
        let header = Header::parse(&bytes).unwrap();
        let reply_chunk: Option<Vec<_>> = header.reply.map(|chunk| chunk.iter().collect());
        let message = match &reply_chunk {
            None => bytes[header.len..].to_vec(),
            Some(segments) => {
                let base = self.memory.addr() as u64;
                let parts = segments.iter();
                parts
                    .flat_map(|s| self.copy((s.offset - base) as usize, s.length as usize))
                    .collect()
            }
        };
        Answer {
            xid: header.xid,
            credits: header.credits,
            kind: header.kind,
            write_chunks: header.writes.iter().map(|chunk| chunk.iter().collect()).collect(),
            reply_chunk,
            message,
        }
    }

    /// One call with everything inline.
    pub(super) fn inline(
        &mut self,
        world: &mut World,
        procedure: u32,
        args: &impl Encode,
    ) -> Answer {
        let (xid, message) = self.rpc(procedure, args);
        self.call(xid, &message, &Lists::default());
        let answer = self.answer(world);
        assert_eq!(answer.xid, xid);
        answer
    }

    /// A new file.
    pub(super) fn create(&mut self, world: &mut World, name: &str) -> FileHandle {
        let dir = world.root();
        let how = nfs3::CreateHow::Guarded(nfs3::Sattr::default());
        let args = nfs3::CreateArgs { dir, name: name.as_bytes(), how };
        let answer = self.inline(world, nfs3::procedure::CREATE, &args);
        let result: nfs3::CreateRes = answer.results();
        result.unwrap().handle.unwrap()
    }
}

impl Answer {
    /// Results, when they are all there is.
    pub(super) fn results<'a, T: Decode<'a>>(&'a self) -> T {
        let (value, r) = self.open();
        r.finish().unwrap();
        value
    }

    /// Results, and what follows.
    pub(super) fn open<'a, T: Decode<'a>>(&'a self) -> (T, Reader<'a>) {
        let mut r = Reader::new(&self.message);
        let reply: Reply = r.value().unwrap();
        assert_eq!(reply, Reply::success(self.xid));
        (r.value().unwrap(), r)
    }

    pub(super) fn rpc(&self) -> Reply {
        Reader::new(&self.message).value().unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.id.disconnect();
        let mut done = [Completion::default(); 64];
        while self.cq.poll(&mut done).is_ok_and(|count| count > 0) {}
        // SAFETY: not used again; goes before the memory.
        unsafe { ManuallyDrop::drop(&mut self.registration) };
    }
}
