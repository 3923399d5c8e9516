use proptest::prelude::*;

use super::*;
use crate::codec::tests::round_trip;

fn strings() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..=STRING_MAX as usize)
}

proptest! {
    #[test]
    fn registrations_round_trip(
        prog: u32, vers: u32, netid in strings(), addr in strings(), owner in strings(),
    ) {
        let (netid, addr, owner) = (Text(&netid), Text(&addr), Text(&owner));
        round_trip(&Rpcb { prog, vers, netid, addr, owner }, &mut [0; 512]);
    }

    #[test]
    fn the_port_is_read_from_any_address(host in "[0-9a-f:.]{1,40}", port in 1u16..) {
        let [high, low] = port.to_be_bytes();
        let address = format!("{host}.{high}.{low}");
        prop_assert_eq!(Text(address.as_bytes()).port(), Some(port));
    }

    #[test]
    fn no_address_makes_it_panic(address in strings()) {
        let _ = Text(&address).port();
    }
}

#[test]
fn what_is_no_address_has_no_port() {
    for address in ["", ".", "::", "::.0.0", "78.80", "::.256.1", "::.1.256", "::.1.", "::..1"] {
        assert_eq!(Text(address.as_bytes()).port(), None, "{address}");
    }
    assert_eq!(Text(b"::.78.80").port(), Some(20_048));
}

#[test]
fn a_string_longer_than_any_address_is_refused() {
    let mut long = [0; 136];
    long[3] = 129;
    assert!(Reader::new(&long).value::<Text<'_>>().is_err());
}
