//! Work request ids: which connection, which life of it, which queue, which entry.
//!
//! All connections of a reactor share one completion queue; a completion finds its way by the id
//! alone. The tag counts the queue pairs of a place for connections, so a completion that outlives
//! its queue pair is recognised.

/// What a completion is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A Send, by sendctx number.
    Send = 1,
    /// A Receive, by index.
    Receive = 2,
    /// The marker behind the last Send of a queue pair that is being drained.
    Drain = 3,
}

/// The part of an id that is the same for all work requests of one queue pair: 12 bits that count
/// the queue pairs which its place has had, and 16 for the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkId(u32);

impl WorkId {
    /// Of a place in the endpoint, and the number of its queue pair.
    pub(crate) fn new(connection: u16, tag: u16) -> Self {
        Self(u32::from(tag & 0xfff) << 16 | u32::from(connection))
    }

    /// Of the queue pair that a work request is of.
    #[inline(always)]
    pub(crate) fn of(wr_id: u64) -> Self {
        Self((wr_id >> 32) as u32 & 0xfff_ffff)
    }

    /// Place in the endpoint.
    #[inline(always)]
    pub(crate) fn connection(self) -> u16 {
        self.0 as u16
    }

    /// The number of its queue pair.
    #[inline(always)]
    pub(crate) fn tag(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The id of one work request.
    #[inline(always)]
    pub(crate) fn with(self, kind: Kind, entry: u32) -> u64 {
        (kind as u64) << 60 | u64::from(self.0) << 32 | u64::from(entry)
    }

    /// What an id is of, and which entry of that; `None` if it is none of ours.
    #[inline(always)]
    pub(crate) fn entry(wr_id: u64) -> Option<(Kind, u32)> {
        let kind = match wr_id >> 60 {
            1 => Kind::Send,
            2 => Kind::Receive,
            3 => Kind::Drain,
            _ => return None,
        };
        Some((kind, wr_id as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, WorkId};

    #[test]
    fn ids_come_apart_as_they_were_put_together() {
        for kind in [Kind::Send, Kind::Receive, Kind::Drain] {
            let id = WorkId::new(0xffff, 0xabc);
            assert_eq!((id.connection(), id.tag()), (0xffff, 0xabc));
            let wr_id = id.with(kind, u32::MAX);
            assert_eq!((WorkId::of(wr_id), WorkId::entry(wr_id)), (id, Some((kind, u32::MAX))));
        }
        assert_eq!(WorkId::entry(0), None);
    }
}
