//! A server that does nothing for a second, over the in-process fabric: an open loop shows that
//! second in its percentiles, a closed loop does not.

#![forbid(unsafe_code)]

use client::{Op, Output, Submission};
use hugepages::Buffer;
use system_tests::{House, Plan};
use workload::backend::{Backend, Io, IoDone, IoError, IoOp, IoResult};
use workload::generate::Direction;
use workload::{Instance, JobFile, JobResult, Limits, Runner, RunnerProgress};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// Virtual time of a turn: coarse, so that seconds pass quickly.
const TURN_NS: u64 = MS / 4;
/// When the server does nothing.
const STALL: std::ops::Range<u64> = 2 * SECOND..3 * SECOND;

/// The mount, as a job that reads sees it.
struct Mounted(House);

impl Backend for Mounted {
    type File = client::File;
    type Buf = Buffer;

    fn alloc(&mut self, _len: u32) -> Option<Buffer> {
        self.0.client.pool(self.0.mount)?.alloc()
    }

    fn submit(&mut self, io: Io<client::File, Buffer>) -> Result<(), Io<client::File, Buffer>> {
        let (op, buffer) = match io.op {
            IoOp::Open { path, create } => {
                (Op::Open { path, create: create.then_some(0o644) }, None)
            }
            IoOp::Read { file, offset, len, buf } => (Op::Read { file, offset, len }, Some(buf)),
            other => panic!("a job that reads what is there does not ask for {other:?}"),
        };
        let submission = Submission { tag: io.tag, op, buffer, pieces: None };
        let now = self.0.now();
        assert!(self.0.client.submit(self.0.mount, submission, now).is_ok(), "there is room");
        Ok(())
    }

    fn poll(&mut self, _now_ns: u64, mut done: impl FnMut(IoDone<client::File, Buffer>)) {
        let now = self.0.now();
        self.0.client.turn(now);
        while let Some(finished) = self.0.client.next_done(self.0.mount) {
            let result = match finished.result {
                Ok(Output::Opened { file, attributes }) => {
                    let size_bytes = attributes.map_or(0, |found| found.size);
                    Ok(IoResult::Opened { file, size_bytes })
                }
                Ok(Output::Read { count, .. }) => Ok(IoResult::Bytes(count)),
                Ok(other) => panic!("nobody asked for {other:?}"),
                Err(error) => Err(IoError { errno: error.errno(), message: error.to_string() }),
            };
            done(IoDone { tag: finished.tag, buf: finished.buffer, result, done_ns: now.0 });
        }
    }
}

fn run(options: &str) -> JobResult {
    let mut house = House::build(Plan::default());
    let file = house.create("data");
    let data = house.filled(4096, 1);
    let write =
        |offset| Op::Write { file, offset, len: 4096, stable: wire::nfs3::StableHow::FileSync };
    house.op(write(252 * 1024), Some(data)).result.expect("the file is written");
    let job = format!(
        "[j]\nrw=randread\nfilename=data\nsize=256k\niodepth=8\ntime_based\nruntime=10\n{options}\n"
    );
    let jobs = JobFile::parse(job.as_bytes(), "t").expect("a good job").jobs;
    let limits = Limits { payload_bytes_max: 4096 };
    let mut runner = Runner::new(&Instance::of(&jobs)[0], limits, 0).expect("it fits");
    let mut backend = Mounted(house);
    let mut begun_ns = None;
    loop {
        let now = reactor::Timestamp(backend.0.fabric.advance(TURN_NS));
        let since = now.0 - *begun_ns.get_or_insert(now.0);
        assert!(since < 60 * SECOND, "it does not end");
        if runner.turn(now.0, &mut backend) == RunnerProgress::Finished {
            return runner.into_result();
        }
        if !STALL.contains(&since) {
            backend.0.target.poll(now);
        }
    }
}

#[test]
fn a_server_that_stalls_for_a_second_appears_in_full_only_in_an_open_loop() {
    let open = run("rate_iops=400\nrate_process=poisson");
    assert_eq!(open.failure, None);
    let clat = &open.direction(Direction::Read).clat;
    let (p99, p95) = (clat.percentile(99.0), clat.percentile(95.0));
    assert!(p99 > 800 * MS && clat.moments.max() > 990 * MS, "99% took at most {p99} ns");
    assert!(p95 > 350 * MS, "a tenth of what was due was late: 95% took at most {p95} ns");
    let closed = run("");
    assert_eq!(closed.failure, None);
    let p99 = closed.direction(Direction::Read).clat.percentile(99.0);
    assert!(p99 < 10 * MS, "eight of many thousands were slow: 99% took at most {p99} ns");
}
