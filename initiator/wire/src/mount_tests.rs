use nfs3_types::mount as peer;
use nfs3_types::xdr_codec::{List, Opaque, Pack, Unpack};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::codec::tests::{ROOM, hostile_bytes, round_trip, survives};

fn packed(value: &impl Pack) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.pack(&mut bytes).unwrap();
    bytes
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

type Listed = Vec<(Vec<u8>, Vec<Vec<u8>>)>;

fn exports() -> impl Strategy<Value = Listed> {
    vec((vec(any::<u8>(), 0..80), vec(vec(any::<u8>(), 0..20), 0..4)), 0..8)
}

fn write<'o>(list: &Listed, out: &'o mut [u8]) -> &'o [u8] {
    let mut w = Writer::new(out);
    let exports =
        list.iter().map(|(path, groups)| (path.as_slice(), groups.iter().map(Vec::as_slice)));
    Exports::write(exports, &mut w).unwrap();
    let len = w.position();
    &out[..len]
}

proptest! {
    #[test]
    fn mounts_round_trip_and_agree_with_another_implementation(
        handle in vec(any::<u8>(), 0..=64), flavors in vec(any::<u32>(), 0..=FLAVORS_MAX),
    ) {
        let theirs = packed(&peer::mountres3::Ok(peer::mountres3_ok {
            fhandle: peer::fhandle3(Opaque::borrowed(&handle)),
            auth_flavors: flavors.clone(),
        }));
        let handle = FileHandle::from_bytes(&handle).unwrap();
        let seen = Flavors::from_slice(&flavors).unwrap();
        let mut out = [0; ROOM];
        let bytes = round_trip(&MountRes::Ok(MountOk { handle, flavors: seen }), &mut out);
        prop_assert_eq!(bytes, &theirs[..]);
        peer::mountres3::unpack(&mut &bytes[..]).unwrap();
        prop_assert_eq!(seen.as_slice(), &flavors[..]);
    }

    #[test]
    fn failures_round_trip(code in 1u32..) {
        let ours = MountRes::Err(code.into());
        let mut out = [0; 4];
        prop_assert_eq!(round_trip(&ours, &mut out), code.to_be_bytes());
    }

    #[test]
    fn paths_round_trip(path in vec(any::<u8>(), 0..=PATH_MAX as usize)) {
        round_trip(&DirPath(&path), &mut [0; ROOM]);
    }

    #[test]
    fn exports_round_trip_and_agree_with_another_implementation(list in exports()) {
        let mut out = [0; ROOM];
        let bytes = write(&list, &mut out);
        let theirs = List(
            list.iter()
                .map(|(path, groups)| peer::export_node {
                    ex_dir: peer::dirpath(Opaque::borrowed(path)),
                    ex_groups: List(
                        groups.iter().map(|name| peer::name(Opaque::borrowed(name))).collect(),
                    ),
                })
                .collect(),
        );
        prop_assert_eq!(bytes, packed(&theirs));
        let decoded: Exports = Reader::new(bytes).value().unwrap();
        round_trip(&decoded, &mut [0; ROOM]);
        let seen: Listed = decoded
            .iter()
            .map(|export| {
                (export.path.to_vec(), export.groups.iter().map(<[u8]>::to_vec).collect())
            })
            .collect();
        prop_assert_eq!(seen, list);
    }

    #[test]
    fn hostile_bytes_are_no_danger(bytes in hostile_bytes()) {
        survives::<DirPath>(&bytes, &mut [0; ROOM]);
        survives::<MountRes>(&bytes, &mut [0; ROOM]);
        survives::<Exports>(&bytes, &mut [0; ROOM]);
        if let Ok(exports) = Reader::new(&bytes).value::<Exports>() {
            prop_assert!(exports.iter().flat_map(|e| e.groups.iter()).count() <= bytes.len() / 8);
        }
    }
}

#[test]
fn every_listed_failure_has_its_name_and_another_implementation_knows_it() {
    for status in MountStatus::ALL {
        let bytes = u32::from(*status).to_be_bytes();
        let (theirs, _) = peer::mountstat3::unpack(&mut &bytes[..]).unwrap();
        let name = theirs.to_string();
        assert!(status.to_string().starts_with(&format!("{name} (")), "{status}");
    }
    assert_eq!(MountStatus::Access.to_string(), "MNT3ERR_ACCES (permission denied)");
    assert_eq!(MountStatus::Other(99).to_string(), "MOUNT status 99 (unknown)");
}

#[test]
fn more_flavors_than_there_is_room_for_are_refused() {
    for count in [FLAVORS_MAX as u32 + 1, u32::MAX] {
        let refused = Reader::new(&bytes_of(&[0, 0, count])).value::<MountRes>();
        assert!(matches!(refused, Err(DecodeError::TooLong { what: "count of flavors", .. })));
    }
    assert_eq!(Flavors::from_slice(&[1; FLAVORS_MAX + 1]), None);
}

#[test]
fn a_handle_of_65_bytes_is_refused() {
    let refused = Reader::new(&bytes_of(&[0, 65])).value::<MountRes>();
    assert!(matches!(refused, Err(DecodeError::TooLong { found: 65, max: 64, .. })));
}

#[test]
fn a_list_that_never_ends_stops_at_its_limit() {
    let groups = bytes_of(&[1, 0]).repeat(GROUPS_MAX as usize + 1);
    let exports = bytes_of(&[1, 0, 0]).repeat(EXPORTS_MAX as usize + 1);
    let too_many = |bytes: &[u8]| Reader::new(bytes).value::<Exports>().unwrap_err();
    assert!(matches!(
        too_many(&[&bytes_of(&[1, 0])[..], &groups].concat()),
        DecodeError::TooLong { what: "count of groups", max: GROUPS_MAX, .. }
    ));
    assert!(matches!(
        too_many(&exports),
        DecodeError::TooLong { what: "count of exports", max: EXPORTS_MAX, .. }
    ));
    assert!(matches!(too_many(&exports[..120]), DecodeError::Short { left: 0, .. }));
}
