//! A provider that answers every call at once, from a template, at next to no cost of its own.
//!
//! For measuring what stands above the verbs and nothing else: one thread, one completion queue, no
//! checks. It reads the XID and the chunk of each Send and puts a finished reply into the next
//! Receive; Sends complete as soon as they are posted. Where keys are per I/O it invalidates them
//! with the reply, as knfsd does.
//!
//! What it does costs something all the same. It is done in functions that are never inlined
//! ([`serve`](InstantConnection::serve), [`bind`](InstantConnection::bind),
//! [`offer`](InstantConnection::offer) and the queue's `poll`), so that a profiler can leave it
//! out. They get what they need of a work request in registers: that it need not lie in memory is
//! up to its maker. The loops around them are the client's, whose iterators they drive.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::hint::black_box;
use std::net::SocketAddr;
use std::rc::Rc;

use verbs::{
    Access, Bind, CmEvent, Completion, CompletionQueue, ConnectParams, Connection, DeviceInfo,
    Error, Incoming, Listener, MemoryRegion, MemoryWindow, Op, PostError, ProtectionDomain,
    Provider, QueuePairCaps, RecvWr, RegionHandle, SendWr, Sge, WindowHandle,
};
use wire::nfs3::{self, procedure};
use wire::rpc::Reply;
use wire::rpcrdma::HEADER_MIN;
use wire::rpcrdma::private_data::PrivateData;
use wire::xdr::{Reader, Writer};

/// Bytes of an RPC call before its procedure number.
const PROCEDURE_AT: usize = 20;
/// Credits that every reply grants.
const CREDITS: u32 = 1024;
/// Header with one Write chunk of one segment.
const HEADER_WITH_CHUNK: usize = HEADER_MIN + 24;

/// The provider.
#[derive(Clone, Debug)]
pub(crate) struct Instant {
    /// Inline threshold of the imagined server, bytes.
    pub(crate) inline: u32,
    /// That each READ returns and each WRITE takes.
    pub(crate) bytes: u32,
}

/// The one completion queue.
type Completions = Rc<RefCell<Ring<Completion>>>;

thread_local! {
    static COMPLETIONS: Completions = Rc::new(RefCell::new(Ring::new(Completion::default())));
}

/// A queue of fixed length: what is put in must have been asked for, so it never overflows.
struct Ring<T> {
    places: Box<[T; RING_LEN]>,
    /// How many came in, and how many of them went out.
    put: usize,
    taken: usize,
}

/// More than the deepest bench has under way.
const RING_LEN: usize = 1 << 14;

impl<T: Copy> Ring<T> {
    fn new(empty: T) -> Self {
        Self { places: Box::new([empty; RING_LEN]), put: 0, taken: 0 }
    }

    #[inline]
    fn len(&self) -> usize {
        self.put - self.taken
    }

    #[inline]
    fn push(&mut self, value: T) {
        self.places[self.put % RING_LEN] = value;
        self.put += 1;
    }

    #[inline]
    fn pop(&mut self) -> Option<&T> {
        let value = (self.taken < self.put).then(|| &self.places[self.taken % RING_LEN])?;
        self.taken += 1;
        Some(value)
    }
}

/// A reply without data, of fixed length so that it is copied without asking for it.
#[derive(Clone, Copy)]
struct Short {
    bytes: [u8; SHORT_MAX],
    len: usize,
}

/// Bytes that a reply without data may take.
const SHORT_MAX: usize = 192;

/// Numbers of procedures.
const PROCEDURES: usize = 22;

/// Finished RPC replies by procedure, XID missing.
struct Replies {
    by_procedure: Box<[Short; PROCEDURES]>,
    /// READ, data inline.
    read_inline: Vec<u8>,
}

impl Replies {
    fn new(bytes: u32) -> Self {
        let reply = |encode: &dyn Fn(&mut Writer<'_>)| {
            let mut bytes = vec![0; 8192];
            let mut w = Writer::new(&mut bytes);
            w.value(&Reply::success(0)).expect("it fits");
            encode(&mut w);
            let len = w.position();
            bytes.truncate(len);
            bytes
        };
        let short = |encode: &dyn Fn(&mut Writer<'_>)| {
            let (reply, mut bytes) = (reply(encode), [0; SHORT_MAX]);
            bytes[..reply.len()].copy_from_slice(&reply);
            Short { bytes, len: reply.len() }
        };
        let mut by_procedure = Box::new([Short { bytes: [0; SHORT_MAX], len: 0 }; PROCEDURES]);
        // Servers send attributes along with nearly everything.
        let attributes = Some(fattr());
        let read = nfs3::ReadOk { attributes, count: bytes, eof: false, data_len: bytes };
        let ok = |w: &mut Writer<'_>| w.u32(0).expect("it fits");
        by_procedure[procedure::NULL as usize] = short(&|_| ());
        by_procedure[procedure::READ as usize] = short(&|w| {
            ok(w);
            w.value(&read).expect("it fits");
        });
        let read_inline = reply(&|w| {
            ok(w);
            w.value(&read).expect("it fits");
            w.put(&vec![0x5a; bytes as usize]).expect("it fits");
        });
        by_procedure[procedure::WRITE as usize] = short(&|w| {
            ok(w);
            let (committed, verifier) = (nfs3::StableHow::Unstable, [1; 8]);
            let fattr = fattr();
            let before = nfs3::WccAttr { size: 0, mtime: fattr.mtime, ctime: fattr.ctime };
            let wcc = nfs3::WccData { before: Some(before), after: Some(fattr) };
            w.value(&nfs3::WriteOk { wcc, count: bytes, committed, verifier }).expect("it fits");
        });
        by_procedure[procedure::GETATTR as usize] = short(&|w| {
            ok(w);
            w.value(&fattr()).expect("it fits");
        });
        by_procedure[procedure::FSINFO as usize] = short(&|w| {
            ok(w);
            w.bool(false).expect("it fits");
            for _ in 0..7 {
                w.u32(1 << 20).expect("it fits");
            }
            w.put(&[0; 20]).expect("it fits");
        });
        Self { by_procedure, read_inline }
    }
}

/// Attributes of any file.
fn fattr() -> nfs3::Fattr {
    // fattr3: type 1 (regular) and nothing but zeros.
    let mut bytes = [0; 84];
    bytes[3] = 1;
    Reader::new(&bytes).value().expect("they are attributes")
}

/// A connection.
pub(crate) struct InstantConnection {
    completions: Completions,
    replies: Replies,
    device: DeviceInfo,
    events: VecDeque<CmEvent>,
    receives: Ring<RecvWr>,
    inline: u32,
    /// Keys with its replies.
    invalidates: bool,
}

/// Nothing to protect.
#[derive(Clone, Default)]
pub(crate) struct InstantDomain {
    windows: Rc<Cell<usize>>,
}
/// Nothing registered.
pub(crate) struct InstantRegion;
/// Nothing bound, but a key that says by which window.
pub(crate) struct InstantWindow {
    number: usize,
}
/// Nobody connects.
pub(crate) struct InstantListener;

/// Completions, in order.
#[derive(Clone)]
pub(crate) struct InstantCq {
    completions: Completions,
}

impl Provider for Instant {
    type Connection = InstantConnection;
    type Listener = InstantListener;
    type Domain = InstantDomain;
    type Cq = InstantCq;

    fn name(&self) -> &'static str {
        "instant"
    }

    fn resolve(
        &self,
        _remote: SocketAddr,
        _local: Option<SocketAddr>,
    ) -> Result<InstantConnection, Error> {
        Ok(InstantConnection {
            completions: COMPLETIONS.with(Rc::clone),
            replies: Replies::new(self.bytes),
            device: DeviceInfo {
                name: "instant".into(),
                key: 1,
                max_qp_wr: 1 << 16,
                max_sge: 16,
                max_cqe: 1 << 20,
                max_rd_atom: 16,
                memory_window_2b: true,
            },
            events: VecDeque::from([CmEvent::RouteResolved]),
            receives: Ring::new(RecvWr { wr_id: 0, sge: Sge::default() }),
            inline: self.inline,
            invalidates: false,
        })
    }

    fn listen(&self, _local: SocketAddr, _backlog: u32) -> Result<InstantListener, Error> {
        Err(Error::Address("the instant provider has no listeners".into()))
    }
}

impl Listener for InstantListener {
    type Connection = InstantConnection;

    fn local_addr(&self) -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 0))
    }

    fn poll(&mut self) -> Result<Option<Incoming<InstantConnection>>, Error> {
        Ok(None)
    }
}

impl ProtectionDomain for InstantDomain {
    type Region = InstantRegion;
    type Window = InstantWindow;

    unsafe fn register(
        &self,
        _addr: *mut u8,
        _len: usize,
        _access: Access,
    ) -> Result<InstantRegion, Error> {
        Ok(InstantRegion)
    }

    fn new_window(&self) -> Result<InstantWindow, Error> {
        let number = self.windows.get() + 1;
        self.windows.set(number);
        Ok(InstantWindow { number })
    }
}

impl MemoryRegion for InstantRegion {
    fn lkey(&self) -> u32 {
        1
    }

    fn rkey(&self) -> u32 {
        2
    }

    fn handle(&self) -> RegionHandle {
        RegionHandle::new(1)
    }
}

impl MemoryWindow for InstantWindow {
    fn rkey(&self) -> u32 {
        (self.number as u32) << 8
    }

    fn handle(&self) -> WindowHandle {
        WindowHandle::new(self.number)
    }
}

impl CompletionQueue for InstantCq {
    #[inline(never)] // See the top.
    fn poll(&self, out: &mut [Completion]) -> Result<usize, Box<Error>> {
        let mut queue = self.completions.borrow_mut();
        let count = queue.len().min(out.len());
        for place in &mut out[..count] {
            if let Some(completion) = queue.pop() {
                *place = *completion;
            }
        }
        Ok(count)
    }

    fn depth(&self) -> u32 {
        1 << 20
    }
}

impl Connection for InstantConnection {
    type Domain = InstantDomain;
    type Cq = InstantCq;

    fn poll_event(&mut self) -> Option<CmEvent> {
        self.events.pop_front()
    }

    fn device(&self) -> Option<&DeviceInfo> {
        Some(&self.device)
    }

    fn new_domain(&self) -> Result<InstantDomain, Error> {
        Ok(InstantDomain::default())
    }

    fn new_completion_queue(&self, _depth: u32) -> Result<InstantCq, Error> {
        Ok(InstantCq { completions: Rc::clone(&self.completions) })
    }

    fn create_queue_pair(
        &mut self,
        _domain: &InstantDomain,
        _cq: &InstantCq,
        _caps: &QueuePairCaps,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn connect(&mut self, params: &ConnectParams<'_>) -> Result<(), Error> {
        let (send_size, receive_size) = (self.inline, self.inline);
        let asked = PrivateData::parse(params.private_data);
        self.invalidates = asked.is_some_and(|asked| asked.remote_invalidation);
        let data = PrivateData { send_size, receive_size, remote_invalidation: false };
        self.events.push_back(CmEvent::Established { private_data: data.emit().to_vec() });
        Ok(())
    }

    fn accept(&mut self, _params: &ConnectParams<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn reject(&mut self, _private_data: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn disconnect(&mut self) {
        self.receives.taken = self.receives.put;
    }

    #[inline]
    unsafe fn post_send<'a, I>(&mut self, chain: I) -> Result<usize, PostError>
    where
        I: IntoIterator<Item = SendWr<'a>>,
    {
        let mut count = 0;
        for wr in chain {
            count += 1;
            match wr.op {
                Op::BindWindow(bind) => self.bind(bind),
                Op::Send => self.serve(wr.wr_id, wr.signaled, wr.sges.first()),
                _ => self.serve(wr.wr_id, wr.signaled, None),
            }
        }
        Ok(count)
    }

    #[inline]
    unsafe fn post_recv<I>(&mut self, chain: I) -> Result<usize, PostError>
    where
        I: IntoIterator<Item = RecvWr>,
    {
        let mut count = 0;
        for receive in chain {
            count += 1;
            self.offer(receive.wr_id, receive.sge);
        }
        Ok(count)
    }

    fn qp_num(&self) -> u32 {
        1
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        None
    }
}

impl InstantConnection {
    /// Carries out a bind: what a device would fetch is there to be read.
    #[inline(never)] // See the top.
    fn bind(&mut self, bind: &Bind) {
        black_box(bind);
    }

    /// Carries out another work request: what it needs of one, in registers.
    #[inline(never)] // See the top.
    fn serve(&mut self, wr_id: u64, signaled: bool, call: Option<&Sge>) {
        let mut completions = self.completions.borrow_mut();
        if signaled {
            completions.push(Completion { wr_id, ..Completion::default() });
        }
        let Some(sge) = call else { return };
        let Some(&receive) = self.receives.pop() else { return };
        // SAFETY: the caller of `post_send` lends the bytes of the Send and of the Receive until
        // both have completed, which they have not: their completions are queued below and above.
        let (call, reply) = unsafe {
            (
                std::slice::from_raw_parts(sge.addr as *const u8, sge.length as usize),
                std::slice::from_raw_parts_mut(
                    receive.sge.addr as *mut u8,
                    receive.sge.length as usize,
                ),
            )
        };
        let (byte_len, rkey) = answer(&self.replies, call, reply);
        completions.push(Completion {
            wr_id: receive.wr_id,
            byte_len: byte_len as u32,
            invalidated_rkey: rkey.filter(|_| self.invalidates),
            ..Completion::default()
        });
    }

    /// Takes a Receive.
    #[inline(never)] // See the top.
    fn offer(&mut self, wr_id: u64, sge: Sge) {
        self.receives.push(RecvWr { wr_id, sge });
    }
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}

/// Writes the reply to a call; returns its length, and the key that came with the call.
#[inline]
fn answer(replies: &Replies, call: &[u8], reply: &mut [u8]) -> (usize, Option<u32>) {
    let word = |at| word(call, at);
    // Fixed part, Read list, Write list: the words behind them say which chunks there are.
    let (read, write) = (word(16), word(20));
    let header = if read == 0 && write == 1 {
        header::<HEADER_WITH_CHUNK>(call, reply)
    } else {
        header::<HEADER_MIN>(call, reply)
    };
    if read == 1 {
        reply[16..HEADER_MIN].fill(0);
    }
    let call_header = if read == 1 { HEADER_WITH_CHUNK } else { header };
    let procedure = word(call_header + PROCEDURE_AT);
    let body = &mut reply[header..];
    let len = if procedure == procedure::READ && header == HEADER_MIN {
        body[..replies.read_inline.len()].copy_from_slice(&replies.read_inline);
        replies.read_inline.len()
    } else {
        let short = &replies.by_procedure[procedure as usize];
        if let Some(body) = body.first_chunk_mut() {
            *body = short.bytes;
        }
        short.len
    };
    body[..4].copy_from_slice(&call[..4]);
    // Of the one segment of either list.
    let rkey = (read == 1 || write == 1).then(|| word(if read == 1 { 24 } else { 28 }));
    (header + len, rkey)
}

/// The call's transport header, granting credits.
#[inline]
fn header<const LEN: usize>(call: &[u8], reply: &mut [u8]) -> usize {
    if let (Some(from), Some(to)) = (call.first_chunk::<LEN>(), reply.first_chunk_mut::<LEN>()) {
        *to = *from;
        to[8..12].copy_from_slice(&CREDITS.to_be_bytes());
    }
    LEN
}
