//! A mounted client before a [`Scripted`] server: each call can be looked at as it went over the
//! wire, and answered rightly, wrongly or not at all.

use client::{Client, Done, File, MountConfig, MountId, MountState, Op, Submission};
use hugepages::Buffer;
use reactor::Timestamp;
use rpcrdma::{EndpointConfig, TransportConfig};
use verbs::soft::{Clock, SoftFabric};
use wire::nfs3::{self, FileHandle, procedure as p};
use wire::rpc::{CallHeader, Reply};
use wire::rpcrdma::{Emit, EmitKind, Header, Kind, ReadSegment, Segment};
use wire::xdr::{Decode, Encode, Reader, Writer};

use crate::Plan;
use crate::scripted::Scripted;

const STEP_NS: u64 = 1_000;
/// Steps that anything may take: two virtual seconds.
const STEPS_MAX: u64 = 2_000_000;
/// Credits that right answers grant.
const CREDITS: u32 = 32;

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// All of the message.
    pub bytes: Vec<u8>,
    /// From the transport header.
    pub xid: u32,
    /// From the transport header.
    pub kind: Kind,
    /// Read list.
    pub reads: Vec<ReadSegment>,
    /// Write list.
    pub writes: Vec<Vec<Segment>>,
    /// Reply chunk.
    pub reply: Option<Vec<Segment>>,
    /// The RPC message: what is behind the header, or what was fetched from a Position-Zero chunk.
    pub rpc: Vec<u8>,
}

/// See the module documentation.
pub struct Stage {
    /// The fabric, on virtual time.
    pub fabric: SoftFabric,
    /// Says what it is told to.
    pub server: Scripted,
    /// The client.
    pub client: Client<SoftFabric>,
    /// Its mount.
    pub mount: MountId,
    done: Vec<Done>,
}

impl Stage {
    /// Begins to mount; nothing has been answered yet.
    #[must_use]
    pub fn raise(plan: Plan, prepare: impl FnOnce(&mut Scripted)) -> Self {
        let fabric = SoftFabric::new(Clock::virtual_time());
        let mut server = Scripted::listen(&fabric);
        prepare(&mut server);
        let mut client = Client::new(fabric.clone(), EndpointConfig::default());
        let config = MountConfig {
            root: handle(),
            auth: crate::credential(),
            queue_depth: plan.queue_depth,
            uncommitted_max: plan.uncommitted_max,
            jukebox_wait_ns: plan.jukebox_wait_ns,
            transport: TransportConfig { remote: server.addr(), ..plan.transport },
        };
        let now = Timestamp(fabric.now_ns());
        let mount = client.mount(&config, now).expect("the settings are valid");
        Self { fabric, server, client, mount, done: Vec::new() }
    }

    /// Mounts, with right answers.
    #[must_use]
    pub fn mounted(plan: Plan, prepare: impl FnOnce(&mut Scripted)) -> Self {
        let mut stage = Self::raise(plan, prepare);
        while stage.client.state(stage.mount) != MountState::Mounted {
            let call = stage.next_call();
            stage.answer(&call);
            stage.settle();
        }
        stage
    }

    /// One turn of both ends.
    pub fn step(&mut self) {
        self.step_ns(STEP_NS);
    }

    /// The same, after so much time.
    pub fn step_ns(&mut self, ns: u64) {
        let now = Timestamp(self.fabric.advance(ns));
        self.client.turn(now);
        self.server.turn();
        while let Some(done) = self.client.next_done(self.mount) {
            self.done.push(done);
        }
    }

    /// Turns until a condition holds; panics when that takes two virtual seconds.
    pub fn run_until(&mut self, condition: impl Fn(&Self) -> bool) {
        for _ in 0..STEPS_MAX {
            if condition(self) {
                return;
            }
            self.step();
        }
        panic!("nothing came of it in two virtual seconds");
    }

    /// Long enough for all that goes on by itself, and for the timer of connection events.
    pub fn settle(&mut self) {
        (0..1_100).for_each(|_| self.step());
    }

    /// Submits an operation.
    pub fn submit(&mut self, op: Op, buffer: Option<Buffer>) {
        let now = Timestamp(self.fabric.now_ns());
        let submission = Submission { tag: 0, op, buffer, pieces: None };
        assert!(self.client.submit(self.mount, submission, now).is_ok(), "the queue is full");
    }

    /// Waits for the next call.
    pub fn next_call(&mut self) -> Seen {
        self.run_until(|stage| !stage.server.arrived.is_empty());
        let bytes = self.server.arrived.pop_front().unwrap_or_default();
        self.look_at(&bytes).expect("a call")
    }

    /// Takes a call apart, and fetches its message where that is in a chunk; `None` if it makes no
    /// sense.
    pub fn look_at(&mut self, bytes: &[u8]) -> Option<Seen> {
        let header = Header::parse(bytes).ok()?;
        let reads: Vec<_> = header.reads.iter().collect();
        let message = reads.first().filter(|read| read.position == 0).map(|read| read.segment);
        let rpc = match message {
            Some(segment) => self.server.read(segment)?,
            None => bytes[header.len..].to_vec(),
        };
        Some(Seen {
            bytes: bytes.to_vec(),
            xid: header.xid,
            kind: header.kind,
            reads,
            writes: header.writes.iter().map(|chunk| chunk.iter().collect()).collect(),
            reply: header.reply.map(|chunk| chunk.iter().collect()),
            rpc,
        })
    }

    /// An operation and the call that it makes.
    pub fn call_of(&mut self, op: Op, buffer: Option<Buffer>) -> Seen {
        self.submit(op, buffer);
        self.next_call()
    }

    /// Answers a call as a server does; data that is asked for is all 0x5a.
    pub fn answer(&mut self, call: &Seen) {
        let (rpc, data_len) = right_reply(&call.rpc);
        if data_len > 0
            && let Some(chunk) = call.writes.first()
        {
            let mut left = data_len;
            for segment in chunk {
                let len = left.min(segment.length);
                self.server.write(*segment, &vec![0x5a; len as usize]);
                left -= len;
            }
        }
        let message = reply_to(call, data_len, &rpc);
        self.server.send(&message);
    }

    /// Answers everything that comes until so many operations are done.
    pub fn serve_until_done(&mut self, count: usize) -> Vec<Done> {
        for _ in 0..STEPS_MAX {
            while let Some(bytes) = self.server.arrived.pop_front() {
                if let Some(call) = self.look_at(&bytes) {
                    self.answer(&call);
                }
            }
            if self.done.len() >= count {
                return std::mem::take(&mut self.done);
            }
            self.step();
        }
        panic!("{} of {count} operations are done after two virtual seconds", self.done.len());
    }

    /// Results so far.
    pub fn take_done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.done)
    }

    /// How many there are.
    #[must_use]
    pub fn done_count(&self) -> usize {
        self.done.len()
    }

    /// A buffer of the mount's pool.
    #[must_use]
    pub fn buffer(&self) -> Buffer {
        self.client.pool(self.mount).and_then(hugepages::Pool::alloc).expect("a buffer")
    }
}

/// What the server calls all of its files.
#[must_use]
pub fn handle() -> FileHandle {
    FileHandle::from_bytes(b"scripted").expect("it is short")
}

/// A file by that name.
#[must_use]
pub fn file() -> File {
    File { handle: handle() }
}

/// A transport header that answers a call, with its chunks returned as used by so many bytes of
/// data; the RPC message behind it.
#[must_use]
pub fn reply_to(call: &Seen, data_len: u32, rpc: &[u8]) -> Vec<u8> {
    let mut left = data_len;
    let mut used = |segment: &Segment| {
        let length = left.min(segment.length);
        left -= length;
        Segment { length, ..*segment }
    };
    let chunks: Vec<Vec<Segment>> =
        call.writes.iter().map(|chunk| chunk.iter().map(&mut used).collect()).collect();
    let write_chunks: Vec<&[Segment]> = chunks.iter().map(Vec::as_slice).collect();
    let empty = |segment: &Segment| Segment { length: 0, ..*segment };
    let reply: Option<Vec<Segment>> =
        call.reply.as_ref().map(|chunk| chunk.iter().map(empty).collect());
    let emit = Emit {
        xid: call.xid,
        credits: CREDITS,
        kind: EmitKind::Msg,
        reads: &[],
        write_chunks: &write_chunks,
        reply_chunk: reply.as_deref(),
    };
    let mut message = vec![0; emit.len()];
    emit.emit(&mut message).expect("there is room");
    // Data that no chunk has taken is in the message.
    message.extend_from_slice(rpc);
    if left > 0 {
        message.extend(std::iter::repeat_n(0x5a, left as usize));
        message.resize(message.len().next_multiple_of(4), 0);
    }
    message
}

/// What a server says to a call, without file data, and how much file data that would be.
#[must_use]
pub fn right_reply(rpc: &[u8]) -> (Vec<u8>, u32) {
    let mut r = Reader::new(rpc);
    let mut bytes = vec![0; 1024];
    let mut w = Writer::new(&mut bytes);
    let call = CallHeader::decode(&mut r).ok();
    let mut data_len = 0;
    if let Some(call) = call {
        let _ = w.value(&Reply::success(call.xid));
        data_len = results(call.procedure, &mut r, &mut w);
    }
    let len = w.position();
    bytes.truncate(len);
    (bytes, data_len)
}

fn attributes() -> nfs3::Fattr {
    let time = nfs3::Time { seconds: 1, nanoseconds: 0 };
    nfs3::Fattr {
        file_type: nfs3::FileType::Regular,
        mode: 0o644,
        nlink: 1,
        uid: 0,
        gid: 0,
        size: 1 << 20,
        used: 1 << 20,
        rdev: nfs3::DeviceNumber { major: 0, minor: 0 },
        fsid: 1,
        fileid: 2,
        atime: time,
        mtime: time,
        ctime: time,
    }
}

/// Writes the results of a procedure; returns the length of the file data that belongs to them.
fn results(procedure: u32, r: &mut Reader<'_>, w: &mut Writer<'_>) -> u32 {
    let some = Some(attributes());
    let wcc = nfs3::WccData { before: None, after: some };
    let mut put = |value: &dyn Fn(&mut Writer<'_>) -> bool| assert!(value(w), "there is room");
    fn ok<T: Encode>(value: T) -> impl Fn(&mut Writer<'_>) -> bool {
        move |w| w.u32(0).and_then(|()| w.value(&value)).is_ok()
    }
    match procedure {
        p::NULL => {}
        p::GETATTR => put(&ok(attributes())),
        p::SETATTR | p::REMOVE => put(&ok(wcc)),
        p::LOOKUP => {
            put(&ok(nfs3::LookupOk { handle: handle(), attributes: some, dir_attributes: some }))
        }
        p::ACCESS => put(&ok(nfs3::AccessOk { attributes: some, access: 0x3f })),
        p::READ => {
            let count = nfs3::ReadArgs::decode(r).map_or(0, |args| args.count);
            put(&ok(nfs3::ReadOk { attributes: some, count, eof: false, data_len: count }));
            return count;
        }
        p::WRITE => {
            let args = nfs3::WriteArgs::decode(r).ok();
            let count = args.map_or(0, |args| args.count);
            let committed = args.map_or(nfs3::StableHow::FileSync, |args| args.stable);
            put(&ok(nfs3::WriteOk { wcc, count, committed, verifier: [1; 8] }));
        }
        p::CREATE => {
            put(&ok(nfs3::CreateOk { handle: Some(handle()), attributes: some, dir_wcc: wcc }))
        }
        p::READDIRPLUS => put(&|w| {
            let mut none = [0; 4];
            let Some(entries) = nfs3::EntriesBuilder::new(&mut none, 4) else { return false };
            let entries = entries.finish();
            let (attributes, verifier, eof) = (Some(attributes()), [1; 8], true);
            let listing = nfs3::ReaddirplusOk { attributes, verifier, entries, eof };
            w.u32(0).and_then(|()| w.value(&listing)).is_ok()
        }),
        p::FSSTAT => put(&ok(nfs3::FsstatOk {
            attributes: some,
            total_bytes: 1 << 30,
            free_bytes: 1 << 29,
            available_bytes: 1 << 29,
            total_files: 100,
            free_files: 50,
            available_files: 50,
            invarsec: 0,
        })),
        p::FSINFO => put(&ok(nfs3::FsinfoOk {
            attributes: some,
            rtmax: 1 << 20,
            rtpref: 1 << 20,
            rtmult: 1,
            wtmax: 1 << 20,
            wtpref: 1 << 20,
            wtmult: 1,
            dtpref: 8192,
            maxfilesize: 1 << 40,
            time_delta: nfs3::Time { seconds: 0, nanoseconds: 1 },
            properties: 0x1b,
        })),
        p::COMMIT => put(&ok(nfs3::CommitOk { wcc, verifier: [1; 8] })),
        _ => put(&ok(0_u32)),
    }
    0
}
