use super::*;
use proptest::prelude::*;

#[test]
fn a_negative_length_is_a_huge_one_and_refused() {
    let bytes = (-1i32).to_be_bytes();
    let error = Reader::new(&bytes).opaque(64).unwrap_err();
    assert_eq!(error, DecodeError::TooLong { what: "opaque", offset: 0, found: u32::MAX, max: 64 });
    assert!(matches!(Reader::new(&bytes).opaque(u32::MAX), Err(DecodeError::Short { .. })));
}

#[test]
fn a_missing_pad_is_a_missing_byte() {
    let bytes = [0, 0, 0, 1, b'x', 0, 0];
    assert!(matches!(Reader::new(&bytes).opaque(8), Err(DecodeError::Short { needed: 4, .. })));
}

#[test]
fn a_bool_is_zero_or_one() {
    assert!(matches!(
        Reader::new(&[0, 0, 0, 2]).bool(),
        Err(DecodeError::Value { what: "bool", found: 2, offset: 0 })
    ));
}

#[test]
fn trailing_bytes_are_named() {
    let mut r = Reader::new(&[0, 0, 0, 1, 9]);
    r.u32().unwrap();
    assert_eq!(r.finish(), Err(DecodeError::Trailing { offset: 4, left: 1 }));
}

#[test]
fn a_full_writer_tells_how_much_would_have_been_needed() {
    let mut out = [0; 6];
    let mut w = Writer::new(&mut out);
    w.u32(1).unwrap();
    assert_eq!(w.u32(2), Err(Full { needed: 8, room: 6 }));
    assert_eq!(w.sized::<12>(|_| Ok(())), Err(Full { needed: 16, room: 6 }));
    assert_eq!(w.position(), 4, "what does not fit leaves no trace");
}

proptest! {
    #[test]
    fn opaques_round_trip_and_stay_aligned(data in prop::collection::vec(any::<u8>(), 0..70)) {
        let mut out = [0xaa; 80];
        let mut w = Writer::new(&mut out);
        w.opaque(&data).unwrap();
        let written = w.position();
        prop_assert_eq!(written % 4, 0);
        let mut r = Reader::new(&out[..written]);
        prop_assert_eq!(r.opaque(70).unwrap(), &data[..]);
        r.finish().unwrap();
    }
}
