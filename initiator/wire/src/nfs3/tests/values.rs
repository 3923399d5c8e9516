//! Random values of every type go there and back, and through `nfs3_types`.

use nfs3_types::nfs3 as peer;
use nfs3_types::xdr_codec::{Opaque, Pack, Unpack, Void};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::super::*;
use crate::codec::tests::{ROOM, round_trip};
use crate::xdr::{Decode, Encode};

pub(super) fn packed(value: &impl Pack) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.pack(&mut bytes).unwrap();
    bytes
}

/// Ours and theirs have the same bytes, and each reads the other's.
pub(super) fn agree<T, P>(ours: &T, theirs: &P)
where
    T: Encode + for<'a> Decode<'a> + PartialEq + std::fmt::Debug,
    P: Pack + Unpack,
{
    let mut out = [0; ROOM];
    agree_in(ours, theirs, &mut out);
}

/// The same for types that borrow from the bytes.
pub(super) fn agree_in<'a, T, P>(ours: &T, theirs: &P, out: &'a mut [u8])
where
    T: Encode + Decode<'a> + PartialEq + std::fmt::Debug,
    P: Pack + Unpack,
{
    let bytes = round_trip(ours, out);
    assert_eq!(bytes, packed(theirs));
    let (read, len) = P::unpack(&mut &bytes[..]).unwrap();
    assert_eq!((packed(&read).as_slice(), len), (bytes, bytes.len()));
}

pub(super) fn handle() -> impl Strategy<Value = FileHandle> {
    vec(any::<u8>(), 0..=64).prop_map(|bytes| FileHandle::from_bytes(&bytes).unwrap())
}

pub(super) fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=NAME_MAX as usize)
}

fn time() -> impl Strategy<Value = Time> {
    any::<(u32, u32)>().prop_map(|(seconds, nanoseconds)| Time { seconds, nanoseconds })
}

const FILE_TYPES: [FileType; 7] = [
    FileType::Regular,
    FileType::Directory,
    FileType::Block,
    FileType::Character,
    FileType::Symlink,
    FileType::Socket,
    FileType::Fifo,
];

prop_compose! {
    pub(super) fn fattr()(
        file_type in prop::sample::select(&FILE_TYPES[..]),
        (mode, nlink, uid, gid) in any::<(u32, u32, u32, u32)>(),
        (size, used, fsid, fileid) in any::<(u64, u64, u64, u64)>(),
        (major, minor) in any::<(u32, u32)>(),
        (atime, mtime, ctime) in (time(), time(), time()),
    ) -> Fattr {
        let rdev = DeviceNumber { major, minor };
        Fattr {
            file_type, mode, nlink, uid, gid, size, used, rdev, fsid, fileid, atime, mtime, ctime,
        }
    }
}

fn wcc() -> impl Strategy<Value = WccData> {
    let before = (any::<u64>(), time(), time());
    let before = before.prop_map(|(size, mtime, ctime)| WccAttr { size, mtime, ctime });
    (of(before), of(fattr())).prop_map(|(before, after)| WccData { before, after })
}

fn set_time() -> impl Strategy<Value = SetTime> {
    let client = time().prop_map(SetTime::Client);
    prop_oneof![Just(SetTime::DontChange), Just(SetTime::ServerTime), client]
}

prop_compose! {
    fn sattr()(
        (mode, uid, gid, size) in any::<(Option<u32>, Option<u32>, Option<u32>, Option<u64>)>(),
        (atime, mtime) in (set_time(), set_time()),
    ) -> Sattr {
        Sattr { mode, uid, gid, size, atime, mtime }
    }
}

fn stable() -> impl Strategy<Value = StableHow> {
    prop::sample::select(&[StableHow::Unstable, StableHow::DataSync, StableHow::FileSync][..])
}

fn status() -> impl Strategy<Value = Status> {
    prop::sample::select(Status::ALL)
}

pub(super) fn p_handle(ours: &FileHandle) -> peer::nfs_fh3 {
    peer::nfs_fh3 { data: Opaque::owned(ours.as_bytes().to_vec()) }
}

pub(super) fn p_option<T, P: Pack + Unpack>(
    ours: &Option<T>,
    convert: impl Fn(&T) -> P,
) -> peer::Nfs3Option<P> {
    ours.as_ref().map_or(peer::Nfs3Option::None, |ours| peer::Nfs3Option::Some(convert(ours)))
}

fn p_time(ours: &Time) -> peer::nfstime3 {
    peer::nfstime3 { seconds: ours.seconds, nseconds: ours.nanoseconds }
}

fn p_fattr(ours: &Fattr) -> peer::fattr3 {
    let type_ = match ours.file_type {
        FileType::Regular => peer::ftype3::NF3REG,
        FileType::Directory => peer::ftype3::NF3DIR,
        FileType::Block => peer::ftype3::NF3BLK,
        FileType::Character => peer::ftype3::NF3CHR,
        FileType::Symlink => peer::ftype3::NF3LNK,
        FileType::Socket => peer::ftype3::NF3SOCK,
        FileType::Fifo => peer::ftype3::NF3FIFO,
    };
    peer::fattr3 {
        type_,
        mode: ours.mode,
        nlink: ours.nlink,
        uid: ours.uid,
        gid: ours.gid,
        size: ours.size,
        used: ours.used,
        rdev: peer::specdata3 { specdata1: ours.rdev.major, specdata2: ours.rdev.minor },
        fsid: ours.fsid,
        fileid: ours.fileid,
        atime: p_time(&ours.atime),
        mtime: p_time(&ours.mtime),
        ctime: p_time(&ours.ctime),
    }
}

pub(super) fn p_attr(ours: &PostOpAttr) -> peer::post_op_attr {
    p_option(ours, p_fattr)
}

pub(super) fn p_wcc(ours: &WccData) -> peer::wcc_data {
    let before = p_option(&ours.before, |before| peer::wcc_attr {
        size: before.size,
        mtime: p_time(&before.mtime),
        ctime: p_time(&before.ctime),
    });
    peer::wcc_data { before, after: p_attr(&ours.after) }
}

fn p_sattr(ours: &Sattr) -> peer::sattr3 {
    use peer::{set_atime, set_mtime};
    peer::sattr3 {
        mode: p_option(&ours.mode, |value| *value),
        uid: p_option(&ours.uid, |value| *value),
        gid: p_option(&ours.gid, |value| *value),
        size: p_option(&ours.size, |value| *value),
        atime: match &ours.atime {
            SetTime::DontChange => set_atime::DONT_CHANGE,
            SetTime::ServerTime => set_atime::SET_TO_SERVER_TIME,
            SetTime::Client(time) => set_atime::SET_TO_CLIENT_TIME(p_time(time)),
        },
        mtime: match &ours.mtime {
            SetTime::DontChange => set_mtime::DONT_CHANGE,
            SetTime::ServerTime => set_mtime::SET_TO_SERVER_TIME,
            SetTime::Client(time) => set_mtime::SET_TO_CLIENT_TIME(p_time(time)),
        },
    }
}

fn p_dirop(dir: &FileHandle, name: &[u8]) -> peer::diropargs3<'static> {
    let name = peer::filename3(Opaque::owned(name.to_vec()));
    peer::diropargs3 { dir: p_handle(dir), name }
}

fn p_stable(ours: StableHow) -> peer::stable_how {
    match ours {
        StableHow::Unstable => peer::stable_how::UNSTABLE,
        StableHow::DataSync => peer::stable_how::DATA_SYNC,
        StableHow::FileSync => peer::stable_how::FILE_SYNC,
    }
}

/// The same failure by the other implementation.
fn p_failed<T, E>(status: Status, attributes: E) -> peer::Nfs3Result<T, E> {
    let code = u32::from(status).to_be_bytes();
    let (status, _) = peer::nfsstat3::unpack(&mut &code[..]).unwrap();
    peer::Nfs3Result::Err((status, attributes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn arguments_about_one_file(
        file in handle(), attributes in sattr(), guard in of(time()), offset: u64, count: u32,
    ) {
        let object = p_handle(&file);
        agree(&GetattrArgs { file }, &peer::GETATTR3args { object: object.clone() });
        agree(&SetattrArgs { file, attributes, guard }, &peer::SETATTR3args {
            object: object.clone(),
            new_attributes: p_sattr(&attributes),
            guard: p_option(&guard, p_time),
        });
        let access = count;
        agree(
            &AccessArgs { file, access },
            &peer::ACCESS3args { object: object.clone(), access },
        );
        agree(
            &ReadArgs { file, offset, count },
            &peer::READ3args { file: object.clone(), offset, count },
        );
        agree(
            &CommitArgs { file, offset, count },
            &peer::COMMIT3args { file: object.clone(), offset, count },
        );
        agree(&FsinfoArgs { root: file }, &peer::FSINFO3args { fsroot: object.clone() });
        agree(&FsstatArgs { root: file }, &peer::FSSTAT3args { fsroot: object });
    }

    #[test]
    fn arguments_with_names(
        dir in handle(), to in handle(), name in name(), new in name(),
        attributes in sattr(), verifier: [u8; 8],
    ) {
        let args = DirOpArgs { dir, name: &name };
        let object = p_dirop(&dir, &name);
        agree_in(&args, &peer::LOOKUP3args { what: object }, &mut [0; ROOM]);
        let rename = RenameArgs { from: args, to: DirOpArgs { dir: to, name: &new } };
        let theirs = peer::RENAME3args { from: p_dirop(&dir, &name), to: p_dirop(&to, &new) };
        agree_in(&rename, &theirs, &mut [0; ROOM]);
        let mkdir = MkdirArgs { dir, name: &name, attributes };
        let theirs = peer::MKDIR3args {
            where_: p_dirop(&dir, &name),
            attributes: p_sattr(&attributes),
        };
        agree_in(&mkdir, &theirs, &mut [0; ROOM]);
        for (how, theirs) in [
            (CreateHow::Unchecked(attributes), peer::createhow3::UNCHECKED(p_sattr(&attributes))),
            (CreateHow::Guarded(attributes), peer::createhow3::GUARDED(p_sattr(&attributes))),
            (
                CreateHow::Exclusive(verifier),
                peer::createhow3::EXCLUSIVE(peer::createverf3(verifier)),
            ),
        ] {
            let theirs = peer::CREATE3args { where_: p_dirop(&dir, &name), how: theirs };
            agree_in(&CreateArgs { dir, name: &name, how }, &theirs, &mut [0; ROOM]);
        }
    }

    #[test]
    fn writes_end_at_the_length_and_the_data_follows(
        file in handle(), offset: u64, stable in stable(), data in vec(any::<u8>(), 0..100),
    ) {
        let count = data.len() as u32;
        let args = WriteArgs { file, offset, count, stable, data_len: count };
        let mut out = [0; ROOM];
        let bytes = round_trip(&args, &mut out);
        let theirs = packed(&peer::WRITE3args {
            file: p_handle(&file),
            offset,
            count,
            stable: p_stable(stable),
            data: Opaque::borrowed(&data),
        });
        prop_assert!(theirs.starts_with(bytes));
        let mut r = crate::xdr::Reader::new(&theirs);
        let decoded: WriteArgs = r.value().unwrap();
        prop_assert_eq!(decoded.take_inline_data(&mut r).unwrap(), &data[..]);
    }

    #[test]
    fn reads_end_at_the_length_and_the_data_follows(
        attributes in of(fattr()), eof: bool, data in vec(any::<u8>(), 0..100),
    ) {
        let count = data.len() as u32;
        let ours = ReadRes::Ok(ReadOk { attributes, count, eof, data_len: count });
        let mut out = [0; ROOM];
        let bytes = round_trip(&ours, &mut out);
        let theirs = packed(&peer::READ3res::Ok(peer::READ3resok {
            file_attributes: p_attr(&attributes),
            count,
            eof,
            data: Opaque::borrowed(&data),
        }));
        prop_assert!(theirs.starts_with(bytes));
        let mut r = crate::xdr::Reader::new(&theirs);
        let decoded = r.value::<ReadRes>().unwrap().unwrap();
        prop_assert_eq!(decoded.take_inline_data(&mut r).unwrap(), &data[..]);
    }

    #[test]
    fn results_with_attributes_of_one_file(
        fattr in fattr(), attributes in of(fattr()), wcc in wcc(), status in status(),
        access: u32, count: u32, committed in stable(), verifier: [u8; 8],
    ) {
        agree(&GetattrRes::Ok(fattr), &peer::GETATTR3res::Ok(peer::GETATTR3resok {
            obj_attributes: p_fattr(&fattr),
        }));
        agree(&GetattrRes::Err(Failed { status, attributes: () }), &p_failed::<
            peer::GETATTR3resok, _,
        >(status, Void));
        agree(&SetattrRes::Ok(wcc), &peer::SETATTR3res::Ok(peer::SETATTR3resok {
            obj_wcc: p_wcc(&wcc),
        }));
        agree(&RemoveRes::Ok(wcc), &peer::REMOVE3res::Ok(peer::REMOVE3resok {
            dir_wcc: p_wcc(&wcc),
        }));
        agree(&AccessRes::Ok(AccessOk { attributes, access }), &peer::ACCESS3res::Ok(
            peer::ACCESS3resok { obj_attributes: p_attr(&attributes), access },
        ));
        let failed = peer::READ3resfail { file_attributes: p_attr(&attributes) };
        agree(
            &ReadRes::Err(Failed { status, attributes }),
            &p_failed::<peer::READ3resok<'static>, _>(status, failed),
        );
        agree(&WriteRes::Ok(WriteOk { wcc, count, committed, verifier }), &peer::WRITE3res::Ok(
            peer::WRITE3resok {
                file_wcc: p_wcc(&wcc),
                count,
                committed: p_stable(committed),
                verf: peer::writeverf3(verifier),
            },
        ));
        let failed = peer::WRITE3resfail { file_wcc: p_wcc(&wcc) };
        agree(
            &WriteRes::Err(Failed { status, attributes: wcc }),
            &p_failed::<peer::WRITE3resok, _>(status, failed),
        );
        agree(&CommitRes::Ok(CommitOk { wcc, verifier }), &peer::COMMIT3res::Ok(
            peer::COMMIT3resok { file_wcc: p_wcc(&wcc), verf: peer::writeverf3(verifier) },
        ));
    }

    #[test]
    fn results_of_directory_operations(
        file in handle(), handle in of(handle()), attributes in of(fattr()),
        dir_attributes in of(fattr()), from in wcc(), to in wcc(), status in status(),
    ) {
        let ours = LookupRes::Ok(LookupOk { handle: file, attributes, dir_attributes });
        agree(&ours, &peer::LOOKUP3res::Ok(peer::LOOKUP3resok {
            object: p_handle(&file),
            obj_attributes: p_attr(&attributes),
            dir_attributes: p_attr(&dir_attributes),
        }));
        agree(
            &CreateRes::Ok(CreateOk { handle, attributes, dir_wcc: from }),
            &peer::CREATE3res::Ok(peer::CREATE3resok {
                obj: p_option(&handle, p_handle),
                obj_attributes: p_attr(&attributes),
                dir_wcc: p_wcc(&from),
            }),
        );
        agree(&RenameRes::Ok(RenameWcc { from, to }), &peer::RENAME3res::Ok(
            peer::RENAME3resok { fromdir_wcc: p_wcc(&from), todir_wcc: p_wcc(&to) },
        ));
        let failed = peer::RENAME3resfail { fromdir_wcc: p_wcc(&from), todir_wcc: p_wcc(&to) };
        agree(
            &RenameRes::Err(Failed { status, attributes: RenameWcc { from, to } }),
            &p_failed::<peer::RENAME3resok, _>(status, failed),
        );
    }

    #[test]
    fn results_about_the_file_system(
        attributes in of(fattr()), sizes: [u32; 7], space: [u64; 6], maxfilesize: u64,
        time_delta in time(), properties: u32, invarsec: u32,
    ) {
        let [rtmax, rtpref, rtmult, wtmax, wtpref, wtmult, dtpref] = sizes;
        agree(
            &FsinfoRes::Ok(FsinfoOk {
                attributes, rtmax, rtpref, rtmult, wtmax, wtpref, wtmult, dtpref, maxfilesize,
                time_delta, properties,
            }),
            &peer::FSINFO3res::Ok(peer::FSINFO3resok {
                obj_attributes: p_attr(&attributes),
                rtmax, rtpref, rtmult, wtmax, wtpref, wtmult, dtpref, maxfilesize,
                time_delta: p_time(&time_delta),
                properties,
            }),
        );
        let [total_bytes, free_bytes, available_bytes, total_files, free_files, available_files] =
            space;
        agree(
            &FsstatRes::Ok(FsstatOk {
                attributes, total_bytes, free_bytes, available_bytes, total_files, free_files,
                available_files, invarsec,
            }),
            &peer::FSSTAT3res::Ok(peer::FSSTAT3resok {
                obj_attributes: p_attr(&attributes),
                tbytes: total_bytes,
                fbytes: free_bytes,
                abytes: available_bytes,
                tfiles: total_files,
                ffiles: free_files,
                afiles: available_files,
                invarsec,
            }),
        );
    }

    #[test]
    fn unknown_failures_keep_their_number(code in 10_009u32..) {
        let ours = SetattrRes::Err(Failed { status: code.into(), attributes: WccData::default() });
        let mut out = [0; ROOM];
        prop_assert_eq!(&round_trip(&ours, &mut out)[..4], code.to_be_bytes());
        prop_assert_eq!(Status::from(code), Status::Other(code));
    }
}
