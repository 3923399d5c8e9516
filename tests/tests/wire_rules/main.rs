//! What goes over the wire is held against RFC 8166, 8267 and 8797: byte for byte, before a server
//! that keeps the rules or breaks them. Which test stands for which rule: docs/requirements.md.

#![forbid(unsafe_code)]

mod calls;
mod connections;
mod replies;

use client::Op;
use rpcrdma::Registration;
use system_tests::Plan;
use system_tests::stage::{Stage, file};
use wire::nfs3::{CreateHow, Sattr, StableHow};

const BOTH: [Registration; 2] = [Registration::Static, Registration::Window];

/// A plan with inline thresholds of so many bytes on our side.
fn plan(inline: u32, registration: Registration) -> Plan {
    let mut plan = Plan::default().inline(inline);
    plan.transport.registration = Some(registration);
    plan.transport.reconnect_min_ns = 100_000;
    plan.transport.rpc_timeout_ns = 500_000_000;
    plan
}

fn write(len: u32) -> Op {
    Op::Write { file: file(), offset: 0, len, stable: StableHow::FileSync }
}

fn read(len: u32) -> Op {
    Op::Read { file: file(), offset: 0, len }
}

/// Every operation of the client that is one call.
fn every_op() -> Vec<Op> {
    let (file, dir, name) = (file(), file(), || "n".repeat(253));
    let how = CreateHow::Unchecked(Sattr::default());
    let mut ops = vec![
        Op::Null,
        Op::Getattr { file },
        Op::Setattr { file, attributes: Box::default() },
        Op::Lookup { dir, name: name() },
        Op::Access { file, access: 0x3f },
        Op::Create { dir, name: name(), how: how.into() },
        Op::Remove { dir, name: name() },
        Op::Commit { file, offset: 0, count: 0 },
        Op::Fsinfo { file },
        Op::Fsstat { file },
        Op::Readdirplus { dir, cookie: 0, verifier: [0; 8] },
    ];
    for len in [0, 1, 511, 513, 1000, 4095, 4096, 5001] {
        ops.extend([write(len), read(len)]);
    }
    ops
}

/// Whether an operation has memory of its caller's.
fn takes_buffer(op: &Op) -> bool {
    matches!(op, Op::Write { .. } | Op::Read { .. } | Op::Readdirplus { .. })
}

/// Makes every call and answers it; what each looked like.
fn each_call(stage: &mut Stage, mut look: impl FnMut(&Op, &system_tests::stage::Seen)) {
    for op in every_op() {
        let buffer = takes_buffer(&op).then(|| stage.buffer());
        let call = stage.call_of(op.clone(), buffer);
        look(&op, &call);
        stage.answer(&call);
        let done = stage.serve_until_done(1).remove(0);
        assert!(done.result.is_ok(), "{op:?}: {:?}", done.result);
    }
}
