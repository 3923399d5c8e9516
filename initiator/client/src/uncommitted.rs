//! What was written to one file and is not proven durable: the data, in the order of the writes.
//!
//! A log, because that costs a push for a write and a pop when a COMMIT has proven it. That writes
//! overlap matters only when some are lost: then [`Log::agree`] copies the newer bytes over the
//! older ones, once, and the extents may be sent again in any order and all at a time.
//!
//! Only a prefix is ever dropped, or anything once all agree. So nothing older stays that could be
//! written over something newer which is durable and forgotten.
//!
//! Pure: no connection, no clock.

use std::collections::{BTreeMap, VecDeque};

/// Why an extent is, or is not, durable (RFC 1813 §3.3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It is not on the server for all we know.
    Lost,
    /// It is durable once a COMMIT returns the same verifier.
    Verifier([u8; 8]),
    /// The server has answered that it is.
    Durable,
}

impl Proof {
    /// Of an extent that was taken in several parts.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Durable, proof) | (proof, Self::Durable) => proof,
            (one, other) if one == other => one,
            _ => Self::Lost,
        }
    }

    fn holds(self, verifier: [u8; 8]) -> bool {
        self == Self::Durable || self == Self::Verifier(verifier)
    }
}

/// A write.
#[derive(Debug)]
pub(crate) struct Extent<B> {
    seq: u64,
    pub(crate) offset: u64,
    /// The first bytes of the buffer.
    pub(crate) len: u32,
    pub(crate) proof: Proof,
    /// Whose result waits for the proof; the buffer is the caller's then.
    pub(crate) held: Option<u32>,
    /// Not while it is sent again.
    pub(crate) buffer: Option<B>,
}

impl<B> Extent<B> {
    fn end(&self) -> u64 {
        self.offset + u64::from(self.len)
    }
}

/// The writes of a file, oldest first.
#[derive(Debug)]
pub(crate) struct Log<B> {
    extents: VecDeque<Extent<B>>,
    next_seq: u64,
}

impl<B> Default for Log<B> {
    fn default() -> Self {
        Self { extents: VecDeque::new(), next_seq: 0 }
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Log<B> {
    pub(crate) fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| u64::from(extent.len)).sum()
    }

    pub(crate) fn overlaps(&self, offset: u64, len: u64) -> bool {
        let end = offset.saturating_add(len);
        self.extents.iter().any(|extent| extent.offset < end && offset < extent.end())
    }

    /// A number between what is in the log and what will be.
    pub(crate) fn mark(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    pub(crate) fn push(
        &mut self,
        (offset, len): (u64, u32),
        proof: Proof,
        held: Option<u32>,
        buffer: B,
    ) {
        let seq = self.mark();
        self.extents.push_back(Extent { seq, offset, len, proof, held, buffer: Some(buffer) });
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Extent<B>> {
        self.extents.get_mut(index)
    }

    /// Whether a COMMIT with this verifier, sent at `mark`, proves everything before it.
    pub(crate) fn is_proven(&self, mark: u64, verifier: [u8; 8]) -> bool {
        let before = self.extents.iter().take_while(|extent| extent.seq < mark);
        before.into_iter().all(|extent| extent.proof.holds(verifier))
    }

    /// The oldest extent, if it is from before `mark`.
    pub(crate) fn pop_before(&mut self, mark: u64) -> Option<Extent<B>> {
        self.extents.pop_front_if(|extent| extent.seq < mark)
    }

    /// Everything before `mark` has to be sent again.
    pub(crate) fn doubt(&mut self, mark: u64) {
        let before = self.extents.iter_mut().take_while(|extent| extent.seq < mark);
        before.for_each(|extent| extent.proof = Proof::Lost);
    }

    /// Takes out those from before `mark` whose callers wait.
    pub(crate) fn take_held(&mut self, mark: u64) -> VecDeque<Extent<B>> {
        self.take(|extent| extent.held.is_some() && extent.seq < mark)
    }

    pub(crate) fn has_held(&self) -> bool {
        self.extents.iter().any(|extent| extent.held.is_some())
    }

    /// After a COMMIT that did not prove everything, with all buffers here: makes overlapping
    /// extents agree on the newest bytes, takes out what need not be kept, and marks what is to be
    /// sent again as lost.
    pub(crate) fn recover(&mut self, mark: u64, verifier: [u8; 8]) -> VecDeque<Extent<B>> {
        let overwritten = self.agree();
        let mut covered = overwritten.into_iter().rev();
        let spare = self.take(|extent| {
            let covered = covered.next().unwrap_or(false);
            covered || (extent.seq < mark && extent.proof.holds(verifier))
        });
        for extent in &mut self.extents {
            if !extent.proof.holds(verifier) {
                extent.proof = Proof::Lost;
            }
        }
        spare
    }

    /// The next lost extent from `index` on.
    pub(crate) fn next_lost(&self, index: usize) -> Option<usize> {
        let lost = |extent: &Extent<B>| extent.proof == Proof::Lost && extent.buffer.is_some();
        (index..self.extents.len()).find(|&at| lost(&self.extents[at]))
    }

    /// Copies newer bytes over older ones. Returns, newest first, whether an extent consists of
    /// newer bytes only and nobody waits for it.
    fn agree(&mut self) -> Vec<bool> {
        let extents = self.extents.make_contiguous();
        // Disjoint ranges, by their start: end, and who has the newest bytes of it.
        let mut newest: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
        let mut overwritten = Vec::with_capacity(extents.len());
        for older in (0..extents.len()).rev() {
            let (start, end) = (extents[older].offset, extents[older].end());
            let before = newest.range(..=start).next_back().map_or(start, |(&at, _)| at);
            let mut at = start;
            let mut gaps = Vec::new();
            for (&from, &(to, newer)) in newest.range(before..end) {
                let (from, to) = (from.max(start), to.min(end));
                if from >= to {
                    continue;
                }
                let (left, right) = extents.split_at_mut(newer);
                copy(&right[0], &mut left[older], from, to);
                if at < from {
                    gaps.push((at, from));
                }
                at = to;
            }
            if at < end {
                gaps.push((at, end));
            }
            overwritten.push(gaps.is_empty() && extents[older].held.is_none());
            newest.extend(gaps.into_iter().map(|(from, to)| (from, (to, older))));
        }
        overwritten
    }

    /// Takes out, in order, those that are to go.
    fn take(&mut self, mut goes: impl FnMut(&Extent<B>) -> bool) -> VecDeque<Extent<B>> {
        let (gone, stay) = self.extents.drain(..).partition(|extent| goes(extent));
        self.extents = stay;
        gone
    }
}

/// Copies the bytes of a range of the file.
fn copy<B: AsRef<[u8]> + AsMut<[u8]>>(
    newer: &Extent<B>,
    older: &mut Extent<B>,
    from: u64,
    to: u64,
) {
    let within = |extent: &Extent<B>| {
        let start = (from - extent.offset) as usize;
        start..start + (to - from) as usize
    };
    let (source, target) = (within(newer), within(older));
    if let (Some(newer), Some(older)) = (&newer.buffer, &mut older.buffer) {
        older.as_mut()[target].copy_from_slice(&newer.as_ref()[source]);
    }
}

#[cfg(test)]
#[path = "uncommitted_tests.rs"]
mod tests;
