use nfs3_types::portmap as peer;
use nfs3_types::xdr_codec::Pack;
use proptest::prelude::*;

use super::*;
use crate::codec::tests::round_trip;

proptest! {
    #[test]
    fn mappings_round_trip_and_agree_with_another_implementation(
        prog: u32, vers: u32, prot: u32, port: u32,
    ) {
        let mut theirs = Vec::new();
        peer::mapping { prog, vers, prot, port }.pack(&mut theirs).unwrap();
        let ours = Mapping { prog, vers, prot, port };
        let mut out = [0; 16];
        prop_assert_eq!(round_trip(&ours, &mut out), &theirs[..]);
    }

    #[test]
    fn ports_round_trip(port in 1u16..) {
        round_trip(&Port(Some(port)), &mut [0; 4]);
    }
}

#[test]
fn port_0_says_that_the_program_is_not_registered() {
    assert_eq!(round_trip(&Port(None), &mut [0; 4]), [0; 4]);
}

#[test]
fn a_port_beyond_65535_is_refused() {
    let refused = Reader::new(&65_536u32.to_be_bytes()).value::<Port>();
    assert_eq!(refused, Err(DecodeError::Value { what: "port", offset: 0, found: 65_536 }));
}
