//! A connection's life: resolve, make the queue pair, connect or accept, disconnect.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use rdma_sys::rdma_cm_event_type as event_type;

use super::cm::{CmId, Event, ReadDepth};
use super::convert::cm_event;
use super::cq::Cq;
use super::device::Limits;
use super::domain::Domain;
use super::faults;
use super::qp::QueuePair;
use crate::{CmEvent, ConnectParams, DeviceInfo, Error, PostError, QueuePairCaps, RecvWr, SendWr};

/// A queue pair together with the `rdma_cm_id` that connects it.
pub struct Connection {
    // Declared first, dropped first: the queue pair goes before the id.
    qp: Option<QueuePair>,
    state: State,
    /// The device's limits, once the id is bound.
    limits: Option<Limits>,
    /// What a call found out at once and the contract tells as an event.
    early: Option<CmEvent>,
    id: Rc<CmId>,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Active side: address or route are being looked up.
    Resolving,
    /// Active side: the device is known.
    Resolved,
    /// Passive side: a peer waits for an answer and offers this much.
    Requested(ReadDepth),
    /// Active side: the peer was asked.
    Connecting,
    /// Passive side: the peer was told yes; Sends may go.
    Accepted,
    /// Data may flow.
    Established,
    /// Disconnected, rejected or never connected: everything is flushed.
    Closed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Resolving => "resolving",
            Self::Resolved => "resolved",
            Self::Requested(_) => "requested",
            Self::Connecting => "connecting",
            Self::Accepted => "accepted",
            Self::Established => "established",
            Self::Closed => "closed",
        }
    }

    /// A queue pair takes Sends from the moment it is ready, and in the error state flushes them.
    #[inline]
    fn takes_sends(self) -> bool {
        matches!(self, Self::Accepted | Self::Established | Self::Closed)
    }
}

impl Connection {
    /// Starts to look for `remote`, from `local` if that can be had. An address that is refused at once is told as an event, like
    /// one that is refused later.
    pub(super) fn resolve(remote: SocketAddr, local: Option<SocketAddr>) -> Result<Self, Error> {
        let id = CmId::new()?;
        if let Some(local) = local {
            id.bind_addr(local)?;
        }
        let early = id.resolve_addr(remote).err().map(resolve_failed);
        let state = State::Resolving;
        Ok(Self { qp: None, state, limits: None, early, id: Rc::new(id) })
    }

    /// The passive end of a request that a listener took; it offers `offered`.
    pub(super) fn requested(id: CmId, offered: ReadDepth) -> Result<Self, Error> {
        id.bind();
        // SAFETY: the id of a request is bound, and keeps its context open.
        let limits = unsafe { Limits::of(id.verbs()) }?;
        let state = State::Requested(offered);
        Ok(Self { qp: None, state, limits: Some(limits), early: None, id: Rc::new(id) })
    }

    fn wrong_state<T>(&self, call: &'static str) -> Result<T, Error> {
        Err(Error::WrongState { call, state: self.state.name() })
    }

    fn limits(&self, call: &'static str) -> Result<&Limits, Error> {
        match &self.limits {
            Some(limits) => Ok(limits),
            None => self.wrong_state(call),
        }
    }

    /// The address is known: bind to the device, look for a route.
    fn on_addr_resolved(&mut self) -> Option<CmEvent> {
        self.id.bind();
        // SAFETY: librdmacm bound the id with this event; the id keeps its context open.
        let bound = unsafe { Limits::of(self.id.verbs()) };
        match bound.and_then(|limits| self.id.resolve_route().map(|()| limits)) {
            Ok(limits) => {
                self.limits = Some(limits);
                None
            }
            Err(error) => Some(resolve_failed(error)),
        }
    }

    /// Follows an event; `None` if it is a step of ours that the caller is not told.
    fn follow(&mut self, event: Event) -> Option<CmEvent> {
        if event.kind == event_type::RDMA_CM_EVENT_ADDR_RESOLVED && self.state == State::Resolving {
            return self.on_addr_resolved();
        }
        let mut told = cm_event(event);
        match (&mut told, self.state) {
            (CmEvent::RouteResolved, State::Resolving) => self.state = State::Resolved,
            (CmEvent::Established { .. }, State::Connecting) => self.state = State::Established,
            (CmEvent::Established { private_data }, State::Accepted) => {
                private_data.clear();
                self.state = State::Established;
            }
            (CmEvent::DeviceRemoved, _) => self.device_gone(),
            _ => {}
        }
        Some(told)
    }

    /// No completion will come from this device any more; whoever polls for it must know.
    fn device_gone(&self) {
        self.id.device_removed();
        if let Some(qp) = &self.qp {
            qp.cq().device_gone();
        }
    }
}

impl crate::Connection for Connection {
    type Domain = Domain;
    type Cq = Cq;

    fn poll_event(&mut self) -> Option<CmEvent> {
        if let Some(event) = self.early.take() {
            return Some(event);
        }
        let context = self.id.verbs();
        if self.limits.is_some() {
            // SAFETY: the limits were read from this context, which was made ready then and
            // stays open while the id lives.
            unsafe { faults::look(context) };
        }
        loop {
            // Ends: only the two steps of resolution go round again.
            match self.id.next_event() {
                Ok(Some(event)) => {
                    if let Some(told) = self.follow(event) {
                        return Some(told);
                    }
                }
                Ok(None) => return None,
                Err(error) => {
                    tracing::warn!(%error, "connection events are lost");
                    self.device_gone();
                    return Some(CmEvent::DeviceRemoved);
                }
            }
        }
    }

    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        self.early.is_none().then(|| self.id.event_fd())
    }

    fn device(&self) -> Option<&DeviceInfo> {
        self.limits.as_ref().map(|limits| &limits.info)
    }

    fn new_domain(&self) -> Result<Domain, Error> {
        self.limits("new_domain")?;
        Domain::new(&self.id)
    }

    fn new_completion_queue(&self, depth: u32) -> Result<Cq, Error> {
        let limits = self.limits("new_completion_queue")?;
        Cq::new(&self.id, depth, limits)
    }

    fn create_queue_pair(
        &mut self,
        domain: &Domain,
        cq: &Cq,
        caps: &QueuePairCaps,
    ) -> Result<(), Error> {
        const CALL: &str = "create_queue_pair";
        if self.qp.is_some() {
            return Err(Error::WrongState { call: CALL, state: "with a queue pair already" });
        }
        if !matches!(self.state, State::Resolved | State::Requested(_)) {
            return self.wrong_state(CALL);
        }
        let device = &self.limits(CALL)?.info;
        self.qp = Some(QueuePair::new(&self.id, device, domain, cq, caps)?);
        Ok(())
    }

    fn connect(&mut self, params: &ConnectParams<'_>) -> Result<(), Error> {
        if self.state != State::Resolved || self.qp.is_none() {
            return self.wrong_state("connect");
        }
        let depth = wanted(params).min(self.limits("connect")?.reads);
        self.id.connect(params, depth)?;
        self.state = State::Connecting;
        Ok(())
    }

    fn accept(&mut self, params: &ConnectParams<'_>) -> Result<(), Error> {
        let (State::Requested(offered), Some(_)) = (self.state, &self.qp) else {
            return self.wrong_state("accept");
        };
        // Answering with more than the peer offers would have it serve Reads that it has no
        // resources for.
        let depth = wanted(params).min(self.limits("accept")?.reads).min(offered);
        self.id.accept(params, depth)?;
        self.state = State::Accepted;
        Ok(())
    }

    fn reject(&mut self, private_data: &[u8]) -> Result<(), Error> {
        if !matches!(self.state, State::Requested(_)) {
            return self.wrong_state("reject");
        }
        self.id.reject(private_data)?;
        self.state = State::Closed;
        if let Some(qp) = &self.qp {
            qp.fail();
        }
        Ok(())
    }

    fn disconnect(&mut self) {
        // An error of any of these means that the peer is not there to be told.
        let told = match self.state {
            State::Requested(_) => self.id.reject(&[]),
            State::Connecting | State::Accepted | State::Established => self.id.disconnect(),
            State::Resolving | State::Resolved | State::Closed => Ok(()),
        };
        if let Err(error) = told {
            tracing::debug!(%error, qp_num = self.qp_num(), "peer not told of the disconnect");
        }
        self.state = State::Closed;
        if let Some(qp) = &self.qp {
            qp.fail();
        }
    }

    #[inline]
    unsafe fn post_send<'a, I>(&mut self, chain: I) -> Result<usize, PostError>
    where
        I: IntoIterator<Item = SendWr<'a>>,
    {
        match &mut self.qp {
            // SAFETY: the caller vouches for the memory.
            Some(qp) if self.state.takes_sends() => unsafe { qp.post_send(chain) },
            _ => Err(PostError { posted: 0, errno: libc::ENOTCONN }),
        }
    }

    #[inline]
    unsafe fn post_recv<I>(&mut self, chain: I) -> Result<usize, PostError>
    where
        I: IntoIterator<Item = RecvWr>,
    {
        let Some(qp) = &mut self.qp else {
            return Err(PostError { posted: 0, errno: libc::ENOTCONN });
        };
        // SAFETY: the caller vouches for the memory.
        let posted = unsafe { qp.post_recv(chain) };
        if self.state == State::Closed {
            qp.fail();
        }
        posted
    }

    fn qp_num(&self) -> u32 {
        self.qp.as_ref().map_or(0, QueuePair::number)
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        self.id.peer_addr()
    }
}

impl Drop for Connection {
    /// Tells the peer, if nobody has; a domain or queue that outlives us keeps the id, and with
    /// it the peer's end, alive.
    fn drop(&mut self) {
        if self.state != State::Closed {
            crate::Connection::disconnect(self);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("state", &self.state)
            .field("qp_num", &crate::Connection::qp_num(self))
            .field("peer", &self.id.peer_addr())
            .finish()
    }
}

fn wanted(params: &ConnectParams<'_>) -> ReadDepth {
    ReadDepth {
        responder_resources: params.responder_resources,
        initiator_depth: params.initiator_depth,
    }
}

fn resolve_failed(error: Error) -> CmEvent {
    CmEvent::ResolveFailed(match error {
        Error::Os { errno, .. } => errno,
        _ => libc::ENODEV,
    })
}
