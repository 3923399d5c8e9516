//! Traffic that several tests make: what it wrote is held against what comes back, and anything
//! that fails is a panic.

use client::{File, Op, Output};
use wire::nfs3::StableHow;

use crate::{House, pattern};

/// Writes of one round, each to a place of its own.
const WRITES: u64 = 32;
/// Bytes from one place to the next.
const STRIDE: u64 = 65_536;

impl House {
    /// Writes, unstable, through a buffer of the pool.
    pub fn write(&mut self, file: File, offset: u64, data: &[u8]) {
        let mut buffer = self.buffer();
        buffer[..data.len()].copy_from_slice(data);
        let (len, stable) = (data.len() as u32, StableHow::Unstable);
        let done = self.op(Op::Write { file, offset, len, stable }, Some(buffer));
        let result = done.result;
        assert!(matches!(result, Ok(Output::Written { count, .. }) if count == len), "{result:?}");
        assert!(done.buffer.is_some(), "the buffer comes back with the result");
    }

    /// Reads into a buffer of the pool; what there is to be read.
    #[must_use]
    pub fn read(&mut self, file: File, offset: u64, len: u32) -> Vec<u8> {
        let mut buffer = self.buffer();
        buffer[..len as usize].fill(0xee);
        let done = self.op(Op::Read { file, offset, len }, Some(buffer));
        assert!(matches!(done.result, Ok(Output::Read { .. })), "{:?}", done.result);
        assert!(done.buffer.is_some(), "the buffer comes back with the result");
        done.data().to_vec()
    }

    /// Keeps `depth` operations in flight until `count` have succeeded.
    pub fn drive(&mut self, depth: u64, count: u64, op: impl Fn() -> Op) {
        let (mut submitted, mut completed) = (0, 0);
        while completed < count {
            while submitted < count && submitted - completed < depth {
                self.submit(submitted, op(), None);
                submitted += 1;
            }
            self.step();
            for done in self.take_done() {
                assert!(done.result.is_ok(), "{:?}", done.result);
                completed += 1;
            }
        }
    }

    /// Submits 32 writes, by every way that data takes, with contents that depend on `round`.
    pub fn submit_writes(&mut self, file: File, round: u64) {
        for tag in 0..WRITES {
            let len = length(tag);
            let buffer = self.filled(len, round << 8 | tag);
            let (offset, len, stable) = (tag * STRIDE, len as u32, StableHow::Unstable);
            self.submit(tag, Op::Write { file, offset, len, stable }, Some(buffer));
        }
    }

    /// Waits for the writes of a round: all have succeeded, and what they wrote is there.
    pub fn check_writes(&mut self, file: File, round: u64) {
        self.run_until(|house| house.done_count() == WRITES as usize);
        for done in self.take_done() {
            assert!(matches!(done.result, Ok(Output::Written { .. })), "{:?}", done.result);
            assert!(done.buffer.is_some(), "the buffer comes back with the result");
        }
        for tag in 0..WRITES {
            let len = length(tag);
            let found = self.read(file, tag * STRIDE, len as u32);
            assert!(found == pattern(len, round << 8 | tag), "write {tag}");
        }
    }
}

fn length(tag: u64) -> usize {
    [300, 3000, 4096, STRIDE as usize][tag as usize % 4]
}
