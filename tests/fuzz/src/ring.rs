//! The sendctx ring against a queue that cannot be wrong: the oracle that its own tests use.

use rpcrdma::sendctx::ops::{Op, Oracle};

use crate::source::Source;

/// Bytes decide what the sender and the completion handler do.
pub(crate) fn ring(data: &[u8]) {
    let mut source = Source::new(data);
    let mut oracle = Oracle::new(1 + source.below(12) as u32, 1 + source.below(24) as u32);
    if source.u8() < 128 {
        // Near the wrap of the numbering.
        oracle.start_at(u32::MAX - 20);
    }
    while !source.is_empty() {
        oracle.apply(match source.below(8) {
            0..=2 => Op::Get { wrs: 1 + source.below(9) as u32 },
            3 => Op::Unget,
            4 => Op::Post,
            5 => Op::Complete { nth: source.below(12) },
            6 => Op::CompleteNumber { number: source.word() },
            _ if source.u8() < 32 => Op::Drain,
            _ => Op::Post,
        });
    }
}
