//! What is ordered to be wrong about one reply, and how it is made wrong.

use wire::rpcrdma::Segment;

use crate::misbehave::{Misbehaviour, Switch};

/// Bytes of xid, version and credit words.
const XID: std::ops::Range<usize> = 0..4;
const VERSION: std::ops::Range<usize> = 4..8;

/// See the module documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Falsify {
    /// Sends: none, one or two.
    pub(super) copies: usize,
    pub(super) delay_ns: u64,
    /// The grant.
    pub(super) credits: Option<u32>,
    /// How many orders this follows.
    pub(super) count: u64,
    wrong_xid: bool,
    wrong_version: bool,
    truncate: bool,
    foreign_message: bool,
    garbage: bool,
    foreign_rkey: bool,
    foreign_offset: bool,
    long_chunk: bool,
    gap_chunk: bool,
    swap_segments: bool,
}

impl Falsify {
    /// Nothing is wrong.
    pub(super) fn nothing() -> Self {
        Self { copies: 1, ..Self::default() }
    }

    /// Takes the orders for the next reply; those about chunks only if it returns any.
    pub(super) fn take(switch: &Switch, chunks: bool) -> Self {
        let ordered = switch.consult(|orders| Some(Self::from_orders(orders, chunks)));
        let lies = ordered.unwrap_or_else(Self::nothing);
        switch.count("delay-replies", u64::from(lies.delay_ns > 0));
        match lies.credits {
            Some(0) => switch.count("credits=0", 1),
            Some(1) => switch.count("credits=1", 1),
            Some(_) => switch.count("credits", 1),
            None => {}
        }
        lies
    }

    fn from_orders(orders: &mut Misbehaviour, chunks: bool) -> Self {
        let (credits, delay_ns) = (orders.credits, orders.delay_replies_ns);
        let lasting = u64::from(credits.is_some()) + u64::from(delay_ns > 0);
        if Misbehaviour::take(&mut orders.drop_replies) {
            return Self { count: 1, ..Self::default() };
        }
        let take = Misbehaviour::take;
        let twice = take(&mut orders.duplicate_replies);
        let lies = Self {
            copies: 1 + usize::from(twice),
            delay_ns,
            credits,
            count: 0,
            wrong_xid: take(&mut orders.wrong_xid),
            wrong_version: take(&mut orders.wrong_version),
            truncate: take(&mut orders.truncate_replies),
            foreign_message: take(&mut orders.foreign_message),
            garbage: take(&mut orders.garbage_replies),
            foreign_rkey: chunks && take(&mut orders.foreign_rkey),
            foreign_offset: chunks && take(&mut orders.foreign_offset),
            long_chunk: chunks && take(&mut orders.long_chunk),
            gap_chunk: chunks && take(&mut orders.gap_chunk),
            swap_segments: chunks && take(&mut orders.swap_segments),
        };
        let told = [
            twice,
            lies.wrong_xid,
            lies.wrong_version,
            lies.truncate,
            lies.foreign_message,
            lies.garbage,
            lies.foreign_rkey,
            lies.foreign_offset,
            lies.long_chunk,
            lies.gap_chunk,
            lies.swap_segments,
        ];
        let count = told.iter().filter(|told| **told).count() as u64;
        Self { count: count + lasting, ..lies }
    }

    /// In what the header says about chunks; where data was really placed is another matter.
    pub(super) fn in_chunks(&self, returned: &mut [Segment]) {
        let Some(first) = returned.first_mut() else { return };
        if self.foreign_rkey {
            first.handle ^= 0x5a5a;
        }
        if self.foreign_offset {
            first.offset = first.offset.wrapping_add(4096);
        }
        if self.long_chunk {
            first.length = u32::MAX;
        }
        if self.gap_chunk {
            first.length = first.length.saturating_sub(1);
        }
        if self.swap_segments && returned.len() > 1 {
            returned.swap(0, 1);
        }
    }

    /// In the finished message of `len` bytes, of which the first are the header; returns how many
    /// of them to send.
    pub(super) fn in_message(&self, message: &mut [u8], header: usize, len: usize) -> usize {
        if self.wrong_xid {
            message[XID].iter_mut().for_each(|byte| *byte = !*byte);
        }
        if self.wrong_version {
            message[VERSION].copy_from_slice(&2_u32.to_be_bytes());
        }
        if self.foreign_message && header < len {
            message[header] ^= 0xff;
        }
        if self.garbage {
            let mut noise = 0x9e37_79b9_u32;
            for byte in &mut message[..len] {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (noise >> 24) as u8;
            }
        }
        if self.truncate { len / 2 } else { len }
    }
}
