//! Two connected ends in one thread, their memory, and waiting with a deadline.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use verbs::{
    Access, CmEvent, Completion, CompletionQueue, ConnectParams, Connection, Incoming, Listener,
    MemoryRegion, Op, PostError, ProtectionDomain, Provider, QueuePairCaps, RecvWr, RegionHandle,
    SendWr, Sge, WcStatus,
};

/// Long enough for an emulated machine, short enough for a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing must happen to be taken for never.
pub(crate) const QUIET: Duration = Duration::from_millis(100);

pub(crate) type Region<P> = <<P as Provider>::Domain as ProtectionDomain>::Region;

/// Polls `look` until it sees something; panics with `what` when it never does.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// Registered memory that a peer or a device may change: no Rust reference ever points into it.
pub(crate) struct Memory<P: Provider> {
    region: Option<Region<P>>,
    bytes: *mut [u8],
}

impl<P: Provider> Memory<P> {
    pub(crate) fn new(domain: &P::Domain, len: usize, access: Access) -> Self {
        let bytes = Box::into_raw(vec![0_u8; len].into_boxed_slice());
        // SAFETY: the allocation lives until `drop`, which ends the registration first.
        let region = unsafe { domain.register(bytes.cast(), len, access) };
        Self { region: Some(region.expect("registration")), bytes }
    }

    pub(crate) fn addr(&self) -> u64 {
        self.bytes.cast::<u8>() as u64
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn rkey(&self) -> u32 {
        self.region.as_ref().expect("registered").rkey()
    }

    pub(crate) fn lkey(&self) -> u32 {
        self.region.as_ref().expect("registered").lkey()
    }

    pub(crate) fn handle(&self) -> RegionHandle {
        self.region.as_ref().expect("registered").handle()
    }

    pub(crate) fn deregister(&mut self) {
        self.region = None;
    }

    pub(crate) fn sge(&self, offset: usize, len: usize) -> Sge {
        assert!(offset + len <= self.bytes.len());
        Sge { addr: self.addr() + offset as u64, length: len as u32, lkey: self.lkey() }
    }

    pub(crate) fn write(&self, offset: usize, data: &[u8]) {
        assert!(offset + data.len() <= self.bytes.len());
        // SAFETY: inside the allocation; the test calls it only while nothing posted reads here.
        unsafe {
            let to = self.bytes.cast::<u8>().add(offset);
            std::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len());
        }
    }

    pub(crate) fn read(&self, offset: usize, len: usize) -> Vec<u8> {
        assert!(offset + len <= self.bytes.len());
        let mut data = vec![0; len];
        // SAFETY: as in `write`, for what is posted to write here.
        unsafe {
            let from = self.bytes.cast::<u8>().add(offset);
            std::ptr::copy_nonoverlapping(from, data.as_mut_ptr(), len);
        }
        data
    }
}

impl<P: Provider> Drop for Memory<P> {
    fn drop(&mut self) {
        self.region = None;
        // SAFETY: from `Box::into_raw`; deregistered, so nobody else reaches it.
        drop(unsafe { Box::from_raw(self.bytes) });
    }
}

/// Bytes that tell where they came from.
pub(crate) fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (seed.wrapping_mul(31).wrapping_add(i) % 251) as u8).collect()
}

/// Sizes and retries of a pair.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) caps: QueuePairCaps,
    pub(crate) cq_depth: u32,
    pub(crate) rnr_retry_count: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            caps: QueuePairCaps { send_wr_max: 64, recv_wr_max: 64, send_sge_max: 4 },
            cq_depth: 256,
            rnr_retry_count: 7,
        }
    }
}

impl Options {
    pub(crate) fn params<'a>(&self, private_data: &'a [u8]) -> ConnectParams<'a> {
        ConnectParams {
            private_data,
            initiator_depth: 4,
            responder_resources: 4,
            rnr_retry_count: self.rnr_retry_count,
            ..ConnectParams::default()
        }
    }
}

/// A connection with what it needs. Fields drop in order: the connection first.
pub(crate) struct End<P: Provider> {
    pub(crate) connection: P::Connection,
    pub(crate) cq: P::Cq,
    pub(crate) domain: P::Domain,
}

impl<P: Provider> End<P> {
    /// Prepares a connection whose device is known.
    pub(crate) fn prepare(connection: P::Connection, options: &Options) -> Self {
        let cq = connection.new_completion_queue(options.cq_depth).expect("completion queue");
        Self::prepare_on(connection, cq, options)
    }

    pub(crate) fn prepare_on(connection: P::Connection, cq: P::Cq, options: &Options) -> Self {
        let domain = connection.new_domain().expect("protection domain");
        Self::prepare_in(connection, cq, domain, options)
    }

    pub(crate) fn prepare_in(
        mut connection: P::Connection,
        cq: P::Cq,
        domain: P::Domain,
        options: &Options,
    ) -> Self {
        connection.create_queue_pair(&domain, &cq, &options.caps).expect("queue pair");
        Self { connection, cq, domain }
    }

    pub(crate) fn memory(&self, len: usize, access: Access) -> Memory<P> {
        Memory::new(&self.domain, len, access)
    }

    pub(crate) fn post_send(&mut self, chain: &[SendWr<'_>]) -> Result<usize, PostError> {
        // SAFETY: the tests keep their `Memory` until the pair is gone and touch what they lent
        // only after its completion.
        unsafe { self.connection.post_send(chain.iter().copied()) }
    }

    pub(crate) fn post_recv(&mut self, chain: &[RecvWr]) -> Result<usize, PostError> {
        // SAFETY: as in `post_send`.
        unsafe { self.connection.post_recv(chain.iter().copied()) }
    }

    /// `count` Receives of `len` bytes, one after the other in `memory`; `wr_id` is the index.
    pub(crate) fn post_recvs(&mut self, memory: &Memory<P>, count: usize, len: usize) {
        let chain: Vec<_> = (0..count).map(|i| recv(i as u64, memory.sge(i * len, len))).collect();
        assert_eq!(self.post_recv(&chain), Ok(count));
    }

    /// The next `count` completions.
    pub(crate) fn completions(&self, count: usize) -> Vec<Completion> {
        let mut seen = Vec::new();
        wait_for("completions", || {
            let mut batch = [Completion::default(); 8];
            let room = batch.len().min(count - seen.len());
            let polled = self.cq.poll(&mut batch[..room]).expect("poll");
            seen.extend_from_slice(&batch[..polled]);
            (seen.len() == count).then_some(())
        });
        seen
    }

    /// Asserts that nothing completes for a while.
    pub(crate) fn stays_quiet(&self) {
        let until = Instant::now() + QUIET;
        while Instant::now() < until {
            let mut one = [Completion::default()];
            assert_eq!(self.cq.poll(&mut one), Ok(0), "unexpected {:?}", one[0]);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn event(&mut self, what: &str) -> CmEvent {
        wait_for(what, || self.connection.poll_event())
    }
}

/// A connected pair.
pub(crate) struct Pair<P: Provider> {
    pub(crate) active: End<P>,
    pub(crate) passive: End<P>,
    pub(crate) listener: P::Listener,
}

/// An active side whose route is known.
pub(crate) fn resolved<P: Provider>(provider: &P, remote: SocketAddr) -> P::Connection {
    let mut connection = provider.resolve(remote, None).expect("resolve");
    let event = wait_for("a route", || connection.poll_event());
    assert_eq!(event, CmEvent::RouteResolved);
    connection
}

pub(crate) fn listen<P: Provider>(provider: &P, ip: IpAddr) -> P::Listener {
    provider.listen(SocketAddr::new(ip, 0), 8).expect("listen")
}

/// The request that waits at `listener`.
pub(crate) fn incoming<P: Provider>(listener: &mut P::Listener) -> Incoming<P::Connection> {
    wait_for("a connection request", || listener.poll().expect("listener"))
}

/// Both sides' events until both are established: what the active side was sent along.
pub(crate) fn established<P: Provider>(active: &mut End<P>, passive: &mut End<P>) -> Vec<u8> {
    let (mut sent_along, mut passive_up) = (None, false);
    wait_for("both sides to be established", || {
        match active.connection.poll_event() {
            Some(CmEvent::Established { private_data }) => sent_along = Some(private_data),
            Some(other) => panic!("active side: {other:?}"),
            None => {}
        }
        match passive.connection.poll_event() {
            Some(CmEvent::Established { .. }) => passive_up = true,
            Some(other) => panic!("passive side: {other:?}"),
            None => {}
        }
        (sent_along.is_some() && passive_up).then_some(())
    });
    sent_along.expect("established")
}

impl<P: Provider> Pair<P> {
    pub(crate) fn new(provider: &P, ip: IpAddr) -> Self {
        Self::with(provider, ip, &Options::default())
    }

    pub(crate) fn with(provider: &P, ip: IpAddr, options: &Options) -> Self {
        let listener = listen(provider, ip);
        let active = resolved(provider, listener.local_addr());
        let active = End::<P>::prepare(active, options);
        Self::connect(listener, active, options)
    }

    /// Another pair, whose active side is in the given domain.
    pub(crate) fn in_domain(provider: &P, ip: IpAddr, domain: &P::Domain) -> Self {
        let options = Options::default();
        let listener = listen(provider, ip);
        let active = resolved(provider, listener.local_addr());
        let cq = active.new_completion_queue(options.cq_depth).expect("completion queue");
        let active = End::<P>::prepare_in(active, cq, domain.clone(), &options);
        Self::connect(listener, active, &options)
    }

    fn connect(mut listener: P::Listener, mut active: End<P>, options: &Options) -> Self {
        active.connection.connect(&options.params(&[])).expect("connect");
        let incoming = incoming::<P>(&mut listener);
        let mut passive = End::<P>::prepare(incoming.connection, options);
        passive.connection.accept(&options.params(&[])).expect("accept");
        established(&mut active, &mut passive);
        Self { active, passive, listener }
    }
}

pub(crate) fn recv(wr_id: u64, sge: Sge) -> RecvWr {
    RecvWr { wr_id, sge }
}

pub(crate) fn send(wr_id: u64, sges: &[Sge]) -> SendWr<'_> {
    SendWr { wr_id, sges, op: Op::Send, signaled: true, fence: false }
}

pub(crate) fn unsignaled(wr_id: u64, sges: &[Sge]) -> SendWr<'_> {
    SendWr { signaled: false, ..send(wr_id, sges) }
}

pub(crate) fn write(wr_id: u64, sges: &[Sge], remote_addr: u64, rkey: u32) -> SendWr<'_> {
    SendWr { op: Op::RdmaWrite { remote_addr, rkey }, ..send(wr_id, sges) }
}

pub(crate) fn read(wr_id: u64, sges: &[Sge], remote_addr: u64, rkey: u32) -> SendWr<'_> {
    SendWr { op: Op::RdmaRead { remote_addr, rkey }, ..send(wr_id, sges) }
}

/// What completed, and how.
pub(crate) fn outcomes(completions: &[Completion]) -> Vec<(u64, WcStatus)> {
    completions.iter().map(|c| (c.wr_id, c.status)).collect()
}
