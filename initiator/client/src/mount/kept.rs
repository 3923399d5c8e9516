//! What a mount keeps until it is durable: its files with such data, and the buffers given for it.
//!
//! State only: what happens to it, and the faults it must survive, are told in
//! [`durable`](super::durable). It belongs to the mount, on its reactor.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use hugepages::{Buffer, Pool};
use wire::nfs3::FileHandle;

use crate::Error;
use crate::op::File;
use crate::uncommitted::{Log, Proof};

/// How far a write that may be taken in parts has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Which file.
    pub(super) at: u32,
    /// Bytes that were taken before. The buffer is rotated by so many.
    pub(super) taken: u32,
    pub(super) proof: Proof,
}

impl Progress {
    pub(super) fn new(at: u32) -> Self {
        Self { at, taken: 0, proof: Proof::Durable }
    }
}

#[derive(Debug)]
pub(super) enum Phase {
    Idle,
    Committing,
    /// The COMMIT of `mark` returned another verifier than a write before it. Writes under way
    /// are waited for.
    Draining {
        mark: u64,
        verifier: [u8; 8],
    },
    /// Lost extents are sent again, from `next` on; `out` are under way.
    Resending {
        next: usize,
        out: u32,
        failed: Option<Error>,
    },
}

#[derive(Debug)]
pub(super) struct KeptFile {
    pub(super) file: File,
    pub(super) log: Log<Buffer>,
    pub(super) phase: Phase,
    /// It waits for a place to COMMIT or to send again.
    pub(super) due: bool,
    /// Writes past the gate.
    pub(super) writing: u32,
    /// Writes before it.
    pub(super) gated: VecDeque<u32>,
    /// Those who wait for a proof, and since when.
    pub(super) syncs: VecDeque<(u64, u32)>,
    /// Restarts since the last proof.
    pub(super) rounds: u32,
}

/// What a mount keeps.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) by_handle: HashMap<FileHandle, u32>,
    pub(super) files: Vec<KeptFile>,
    /// Places in `files` that are not in use.
    pub(super) vacant: Vec<u32>,
    pub(super) due: VecDeque<u32>,
    /// Tasks of ours.
    pub(super) own: u32,
    pub(super) exchanged: u32,
    pub(super) exchanged_max: u32,
    /// More than half is out: every file is to be committed.
    pub(super) pressed: bool,
    pub(super) pool: Option<Pool>,
}

impl Kept {
    pub(super) fn new(exchanged_max: u32) -> Self {
        Self { exchanged_max, ..Self::default() }
    }

    /// Where buffers to give in exchange come from.
    pub(super) fn use_pool(&mut self, pool: Option<&Pool>) {
        self.pool = pool.cloned();
    }

    pub(super) fn find(&self, file: File) -> Option<&KeptFile> {
        self.by_handle.get(&file.handle).map(|&at| &self.files[at as usize])
    }

    /// Bytes of a file that are not proven durable.
    pub(super) fn bytes(&self, file: File) -> u64 {
        self.find(file).map_or(0, |kept| kept.log.bytes())
    }

    pub(super) fn overlaps(&self, file: File, offset: u64, len: u64) -> bool {
        self.find(file).is_some_and(|kept| kept.log.overlaps(offset, len))
    }

    /// The place of a file, which may be new.
    pub(super) fn place(&mut self, file: File) -> u32 {
        if let Some(&at) = self.by_handle.get(&file.handle) {
            return at;
        }
        let at = match self.vacant.pop() {
            Some(at) => {
                let kept = &mut self.files[at as usize];
                (kept.file, kept.rounds) = (file, 0);
                at
            }
            None => {
                self.files.push(KeptFile {
                    file,
                    log: Log::default(),
                    phase: Phase::Idle,
                    due: false,
                    writing: 0,
                    gated: VecDeque::new(),
                    syncs: VecDeque::new(),
                    rounds: 0,
                });
                self.files.len() as u32 - 1
            }
        };
        self.by_handle.insert(file.handle, at);
        at
    }

    pub(super) fn file(&mut self, at: u32) -> &mut KeptFile {
        &mut self.files[at as usize]
    }

    /// Queues a file for a place to do what its phase asks for.
    pub(super) fn want(&mut self, at: u32) {
        let kept = &mut self.files[at as usize];
        if !std::mem::replace(&mut kept.due, true) {
            self.due.push_back(at);
        }
    }

    /// Puts written data where it can stay: what is kept, and what the caller has instead.
    pub(super) fn exchange(&mut self, buffer: Buffer, len: usize) -> (Buffer, Option<Buffer>) {
        let room = self.exchanged < self.exchanged_max;
        let pool = self.pool.as_ref().filter(|pool| room && pool.buffer_len() >= len);
        let Some(mut other) = pool.and_then(Pool::alloc) else { return (buffer, None) };
        self.exchanged += 1;
        if Rc::ptr_eq(buffer.region(), other.region()) {
            return (buffer, Some(other));
        }
        // Memory of the caller's own: it is his again, and what is kept is a copy.
        other[..len].copy_from_slice(&buffer[..len]);
        (other, Some(buffer))
    }

    /// Room is scarce: what has been written is committed before anybody asks for it.
    pub(super) fn press(&mut self, at: u32) {
        let scarce = self.exchanged > self.exchanged_max / 2;
        if scarce && !std::mem::replace(&mut self.pressed, true) {
            for other in 0..self.files.len() as u32 {
                if !self.file(other).log.is_empty() {
                    self.want(other);
                }
            }
        }
        if scarce {
            self.want(at);
        }
    }
}
