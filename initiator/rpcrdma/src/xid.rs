//! XIDs: which request slot a Reply belongs to, and which life of that slot.
//!
//! The low bits are the slot, so matching needs no table; the rest counts the slot's lives, so a
//! late or duplicate Reply of an earlier life matches nothing. The start is random: servers key
//! their duplicate-request caches on XID and client address, and all connections and processes of
//! one host share that space (protocol facts, "Connections and recovery").

/// Maps slots to XIDs and back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct XidSpace {
    slot_bits: u32,
    start: u32,
}

impl XidSpace {
    /// For `slots` request slots; `seed` should be random per connection.
    pub(crate) fn new(slots: u32, seed: u32) -> Self {
        let slot_bits = 32 - slots.saturating_sub(1).leading_zeros();
        Self { slot_bits, start: seed << slot_bits.min(31) }
    }

    /// The XID of the slot's `life`-th use.
    pub(crate) fn xid(self, slot: u32, life: u32) -> u32 {
        self.start.wrapping_add(life.wrapping_shl(self.slot_bits)) | slot
    }

    /// The slot that an XID names; it may be out of range or of another life.
    pub(crate) fn slot(self, xid: u32) -> u32 {
        xid & ((1 << self.slot_bits) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::XidSpace;

    #[test]
    fn slot_survives_the_round_trip_and_lives_differ() {
        for slots in [1, 2, 3, 64, 71, 1024] {
            let space = XidSpace::new(slots, 0xdead_beef);
            for slot in 0..slots {
                let (first, second) = (space.xid(slot, 0), space.xid(slot, 1));
                assert_eq!(space.slot(first), slot);
                assert_eq!(space.slot(second), slot);
                assert_ne!(first, second);
            }
        }
    }

    #[test]
    fn lives_wrap_without_touching_the_slot() {
        let space = XidSpace::new(64, u32::MAX);
        assert_eq!(space.slot(space.xid(63, u32::MAX)), 63);
    }
}
