//! What the server ought to hold: the files of one mount, and the names in its directory.
//!
//! Operations that touch the same bytes are never in flight together, so the model knows what each
//! must find. Where an operation failed in a way that does not say whether it ran, its bytes are
//! tainted: nobody looks at them again.

use std::ops::Range;

use client::File;

/// A file whose contents are known.
#[derive(Debug)]
pub struct ModelFile {
    /// Its handle.
    pub file: File,
    bytes: Vec<u8>,
    busy: Vec<(u64, Range<u64>, Access)>,
    tainted: Vec<Range<u64>>,
    kept: KeptWrites,
}

/// Writes whose data the client keeps until a Sync has proven it durable.
#[derive(Debug, Default)]
struct KeptWrites {
    in_flight: u32,
    completed: u64,
    proven: u64,
}

/// How an operation touches bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Looks.
    Shared,
    /// Changes.
    Exclusive,
}

impl ModelFile {
    /// An empty file.
    #[must_use]
    pub fn new(file: File) -> Self {
        let (bytes, busy, tainted) = (Vec::new(), Vec::new(), Vec::new());
        Self { file, bytes, busy, tainted, kept: KeptWrites::default() }
    }

    /// The file's size.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Keeps others off a range until [`ModelFile::release`]; `false` if somebody is there. What
    /// goes beyond the end of the file reaches to the end of everything: it depends on the size.
    pub fn claim(&mut self, tag: u64, range: Range<u64>, access: Access) -> bool {
        let end = if range.end > self.size() { u64::MAX } else { range.end };
        let range = range.start.min(self.size())..end;
        let meets = |other: &Range<u64>| other.start < range.end && range.start < other.end;
        let shared = |other: Access| access == Access::Shared && other == Access::Shared;
        if self.tainted.iter().any(meets)
            || self.busy.iter().any(|(_, other, how)| meets(other) && !shared(*how))
        {
            return false;
        }
        self.busy.push((tag, range, access));
        true
    }

    /// The operation is over.
    pub fn release(&mut self, tag: u64) {
        self.busy.retain(|(other, ..)| *other != tag);
    }

    /// Nobody knows whether the operation ran, or when it will.
    pub fn taint(&mut self, tag: u64) {
        let touched = self.busy.iter().filter(|(other, ..)| *other == tag);
        self.tainted.extend(touched.map(|(_, range, _)| range.clone()));
        self.release(tag);
    }

    /// Whether the client may still have to write something to the file again.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.kept.in_flight > 0 || self.kept.proven < self.kept.completed
    }

    /// A write whose data is kept begins.
    pub fn keeps(&mut self) {
        self.kept.in_flight += 1;
    }

    /// It has ended.
    pub fn kept(&mut self, written: bool) {
        self.kept.in_flight -= 1;
        self.kept.completed += u64::from(written);
    }

    /// Those that a Sync which begins now will prove.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.kept.completed
    }

    /// It has succeeded.
    pub fn proven(&mut self, mark: u64) {
        self.kept.proven = self.kept.proven.max(mark);
    }

    /// What a read of this range has to return.
    #[must_use]
    pub fn expected(&self, offset: u64, len: u64) -> &[u8] {
        let start = offset.min(self.size()) as usize;
        let end = (offset + len).min(self.size()) as usize;
        &self.bytes[start..end]
    }

    /// These bytes were written.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let end = offset as usize + data.len();
        self.bytes.resize(end.max(self.bytes.len()), 0);
        self.bytes[offset as usize..end].copy_from_slice(data);
    }

    /// The size was set.
    pub fn resize(&mut self, size: u64) {
        self.bytes.resize(size as usize, 0);
    }

    /// Whether there are ranges whose contents are not known.
    #[must_use]
    pub fn is_tainted(&self) -> bool {
        !self.tainted.is_empty()
    }
}

/// A name in the directory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Name {
    /// There is nothing.
    Absent,
    /// There is a file.
    Present(File),
    /// Nobody knows.
    Unknown,
}
