//! What the tests of all codecs share, and the codecs of plain values.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer};

/// Room for whatever a test encodes.
pub(crate) const ROOM: usize = 16 * 1024;

/// Encodes, checks that decoding gives the value back, that every truncation of the bytes is
/// refused, and that every output that is too small is noticed. Returns the bytes.
pub(crate) fn round_trip<'a, T>(value: &T, out: &'a mut [u8]) -> &'a [u8]
where
    T: Encode + Decode<'a> + PartialEq + Debug,
{
    let mut w = Writer::new(out);
    w.value(value).unwrap();
    let len = w.position();
    assert_eq!(len % 4, 0, "XDR is made of words");
    for room in (0..len).step_by(4) {
        let full = Writer::new(&mut vec![0; room]).value(value).unwrap_err();
        assert!(full.needed > room && full.room == room, "{full:?} in room for {room}");
    }
    let bytes = &out[..len];
    let mut r = Reader::new(bytes);
    assert_eq!(&r.value::<T>().unwrap(), value);
    r.finish().unwrap();
    for cut in 0..len {
        let short = Reader::new(&bytes[..cut]).value::<T>().unwrap_err();
        assert!(matches!(short, DecodeError::Short { .. }), "{short:?} of {cut} bytes of {len}");
    }
    bytes
}

/// Decodes any bytes. What decodes must survive encoding: both codecs have the same idea of it.
pub(crate) fn survives<'a, T>(bytes: &'a [u8], out: &'a mut [u8])
where
    T: Encode + Decode<'a> + PartialEq + Debug,
{
    let Ok(value) = Reader::new(bytes).value::<T>() else { return };
    let mut w = Writer::new(out);
    w.value(&value).unwrap();
    let len = w.position();
    let again = Reader::new(&out[..len]).value::<T>();
    assert_eq!(again.as_ref(), Ok(&value));
}

/// Bytes that get further into a decoder than random ones: words that are often small, as
/// discriminants and lengths are, and an odd end.
pub(crate) fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        6 => 0u32..4,
        2 => 4u32..70,
        1 => Just(u32::MAX),
        1 => any::<u32>(),
    ];
    (vec(word, 0..120), vec(any::<u8>(), 0..4)).prop_map(|(words, end)| {
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
        bytes.extend(end);
        bytes
    })
}

proptest! {
    #[test]
    fn plain_values_round_trip(a: u32, b: u64, c: bool, d: [u8; 8], e: Option<u64>) {
        let mut out = [0; 64];
        round_trip(&a, &mut out);
        round_trip(&b, &mut out);
        round_trip(&c, &mut out);
        round_trip(&d, &mut out);
        round_trip(&e, &mut out);
        round_trip(&(), &mut out);
    }
}

#[test]
fn full_says_what_was_missing() {
    let full = Writer::new(&mut [0; 2]).value(&7u32).unwrap_err();
    assert_eq!(full, Full { needed: 4, room: 2 });
}
