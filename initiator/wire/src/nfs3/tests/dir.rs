//! Directory listings: what a server builds is what a client sees, within the limit it gave.

use nfs3_types::nfs3 as peer;
use nfs3_types::xdr_codec::{List, Opaque};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::super::*;
use super::values::{agree, agree_in, fattr, handle, name, p_attr, p_handle, p_option};
use crate::codec::tests::{ROOM, hostile_bytes, survives};
use crate::xdr::{DecodeError, Reader, Writer};

type Parts = (u64, Vec<u8>, u64, PostOpAttr, Option<FileHandle>);

fn entries() -> impl Strategy<Value = Vec<Parts>> {
    vec((any::<u64>(), name(), any::<u64>(), of(fattr()), of(handle())), 0..8)
}

fn entry((fileid, name, cookie, attributes, handle): &Parts) -> Entry<'_> {
    let (fileid, cookie, attributes, handle) = (*fileid, *cookie, *attributes, *handle);
    Entry { fileid, name, cookie, attributes, handle }
}

fn p_entry(entry: &Entry<'_>) -> peer::entryplus3<'static> {
    peer::entryplus3 {
        fileid: entry.fileid,
        name: peer::filename3(Opaque::owned(entry.name.to_vec())),
        cookie: entry.cookie,
        name_attributes: p_attr(&entry.attributes),
        name_handle: p_option(&entry.handle, p_handle),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_client_sees_what_a_server_lists(
        parts in entries(), attributes in of(fattr()), verifier: [u8; 8], eof: bool,
    ) {
        let (mut buffer, mut out) = ([0xaa; ROOM], [0; ROOM]);
        let mut builder = EntriesBuilder::new(&mut buffer, ROOM).unwrap();
        for parts in &parts {
            prop_assert!(builder.push(&entry(parts)));
        }
        prop_assert_eq!(builder.is_empty(), parts.is_empty());
        let entries = builder.finish();
        prop_assert_eq!(entries.len(), parts.len());
        prop_assert!(entries.iter().eq(parts.iter().map(entry)));
        let theirs = peer::READDIRPLUS3res::Ok(peer::READDIRPLUS3resok {
            dir_attributes: p_attr(&attributes),
            cookieverf: peer::cookieverf3(verifier),
            reply: peer::dirlistplus3 {
                entries: List(parts.iter().map(entry).map(|entry| p_entry(&entry)).collect()),
                eof,
            },
        });
        let ours = ReaddirplusRes::Ok(ReaddirplusOk { attributes, verifier, entries, eof });
        agree_in(&ours, &theirs, &mut out);
    }

    #[test]
    fn a_listing_fills_its_limit_and_never_exceeds_it(parts in entries(), maxcount in 0u32..3000) {
        let (mut buffer, mut out) = ([0; ROOM], [0; ROOM]);
        let Some(mut builder) =
            EntriesBuilder::new(&mut buffer, ReaddirplusOk::entries_room(maxcount))
        else {
            prop_assert!(maxcount < 104);
            return Ok(());
        };
        let fitted = parts.iter().take_while(|parts| builder.push(&entry(parts))).count();
        let attributes = Some(super::sizes::FATTR_LARGEST);
        let entries = builder.finish();
        let ok = ReaddirplusOk { attributes, verifier: [1; 8], entries, eof: true };
        let mut w = Writer::new(&mut out);
        w.value(&ok).unwrap();
        prop_assert!(w.position() <= maxcount as usize);
        prop_assert_eq!(entries.len(), fitted);
        if let Some(next) = parts.get(fitted) {
            prop_assert!(w.position() + entry(next).size() > maxcount as usize);
        }
    }

    #[test]
    fn arguments(dir in handle(), cookie: u64, verifier: [u8; 8], dircount: u32, maxcount: u32) {
        agree(
            &ReaddirplusArgs { dir, cookie, verifier, dircount, maxcount },
            &peer::READDIRPLUS3args {
                dir: p_handle(&dir),
                cookie,
                cookieverf: peer::cookieverf3(verifier),
                dircount,
                maxcount,
            },
        );
    }

    #[test]
    fn hostile_listings_are_no_danger(bytes in hostile_bytes()) {
        survives::<ReaddirplusRes>(&bytes, &mut [0; ROOM]);
        survives::<Entry>(&bytes, &mut [0; ROOM]);
        if let Ok(entries) = Reader::new(&bytes).value::<Entries>() {
            prop_assert_eq!(entries.iter().count(), entries.len());
        }
    }
}

/// The smallest entry, with the word that announces it.
fn smallest() -> Vec<u8> {
    [&1u32.to_be_bytes()[..], &[0; 28]].concat()
}

#[test]
fn a_list_that_never_ends_is_short_or_too_long() {
    let endless = smallest().repeat(ENTRIES_MAX as usize + 1);
    let too_long = DecodeError::TooLong {
        what: "count of entries",
        offset: 32 * ENTRIES_MAX as usize,
        found: ENTRIES_MAX + 1,
        max: ENTRIES_MAX,
    };
    assert_eq!(Reader::new(&endless).value::<Entries>(), Err(too_long));
    let short = Reader::new(&endless[..320]).value::<Entries>();
    assert!(matches!(short, Err(DecodeError::Short { offset: 320, left: 0, .. })));
}

#[test]
fn the_longest_list_that_is_accepted_can_be_built() {
    let mut buffer = vec![0; 32 * ENTRIES_MAX as usize + 64];
    let room = buffer.len();
    let entry = Entry { fileid: 0, name: b"", cookie: 0, attributes: None, handle: None };
    let mut builder = EntriesBuilder::new(&mut buffer, room).unwrap();
    for _ in 0..ENTRIES_MAX {
        assert!(builder.push(&entry));
    }
    assert!(!builder.push(&entry), "one more would not decode");
    assert_eq!(builder.finish().iter().count(), ENTRIES_MAX as usize);
}

#[test]
fn a_name_of_256_bytes_is_refused_where_it_stands() {
    let mut bytes = smallest();
    bytes[14] = 1;
    bytes.resize(1024, 0);
    let refused = Reader::new(&bytes).value::<Entries>();
    assert_eq!(
        refused,
        Err(DecodeError::TooLong { what: "opaque", offset: 12, found: 256, max: NAME_MAX })
    );
}

#[test]
fn an_entry_fits_exactly_when_the_end_of_the_list_fits_behind_it() {
    let entry = Entry { fileid: 1, name: b"name", cookie: 2, attributes: None, handle: None };
    let needed = entry.size() + 4;
    for room in 4..needed + 8 {
        let mut buffer = [0xaa; 64];
        let mut builder = EntriesBuilder::new(&mut buffer, room).unwrap();
        assert_eq!(builder.push(&entry), room >= needed, "room for {room} of {needed}");
        let entries = builder.finish();
        assert_eq!(entries.iter().count(), usize::from(room >= needed));
    }
}

#[test]
fn an_empty_list_is_one_word() {
    let mut buffer = [0xaa; 4];
    let entries = EntriesBuilder::new(&mut buffer, 4).unwrap().finish();
    assert_eq!(entries, Entries::EMPTY);
    assert_eq!(entries.iter().count(), 0);
    assert!(EntriesBuilder::new(&mut [0; 3], 4).is_none());
}
