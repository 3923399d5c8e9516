//! Bytes that no honest peer sends.

use proptest::prelude::*;

use super::super::*;
use crate::codec::tests::{ROOM, hostile_bytes, survives};
use crate::xdr::{DecodeError, Reader};

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

macro_rules! survive {
    ($bytes:expr, $($kind:ty),* $(,)?) => {
        $(survives::<$kind>($bytes, &mut [0; ROOM]);)*
    };
}

proptest! {
    #[test]
    fn hostile_arguments_are_no_danger(bytes in hostile_bytes()) {
        survive!(
            &bytes, GetattrArgs, SetattrArgs, LookupArgs, AccessArgs, ReadArgs, WriteArgs,
            CreateArgs, MkdirArgs, RenameArgs, ReaddirplusArgs, FsstatArgs, FsinfoArgs, CommitArgs,
        );
        let mut r = Reader::new(&bytes);
        if let Ok(args) = r.value::<WriteArgs>() {
            let _ = args.take_inline_data(&mut r);
        }
    }

    #[test]
    fn hostile_results_are_no_danger(bytes in hostile_bytes()) {
        survive!(
            &bytes, GetattrRes, SetattrRes, LookupRes, AccessRes, ReadRes, WriteRes, CreateRes,
            RemoveRes, RenameRes, FsstatRes, FsinfoRes, CommitRes,
        );
        let mut r = Reader::new(&bytes);
        if let Ok(Ok(read)) = r.value::<ReadRes>() {
            let _ = read.take_inline_data(&mut r);
        }
    }
}

fn read_ok(rest: &[u32]) -> Vec<u8> {
    // OK, no attributes.
    [words(&[0, 0]), words(rest)].concat()
}

#[test]
fn a_handle_with_a_negative_length_is_refused() {
    let refused = Reader::new(&words(&[u32::MAX])).value::<GetattrArgs>();
    assert!(matches!(refused, Err(DecodeError::TooLong { found: u32::MAX, max: 64, .. })));
}

#[test]
fn a_handle_of_65_bytes_is_refused() {
    let refused = Reader::new(&[words(&[65]), vec![0; 68]].concat()).value::<FileHandle>();
    assert!(matches!(refused, Err(DecodeError::TooLong { found: 65, .. })));
    assert_eq!(FileHandle::from_bytes(&[0; 65]), None);
}

#[test]
fn handles_that_differ_only_in_trailing_zeros_are_different() {
    let (a, b) = (FileHandle::from_bytes(&[7]), FileHandle::from_bytes(&[7, 0]));
    assert_ne!(a, b);
    assert_eq!(format!("{:?}", b.unwrap()), "FileHandle(0700)");
}

#[test]
fn a_read_whose_count_and_length_disagree_is_refused() {
    let refused = Reader::new(&read_ok(&[4, 1, 8, 0, 0])).value::<ReadRes>().unwrap_err();
    assert_eq!(refused.to_string(), "offset 16: 8 is no data length that agrees with the count");
}

#[test]
fn a_write_whose_count_and_length_disagree_is_refused() {
    let bytes = words(&[0, 0, 0, 4, 0, 5, 0, 0]);
    let refused = Reader::new(&bytes).value::<WriteArgs>();
    assert!(matches!(refused, Err(DecodeError::Value { offset: 20, found: 5, .. })));
}

#[test]
fn read_data_past_the_end_without_its_pad_or_with_more_behind_it_is_refused() {
    let take = |count: u32, data: &[u8]| {
        let bytes = [&read_ok(&[count, 1, count])[..], data].concat();
        let mut r = Reader::new(&bytes);
        let read = r.value::<ReadRes>().unwrap().unwrap();
        read.take_inline_data(&mut r).map(<[u8]>::to_vec)
    };
    assert_eq!(take(3, b"abc\0"), Ok(b"abc".to_vec()));
    assert!(matches!(take(3, b"abc"), Err(DecodeError::Short { needed: 4, left: 3, .. })));
    assert!(matches!(take(u32::MAX, b"abc\0"), Err(DecodeError::Short { left: 4, .. })));
    assert!(matches!(take(3, b"abc\0more"), Err(DecodeError::Trailing { left: 4, .. })));
}

#[test]
fn reduced_read_data_leaves_nothing_behind_the_length() {
    let bytes = read_ok(&[4096, 0, 4096]);
    let mut r = Reader::new(&bytes);
    assert_eq!(r.value::<ReadRes>().unwrap().unwrap().data_len, 4096);
    r.finish().unwrap();
}

#[test]
fn file_types_are_1_to_7() {
    for found in [0, 8, u32::MAX] {
        let mut whole = [0; 22];
        whole[1] = found;
        let refused = Reader::new(&words(&whole)).value::<GetattrRes>();
        let expected = DecodeError::Value { what: "file type", offset: 4, found };
        assert_eq!(refused, Err(expected));
    }
}

#[test]
fn discriminants_beyond_their_union_are_refused() {
    let refused = |bytes: &[u8]| Reader::new(bytes).value::<CreateArgs>().unwrap_err();
    let mode = refused(&words(&[0, 0, 3]));
    assert_eq!(mode, DecodeError::Value { what: "createmode3", offset: 8, found: 3 });
    let time = refused(&words(&[0, 0, 0, 0, 0, 0, 0, 3]));
    assert_eq!(time, DecodeError::Value { what: "time_how", offset: 28, found: 3 });
    let flag = refused(&words(&[0, 0, 0, 2]));
    assert_eq!(flag, DecodeError::Value { what: "bool", offset: 12, found: 2 });
    let stable = Reader::new(&words(&[0, 0, 0, 0, 3])).value::<WriteArgs>().unwrap_err();
    assert_eq!(stable, DecodeError::Value { what: "stable_how", offset: 16, found: 3 });
}

#[test]
fn a_name_without_its_pad_is_short() {
    let bytes = [words(&[0, 5]), b"hello".to_vec()].concat();
    let refused = Reader::new(&bytes).value::<LookupArgs>();
    assert!(matches!(refused, Err(DecodeError::Short { needed: 8, left: 5, .. })));
}

#[test]
fn every_status_has_its_rfc_name_and_a_linux_errno() {
    use nfs3_types::nfs3::nfsstat3;
    use nfs3_types::xdr_codec::Unpack;
    for status in Status::ALL {
        let bytes = u32::from(*status).to_be_bytes();
        let (theirs, _) = nfsstat3::unpack(&mut &bytes[..]).unwrap();
        assert!(status.to_string().starts_with(&format!("{theirs:?} (")), "{status}");
        assert_eq!(Status::from(u32::from(*status)), *status);
        assert_eq!(Status::from_errno(status.errno()).errno(), status.errno());
    }
    assert_eq!(Status::ALL.len(), 28);
    assert_eq!(Status::Stale.to_string(), "NFS3ERR_STALE (stale file handle)");
    assert_eq!(Status::NameTooLong.errno(), 36);
    assert_eq!(Status::from_errno(116), Status::Stale);
    assert_eq!(Status::from_errno(4), Status::Io);
    assert_eq!(Status::Other(12).to_string(), "NFS status 12 (unknown)");
}
