//! The header in front of what is checked: fio's, so that fio checks what we wrote and we what fio
//! wrote.
//!
//! ```text
//!  0  magic           2  kind of sum      4  length of block and header
//!  8  seed           16  offset in the file
//! 24  seconds        28  nanoseconds     32  thread     34  number of the write
//! 36  CRC-32C of the 36 bytes before
//! 40  the sum of what follows
//! ```
//! Little-endian throughout. fio keeps the seed of the block's random data in the seed; here it is
//! who wrote the block and with which write.

use super::Stamp;
use super::sum::{Sum, crc32c_of};

/// Bytes of the header, without the sum.
const HEADER_BYTES: usize = 40;
const MAGIC: u16 = 0xacca;
const CRC_AT: usize = 36;

/// Bytes that a header and its sum take.
pub(crate) fn header_bytes(sum: Sum) -> usize {
    HEADER_BYTES + sum.field_bytes()
}

fn seed(stamp: Stamp, writer: u32) -> u64 {
    u64::from(writer) << 32 | u64::from(stamp.generation.unwrap_or(0))
}

/// Puts a header in front of `block`, which holds data.
pub(super) fn seal(block: &mut [u8], sum: Sum, stamp: Stamp, writer: u32, thread: u16) {
    let (digest, digest_len) = sum.digest(&block[header_bytes(sum)..]);
    let len = block.len() as u32;
    let header = &mut block[..HEADER_BYTES];
    header[0..2].copy_from_slice(&MAGIC.to_le_bytes());
    header[2..4].copy_from_slice(&sum.code().to_le_bytes());
    header[4..8].copy_from_slice(&len.to_le_bytes());
    header[8..16].copy_from_slice(&seed(stamp, writer).to_le_bytes());
    header[16..24].copy_from_slice(&stamp.offset.to_le_bytes());
    header[24..32].fill(0);
    header[32..34].copy_from_slice(&thread.to_le_bytes());
    let write = stamp.generation.unwrap_or(1).wrapping_sub(1) as u16;
    header[34..36].copy_from_slice(&write.to_le_bytes());
    let crc = crc32c_of(&header[..CRC_AT]);
    header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    block[HEADER_BYTES..HEADER_BYTES + digest_len].copy_from_slice(&digest[..digest_len]);
}

/// Who wrote a block, and with which write.
pub(super) struct Author {
    pub(super) writer: u32,
    pub(super) generation: u32,
    pub(super) thread: u16,
}

/// What a sound header says of who wrote it.
pub(super) fn author(block: &[u8]) -> Option<Author> {
    let header = block.get(..HEADER_BYTES)?;
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let word = |at: usize| u32::from(half(at)) | u32::from(half(at + 2)) << 16;
    let sound = half(0) == MAGIC && word(CRC_AT) == crc32c_of(&header[..CRC_AT]);
    sound.then(|| Author { writer: word(12), generation: word(8), thread: half(32) })
}

/// Have two blocks the same sum in their headers?
pub(super) fn is_same_sum(one: &[u8], other: &[u8], sum: Sum) -> bool {
    let range = HEADER_BYTES..header_bytes(sum);
    one.get(range.clone()) == other.get(range)
}

/// Checks a block and its header.
pub(super) fn check(block: &[u8], sum: Sum, stamp: Stamp, writer: u32) -> Result<(), String> {
    if block.len() <= header_bytes(sum) {
        return Err(format!("a block of {} bytes holds no header", block.len()));
    }
    let word = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap_or_default());
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    let magic = word(0) as u16;
    if magic != MAGIC {
        return Err(format!(
            "bad magic: expected {MAGIC:#06x}, found {magic:#06x}; this block was not written with verify={}",
            sum.name()
        ));
    }
    let (expected, found) = (crc32c_of(&block[..CRC_AT]), word(CRC_AT));
    if expected != found {
        return Err(format!("bad header checksum: expected {expected:#010x}, found {found:#010x}"));
    }
    expect("kind of checksum", sum.code().into(), (word(0) >> 16).into())?;
    expect("length", block.len() as u64, word(4).into())?;
    expect("offset", stamp.offset, long(16))?;
    // Only who wrote the block knows who did and when.
    if stamp.generation.is_some() {
        expect("writer", writer.into(), long(8) >> 32)?;
        expect("write number", u64::from(stamp.generation.unwrap_or(0)), long(8) & 0xffff_ffff)?;
    }
    let (digest, len) = sum.digest(&block[header_bytes(sum)..]);
    let stored = &block[HEADER_BYTES..HEADER_BYTES + len];
    if stored != &digest[..len] {
        return Err(format!(
            "bad data checksum ({}): expected {}, found {}",
            sum.name(),
            hex(stored),
            hex(&digest[..len])
        ));
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn expect(what: &str, expected: u64, found: u64) -> Result<(), String> {
    match expected == found {
        true => Ok(()),
        false => Err(format!("wrong {what}: expected {expected}, found {found}")),
    }
}
