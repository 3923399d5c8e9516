//! One end of a link, as the contract's [`Connection`].

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};

use super::bell::{Bell, kept};
use super::clock::NEVER;
use super::cm::{self, REP_PRIVATE_DATA, REQ_PRIVATE_DATA};
use super::device::Device;
use super::faults::{ConnectFault, strikes};
use super::link::{ACTIVE, Link, PASSIVE, Params, Phase, Qp, QpState, Side, lock};
use super::struck::Fault;
use super::{Fabric, QP_WR_MAX, SGE_MAX, SoftCq, SoftDomain};
use crate::{
    Bind, CmEvent, ConnectParams, Connection, DeviceInfo, Error, Op, PostError, QueuePairCaps,
    RecvWr, SendWr,
};

/// One end of a connection on the fabric.
pub struct SoftConnection {
    fabric: Arc<Fabric>,
    link: Arc<Link>,
    side: usize,
    device: Option<Arc<Device>>,
    /// Its device may be used: `RouteResolved` was taken, or it came from a listener.
    resolved: bool,
    /// When an unanswered request is given up.
    timeout_at: u64,
    qp_num: u32,
    bell: OnceLock<Arc<Bell>>,
}

impl SoftConnection {
    pub(super) fn resolve(
        fabric: &Arc<Fabric>,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Self {
        let mut directory = lock(&fabric.directory);
        let link = directory.new_link(fabric, remote, local);
        let fault = directory.take_fault(|fault| matches!(fault, ConnectFault::ResolveFails(_)));
        drop(directory);
        if fault.is_some() {
            fabric.struck.count(Fault::Unresolved);
        }
        let device = fabric.devices.connecting();
        let event = match fault {
            Some(ConnectFault::ResolveFails(errno)) => CmEvent::ResolveFailed(errno),
            _ if remote.port() == 0 => CmEvent::ResolveFailed(libc::EADDRNOTAVAIL),
            _ if device.is_none() => CmEvent::ResolveFailed(libc::ENODEV),
            _ => CmEvent::RouteResolved,
        };
        link.lock().sides[ACTIVE].events.push_back(event);
        Self::new(fabric, link, ACTIVE, device)
    }

    pub(super) fn incoming(fabric: &Arc<Fabric>, link: Arc<Link>) -> Self {
        Self::new(fabric, link, PASSIVE, Some(fabric.devices.accepting()))
    }

    /// A post that failed may have found its queue full.
    fn count_overrun(&self, errno: i32) {
        if errno == libc::ENOMEM {
            self.fabric.overrun();
        }
    }

    fn new(
        fabric: &Arc<Fabric>,
        link: Arc<Link>,
        side: usize,
        device: Option<Arc<Device>>,
    ) -> Self {
        let (fabric, resolved, bell) = (Arc::clone(fabric), side == PASSIVE, OnceLock::new());
        Self { fabric, link, side, device, resolved, timeout_at: NEVER, qp_num: 0, bell }
    }

    /// Its device, which is known and there.
    fn resolved_device(&self, call: &'static str) -> Result<&Arc<Device>, Error> {
        let device = self.device.as_ref().filter(|_| self.resolved);
        let device = device.ok_or(Error::WrongState { call, state: "unresolved" })?;
        device.check().map(|()| device)
    }

    /// The request was never answered.
    fn gave_up(&mut self) -> Option<CmEvent> {
        if self.timeout_at == NEVER || self.fabric.ticker.now_ns() < self.timeout_at {
            return None;
        }
        self.timeout_at = NEVER;
        self.link.lock().phase = Phase::Over;
        Some(CmEvent::Unreachable(libc::ETIMEDOUT))
    }
}

impl Connection for SoftConnection {
    type Domain = SoftDomain;
    type Cq = SoftCq;

    fn poll_event(&mut self) -> Option<CmEvent> {
        if let Some(event) = self.gave_up() {
            return Some(event);
        }
        let side = self.side;
        let event = self.link.with(|state| {
            let event = state.sides[side].events.pop_front();
            if side == ACTIVE && matches!(event, Some(CmEvent::Established { .. })) {
                state.establish();
            }
            event
        });
        self.resolved |= event == Some(CmEvent::RouteResolved);
        event
    }

    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        // That nobody answers is seen by looking at the clock.
        if self.timeout_at != NEVER {
            return None;
        }
        kept(&self.bell, || self.link.lock().sides[self.side].events.bell())
    }

    fn device(&self) -> Option<&DeviceInfo> {
        self.device.as_ref().filter(|_| self.resolved).map(|device| &device.info)
    }

    fn new_domain(&self) -> Result<SoftDomain, Error> {
        let device = self.resolved_device("new_domain")?;
        Ok(SoftDomain::new(&self.fabric, device))
    }

    fn new_completion_queue(&self, depth: u32) -> Result<SoftCq, Error> {
        let device = self.resolved_device("new_completion_queue")?;
        SoftCq::new(&self.fabric, device, depth)
    }

    fn create_queue_pair(
        &mut self,
        domain: &SoftDomain,
        cq: &SoftCq,
        caps: &QueuePairCaps,
    ) -> Result<(), Error> {
        self.resolved_device("create_queue_pair")?;
        if self.qp_num != 0 {
            return Err(Error::WrongState { call: "create_queue_pair", state: "has a queue pair" });
        }
        let foreign = |other: &Arc<Fabric>| !Arc::ptr_eq(other, &self.fabric);
        if foreign(&domain.fabric) || foreign(&cq.shared.fabric) {
            return Err(Error::Os { call: "create_queue_pair", errno: libc::EINVAL });
        }
        check_limit("send work requests", caps.send_wr_max, QP_WR_MAX)?;
        check_limit("receive work requests", caps.recv_wr_max, QP_WR_MAX)?;
        check_limit("SGEs per send", caps.send_sge_max, SGE_MAX)?;
        let num = self.fabric.next_qp_num.fetch_add(1, Ordering::Relaxed);
        let mut qp = Qp::new(num, domain.id, Arc::clone(&cq.shared), caps);
        qp.attach(&self.link);
        let mut state = self.link.lock();
        let side = &mut state.sides[self.side];
        side.qp = Some(qp);
        side.state = QpState::Init;
        drop(state);
        self.qp_num = num;
        Ok(())
    }

    fn connect(&mut self, params: &ConnectParams<'_>) -> Result<(), Error> {
        self.resolved_device("connect")?;
        check_private_data(params.private_data, REQ_PRIVATE_DATA)?;
        let mut state = self.link.lock();
        let side = &mut state.sides[self.side];
        if self.side != ACTIVE || side.state != QpState::Init {
            return Err(Error::WrongState { call: "connect", state: name_of(side.state) });
        }
        side.params = plain(params);
        let remote = side.peer_addr;
        if state.phase != Phase::Idle {
            return Err(Error::WrongState { call: "connect", state: "connected before" });
        }
        state.phase = Phase::Requested;
        drop(state);
        self.timeout_at = cm::request(&self.fabric, &self.link, remote, params.private_data);
        Ok(())
    }

    fn accept(&mut self, params: &ConnectParams<'_>) -> Result<(), Error> {
        check_private_data(params.private_data, REP_PRIVATE_DATA)?;
        let mut state = self.link.lock();
        let side = &mut state.sides[self.side];
        if self.side != PASSIVE || side.state != QpState::Init {
            return Err(Error::WrongState { call: "accept", state: name_of(side.state) });
        }
        side.params = plain(params);
        match state.phase {
            Phase::Requested => {
                state.sides[PASSIVE].state = QpState::Rtr;
                state.phase = Phase::Accepted;
                let private_data = cm::padded(params.private_data, REP_PRIVATE_DATA);
                let event = CmEvent::Established { private_data };
                state.sides[ACTIVE].events.push_back(event);
                Ok(())
            }
            // The peer gave up meanwhile; a real answer would cross its farewell.
            Phase::Over => {
                let failed = CmEvent::ConnectFailed(libc::ECONNRESET);
                state.sides[PASSIVE].events.push_back(failed);
                Ok(())
            }
            _ => Err(Error::WrongState { call: "accept", state: "accepted before" }),
        }
    }

    fn reject(&mut self, private_data: &[u8]) -> Result<(), Error> {
        check_private_data(private_data, cm::REJ_PRIVATE_DATA)?;
        let mut state = self.link.lock();
        if self.side != PASSIVE || !matches!(state.phase, Phase::Requested | Phase::Over) {
            return Err(Error::WrongState { call: "reject", state: "no request waits" });
        }
        state.refuse(crate::reject_reason::CONSUMER, private_data);
        Ok(())
    }

    fn disconnect(&mut self) {
        self.timeout_at = NEVER;
        self.link.with(|state| state.disconnect(self.side));
    }

    unsafe fn post_send<'a, I>(&mut self, chain: I) -> Result<usize, PostError>
    where
        I: IntoIterator<Item = SendWr<'a>>,
    {
        let s = self.side;
        self.link.with(|state| {
            let Side { qp: Some(qp), plan, state, .. } = &mut state.sides[s] else {
                return refused(0, libc::EINVAL);
            };
            if !matches!(state, QpState::Rts | QpState::Error) {
                return refused(0, libc::EINVAL);
            }
            let before = qp.sq.posted;
            let result = post_all(chain, |wr| {
                if let Some(errno) = strikes(&mut plan.fail_post) {
                    let first = qp.sq.posted == before;
                    let fault = if first { Fault::Post } else { Fault::PostPartWay };
                    self.fabric.struck.count(fault);
                    return Err(errno);
                }
                qp.sq.push(&wr, &qp.reclaimed).inspect_err(|&errno| self.count_overrun(errno))?;
                if let Op::BindWindow(&Bind { window, new_rkey, .. }) = wr.op {
                    let keys = self.fabric.keys.read().unwrap_or_else(PoisonError::into_inner);
                    keys.bind_posted(window, new_rkey);
                }
                Ok(())
            });
            if *state == QpState::Error {
                qp.flush();
            }
            result
        })
    }

    unsafe fn post_recv<I>(&mut self, chain: I) -> Result<usize, PostError>
    where
        I: IntoIterator<Item = RecvWr>,
    {
        let s = self.side;
        let mut state = self.link.lock();
        let Side { qp: Some(qp), plan, state, .. } = &mut state.sides[s] else {
            return refused(0, libc::EINVAL);
        };
        let result = post_all(chain, |wr| {
            if let Some(errno) = strikes(&mut plan.fail_recv_post) {
                self.fabric.struck.count(Fault::ReceivePost);
                return Err(errno);
            }
            qp.rq.push(wr, &qp.reclaimed).inspect_err(|&errno| self.count_overrun(errno))
        });
        if *state == QpState::Error {
            qp.flush();
        }
        result
    }

    fn qp_num(&self) -> u32 {
        self.qp_num
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        Some(self.link.lock().sides[self.side].peer_addr)
    }
}

impl Drop for SoftConnection {
    fn drop(&mut self) {
        let qp = self.link.with(|state| {
            let side = &mut state.sides[self.side];
            // Destroyed, not flushed: nobody is left to poll what a flush would say.
            let qp = side.qp.take();
            side.state = QpState::Reset;
            state.disconnect(self.side);
            qp
        });
        if let Some(qp) = qp {
            qp.cq.detach(qp.num);
        }
    }
}

impl std::fmt::Debug for SoftConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftConnection")
            .field("side", &self.side)
            .field("qp_num", &self.qp_num)
            .finish_non_exhaustive()
    }
}

/// Pushes until one is refused.
fn post_all<W>(
    chain: impl IntoIterator<Item = W>,
    mut push: impl FnMut(W) -> Result<(), i32>,
) -> Result<usize, PostError> {
    let mut posted = 0;
    for wr in chain {
        if let Err(errno) = push(wr) {
            return refused(posted, errno);
        }
        posted += 1;
    }
    Ok(posted)
}

fn refused(posted: usize, errno: i32) -> Result<usize, PostError> {
    Err(PostError { posted, errno })
}

fn check_limit(what: &'static str, asked: u32, limit: u32) -> Result<(), Error> {
    if asked == 0 || asked > limit {
        return Err(Error::Limit { what, asked: asked.into(), limit: limit.into() });
    }
    Ok(())
}

fn check_private_data(data: &[u8], limit: usize) -> Result<(), Error> {
    if data.len() > limit {
        let (asked, limit) = (data.len() as u64, limit as u64);
        return Err(Error::Limit { what: "private data bytes", asked, limit });
    }
    Ok(())
}

fn plain(params: &ConnectParams<'_>) -> Params {
    Params {
        responder_resources: params.responder_resources,
        initiator_depth: params.initiator_depth,
        retry_count: params.retry_count,
        rnr_retry_count: params.rnr_retry_count,
    }
}

fn name_of(state: QpState) -> &'static str {
    match state {
        QpState::Reset => "without a queue pair",
        QpState::Init => "on the other side of the request",
        QpState::Rtr => "accepted",
        QpState::Rts => "established",
        QpState::Error => "error",
    }
}
