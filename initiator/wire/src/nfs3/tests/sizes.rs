//! The largest replies are as large as [`reply_max`] says.

use nfs3_types::nfs3 as peer;
use nfs3_types::xdr_codec::{List, Opaque, Pack};

use super::super::*;
use super::values::{p_attr, p_handle, p_option, p_wcc, packed};
use crate::rpc::{ERROR_REPLY_MAX, Reply, RpcError};
use crate::rpcrdma::HEADER_MIN;
use crate::xdr::{Encode, Writer};

const TIME: Time = Time { seconds: 1, nanoseconds: 2 };

pub(super) const FATTR_LARGEST: Fattr = Fattr {
    file_type: FileType::Regular,
    mode: 0o644,
    nlink: 1,
    uid: 2,
    gid: 3,
    size: 4,
    used: 5,
    rdev: DeviceNumber { major: 6, minor: 7 },
    fsid: 8,
    fileid: 9,
    atime: TIME,
    mtime: TIME,
    ctime: TIME,
};

const ATTR: PostOpAttr = Some(FATTR_LARGEST);
const WCC: WccData =
    WccData { before: Some(WccAttr { size: 1, mtime: TIME, ctime: TIME }), after: ATTR };

fn largest_handle() -> FileHandle {
    FileHandle::from_bytes(&[0xff; 64]).unwrap()
}

fn size(results: &impl Encode) -> usize {
    let mut out = [0; 2048];
    let mut w = Writer::new(&mut out);
    w.value(&Reply::success(1)).unwrap();
    w.value(results).unwrap();
    w.position()
}

/// The same, of results that only the other implementation has.
fn peer_size(results: &impl Pack) -> usize {
    size(&()) + packed(results).len()
}

fn largest_results() -> Vec<(u32, usize)> {
    use procedure::*;
    let (attributes, dir_attributes, handle) = (ATTR, ATTR, largest_handle());
    let created = CreateOk { handle: Some(handle), attributes, dir_wcc: WCC };
    let write = WriteOk { wcc: WCC, count: 1, committed: StableHow::FileSync, verifier: [1; 8] };
    let listing =
        ReaddirplusOk { attributes, verifier: [1; 8], entries: Entries::EMPTY, eof: true };
    let fsstat = FsstatOk {
        attributes,
        total_bytes: 1,
        free_bytes: 2,
        available_bytes: 3,
        total_files: 4,
        free_files: 5,
        available_files: 6,
        invarsec: 7,
    };
    let fsinfo = FsinfoOk {
        attributes,
        rtmax: 1,
        rtpref: 2,
        rtmult: 3,
        wtmax: 4,
        wtpref: 5,
        wtmult: 6,
        dtpref: 7,
        maxfilesize: 8,
        time_delta: TIME,
        properties: 9,
    };
    let read = ReadOk { attributes, count: 0, eof: true, data_len: 0 };
    vec![
        (GETATTR, size(&GetattrRes::Ok(FATTR_LARGEST))),
        (SETATTR, size(&SetattrRes::Ok(WCC))),
        (LOOKUP, size(&LookupRes::Ok(LookupOk { handle, attributes, dir_attributes }))),
        (ACCESS, size(&AccessRes::Ok(AccessOk { attributes, access: 1 }))),
        (READ, size(&ReadRes::Ok(read))),
        (WRITE, size(&WriteRes::Ok(write))),
        (CREATE, size(&CreateRes::Ok(created))),
        (MKDIR, size(&MkdirRes::Ok(created))),
        (REMOVE, size(&RemoveRes::Ok(WCC))),
        (RMDIR, size(&RmdirRes::Ok(WCC))),
        (RENAME, size(&RenameRes::Ok(RenameWcc { from: WCC, to: WCC }))),
        (READDIRPLUS, size(&ReaddirplusRes::Ok(listing))),
        (FSSTAT, size(&FsstatRes::Ok(fsstat))),
        (FSINFO, size(&FsinfoRes::Ok(fsinfo))),
        (COMMIT, size(&CommitRes::Ok(CommitOk { wcc: WCC, verifier: [1; 8] }))),
    ]
}

fn largest_results_of_the_rest() -> Vec<(u32, usize)> {
    use procedure::*;
    let attributes = || p_attr(&ATTR);
    let handle = || p_option(&Some(largest_handle()), p_handle);
    let readlink = peer::READLINK3resok {
        symlink_attributes: attributes(),
        data: peer::nfspath3(Opaque::borrowed(b"")),
    };
    let symlink =
        peer::SYMLINK3resok { obj: handle(), obj_attributes: attributes(), dir_wcc: p_wcc(&WCC) };
    let mknod =
        peer::MKNOD3resok { obj: handle(), obj_attributes: attributes(), dir_wcc: p_wcc(&WCC) };
    let link = peer::LINK3resok { file_attributes: attributes(), linkdir_wcc: p_wcc(&WCC) };
    let readdir = peer::READDIR3resok {
        dir_attributes: attributes(),
        cookieverf: peer::cookieverf3([1; 8]),
        reply: peer::dirlist3 { entries: List(Vec::new()), eof: true },
    };
    let pathconf = peer::PATHCONF3resok {
        obj_attributes: attributes(),
        linkmax: 1,
        name_max: 2,
        no_trunc: true,
        chown_restricted: true,
        case_insensitive: true,
        case_preserving: true,
    };
    vec![
        (READLINK, peer_size(&peer::READLINK3res::Ok(readlink))),
        (SYMLINK, peer_size(&peer::SYMLINK3res::Ok(symlink))),
        (MKNOD, peer_size(&peer::MKNOD3res::Ok(mknod))),
        (LINK, peer_size(&peer::LINK3res::Ok(link))),
        (READDIR, peer_size(&peer::READDIR3res::Ok(readdir))),
        (PATHCONF, peer_size(&peer::PATHCONF3res::Ok(pathconf))),
    ]
}

#[test]
fn reply_max_is_the_size_of_the_largest_reply() {
    let mut all = largest_results();
    all.extend(largest_results_of_the_rest());
    assert_eq!(all.len(), 21, "every procedure but NULL");
    for (procedure, size) in all {
        assert_eq!(reply_max(procedure), size, "procedure {procedure}");
    }
}

#[test]
fn failures_fit_where_results_do() {
    use procedure::*;
    let status = Status::Jukebox;
    let attributes = size(&AccessRes::Err(Failed { status, attributes: ATTR }));
    for procedure in
        [LOOKUP, ACCESS, READLINK, READ, READDIR, READDIRPLUS, FSSTAT, FSINFO, PATHCONF]
    {
        assert!(attributes <= reply_max(procedure), "procedure {procedure}");
    }
    let wcc = size(&WriteRes::Err(Failed { status, attributes: WCC }));
    for procedure in [SETATTR, WRITE, CREATE, MKDIR, SYMLINK, MKNOD, REMOVE, RMDIR, COMMIT] {
        assert!(wcc <= reply_max(procedure), "procedure {procedure}");
    }
    let both = RenameWcc { from: WCC, to: WCC };
    let both = size(&RenameRes::Err(Failed { status, attributes: both }));
    assert!(both <= reply_max(RENAME));
}

#[test]
fn an_rpc_error_fits_where_results_do() {
    let mut out = [0; 64];
    let mut w = Writer::new(&mut out);
    w.value(&Reply::error(1, RpcError::ProgMismatch { low: 3, high: 4 })).unwrap();
    assert_eq!(w.position(), ERROR_REPLY_MAX);
    for procedure in 0..=22 {
        assert!(reply_max(procedure) >= ERROR_REPLY_MAX, "procedure {procedure}");
    }
}

/// A server may send no less inline, so none of these needs a Reply chunk: the client offers one
/// only for what has a length of its own.
// req: 8166-4.3.3-1
#[test]
fn every_reply_but_for_what_the_caller_adds_fits_a_kibibyte() {
    let chunk_max = 8 + 8 * 16;
    for procedure in 0..=21 {
        assert!(HEADER_MIN + chunk_max + reply_max(procedure) <= 1024, "procedure {procedure}");
    }
}
