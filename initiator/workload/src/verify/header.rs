//! The header of `verify=crc32c`.
//!
//! ```text
//!  0  magic          4  block length     8  offset in the file
//! 16  generation    20  writer          24  CRC-32C of the data
//! 28  CRC-32C of the 28 bytes before
//! ```
//! Little-endian throughout.

use super::Stamp;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 32;
const MAGIC: u32 = 0x1057_b10c;

struct Header {
    len: u32,
    offset: u64,
    generation: u32,
    writer: u32,
    data_crc: u32,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.generation.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.writer.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.data_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Header, String> {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        let magic = word(0);
        if magic != MAGIC {
            return Err(format!(
                "bad magic: expected {MAGIC:#010x}, found {magic:#010x}; this block was not written with verify=crc32c"
            ));
        }
        let (expected, found) = (crc32c::crc32c(&bytes[..28]), word(28));
        if expected != found {
            return Err(format!(
                "bad header checksum: expected {expected:#010x}, found {found:#010x}"
            ));
        }
        Ok(Header {
            len: word(4),
            offset: u64::from(word(8)) | u64::from(word(12)) << 32,
            generation: word(16),
            writer: word(20),
            data_crc: word(24),
        })
    }
}

pub(super) fn seal(block: &mut [u8], stamp: Stamp, writer: u32) {
    let header = Header {
        len: block.len() as u32,
        offset: stamp.offset,
        generation: stamp.generation.unwrap_or(0),
        writer,
        data_crc: crc32c::crc32c(&block[HEADER_BYTES..]),
    };
    block[..HEADER_BYTES].copy_from_slice(&header.encode());
}

pub(super) fn check(block: &[u8], stamp: Stamp, writer: u32) -> Result<(), String> {
    let Some((front, data)) = block.split_first_chunk::<HEADER_BYTES>() else {
        return Err(format!("a block of {} bytes holds no header", block.len()));
    };
    let header = Header::decode(front)?;
    expect("length", block.len() as u64, header.len.into())?;
    expect("offset", stamp.offset, header.offset)?;
    // Only who wrote the block knows who did and when.
    if let Some(generation) = stamp.generation {
        expect("writer", writer.into(), header.writer.into())?;
        expect("write number", generation.into(), header.generation.into())?;
    }
    let found = crc32c::crc32c(data);
    if found != header.data_crc {
        return Err(format!(
            "bad data checksum: expected {:#010x}, found {found:#010x}",
            header.data_crc
        ));
    }
    Ok(())
}

fn expect(what: &str, expected: u64, found: u64) -> Result<(), String> {
    match expected == found {
        true => Ok(()),
        false => Err(format!("wrong {what}: expected {expected}, found {found}")),
    }
}
