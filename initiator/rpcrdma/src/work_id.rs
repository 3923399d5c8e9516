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

/// The part of an id that is the same for all work requests of one queue pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkId {
    /// Place in the endpoint.
    pub(crate) connection: u16,
    /// Queue pairs that the place has had, 12 bits.
    pub(crate) tag: u16,
}

impl WorkId {
    /// The id of one work request.
    pub(crate) fn with(self, kind: Kind, entry: u32) -> u64 {
        (kind as u64) << 60
            | u64::from(self.tag & 0xfff) << 48
            | u64::from(self.connection) << 32
            | u64::from(entry)
    }

    /// Takes an id apart; `None` if it is none of ours.
    pub(crate) fn parse(wr_id: u64) -> Option<(Self, Kind, u32)> {
        let kind = match wr_id >> 60 {
            1 => Kind::Send,
            2 => Kind::Receive,
            3 => Kind::Drain,
            _ => return None,
        };
        let id = Self { connection: (wr_id >> 32) as u16, tag: (wr_id >> 48) as u16 & 0xfff };
        Some((id, kind, wr_id as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, WorkId};

    #[test]
    fn ids_come_apart_as_they_were_put_together() {
        for kind in [Kind::Send, Kind::Receive, Kind::Drain] {
            let id = WorkId { connection: 0xffff, tag: 0xabc };
            assert_eq!(WorkId::parse(id.with(kind, u32::MAX)), Some((id, kind, u32::MAX)));
        }
        assert_eq!(WorkId::parse(0), None);
    }
}
