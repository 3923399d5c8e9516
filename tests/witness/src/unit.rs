//! What the witness writes: units of 4 KiB, each of which says which it is and of which write, all
//! of whose bytes follow from that.

/// Bytes of a unit.
pub(crate) const UNIT: usize = 4096;

const MAGIC: u64 = u64::from_le_bytes(*b"witness\n");

/// Fills a unit with what write `write` has for the unit of this number.
pub(crate) fn seal(unit: &mut [u8], number: u64, write: u64) {
    let mut state = number << 32 ^ write;
    let head = [MAGIC, number, write].into_iter();
    let words = head.chain(std::iter::repeat_with(|| next(&mut state)));
    for (bytes, word) in unit.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
}

/// splitmix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// What was found in the place of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing was ever written there: zeros, or the end of the file.
    Nothing,
    /// What this write wrote there, to the last byte.
    Write(u64),
    /// Anything else.
    Rubbish,
}

/// Looks at the place of unit `number`; a short one is the end of the file.
pub(crate) fn look(unit: &[u8], number: u64) -> Found {
    if unit.iter().all(|&byte| byte == 0) {
        return Found::Nothing;
    }
    let Some(write) = unit.get(16..24).and_then(|bytes| bytes.try_into().ok()) else {
        return Found::Rubbish;
    };
    let write = u64::from_le_bytes(write);
    let mut expected = [0; UNIT];
    seal(&mut expected, number, write);
    if unit == expected { Found::Write(write) } else { Found::Rubbish }
}
