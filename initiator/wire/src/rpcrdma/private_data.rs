//! The connection's private data (RFC 8797 §4): inline thresholds and remote invalidation.

/// Bytes of the message.
pub const LEN: usize = 8;
/// The limit on inline messages without a valid exchange, bytes (RFC 8166 §3.3.3).
pub const INLINE_DEFAULT: u32 = 1024;

const MAGIC: u32 = 0xf6ab_0e18;
const VERSION: u8 = 1;
const FLAG_REMOTE_INVALIDATION: u8 = 1;
const UNIT: u32 = 1024;

/// What one side tells the other when the connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateData {
    /// Largest inline message this side will send: 1 KiB to 256 KiB in steps of 1 KiB.
    pub send_size: u32,
    /// Largest inline message it can receive; same steps.
    pub receive_size: u32,
    /// Whether its keys may be invalidated by the peer (the R flag).
    pub remote_invalidation: bool,
}

impl PrivateData {
    // req: 8797-4-2
    /// The message. Sizes are rounded down to the steps that the format knows.
    #[must_use]
    pub fn emit(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..4].copy_from_slice(&MAGIC.to_be_bytes());
        out[4] = VERSION;
        out[5] = if self.remote_invalidation { FLAG_REMOTE_INVALIDATION } else { 0 };
        out[6] = encode_size(self.send_size);
        out[7] = encode_size(self.receive_size);
        out
    }

    // req: 8797-4-3, 8797-5.2-1
    /// The message somewhere in `bytes`: others may have put something in front of it, and
    /// connection managers pad what they deliver. `None` when it is absent or of another version:
    /// the defaults are then in force.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let message = bytes.windows(LEN).find(|message| message[..4] == MAGIC.to_be_bytes())?;
        (message[4] == VERSION).then(|| Self {
            send_size: decode_size(message[6]),
            receive_size: decode_size(message[7]),
            remote_invalidation: message[5] & FLAG_REMOTE_INVALIDATION != 0,
        })
    }
}

fn encode_size(bytes: u32) -> u8 {
    (bytes / UNIT).clamp(1, 256).wrapping_sub(1) as u8
}

fn decode_size(code: u8) -> u32 {
    (u32::from(code) + 1) * UNIT
}

#[cfg(test)]
mod tests {
    use super::PrivateData;

    #[test]
    fn four_kibibytes_both_ways_as_on_the_wire() {
        let data = PrivateData { send_size: 4096, receive_size: 4096, remote_invalidation: false };
        assert_eq!(data.emit(), [0xf6, 0xab, 0x0e, 0x18, 1, 0, 3, 3]);
    }

    #[test]
    fn padding_behind_the_message_is_ignored() {
        let data =
            PrivateData { send_size: 1024, receive_size: 262_144, remote_invalidation: true };
        let mut padded = data.emit().to_vec();
        padded.resize(196, 0);
        assert_eq!(PrivateData::parse(&padded), Some(data));
    }

    // req: 8797-5.2-1
    #[test]
    fn the_message_is_found_behind_what_others_put_in_front_of_it() {
        let data = PrivateData { send_size: 4096, receive_size: 8192, remote_invalidation: true };
        for before in [1, 2, 3, 4, 20, 188] {
            let mut bytes = vec![0xf6; before];
            bytes.extend(data.emit());
            assert_eq!(PrivateData::parse(&bytes), Some(data), "{before} bytes in front");
            assert_eq!(PrivateData::parse(&bytes[..before + 7]), None, "and must be whole");
        }
    }

    // req: 8797-4-2, 8797-4-3
    #[test]
    fn flags_that_nobody_has_defined_are_sent_as_zero_and_ignored() {
        let data = PrivateData { send_size: 4096, receive_size: 4096, remote_invalidation: false };
        assert_eq!(data.emit()[5], 0);
        let mut other = data.emit();
        other[5] = 0xfe;
        assert_eq!(PrivateData::parse(&other), Some(data));
        let data = PrivateData { remote_invalidation: true, ..data };
        assert_eq!(data.emit()[5], 1);
        other[5] = 0xff;
        assert_eq!(PrivateData::parse(&other), Some(data));
    }

    // req: 8797-5.2-1
    #[test]
    fn absent_foreign_or_newer_private_data_is_none() {
        assert_eq!(PrivateData::parse(&[]), None);
        assert_eq!(PrivateData::parse(&[0; 196]), None);
        let mut newer =
            PrivateData { send_size: 4096, receive_size: 4096, remote_invalidation: false }.emit();
        newer[4] = 2;
        assert_eq!(PrivateData::parse(&newer), None);
    }
}
