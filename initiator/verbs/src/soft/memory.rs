//! Bytes between registered memory. Nothing here makes a Rust reference into it.
//!
//! Callers have checked every range against the key table and still hold it for reading, so the
//! ranges are registered, hence mapped, for the length of the call.

use std::ptr;

use crate::Sge;

/// Copies what `sges` name, in order, to `to`.
///
/// # Safety
/// Every range is registered for the length of the call; `to` has room for all of them. All of it
/// is lent to the fabric by posted work requests or by a remote key.
pub(super) unsafe fn gather(sges: &[Sge], to: u64) {
    let mut to = to as *mut u8;
    for sge in sges {
        let len = sge.length as usize;
        // SAFETY: per the function's contract; `copy` because a peer may be given the same memory.
        unsafe {
            ptr::copy(sge.addr as *const u8, to, len);
            to = to.add(len);
        }
    }
}

/// Copies from `from` into what `sges` name, in order.
///
/// # Safety
/// As [`gather`], the other way round.
pub(super) unsafe fn scatter(from: u64, sges: &[Sge]) {
    let mut from = from as *const u8;
    for sge in sges {
        let len = sge.length as usize;
        // SAFETY: as in `gather`.
        unsafe {
            ptr::copy(from, sge.addr as *mut u8, len);
            from = from.add(len);
        }
    }
}

/// A checksum over what `sges` name: any change of one word changes it.
///
/// # Safety
/// Every range is registered for the length of the call and lent by a posted work request.
pub(super) unsafe fn checksum(sges: &[Sge]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, word: u64| (sum.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER);
    let mut sum = MULTIPLIER;
    for sge in sges {
        let (mut at, mut left) = (sge.addr as *const u8, sge.length as usize);
        while left > 0 {
            let mut word = [0_u8; 8];
            let step = left.min(word.len());
            // SAFETY: `step` bytes of the range are left; `word` is ours.
            unsafe {
                ptr::copy_nonoverlapping(at, word.as_mut_ptr(), step);
                at = at.add(step);
            }
            left -= step;
            sum = mix(sum, u64::from_le_bytes(word));
        }
        sum = mix(sum, u64::from(sge.length));
    }
    sum
}
