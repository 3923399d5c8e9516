//! The messages of NFS over RDMA without NFS: what verbs, device and link permit.
//!
//! The calling end is the bare loop's. The answering end polls on a thread of its own: it takes a
//! call, moves the payload by RDMA if it does not come inline, and sends a reply of the length that
//! an NFS server's has. A call says where its payload is, and nothing else.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::{Context, Result, anyhow};
use verbs::{ConnectParams, Connection, Listener, Op, Provider, SendWr, Sge};

use crate::caller::{Caller, Prebuilt, SEND, SIGNAL_EVERY};
use crate::end::{End, Layout};
use crate::meter::Outcome;
use crate::work::{Kind, Way, Work};

/// Bytes that one chunk adds to a transport header.
const CHUNK: usize = 24;
/// What the answering end reads of a call: XID, nothing, address, key.
const CALL_READ: usize = 20;

/// Bytes of call and reply without payload and chunks, as knfsd has them for handles of 28 bytes,
/// AUTH_SYS without groups, and attributes wherever they may be.
fn lengths(op: Kind) -> (usize, usize) {
    let (arguments, results) = match op {
        Kind::Read => (44, 104),
        Kind::Write => (52, 136),
        Kind::Getattr => (32, 88),
        Kind::Lookup => (44, 212),
    };
    (28 + 76 + arguments, 28 + 24 + results)
}

/// Both ends, until the time is over.
pub(crate) fn run<P: Provider>(provider: &P, address: SocketAddr, work: &Work) -> Result<Outcome> {
    let (call_len, reply_len) = lengths(work.op);
    let way = work.way(call_len, reply_len);
    let chunk = if way == Way::WriteChunk { CHUNK } else { 0 };
    let over = AtomicBool::new(false);
    let (tell, told) = channel();
    let answering = Answering { work, way, reply_len: reply_len + chunk, over: &over };
    thread::scope(|scope| {
        let other = provider.clone();
        let answering = scope.spawn(move || answering.run(&other, address, tell));
        let outcome = match told.recv() {
            Ok(remote) => call(provider, remote, work, way, call_len),
            Err(_) => Err(anyhow!("nobody answers")),
        };
        over.store(true, Ordering::Release);
        answering.join().map_err(|_| anyhow!("the answering end panicked"))??;
        outcome
    })
}

/// The calling end.
fn call<P: Provider>(
    provider: &P,
    remote: SocketAddr,
    work: &Work,
    way: Way,
    call_len: usize,
) -> Result<Outcome> {
    let chunk = if matches!(way, Way::ReadChunk | Way::WriteChunk) { CHUNK } else { 0 };
    let end = End::<P>::connect(provider, remote, &[], layout(work))?;
    let caller = Caller::new(end, work, way, |end, slot| {
        let mut bytes = vec![0; call_len + chunk];
        bytes[8..16].copy_from_slice(&end.payload(slot).addr.to_be_bytes());
        bytes[16..CALL_READ].copy_from_slice(&end.rkey().to_be_bytes());
        Ok(Prebuilt { bytes, xid_at: vec![0], offset_at: None })
    })?;
    caller.run()
}

fn layout(work: &Work) -> Layout {
    Layout {
        slots: work.depth as usize,
        recv_len: work.inline as usize,
        payload_len: work.bytes as usize,
    }
}

/// The answering end.
struct Answering<'a> {
    work: &'a Work,
    way: Way,
    reply_len: usize,
    over: &'a AtomicBool,
}

/// An answer: what is moved first, and the reply.
struct Answer {
    remote_addr: u64,
    rkey: u32,
    payload: [Sge; 1],
    reply: Vec<Sge>,
}

impl Answering<'_> {
    fn run<P: Provider>(
        self,
        provider: &P,
        address: SocketAddr,
        tell: Sender<SocketAddr>,
    ) -> Result<()> {
        let mut listener = provider.listen(address, 1)?;
        tell.send(listener.local_addr()).context("the calling end has gone")?;
        let incoming = loop {
            match listener.poll()? {
                Some(incoming) => break incoming,
                None if self.is_over() => return Ok(()),
                None => thread::yield_now(),
            }
        };
        let mut end = End::<P>::prepare(incoming.connection, layout(self.work))?;
        end.connection.accept(&ConnectParams { initiator_depth: 16, ..Default::default() })?;
        end.established()?;
        self.answer(&mut end)?;
        end.connection.disconnect();
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    fn answer<P: Provider>(&self, end: &mut End<P>) -> Result<()> {
        let slots = self.work.depth as usize;
        let mut answers: Vec<Answer> = (0..slots)
            .map(|slot| {
                let mut reply = vec![end.header(slot, self.reply_len)];
                let inline = self.way == Way::Plain && self.work.op == Kind::Read;
                reply.extend(inline.then(|| end.payload(slot)));
                Answer { remote_addr: 0, rkey: 0, payload: [end.payload(slot)], reply }
            })
            .collect();
        let mut sends = 0u32;
        let (mut received, mut ready) = (Vec::new(), Vec::new());
        while !self.is_over() {
            received.clear();
            ready.clear();
            let calls = end.poll()?.iter().filter(|done| done.wr_id & SEND == 0);
            received.extend(calls.map(|done| done.wr_id as usize));
            if received.is_empty() {
                thread::yield_now();
                continue;
            }
            for &index in &received {
                let call = end.received::<CALL_READ>(index);
                let slot = usize::from(call[3]);
                end.put_header(slot, 0, &call[..4]);
                answers[slot].remote_addr = word(&call, 8) << 32 | word(&call, 12);
                answers[slot].rkey = word(&call, 16) as u32;
                ready.push(slot);
            }
            end.post_receives(&received)?;
            self.reply(end, &answers, &ready, &mut sends)?;
        }
        Ok(())
    }

    /// Answers these slots' calls by one chain.
    fn reply<P: Provider>(
        &self,
        end: &mut End<P>,
        answers: &[Answer],
        ready: &[usize],
        sends: &mut u32,
    ) -> Result<()> {
        let chain = ready.iter().flat_map(|&slot| {
            let answer = &answers[slot];
            *sends = sends.wrapping_add(1);
            let wr = |sges, op, signaled, fence| SendWr {
                wr_id: SEND | slot as u64,
                sges,
                op,
                signaled,
                fence,
            };
            let (remote_addr, rkey) = (answer.remote_addr, answer.rkey);
            let moved = match self.way {
                Way::WriteChunk => Some(Op::RdmaWrite { remote_addr, rkey }),
                Way::ReadChunk => Some(Op::RdmaRead { remote_addr, rkey }),
                Way::Plain | Way::Gathered => None,
            };
            let signaled = sends.is_multiple_of(SIGNAL_EVERY);
            // A reply must not overtake the RDMA Read of what it answers.
            let reply = wr(&answer.reply[..], Op::Send, signaled, self.way == Way::ReadChunk);
            moved.map(|op| wr(&answer.payload[..], op, false, false)).into_iter().chain([reply])
        });
        // SAFETY: the memory is mapped as long as the queue pair is. A slot's reply is written
        // again for the next call of that slot, whose sender has the reply; payload buffers are
        // only ever touched by the device.
        unsafe { end.connection.post_send(chain) }.context("posting replies")?;
        Ok(())
    }
}

/// A big-endian word of a call.
fn word(call: &[u8; CALL_READ], at: usize) -> u64 {
    call[at..].first_chunk().map_or(0, |word| u32::from_be_bytes(*word)).into()
}
