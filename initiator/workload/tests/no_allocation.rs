//! In steady state a runner allocates nothing: counted by the allocator itself.

use workload::backend::{Backend, Io, IoDone, IoOp, IoResult};
use workload::{Instance, JobFile, Limits, Phase, Runner, RunnerProgress};

/// Keeps one file in memory and allocates only buffers.
struct Flat {
    data: Vec<u8>,
    queue: Vec<Io<(), Box<[u8]>>>,
}

impl Backend for Flat {
    type File = ();
    type Buf = Box<[u8]>;

    fn alloc(&mut self, len: u32) -> Option<Box<[u8]>> {
        Some(vec![0; len as usize].into())
    }

    fn submit(&mut self, io: Io<(), Box<[u8]>>) -> Result<(), Io<(), Box<[u8]>>> {
        match self.queue.len() < self.queue.capacity() {
            true => self.queue.push(io),
            false => return Err(io),
        }
        Ok(())
    }

    fn poll(&mut self, now_ns: u64, mut done: impl FnMut(IoDone<(), Box<[u8]>>)) {
        for Io { tag, op } in self.queue.drain(..) {
            let (buf, result) = match op {
                IoOp::Open { .. } => (None, IoResult::Opened { file: (), size_bytes: 0 }),
                IoOp::SetSize { .. } | IoOp::Commit { .. } => (None, IoResult::Done),
                IoOp::Space { .. } => (None, IoResult::Available(u64::MAX)),
                IoOp::Read { offset, len, mut buf, .. } => {
                    let from = offset as usize;
                    buf[..len as usize].copy_from_slice(&self.data[from..from + len as usize]);
                    (Some(buf), IoResult::Bytes(len))
                }
                IoOp::Write { offset, len, buf, .. } => {
                    let from = offset as usize;
                    self.data[from..from + len as usize].copy_from_slice(&buf[..len as usize]);
                    (Some(buf), IoResult::Bytes(len))
                }
            };
            done(IoDone { tag, buf, result: Ok(result), done_ns: now_ns });
        }
    }
}

#[test]
fn a_hundred_thousand_operations_allocate_nothing() {
    let text = b"[j]\nrw=randrw\nsize=4m\niodepth=16\nnorandommap\nverify=crc32c\nfsync=7\ntime_based\nruntime=1h\n";
    let file = JobFile::parse(text, "t").expect("a good job");
    let limits = Limits { payload_bytes_max: 1 << 20 };
    let mut runner = Runner::new(&Instance::of(&file.jobs)[0], limits, 0).expect("it fits");
    let mut backend = Flat { data: vec![0; 4 << 20], queue: Vec::with_capacity(11) };
    let progress = runner.progress();
    let mut now_ns = 0;
    let mut until = |ios: u64, backend: &mut Flat, runner: &mut Runner<Flat>| {
        while progress.snapshot().ios < ios {
            assert_ne!(runner.turn(now_ns, backend), RunnerProgress::Finished);
            now_ns += 10_000;
        }
    };
    until(1_000, &mut backend, &mut runner);
    let allocations = allocation_counter::measure(|| until(101_000, &mut backend, &mut runner));
    assert_eq!(allocations.count_total, 0);
    assert_eq!(runner.progress().snapshot().phase, Phase::Running);
}
