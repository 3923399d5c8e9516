//! What only the in-process fabric can show: its strictness, its faults, its time.

#[path = "../contract/ends.rs"]
#[allow(dead_code, reason = "shared with the contract tests, which use all of it")]
mod ends;

mod faults;
mod lent;
mod semantics;
mod stress;
mod time;
mod windows;

use ends::{End, Memory, Options, Pair};
use verbs::soft::{Clock, SoftFabric};
use verbs::{Access, Completion, CompletionQueue, Connection, WcStatus};

const HOME: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn on_virtual_time() -> SoftFabric {
    SoftFabric::new(Clock::virtual_time())
}

/// A pair with 64 byte messages: what the active side sends, and where the passive side receives.
struct Talk {
    pair: Pair<SoftFabric>,
    from: Memory<SoftFabric>,
    to: Memory<SoftFabric>,
    qp: u32,
}

impl Talk {
    fn new(fabric: &SoftFabric) -> Self {
        Self::with(fabric, &Options::default())
    }

    fn with(fabric: &SoftFabric, options: &Options) -> Self {
        let pair = Pair::with(fabric, HOME, options);
        let from = pair.active.memory(16 * 64, Access::REMOTE);
        let to = pair.passive.memory(16 * 64, Access::REMOTE);
        let qp = pair.active.connection.qp_num();
        Self { pair, from, to, qp }
    }

    /// The active side sends messages of these numbers, one signaled Send each.
    fn say(&mut self, numbers: std::ops::Range<u64>) {
        for i in numbers {
            let sges = [self.from.sge((i % 16) as usize * 64, 64)];
            assert_eq!(self.pair.active.post_send(&[ends::send(i, &sges)]), Ok(1));
        }
    }

    fn listen(&mut self, count: usize) {
        let to = &self.to;
        self.pair.passive.post_recvs(to, count, 64);
    }

    /// What completed on the sending side by now.
    fn said(&self) -> Vec<(u64, WcStatus)> {
        drain(&self.pair.active)
    }

    /// What completed on the receiving side by now.
    fn heard(&self) -> Vec<(u64, WcStatus)> {
        drain(&self.pair.passive)
    }
}

/// What a completion queue has now, without waiting.
fn drain(end: &End<SoftFabric>) -> Vec<(u64, WcStatus)> {
    let mut seen = Vec::new();
    loop {
        let mut batch = [Completion::default(); 16];
        let count = end.cq.poll(&mut batch).expect("poll");
        if count == 0 {
            return seen;
        }
        seen.extend(ends::outcomes(&batch[..count]));
    }
}

/// These numbers, all successful.
fn fine(numbers: std::ops::Range<u64>) -> Vec<(u64, WcStatus)> {
    numbers.map(|i| (i, WcStatus::Success)).collect()
}
