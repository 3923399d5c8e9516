//! Who listens where, and how two ends meet. Control path: nothing here is per message.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::Fabric;
use super::bell::{Bell, Belled, kept};
use super::clock::NEVER;
use super::connection::SoftConnection;
use super::faults::{ConnectFault, FaultPlan};
use super::link::{ACTIVE, Link, LinkState, PASSIVE, Phase, QpState, lock};
use super::struck::Fault;
use crate::{CmEvent, Error, Incoming, Listener, reject_reason};

/// Private data as it reaches the peer, on RDMA_PS_TCP: what the connection manager's own header
/// leaves of a REQ, and what a REP and a REJ have. Padded with zeros to these sizes.
pub(super) const REQ_PRIVATE_DATA: usize = 56;
pub(super) const REP_PRIVATE_DATA: usize = 196;
pub(super) const REJ_PRIVATE_DATA: usize = 148;

/// Ports that port 0 chooses from.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;
const CONNECT_TIMEOUT_NS: u64 = 2_000_000_000;
/// Most requests that wait at one listener.
const BACKLOG_MAX: u32 = 4096;

/// What a fabric knows of its connections and listeners.
pub(super) struct Directory {
    listeners: BTreeMap<SocketAddr, Arc<Backlog>>,
    links: Vec<Weak<Link>>,
    next_port: u16,
    pub(super) default_plan: FaultPlan,
    pub(super) connect_fault: Option<(u32, ConnectFault)>,
    pub(super) connect_timeout_ns: u64,
}

/// Requests that wait to be looked at.
struct Backlog {
    limit: usize,
    waiting: Mutex<Belled<(Arc<Link>, Vec<u8>)>>,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            listeners: BTreeMap::new(),
            links: Vec::new(),
            next_port: *EPHEMERAL.start(),
            default_plan: FaultPlan::new(),
            connect_fault: None,
            connect_timeout_ns: CONNECT_TIMEOUT_NS,
        }
    }
}

impl Directory {
    pub(super) fn live_links(&mut self) -> Vec<Arc<Link>> {
        self.links.retain(|link| link.strong_count() > 0);
        self.links.iter().filter_map(Weak::upgrade).collect()
    }

    /// A new link, known to the faults from its start.
    pub(super) fn new_link(
        &mut self,
        fabric: &Arc<Fabric>,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Arc<Link> {
        self.links.retain(|link| link.strong_count() > 0);
        let mut local = local.unwrap_or(SocketAddr::new(remote.ip(), 0));
        if local.port() == 0 {
            local.set_port(self.take_port());
        }
        if local.ip().is_unspecified() {
            local.set_ip(remote.ip());
        }
        let link = Arc::new(Link::new(fabric, &self.default_plan, local, remote));
        self.links.push(Arc::downgrade(&link));
        link
    }

    /// The fault that strikes this connection attempt at the stage that `strikes_here` names.
    pub(super) fn take_fault(
        &mut self,
        strikes_here: impl Fn(ConnectFault) -> bool,
    ) -> Option<ConnectFault> {
        let (left, fault) = self.connect_fault.as_mut()?;
        let fault = *fault;
        if *left == 0 || !strikes_here(fault) {
            return None;
        }
        *left -= 1;
        Some(fault)
    }

    fn take_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
        port
    }

    /// The listener of an address, or of its port on every address.
    fn find(&self, addr: SocketAddr) -> Option<Arc<Backlog>> {
        let any: IpAddr = match addr {
            SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let found = self.listeners.get(&addr);
        found.or_else(|| self.listeners.get(&SocketAddr::new(any, addr.port()))).cloned()
    }

    fn bind(&mut self, local: SocketAddr, backlog: u32) -> Result<SocketAddr, Error> {
        let mut addr = local;
        let mut tries = EPHEMERAL.len();
        while local.port() == 0 && tries > 0 {
            addr.set_port(self.take_port());
            tries = if self.listeners.contains_key(&addr) { tries - 1 } else { 0 };
        }
        if self.listeners.contains_key(&addr) {
            return Err(Error::Address(format!("{local}: somebody listens there already")));
        }
        let limit = backlog.clamp(1, BACKLOG_MAX) as usize;
        self.listeners.insert(addr, Arc::new(Backlog { limit, waiting: Mutex::default() }));
        Ok(addr)
    }
}

/// A listener of the fabric.
pub struct SoftListener {
    fabric: Arc<Fabric>,
    addr: SocketAddr,
    backlog: Arc<Backlog>,
    bell: OnceLock<Arc<Bell>>,
}

impl SoftListener {
    pub(super) fn bind(
        fabric: &Arc<Fabric>,
        local: SocketAddr,
        backlog: u32,
    ) -> Result<Self, Error> {
        let mut directory = lock(&fabric.directory);
        let addr = directory.bind(local, backlog)?;
        let backlog = Arc::clone(&directory.listeners[&addr]);
        drop(directory);
        Ok(Self { fabric: Arc::clone(fabric), addr, backlog, bell: OnceLock::new() })
    }
}

impl Listener for SoftListener {
    type Connection = SoftConnection;

    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn poll(&mut self) -> Result<Option<Incoming<SoftConnection>>, Error> {
        loop {
            let next = lock(&self.backlog.waiting).pop_front();
            let Some((link, private_data)) = next else { return Ok(None) };
            // Who gave up while waiting is not worth an answer.
            if link.lock().phase == Phase::Requested {
                let connection = SoftConnection::incoming(&self.fabric, link);
                return Ok(Some(Incoming { connection, private_data }));
            }
        }
    }

    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        kept(&self.bell, || lock(&self.backlog.waiting).bell())
    }
}

impl Drop for SoftListener {
    fn drop(&mut self) {
        lock(&self.fabric.directory).listeners.remove(&self.addr);
        let mut waiting = std::mem::take(&mut *lock(&self.backlog.waiting));
        while let Some((link, _)) = waiting.pop_front() {
            link.with(|state| state.refuse(reject_reason::CONSUMER, &[]));
        }
    }
}

/// Hands a request to whoever listens at `remote`. Returns when to give up waiting.
pub(super) fn request(
    fabric: &Fabric,
    link: &Arc<Link>,
    remote: SocketAddr,
    private_data: &[u8],
) -> u64 {
    let silent = link.lock().sides[ACTIVE].plan.silent;
    let mut directory = lock(&fabric.directory);
    let fault = directory.take_fault(|fault| !matches!(fault, ConnectFault::ResolveFails(_)));
    let timeout_at = fabric.ticker.now_ns().saturating_add(directory.connect_timeout_ns);
    match fault {
        Some(ConnectFault::Unanswered) => fabric.struck.count(Fault::Unanswered),
        Some(ConnectFault::Rejected(_)) => fabric.struck.count(Fault::Rejected),
        Some(ConnectFault::ResolveFails(_)) | None => {}
    }
    if silent || fault == Some(ConnectFault::Unanswered) {
        return timeout_at;
    }
    let backlog = directory.find(remote);
    drop(directory);
    let refusal = match (fault, backlog) {
        (Some(ConnectFault::Rejected(reason)), _) => reason,
        (_, None) => reject_reason::NO_LISTENER,
        (_, Some(backlog)) => {
            let mut waiting = lock(&backlog.waiting);
            if waiting.len() < backlog.limit {
                waiting.push_back((Arc::clone(link), padded(private_data, REQ_PRIVATE_DATA)));
                return NEVER;
            }
            reject_reason::CONSUMER
        }
    };
    link.with(|state| state.refuse(refusal, &[]));
    NEVER
}

impl LinkState {
    /// The active side learns that it was refused, if it still waits for an answer.
    pub(super) fn refuse(&mut self, reason: i32, private_data: &[u8]) {
        if matches!(self.phase, Phase::Requested | Phase::Accepted) {
            self.phase = Phase::Over;
            let private_data = padded(private_data, REJ_PRIVATE_DATA);
            self.sides[ACTIVE].events.push_back(CmEvent::Rejected { reason, private_data });
        }
    }

    /// The active side looks at the passive side's acceptance: from here on data may flow.
    pub(super) fn establish(&mut self) {
        self.phase = Phase::Established;
        for side in &mut self.sides {
            if matches!(side.state, QpState::Init | QpState::Rtr) {
                side.state = QpState::Rts;
            }
        }
        // A REQ names the transport retries of both directions.
        self.sides[PASSIVE].params.retry_count = self.sides[ACTIVE].params.retry_count;
        let event = CmEvent::Established { private_data: Vec::new() };
        self.sides[PASSIVE].events.push_back(event);
    }
}

/// `data`, padded with zeros.
pub(super) fn padded(data: &[u8], len: usize) -> Vec<u8> {
    let mut padded = data.to_vec();
    padded.resize(len.max(data.len()), 0);
    padded
}
