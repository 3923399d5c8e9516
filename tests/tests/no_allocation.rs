//! No heap allocation per I/O once things run: counted, on the client's thread.

use client::{Op, Submission};
use system_tests::{House, Plan};
use wire::nfs3::StableHow;

/// 100,000 RPCs of one kind at depth 32, client, fabric and target together.
fn allocations_of(inline: u32, op: impl Fn(client::File, u64) -> Op) -> u64 {
    const RPCS: u64 = 100_000;
    const WARM_UP: u64 = 2_000;
    let mut house =
        House::build(Plan { uncommitted_max: 64 << 20, ..Plan::default().inline(inline) });
    let file = house.create("f");
    let buffer = house.filled(65_536, 1);
    let fill = Op::Write { file, offset: 0, len: 65_536, stable: StableHow::FileSync };
    drop(house.op(fill, Some(buffer)));

    let mut buffers: Vec<_> = (0..32).map(|_| house.buffer()).collect();
    let (mut submitted, mut completed) = (0, 0);
    let mut run = |until: u64| {
        while completed < until {
            let now = reactor::Timestamp(house.fabric.advance(1_000));
            while let Some(buffer) = buffers.pop() {
                let op = op(file, submitted);
                let submission =
                    Submission { tag: submitted, op, buffer: Some(buffer), pieces: None };
                assert!(house.client.submit(house.mount, submission, now).is_ok());
                submitted += 1;
            }
            house.client.turn(now);
            house.target.poll(now);
            while let Some(done) = house.client.next_done(house.mount) {
                assert!(done.result.is_ok(), "{:?}", done.result);
                buffers.extend(done.buffer);
                completed += 1;
            }
        }
    };
    run(WARM_UP);
    allocation_counter::measure(|| run(WARM_UP + RPCS)).count_total
}

#[test]
fn a_hundred_thousand_rpcs_of_each_kind_allocate_nothing() {
    let stable = StableHow::Unstable;
    let at = |i: u64| i % 16 * 4096;
    let read = |file, i| Op::Read { file, offset: at(i), len: 4096 };
    let write = |file, i| Op::Write { file, offset: at(i), len: 4096, stable };
    let copied = |file, i| Op::Write { file, offset: at(i), len: 256, stable };
    assert_eq!(allocations_of(4096, read), 0, "READ by Write chunk");
    assert_eq!(allocations_of(16_384, read), 0, "READ inline");
    assert_eq!(allocations_of(4096, write), 0, "WRITE by Read chunk");
    assert_eq!(allocations_of(16_384, write), 0, "WRITE gathered");
    assert_eq!(allocations_of(4096, copied), 0, "WRITE copied");
    let kept = |file, i| Op::WriteBack { file, offset: at(i), len: 4096 };
    assert_eq!(allocations_of(4096, kept), 0, "WRITE whose data is kept, and COMMITs in between");
}
