use super::super::{
    Failed, Fattr, ReadOk, ReadRes, StableHow, Status, WccAttr, WccData, WriteOk, WriteRes,
};
use super::{getattr, read, read_inline, write};
use crate::rpc::Reply;
use crate::xdr::{Encode, Reader, Writer};

fn attributes() -> Fattr {
    let mut bytes = [0; 84];
    bytes[3] = 1;
    Reader::new(&bytes).value().expect("a regular file")
}

fn reply(results: &impl Encode) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    let mut w = Writer::new(&mut bytes);
    w.value(&Reply::success(7)).expect("it fits");
    w.value(results).expect("it fits");
    let len = w.position();
    bytes.truncate(len);
    bytes
}

#[test]
fn what_is_known_at_a_glance_is_what_the_decoder_finds() {
    for attributes in [None, Some(attributes())] {
        let ok = ReadOk { attributes, count: 4096, eof: true, data_len: 4096 };
        assert_eq!(read(&reply(&ReadRes::Ok(ok))), Some((4096, true)));
        let with_data = [reply(&ReadRes::Ok(ok)), vec![9; 4096]].concat();
        let (count, eof, range) = read_inline(&with_data).expect("a usual reply");
        assert_eq!((count, eof, &with_data[range]), (4096, true, &[9; 4096][..]));
        let attr = WccAttr { size: 1, mtime: Default::default(), ctime: Default::default() };
        for before in [None, Some(attr)] {
            let wcc = WccData { before, after: attributes };
            let (committed, verifier) = (StableHow::DataSync, [1, 2, 3, 4, 5, 6, 7, 8]);
            let ok = WriteOk { wcc, count: 512, committed, verifier };
            assert_eq!(write(&reply(&WriteRes::Ok(ok))), Some((512, committed, verifier)));
        }
    }
    assert_eq!(getattr(&reply(&super::super::GetattrRes::Ok(attributes()))), Some(attributes()));
}

#[test]
fn anything_unusual_is_left_to_the_decoder() {
    let ok = ReadOk { attributes: Some(attributes()), count: 8, eof: false, data_len: 8 };
    let usual = reply(&ReadRes::Ok(ok));
    let with = |at: usize, value: u8| {
        let mut bytes = usual.clone();
        bytes[at] = value;
        bytes
    };
    assert_eq!(read(&usual), Some((8, false)));
    for (what, bytes) in [
        ("a length that is not the count", with(usual.len() - 1, 9)),
        ("an eof that is no bool", with(usual.len() - 5, 2)),
        ("attributes that do and do not follow", with(31, 2)),
        ("a status", with(27, 5)),
        ("a verifier", with(15, 1)),
        ("data behind it", [&usual[..], &[0; 8]].concat()),
        ("a byte behind it", [&usual[..], &[0]].concat()),
        ("a byte less", usual[..usual.len() - 1].to_vec()),
        ("nothing", Vec::new()),
    ] {
        assert_eq!(read(&bytes), None, "{what}");
    }
    let with = |data: &[u8]| [&usual[..], data].concat();
    assert_eq!(read_inline(&with(&[7; 8])).map(|(count, ..)| count), Some(8));
    for (what, bytes) in [
        ("no data", usual.clone()),
        ("a byte less than the count", with(&[7; 7])),
        ("a word more", with(&[7; 12])),
        ("a byte more", with(&[7; 9])),
        ("an eof that is no bool", {
            let mut bytes = with(&[7; 8]);
            bytes[usual.len() - 5] = 2;
            bytes
        }),
        ("a length that is not the count", {
            let mut bytes = with(&[7; 8]);
            bytes[usual.len() - 9] = 7;
            bytes
        }),
    ] {
        assert_eq!(read_inline(&bytes), None, "{what}");
    }
    let odd = ReadOk { attributes: None, count: 5, eof: false, data_len: 5 };
    let odd = reply(&ReadRes::Ok(odd));
    assert_eq!(read_inline(&[&odd[..], &[7; 8]].concat()).map(|(count, ..)| count), Some(5));
    assert_eq!(read_inline(&[&odd[..], &[7; 5]].concat()), None, "no pad");
    let refused = Failed { status: Status::Stale, attributes: None };
    assert_eq!(read(&reply(&ReadRes::Err(refused))), None);
    let cut = reply(&super::super::GetattrRes::Ok(attributes()));
    assert_eq!(getattr(&cut[..cut.len() - 4]), None);
}
