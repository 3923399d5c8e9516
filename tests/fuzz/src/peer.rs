//! A live client before a server that does what the bytes say.
//!
//! What must hold whatever they say: no panic, no byte changed that the card may still read, every
//! operation back once with its memory, and everything home in the end. Once the server has come to
//! its senses, everything that waits ends within a bound.

use client::{Done, MountState, Op};
use hugepages::{Buffer, Pool};
use rpcrdma::{Recovery, Registration};
use system_tests::Plan;
use system_tests::scripted::{self, Scripted};
use system_tests::stage::{Seen, Stage, file, reply_to, right_reply};
use verbs::WcStatus;
use verbs::soft::FaultPlan;
use wire::nfs3::{CreateHow, Sattr, StableHow};
use wire::rpcrdma::{Emit, EmitKind, ReadSegment, Segment};

use crate::source::Source;

/// Bytes of a buffer of the client's.
const BUFFER: u32 = 8192;
/// Calls that the server remembers.
const SEEN_MAX: usize = 32;
/// What a run does, at most.
const ACTIONS_MAX: usize = 400;
/// Steps in which a sensible server has answered everything.
const CALM_STEPS_MAX: u64 = 100_000;
const CALM_STEP_NS: u64 = 50_000;

/// A server that plays anything.
pub(crate) fn server(data: &[u8]) {
    Play::begin(Source::new(data)).run();
}

/// Calls of the server's own: the bytes are what follows their transport header, or all of it.
pub(crate) fn backward_call(data: &[u8]) {
    let mut play = Play::begin(Source::new(&[]));
    play.settle();
    let Some((kind, bytes)) = data.split_first() else { return };
    let message = match kind % 2 {
        0 => bytes.to_vec(),
        _ => {
            let xid = bytes.first_chunk().map_or(0, |word| u32::from_be_bytes(*word));
            [&header(xid, EmitKind::Msg, &[], &[], None), bytes].concat()
        }
    };
    play.stage.server.send(&message);
    play.finish();
}

/// One run.
struct Play<'a> {
    source: Source<'a>,
    stage: Stage,
    pool: Pool,
    calls: Vec<Seen>,
    submitted: usize,
    done: usize,
}

fn plan(source: &mut Source<'_>) -> Plan {
    let inline = 1024 << source.below(4);
    let mut plan = Plan::default().inline(inline);
    let transport = &mut plan.transport;
    transport.buffers.buffer_len = BUFFER;
    transport.buffers.count = 8;
    transport.max_requests = 1 + source.below(12) as u32;
    transport.send_batch = Some(source.below(6).min(transport.max_requests as usize) as u32);
    transport.copy_max = [0, 64, 512, 4096][source.below(4)].min(inline);
    transport.receive_copy_max = [0, 512][source.below(2)];
    transport.registration = Some([Registration::Window, Registration::Static][source.below(2)]);
    transport.recovery =
        [Recovery::Hard, Recovery::Soft, Recovery::SoftErr, Recovery::Never][source.below(4)];
    transport.planted.inline_send = [None, None, Some(0), Some(200)][source.below(4)];
    transport.nconnect = 1;
    transport.rpc_timeout_ns = 4_000_000;
    transport.connect_timeout_ns = 4_000_000;
    transport.reconnect_min_ns = 100_000;
    transport.reconnect_max_ns = 1_000_000;
    plan.queue_depth = 8;
    plan.uncommitted_max = [0, 4 * u64::from(BUFFER)][source.below(2)];
    plan.jukebox_wait_ns = 100_000;
    plan
}

/// A transport header.
fn header(
    xid: u32,
    kind: EmitKind,
    reads: &[ReadSegment],
    writes: &[&[Segment]],
    reply_chunk: Option<&[Segment]>,
) -> Vec<u8> {
    let emit = Emit { xid, credits: 32, kind, reads, write_chunks: writes, reply_chunk };
    let mut bytes = vec![0; emit.len()];
    emit.emit(&mut bytes).expect("there is room");
    bytes
}

impl<'a> Play<'a> {
    fn begin(mut source: Source<'a>) -> Self {
        let plan = plan(&mut source);
        let private_data = match source.below(4) {
            0 => Some(source.bytes(16).to_vec()),
            size => scripted::inline(1024 << size),
        };
        let prepare = |server: &mut Scripted| server.private_data = private_data;
        let stage = Stage::raise(plan, prepare);
        let pool = stage.client.pool(stage.mount).expect("a mount has its pool at once").clone();
        Self { source, stage, pool, calls: Vec::new(), submitted: 0, done: 0 }
    }

    fn run(mut self) {
        if self.source.u8() < 224 {
            self.settle();
        }
        let mut actions = 0;
        while !self.source.is_empty() && actions < ACTIONS_MAX {
            self.act();
            self.steps(2, 1_000);
            actions += 1;
        }
        self.finish();
    }

    /// The mount is made, with right answers.
    fn settle(&mut self) {
        self.calm(|play| play.stage.client.state(play.stage.mount) != MountState::Mounting);
    }

    fn steps(&mut self, count: u32, ns: u64) {
        (0..count).for_each(|_| self.stage.step_ns(ns));
        while let Some(bytes) = self.stage.server.arrived.pop_front() {
            if self.calls.len() < SEEN_MAX
                && let Some(call) = self.stage.look_at(&bytes)
            {
                self.calls.push(call);
            }
        }
        for done in self.stage.take_done() {
            self.check(&done);
            self.done += 1;
        }
        let violations = self.stage.fabric.violations();
        assert!(violations.is_empty(), "lent memory has changed: {violations:?}");
    }

    fn check(&self, done: &Done) {
        if let Err(error) = &done.result {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
        }
        let _ = done.data();
    }

    fn act(&mut self) {
        match self.source.below(18) {
            0..=2 => self.submit(),
            3 => self.answer_rightly(),
            4 | 5 => self.answer_with_changes(),
            6 => self.answer_with_words(),
            7 => self.answer_with_other_chunks(),
            8 => {
                let len = usize::from(self.source.u8()) * 4;
                let bytes = self.source.bytes(len);
                self.stage.server.send(bytes);
            }
            9 => self.write_somewhere(),
            10 => self.stage.server.disconnect(),
            11 => self.fault(),
            12 => {
                let ns = 1 << (10 + self.source.below(13));
                self.steps(3, ns);
            }
            13 => {
                // Again, to be answered once more.
                let call = self.pick().cloned();
                self.calls.extend(call.filter(|_| self.calls.len() < SEEN_MAX));
            }
            14 => self.call_back(),
            15 => self.invalidate(),
            16 => self.change_results(),
            _ => {
                let size = self.source.below(6);
                self.stage.server.private_data = match size {
                    0 => None,
                    1 => Some(self.source.bytes(12).to_vec()),
                    size => scripted::inline(512 << size),
                };
            }
        }
    }

    fn submit(&mut self) {
        if self.submitted - self.done >= 8 {
            return;
        }
        let (file, dir) = (file(), file());
        let kind = self.source.below(14);
        let len = u32::from(self.source.u16()) % (BUFFER + 1);
        let name = "n".repeat(1 + len as usize % 255);
        let stable = [StableHow::Unstable, StableHow::FileSync][len as usize % 2];
        let op = match kind {
            0 | 1 => Op::Read { file, offset: 0, len },
            2 | 3 => Op::Write { file, offset: 0, len, stable },
            4 => Op::WriteBack { file, offset: u64::from(len), len },
            5 => Op::Sync { file },
            6 => Op::Readdirplus { dir, cookie: 0, verifier: [0; 8] },
            7 => Op::Open { path: format!("a/{name}"), create: Some(0o600) },
            8 => Op::Create { dir, name, how: CreateHow::Guarded(Sattr::default()).into() },
            9 => Op::Remove { dir, name },
            10 => Op::Lookup { dir, name },
            11 => Op::Fsinfo { file },
            12 => Op::Commit { file, offset: 0, count: 0 },
            _ => Op::Getattr { file },
        };
        let takes = matches!(kind, 0..=4 | 6);
        let buffer: Option<Buffer> = if takes { self.pool.alloc() } else { None };
        if takes == buffer.is_some() {
            self.stage.submit(op, buffer);
            self.submitted += 1;
        }
    }

    fn pick(&mut self) -> Option<&Seen> {
        let at = self.source.below(self.calls.len());
        self.calls.get(at)
    }

    fn take(&mut self) -> Option<Seen> {
        let at = self.source.below(self.calls.len());
        (at < self.calls.len()).then(|| self.calls.remove(at))
    }

    fn answer_rightly(&mut self) {
        if let Some(call) = self.take() {
            self.stage.answer(&call);
        }
    }

    /// The right answer, but for a few words.
    fn answer_with_changes(&mut self) {
        let Some(call) = self.take() else { return };
        let (rpc, data_len) = right_reply(&call.rpc);
        let mut message = reply_to(&call, data_len, &rpc);
        for _ in 0..=self.source.below(3) {
            let (at, word) = (self.source.below(message.len() / 4) * 4, self.source.word());
            message[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        let len =
            if self.source.u8() < 32 { self.source.below(message.len()) } else { message.len() };
        self.stage.server.send(&message[..len]);
    }

    /// Any words under the XID of a call.
    fn answer_with_words(&mut self) {
        let Some(xid) = self.pick().map(|call| call.xid) else { return };
        let count = self.source.below(24);
        let words = [xid, 1, 32].into_iter().chain((0..count).map(|_| self.source.word()));
        let message: Vec<u8> = words.flat_map(u32::to_be_bytes).collect();
        self.stage.server.send(&message);
    }

    /// A header that decodes, with chunks like those of the call.
    fn answer_with_other_chunks(&mut self) {
        let Some(call) = self.take() else { return };
        let (rpc, _) = right_reply(&call.rpc);
        let mut twist = |segment: &Segment| {
            let mut segment = *segment;
            match self.source.below(6) {
                0 => segment.length = self.source.word(),
                1 => segment.handle ^= self.source.word(),
                2 => segment.offset ^= u64::from(self.source.word()),
                3 => segment.length = 0,
                _ => {}
            }
            segment
        };
        let mut writes: Vec<Vec<Segment>> =
            call.writes.iter().map(|chunk| chunk.iter().map(&mut twist).collect()).collect();
        let mut reply: Option<Vec<Segment>> =
            call.reply.as_ref().map(|chunk| chunk.iter().map(&mut twist).collect());
        match self.source.below(8) {
            0 => writes.push(vec![Segment { handle: 1, length: 1, offset: 1 }; 3]),
            1 => reply = Some(vec![Segment { handle: 2, length: 64, offset: 2 }]),
            2 => writes.clear(),
            3 => reply = None,
            4 => std::mem::swap(
                reply.get_or_insert_default(),
                writes.get_mut(0).unwrap_or(&mut vec![]),
            ),
            _ => {}
        }
        let kind = [EmitKind::Msg, EmitKind::NoMsg][self.source.below(2)];
        // What is to be in the Reply chunk may be there.
        if kind == EmitKind::NoMsg
            && let Some(segment) = call.reply.as_ref().and_then(|chunk| chunk.first())
        {
            self.stage.server.write(*segment, &rpc);
        }
        let reads = [ReadSegment { position: 4, segment: Segment::default() }];
        let reads = if self.source.u8() < 16 { &reads[..] } else { &[] };
        let chunks: Vec<&[Segment]> = writes.iter().map(Vec::as_slice).collect();
        let mut message = header(call.xid, kind, reads, &chunks, reply.as_deref());
        message.extend_from_slice(&rpc);
        self.stage.server.send(&message);
    }

    /// By RDMA, where a call allows it and where none does.
    fn write_somewhere(&mut self) {
        let segment = match self.pick() {
            Some(call) => {
                let offered = call.writes.iter().chain(&call.reply).flatten().copied();
                offered.chain(call.reads.iter().map(|read| read.segment)).next()
            }
            None => None,
        };
        let mut segment = segment.unwrap_or(Segment { handle: 1, length: 64, offset: 4096 });
        if self.source.u8() < 64 {
            segment.offset = segment.offset.wrapping_add(u64::from(self.source.word()));
        }
        let len = (self.source.u16() as usize).min(BUFFER as usize * 2);
        self.stage.server.write(segment, &vec![0x77; len]);
    }

    fn fault(&mut self) {
        let Some(qp) = self.stage.client.qp_num(self.stage.mount) else { return };
        let (faults, nth) = (self.stage.fabric.faults(), 1 + self.source.below(8));
        match self.source.below(8) {
            0 => faults.hold_acks(qp),
            1 => faults.release_acks(qp),
            2 => faults.drop_acks(qp, nth as u32),
            3 => faults.amend(qp, |plan| plan.fail_wr(nth as u64, WcStatus::LocalProtection)),
            4 => faults.amend(qp, |plan| plan.fail_post(nth as u64, 12)),
            5 => faults.amend(qp, |plan| plan.fail_recv_post(nth as u64, 12)),
            6 => faults.amend(qp, |plan| plan.drop_messages(nth as u32)),
            _ => faults.reject_connects(nth as u32, 28),
        }
    }

    /// A call of the server's own.
    fn call_back(&mut self) {
        let xid = match self.source.u8() {
            0..64 => self.pick().map_or(1, |call| call.xid),
            _ => self.source.word(),
        };
        let segment = Segment { handle: 1, length: 4, offset: 4 };
        let reads = [ReadSegment { position: self.source.word(), segment }];
        let reads = if self.source.u8() < 64 { &reads[..] } else { &[] };
        let kind = [EmitKind::Msg, EmitKind::NoMsg][usize::from(self.source.u8() < 32)];
        let mut message = header(xid, kind, reads, &[], None);
        let count = self.source.below(16);
        let words = [xid, 0, 2].into_iter().chain((0..count).map(|_| self.source.word()));
        message.extend(words.flat_map(u32::to_be_bytes));
        self.stage.server.send(&message);
    }

    /// A right answer that ends a key: of its call, or another.
    fn invalidate(&mut self) {
        let Some(call) = self.take() else { return };
        let (rpc, data_len) = right_reply(&call.rpc);
        let message = reply_to(&call, data_len, &rpc);
        let mut offered = call.writes.iter().chain(&call.reply).flatten().copied();
        let of_reads = call.reads.last().map(|read| read.segment);
        let rkey = match self.source.below(4) {
            0 => self.source.word(),
            _ => offered.next().or(of_reads).map_or(1, |segment| segment.handle),
        };
        self.stage.server.send_and_invalidate(&message, rkey);
    }

    /// The transport keeps the rules, and the results are anything.
    fn change_results(&mut self) {
        let Some(call) = self.take() else { return };
        let (mut rpc, data_len) = right_reply(&call.rpc);
        for _ in 0..=self.source.below(3) {
            let (at, word) = (4 + self.source.below(rpc.len() / 4) * 4, self.source.word());
            if let Some(place) = rpc.get_mut(at..at + 4) {
                place.copy_from_slice(&word.to_be_bytes());
            }
        }
        let data_len = if self.source.u8() < 200 { data_len } else { self.source.word() % BUFFER };
        let message = reply_to(&call, data_len, &rpc);
        self.stage.server.send(&message);
    }

    /// Answers rightly until a condition holds.
    fn calm(&mut self, until: impl Fn(&Self) -> bool) {
        for _ in 0..CALM_STEPS_MAX {
            if until(self) {
                return;
            }
            for call in std::mem::take(&mut self.calls) {
                self.stage.answer(&call);
            }
            self.steps(1, CALM_STEP_NS);
        }
        let state = self.stage.client.state(self.stage.mount);
        let counters = self.stage.client.counters(self.stage.mount);
        panic!("{} of {} are done, {state:?}, {counters:?}", self.done, self.submitted);
    }

    /// The server comes to its senses; everything ends and comes home.
    fn finish(mut self) {
        self.stage.fabric.faults().set(verbs::soft::Scope::All, FaultPlan::new());
        self.stage.fabric.faults().reject_connects(0, 0);
        self.stage.server.private_data = scripted::inline(4096);
        self.calm(|play| play.done == play.submitted);
        let now = reactor::Timestamp(self.stage.fabric.now_ns());
        self.stage.client.unmount(self.stage.mount, now);
        self.calm(|play| matches!(play.stage.client.state(play.stage.mount), MountState::Gone(_)));
        assert_eq!(self.done, self.submitted, "each once");
        let (home, all) = (self.pool.available(), self.pool.capacity());
        assert_eq!((home, self.pool.abandoned()), (all, 0), "not every buffer is home");
    }
}
