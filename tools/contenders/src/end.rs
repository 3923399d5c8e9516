//! One end of a connection: queue pair, completion queue, and memory under one static key.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hugepages::{PageSize, Policy, Region, RegionSpec};
use verbs::{
    Access, CmEvent, Completion, CompletionQueue, ConnectParams, Connection, MemoryRegion,
    ProtectionDomain, Provider, QueuePairCaps, RecvWr, Sge, WcStatus,
};

/// Every step of making a connection is given up after this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Completions that are taken at once.
pub(crate) const POLL_BATCH: usize = 32;
/// Messages without payload are no longer.
pub(crate) const HEADER_LEN: usize = 512;

type RegionOf<P> = <<P as Provider>::Domain as ProtectionDomain>::Region;

/// Memory, for each call: a header buffer, a Receive and a payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Calls.
    pub(crate) slots: usize,
    /// Bytes of a Receive.
    pub(crate) recv_len: usize,
    /// Bytes of a payload.
    pub(crate) payload_len: usize,
}

impl Layout {
    /// Receives: as many as calls, and one for each again, so that none is ever missing.
    pub(crate) fn receives(&self) -> usize {
        self.slots * 2
    }

    fn payloads_at(&self) -> usize {
        (self.slots * HEADER_LEN + self.receives() * self.recv_len).next_multiple_of(4096)
    }

    fn payload_stride(&self) -> usize {
        self.payload_len.next_multiple_of(4096)
    }

    fn total(&self) -> usize {
        self.payloads_at() + self.slots * self.payload_stride()
    }
}

/// An end. The fields are dropped in this order: the queue pair goes before what it may touch.
pub(crate) struct End<P: Provider> {
    pub(crate) connection: P::Connection,
    pub(crate) cq: P::Cq,
    region: RegionOf<P>,
    memory: Region,
    layout: Layout,
    completions: Vec<Completion>,
}

impl<P: Provider> End<P> {
    /// Makes everything that a connection with a known device needs; all Receives are posted.
    pub(crate) fn prepare(mut connection: P::Connection, layout: Layout) -> Result<Self> {
        let domain = connection.new_domain()?;
        let sends = layout.slots as u32 * 4 + 64;
        let receives = layout.receives() as u32;
        let cq = connection.new_completion_queue(sends + receives)?;
        let caps = QueuePairCaps { send_wr_max: sends, recv_wr_max: receives, send_sge_max: 2 };
        connection.create_queue_pair(&domain, &cq, &caps)?;
        let memory = Region::map(&RegionSpec {
            len: layout.total(),
            policy: Policy::Preferred,
            page_size: PageSize::Huge2M,
            numa_node: None,
            lock: false,
        })?;
        // SAFETY: the memory outlives the registration (it is declared behind it), and no Rust
        // reference into it is ever made.
        let region = unsafe { domain.register(memory.addr(), memory.len(), Access::REMOTE) }?;
        let completions = vec![Completion::default(); POLL_BATCH];
        let mut end = Self { connection, cq, region, memory, layout, completions };
        let all: Vec<usize> = (0..layout.receives()).collect();
        end.post_receives(&all)?;
        Ok(end)
    }

    /// Resolves, prepares and connects.
    pub(crate) fn connect(
        provider: &P,
        remote: SocketAddr,
        private_data: &[u8],
        layout: Layout,
    ) -> Result<Self> {
        let mut connection = provider.resolve(remote, None)?;
        match wait(&mut connection)? {
            CmEvent::RouteResolved => {}
            other => bail!("no route to {remote}: {other:?}"),
        }
        let mut end = Self::prepare(connection, layout)?;
        end.connection.connect(&ConnectParams { private_data, ..ConnectParams::default() })?;
        end.established()?;
        Ok(end)
    }

    /// Waits until data may flow.
    pub(crate) fn established(&mut self) -> Result<()> {
        match wait(&mut self.connection)? {
            CmEvent::Established { .. } => Ok(()),
            other => bail!("the connection was not made: {other:?}"),
        }
    }

    /// Takes what has completed. An unsuccessful completion is an error.
    pub(crate) fn poll(&mut self) -> Result<&[Completion]> {
        let count = self.cq.poll(&mut self.completions)?;
        let taken = &self.completions[..count];
        match taken.iter().find(|completion| completion.status != WcStatus::Success) {
            Some(failed) => bail!("a work request failed: {:?}", failed.status),
            None => Ok(taken),
        }
    }

    /// Posts Receives in one chain.
    pub(crate) fn post_receives(&mut self, receives: &[usize]) -> Result<()> {
        if receives.is_empty() {
            return Ok(());
        }
        let (base, lkey, layout) = (self.memory.addr() as u64, self.region.lkey(), self.layout);
        let chain = receives.iter().map(|&index| RecvWr {
            wr_id: index as u64,
            sge: Sge {
                addr: base + receive_at(&layout, index) as u64,
                length: layout.recv_len as u32,
                lkey,
            },
        });
        // SAFETY: the memory is mapped as long as the queue pair is, and Receive buffers are read
        // only after their completion and before they are posted again.
        unsafe { self.connection.post_recv(chain) }.context("posting Receives")?;
        Ok(())
    }

    /// The header buffer of a call, so much of it.
    pub(crate) fn header(&self, slot: usize, len: usize) -> Sge {
        self.sge(slot * HEADER_LEN, len)
    }

    /// The payload buffer of a call.
    pub(crate) fn payload(&self, slot: usize) -> Sge {
        let at = self.layout.payloads_at() + slot * self.layout.payload_stride();
        self.sge(at, self.layout.payload_len)
    }

    /// The key by which the peer reaches all of it.
    pub(crate) fn rkey(&self) -> u32 {
        self.region.rkey()
    }

    /// Writes into the header buffer of a call.
    pub(crate) fn put_header(&mut self, slot: usize, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= HEADER_LEN && slot < self.layout.slots, "inside the buffer");
        // SAFETY: within the mapping; nothing holds a reference into it, and the caller writes
        // the header of a call whose Reply has come. (That its Send may still be retried is what
        // this contender leaves unchecked; it costs it a wrong packet, not memory.)
        unsafe {
            let to = self.memory.addr().add(slot * HEADER_LEN + at);
            to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    /// Reads the first bytes of a Receive that has completed.
    pub(crate) fn received<const N: usize>(&self, index: usize) -> [u8; N] {
        assert!(N <= self.layout.recv_len && index < self.layout.receives(), "inside the buffer");
        // SAFETY: within the mapping, and the Receive has completed and is not posted again yet.
        unsafe { self.memory.addr().add(receive_at(&self.layout, index)).cast::<[u8; N]>().read() }
    }

    fn sge(&self, at: usize, len: usize) -> Sge {
        Sge {
            addr: self.memory.addr() as u64 + at as u64,
            length: len as u32,
            lkey: self.region.lkey(),
        }
    }
}

fn receive_at(layout: &Layout, index: usize) -> usize {
    layout.slots * HEADER_LEN + index * layout.recv_len
}

/// The next event of a connection.
pub(crate) fn wait(connection: &mut impl Connection) -> Result<CmEvent> {
    let began = Instant::now();
    loop {
        if let Some(event) = connection.poll_event() {
            return Ok(event);
        }
        if began.elapsed() > PATIENCE {
            bail!("the peer has not answered within {} s", PATIENCE.as_secs());
        }
        std::thread::yield_now();
    }
}
