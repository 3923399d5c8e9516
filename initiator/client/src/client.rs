//! The queue API: submit operations, turn the crank, take results. One client a reactor.

use std::ops::Range;

use hugepages::Buffer;
use reactor::{Timestamp, WakeSources};
use rpcrdma::{
    Completed, ConnectionId, Counters, Endpoint, EndpointConfig, Event, Holdings, PlainReply,
    Received, State, TransportConfig, Upcalls,
};
use verbs::Provider;
use wire::nfs3::FileHandle;
use wire::rpc::Auth;

use crate::Error;
use crate::links::Links;
use crate::mount::{Limits, Mount, MountState};
use crate::op::{Done, File, Finished, Submission};

/// How often connection events and time limits are looked at.
const EVENTS_EVERY_NS: u64 = 1_000_000;
/// The same while the reactor sleeps and descriptors tell of them: for faults that the device
/// reports to another thread of the process.
const EVENTS_ASLEEP_EVERY_NS: u64 = 1_000_000_000;

/// How long the Linux client waits after NFS3ERR_JUKEBOX.
pub const JUKEBOX_WAIT_NS: u64 = 5_000_000_000;

/// Buffers of uncommitted data, at most.
const EXCHANGED_MAX: u32 = 1 << 20;

/// How to make a mount.
#[derive(Clone, Debug)]
pub struct MountConfig {
    /// Root file handle, from [`locate`](crate::locate).
    pub root: FileHandle,
    /// Credential of every call.
    pub auth: Auth,
    /// Operations that may be submitted and not yet returned.
    pub queue_depth: u32,
    /// Bytes of buffers that [`Op::WriteBack`](crate::Op::WriteBack) may take in exchange for
    /// others: more buffers of the mount's pool, beyond those that `transport` says. With 0 each
    /// such write waits until it is durable.
    pub uncommitted_max: u64,
    /// How long to wait before an operation is asked for again that the server has answered
    /// NFS3ERR_JUKEBOX; [`JUKEBOX_WAIT_NS`] is what the Linux client does.
    pub jukebox_wait_ns: u64,
    /// Its connections.
    pub transport: TransportConfig,
}

/// Names a mount of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MountId(u32);

/// All mounts of one reactor.
pub struct Client<P: Provider> {
    endpoint: Endpoint<P>,
    mounts: Mounts,
    events_due: Timestamp,
}

impl<P: Provider> Client<P> {
    /// A client without mounts.
    pub fn new(provider: P, config: EndpointConfig) -> Self {
        Self {
            endpoint: Endpoint::new(provider, config),
            mounts: Mounts { list: Vec::new(), now: Timestamp(0), any_waits: false },
            events_due: Timestamp(0),
        }
    }

    /// Begins to mount; watch [`Client::state`].
    ///
    /// # Errors
    /// A setting out of range, or no RDMA on this host.
    pub fn mount(&mut self, config: &MountConfig, now: Timestamp) -> Result<MountId, Error> {
        let MountConfig { root, auth, queue_depth, uncommitted_max, jukebox_wait_ns, transport } =
            config;
        let buffer_len = transport.buffers.buffer_len;
        let exchanged_max = uncommitted_max / u64::from(buffer_len.max(1));
        let exchanged_max = exchanged_max.min(EXCHANGED_MAX.into()) as u32;
        let mut transport = transport.clone();
        transport.buffers.count = transport.buffers.count.saturating_add(exchanged_max);
        let links = self.connect(transport, now)?;
        let index = self.mounts.list.len() as u32;
        let mut mount = Mount::new(index, links, *root, auth, *queue_depth, exchanged_max);
        mount.limits.read_max = buffer_len;
        mount.limits.write_max = buffer_len;
        mount.patience = config.transport.patience();
        #[cfg(feature = "planted-faults")]
        {
            mount.planted = config.transport.planted.fault;
        }
        mount.later.wait_ns = *jukebox_wait_ns;
        self.mounts.list.push(mount);
        self.events_due = now;
        Ok(MountId(index))
    }

    /// Begins to make a mount's connections.
    fn connect(&mut self, transport: TransportConfig, now: Timestamp) -> Result<Links, Error> {
        let nconnect = transport.nconnect;
        let first = self.endpoint.connect(transport, now)?;
        let mut others = Vec::new();
        for _ in 1..nconnect {
            match self.endpoint.connect_beside(first, now) {
                Ok(another) => others.push(another),
                Err(error) => {
                    self.endpoint.close(first, now);
                    others.into_iter().for_each(|id| self.endpoint.close(id, now));
                    return Err(error.into());
                }
            }
        }
        Ok(Links::new(first, others))
    }

    /// Takes an operation. Its result comes from [`Client::next_done`], even when it is refused
    /// for what it says.
    ///
    /// # Errors
    /// The operation, when as many as `queue_depth` are under way: take results first.
    #[inline(always)] // So that the submission is put together in the place where it stays.
    pub fn submit(
        &mut self,
        mount: MountId,
        submission: Submission,
        now: Timestamp,
    ) -> Result<(), Submission> {
        let Some(mount) = self.mounts.list.get_mut(mount.0 as usize) else {
            return Err(submission);
        };
        if !mount.submit(submission, &mut self.endpoint, now)? {
            self.mounts.any_waits = true;
        }
        Ok(())
    }

    /// Sends what was submitted, takes what has completed. Returns how many completion queue
    /// entries and connection events there were: 0 means an idle turn.
    #[inline]
    pub fn turn(&mut self, now: Timestamp) -> usize {
        self.mounts.now = now;
        self.endpoint.flush(now);
        let mut completions = self.endpoint.poll(now, &mut self.mounts);
        if now >= self.events_due {
            self.events_due = Timestamp(now.0 + EVENTS_EVERY_NS);
            completions += self.endpoint.poll_events(now, &mut self.mounts);
            completions += self.greet(now);
            self.end_together(now);
            for mount in &mut self.mounts.list {
                mount.ask_again(now);
                mount.expire(&self.endpoint, now);
            }
            self.mounts.any_waits = true;
        }
        if self.mounts.any_waits {
            self.pump(now);
        }
        completions
    }

    /// Hands on what waits: operations for which there was no room, and paths that go on to the next
    /// component.
    #[inline(never)]
    fn pump(&mut self, now: Timestamp) {
        self.mounts.any_waits = false;
        for mount in &mut self.mounts.list {
            mount.pump(&mut self.endpoint, now);
            self.mounts.any_waits |= mount.may_go_on();
        }
    }

    /// Prepares for the reactor to sleep: see [`reactor::Poller::arm`]. Take all results before.
    pub fn arm(&mut self, sources: &mut WakeSources) -> bool {
        // The next turn, the last before the sleep, looks at connection events.
        self.events_due = Timestamp(0);
        sources.no_later_than(sources.now().add_ns(EVENTS_ASLEEP_EVERY_NS));
        let due = self.mounts.list.iter().filter_map(|mount| mount.later.due());
        due.for_each(|at| sources.no_later_than(at));
        self.endpoint.arm(sources)
    }

    /// Mounts whose connections have come up begin with FSINFO.
    fn greet(&mut self, now: Timestamp) -> usize {
        let mut count = 0;
        for mount in self.mounts.list.iter_mut().filter(|mount| mount.greet) {
            mount.greet = false;
            mount.established(&mut self.endpoint, now);
            count += 1;
        }
        count
    }

    /// Mounts that have lost one connection for good lose the others, too.
    fn end_together(&mut self, now: Timestamp) {
        for mount in self.mounts.list.iter().filter(|mount| mount.ending.is_some()) {
            mount.links.ids().for_each(|id| self.endpoint.close(id, now));
        }
    }

    /// The next result of a mount.
    #[inline(always)] // So that what the caller does not look at need not be moved.
    pub fn next_done(&mut self, mount: MountId) -> Option<Done> {
        self.mounts.list.get_mut(mount.0 as usize)?.next_done()
    }

    /// Looks at the next result of a mount in the place where it is, which saves moving it. What
    /// `look` does not take is dropped: a buffer goes back to its pool.
    #[inline(always)]
    pub fn look_at_done<R>(
        &mut self,
        mount: MountId,
        look: impl FnOnce(Finished<'_>) -> R,
    ) -> Option<R> {
        self.mounts.list.get_mut(mount.0 as usize)?.look_at_done(look)
    }

    /// Where the mount is in its life.
    #[must_use]
    pub fn state(&self, mount: MountId) -> MountState {
        self.get(mount).map_or(MountState::Gone(Error::NotMounted), |mount| mount.state.clone())
    }

    /// The largest transfers, once mounted.
    #[must_use]
    pub fn limits(&self, mount: MountId) -> Option<Limits> {
        self.get(mount).map(|mount| mount.limits)
    }

    /// The root directory of the mount.
    #[must_use]
    pub fn root(&self, mount: MountId) -> Option<File> {
        self.get(mount).map(Mount::root)
    }

    /// Operations of the mount that have not completed.
    #[must_use]
    pub fn in_flight(&self, mount: MountId) -> usize {
        self.get(mount).map_or(0, Mount::in_flight)
    }

    /// Bytes that were written to a file by [`Op::WriteBack`](crate::Op::WriteBack) and are not
    /// proven durable.
    #[must_use]
    pub fn uncommitted(&self, mount: MountId, file: File) -> u64 {
        self.get(mount).map_or(0, |mount| mount.uncommitted(file))
    }

    /// Whether some of these bytes of a file are not proven durable.
    #[must_use]
    pub fn is_uncommitted(&self, mount: MountId, file: File, offset: u64, len: u64) -> bool {
        self.get(mount).is_some_and(|mount| mount.is_uncommitted(file, offset, len))
    }

    /// Registered buffers for data, once the connection is made.
    #[must_use]
    pub fn pool(&self, mount: MountId) -> Option<&hugepages::Pool> {
        let mut connections = self.get(mount)?.links.ids();
        connections.find_map(|id| self.endpoint.pool(id))
    }

    /// Ends the registrations of memory of the caller's own, which then is the caller's alone (see
    /// [`Buffer::into_vec`]). Each of the mount's connections that has lent it has one (`nconnect`).
    /// True if any was ended. One that an operation uses stays; that takes another buffer of the
    /// same region, so whoever has several of one waits for all of them.
    pub fn deregister(&mut self, mount: MountId, buffer: &Buffer) -> bool {
        let Some(mount) = self.mounts.list.get(mount.0 as usize) else { return false };
        let ended = |any, id| self.endpoint.deregister(id, buffer.region()) | any;
        mount.links.ids().fold(false, ended)
    }

    /// What pages those buffers are on, for the report.
    #[must_use]
    pub fn memory_report(&self, mount: MountId) -> Option<String> {
        let mut connections = self.get(mount)?.links.ids();
        Some(connections.find_map(|id| self.endpoint.region(id))?.report())
    }

    /// What the transport has done for the mount, over all of its connections.
    #[must_use]
    pub fn counters(&self, mount: MountId) -> Option<Counters> {
        let mut sum = Counters::default();
        self.get(mount)?;
        self.connection_counters(mount).iter().for_each(|counters| sum.add(counters));
        Some(sum)
    }

    /// What each of the mount's connections has done.
    #[must_use]
    pub fn connection_counters(&self, mount: MountId) -> Vec<Counters> {
        let Some(mount) = self.get(mount) else { return Vec::new() };
        mount.links.counters(|id| self.endpoint.counters(id)).collect()
    }

    /// Times an operation was put off because the server answered NFS3ERR_JUKEBOX.
    #[must_use]
    pub fn jukebox_waits(&self, mount: MountId) -> u64 {
        self.get(mount).map_or(0, |mount| mount.later.waits)
    }

    /// What the mount's connections hold for calls; with none under way, nothing but Sends.
    #[must_use]
    pub fn holdings(&self, mount: MountId) -> Holdings {
        let mut sum = Holdings::default();
        let ids = self.get(mount).into_iter().flat_map(|mount| mount.links.ids());
        ids.filter_map(|id| self.endpoint.holdings(id)).for_each(|held| sum.add(&held));
        sum
    }

    /// The server's present grant of credits, over all connections.
    #[must_use]
    pub fn credits_granted(&self, mount: MountId) -> Option<u32> {
        let ids = self.get(mount)?.links.ids();
        ids.filter_map(|id| self.endpoint.credits_granted(id)).reduce(|sum, grant| sum + grant)
    }

    /// Where each connection of the mount is in its life, in a fixed order.
    #[must_use]
    pub fn states(&self, mount: MountId) -> Vec<State> {
        let Some(mount) = self.get(mount) else { return Vec::new() };
        mount.links.ids().map(|id| self.endpoint.state(id)).collect()
    }

    /// Completions that belonged to queue pairs which were gone already.
    #[must_use]
    pub fn strays(&self) -> u64 {
        self.endpoint.strays()
    }

    /// Connections of the mount that were lost and are being made again.
    #[must_use]
    pub fn reconnecting(&self, mount: MountId) -> usize {
        let Some(mount) = self.get(mount) else { return 0 };
        let up = |state| matches!(state, State::Established | State::Idle | State::Closed);
        mount.links.ids().filter(|&id| !up(self.endpoint.state(id))).count()
    }

    /// The local queue pair number, for logs and for faults that are aimed at it; of the first
    /// connection, if there are several.
    #[must_use]
    pub fn qp_num(&self, mount: MountId) -> Option<u32> {
        self.qp_nums(mount).first().copied().flatten()
    }

    /// That of each connection, in a fixed order; `None` while it has no queue pair.
    #[must_use]
    pub fn qp_nums(&self, mount: MountId) -> Vec<Option<u32>> {
        let Some(mount) = self.get(mount) else { return Vec::new() };
        mount.links.ids().map(|id| self.endpoint.qp_num(id)).collect()
    }

    /// Begins to unmount: the connections are closed, and what is in flight comes back with an
    /// error.
    pub fn unmount(&mut self, mount: MountId, now: Timestamp) {
        if let Some(mount) = self.mounts.list.get(mount.0 as usize) {
            mount.links.ids().for_each(|id| self.endpoint.close(id, now));
            self.events_due = now;
        }
    }

    /// Whether all connections of the mount have ended, their queue pairs drained and what they held
    /// given back. A mount that failed is [`MountState::Gone`] before that.
    #[must_use]
    pub fn is_unmounted(&self, mount: MountId) -> bool {
        self.get(mount).is_none_or(|mount| mount.links.all_ended())
    }

    fn get(&self, mount: MountId) -> Option<&Mount> {
        self.mounts.list.get(mount.0 as usize)
    }
}

/// Where the transport's results go.
struct Mounts {
    list: Vec<Mount>,
    /// Of the present turn.
    now: Timestamp,
    /// An operation of one of them may wait and be able to go on.
    any_waits: bool,
}

impl Mounts {
    fn of(&mut self, connection: ConnectionId) -> Option<&mut Mount> {
        self.list.iter_mut().find(|mount| mount.links.ids().any(|id| id == connection))
    }
}

impl Upcalls for Mounts {
    #[inline(always)]
    fn complete_plain(&mut self, plain: &PlainReply<'_>, buffer: &mut Option<Buffer>) -> bool {
        let (mount, slot) = ((plain.token >> 32) as usize, plain.token as u32);
        let mount = self.list.get_mut(mount);
        mount.is_some_and(|mount| mount.completed_plain(slot, plain, buffer))
    }

    #[inline(always)]
    fn inline_data(&mut self, token: u64, rpc: &[u8], room: usize) -> Option<Range<usize>> {
        let (mount, slot) = ((token >> 32) as usize, token as u32);
        self.list.get_mut(mount)?.inline_data(slot, rpc, room)
    }

    #[inline(always)]
    fn complete_inline(
        &mut self,
        token: u64,
        buffer: &mut Option<Buffer>,
        received: Option<Received>,
    ) {
        let (mount, slot) = ((token >> 32) as usize, token as u32);
        if let Some(mount) = self.list.get_mut(mount) {
            mount.completed_inline(slot, buffer, received);
        }
    }

    fn complete(&mut self, _connection: ConnectionId, completed: Completed<'_>) -> usize {
        let (mount, slot) = ((completed.token >> 32) as usize, completed.token as u32);
        let now = self.now;
        let Some(mount) = self.list.get_mut(mount) else { return 0 };
        let copied = mount.completed(slot, completed, now);
        self.any_waits |= mount.may_go_on();
        copied
    }

    fn wake(&mut self, connection: ConnectionId) {
        if let Some(mount) = self.of(connection) {
            mount.parked = false;
            self.any_waits = true;
        }
    }

    fn event(&mut self, connection: ConnectionId, event: Event) {
        let Some(mount) = self.of(connection) else { return };
        match event {
            Event::Established => mount.greet |= mount.links.established(connection),
            Event::Closed { cause, counters } => {
                let first = mount.ending.get_or_insert(cause.into()).clone();
                if mount.links.ended(connection, *counters) {
                    mount.ending = None;
                    mount.gone(first);
                }
            }
        }
    }
}
