//! Checksums of `verify=`, at what a header says of them.

use crc::{Algorithm, Crc, Table};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use sha3::{Sha3_224, Sha3_256, Sha3_384, Sha3_512};

/// Longest digest.
pub(super) const DIGEST_BYTES_MAX: usize = 64;
/// fio's seed for xxhash.
const XXHASH_SEED: u32 = 1;

/// What a header carries besides itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// Nothing: the header is all there is to check.
    Meta,
    /// Nothing: the pattern around it is checked too.
    PatternHeader,
    /// RFC 1321.
    Md5,
    /// ISO polynomial of Jones, nothing inverted.
    Crc64,
    /// 0x04c11db7, most significant bit first, nothing inverted.
    Crc32,
    /// Castagnoli.
    Crc32c,
    /// 0x8005, reflected.
    Crc16,
    /// 0x09.
    Crc7,
    /// FIPS 180.
    Sha1,
    /// FIPS 180.
    Sha256,
    /// FIPS 180.
    Sha512,
    /// FIPS 202.
    Sha3_224,
    /// FIPS 202.
    Sha3_256,
    /// FIPS 202.
    Sha3_384,
    /// FIPS 202.
    Sha3_512,
    /// XXH32.
    Xxhash,
}

/// Name, number in a header (fio's), and the bytes that the digest has there.
struct Known {
    sum: Sum,
    name: &'static str,
    code: u16,
    field_bytes: usize,
}

#[rustfmt::skip]
const KNOWN: [Known; 16] = [
    known(Sum::Crc32c, "crc32c", 5, 4),
    known(Sum::Md5, "md5", 2, 16),
    known(Sum::Crc64, "crc64", 3, 8),
    known(Sum::Crc32, "crc32", 4, 4),
    known(Sum::Crc16, "crc16", 7, 2),
    known(Sum::Crc7, "crc7", 8, 1),
    known(Sum::Sha1, "sha1", 16, 20),
    // fio keeps more room than a digest of these has.
    known(Sum::Sha256, "sha256", 9, 64),
    known(Sum::Sha512, "sha512", 10, 128),
    known(Sum::Sha3_224, "sha3-224", 11, 28),
    known(Sum::Sha3_256, "sha3-256", 12, 32),
    known(Sum::Sha3_384, "sha3-384", 13, 48),
    known(Sum::Sha3_512, "sha3-512", 14, 64),
    known(Sum::Xxhash, "xxhash", 15, 4),
    known(Sum::Meta, "meta", 1, 0),
    known(Sum::PatternHeader, "pattern_hdr", 17, 0),
];

const fn known(sum: Sum, name: &'static str, code: u16, field_bytes: usize) -> Known {
    Known { sum, name, code, field_bytes }
}

const CRC_64: Algorithm<u64> = Algorithm { init: 0, xorout: 0, ..crc::CRC_64_REDIS };
const CRC_32: Algorithm<u32> = Algorithm { init: 0, xorout: 0, ..crc::CRC_32_CKSUM };
static CRC64: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64);
static CRC32: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32);
static CRC16: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&crc::CRC_16_ARC);
static CRC7: Crc<u8> = Crc::<u8>::new(&crc::CRC_7_MMC);

impl Sum {
    /// The one of this name.
    pub fn of(name: &str) -> Option<Sum> {
        let name = if name == "crc32c-intel" { "crc32c" } else { name };
        KNOWN.iter().find(|known| known.name == name).map(|known| known.sum)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|known| known.name)
    }

    fn known(self) -> &'static Known {
        // Every one is in the table, which the tests go through.
        KNOWN.iter().find(|known| known.sum == self).unwrap_or(&KNOWN[0])
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.known().name
    }

    pub(super) fn code(self) -> u16 {
        self.known().code
    }

    /// Bytes of its field in a header.
    pub(super) fn field_bytes(self) -> usize {
        self.known().field_bytes
    }

    /// The digest of `data`, and how long it is.
    pub(super) fn digest(self, data: &[u8]) -> ([u8; DIGEST_BYTES_MAX], usize) {
        let mut out = [0; DIGEST_BYTES_MAX];
        let mut put = |bytes: &[u8]| {
            out[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        };
        let len = match self {
            Sum::Meta | Sum::PatternHeader => 0,
            Sum::Md5 => put(&Md5::digest(data)),
            Sum::Crc64 => put(&CRC64.checksum(data).to_le_bytes()),
            Sum::Crc32 => put(&CRC32.checksum(data).to_le_bytes()),
            Sum::Crc32c => put(&crc32c_of(data).to_le_bytes()),
            Sum::Crc16 => put(&CRC16.checksum(data).to_le_bytes()),
            Sum::Crc7 => put(&[CRC7.checksum(data)]),
            Sum::Sha1 => put(&words_turned(&Sha1::digest(data))),
            Sum::Sha256 => put(&Sha256::digest(data)),
            Sum::Sha512 => put(&Sha512::digest(data)),
            Sum::Sha3_224 => put(&Sha3_224::digest(data)),
            Sum::Sha3_256 => put(&Sha3_256::digest(data)),
            Sum::Sha3_384 => put(&Sha3_384::digest(data)),
            Sum::Sha3_512 => put(&Sha3_512::digest(data)),
            Sum::Xxhash => {
                let hash = twox_hash::XxHash32::oneshot(XXHASH_SEED, data);
                put(&hash.to_le_bytes())
            }
        };
        (out, len)
    }
}

/// CRC-32C without the inversion at the end, as in fio's headers.
pub(super) fn crc32c_of(data: &[u8]) -> u32 {
    !crc32c::crc32c(data)
}

/// fio stores SHA-1's words least significant byte first.
fn words_turned(digest: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    for (to, from) in out.iter_mut().zip(digest.chunks(4).flat_map(|word| word.iter().rev())) {
        *to = *from;
    }
    out
}
