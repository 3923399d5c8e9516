//! Decoders of the wire: whatever they take, they give back when it is encoded again.

use std::fmt::Debug;

use wire::mount::{DirPath, Exports, MountRes};
use wire::nfs3;
use wire::portmap::{Mapping, Port};
use wire::rpc::record::Mark;
use wire::rpc::{CallHeader, Reply};
use wire::rpcbind::{Rpcb, Text};
use wire::rpcrdma::private_data::PrivateData;
use wire::rpcrdma::{Emit, EmitKind, ErrorBody, Header, Kind, Segment, emit_error};
use wire::xdr::{Decode, Encode, Reader, Writer};

/// The transport header: XDR has one way to write each.
pub(crate) fn header(data: &[u8]) {
    let Ok(header) = Header::parse(data) else { return };
    let mut out = vec![0; data.len()];
    let len = match header.kind {
        Kind::Error(ErrorBody::Unknown(_)) => return,
        Kind::Error(body) => emit_error(header.xid, header.credits, body, &mut out),
        Kind::Msg | Kind::NoMsg => {
            let chunks: Vec<Vec<Segment>> =
                header.writes.iter().map(|chunk| chunk.iter().collect()).collect();
            let reply: Option<Vec<Segment>> = header.reply.map(|chunk| chunk.iter().collect());
            Emit {
                xid: header.xid,
                credits: header.credits,
                kind: if header.kind == Kind::Msg { EmitKind::Msg } else { EmitKind::NoMsg },
                reads: &header.reads.iter().collect::<Vec<_>>(),
                write_chunks: &chunks.iter().map(Vec::as_slice).collect::<Vec<_>>(),
                reply_chunk: reply.as_deref(),
            }
            .emit(&mut out)
        }
    };
    assert_eq!(len, Ok(header.len));
    assert_eq!(out[..header.len], data[..header.len]);
}

/// Decodes a value; if there is one, encodes it and decodes that.
fn again<'a, T: Decode<'a> + Encode + PartialEq + Debug>(data: &'a [u8], out: &'a mut Vec<u8>) {
    let mut r = Reader::new(data);
    let Ok(value) = r.value::<T>() else { return };
    assert!(r.position() <= data.len());
    // Encoding adds nothing but pads and an empty verifier in place of none.
    out.resize(data.len() + 64, 0xee);
    let mut w = Writer::new(out);
    w.value(&value).expect("there is room");
    let len = w.position();
    let decoded: T = Reader::new(&out[..len]).value().expect("what was encoded decodes");
    assert_eq!(decoded, value);
}

/// What stands before results and arguments, and the marks of a stream of records.
pub(crate) fn rpc(data: &[u8]) {
    again::<Reply>(data, &mut Vec::new());
    if let Ok(call) = CallHeader::decode(&mut Reader::new(data)) {
        let _ = call.check_version();
        if let Ok(sys) = call.cred.auth_sys() {
            assert!(sys.gids.as_slice().len() <= 16);
        }
        if call.rpc_vers == wire::rpc::VERSION {
            again::<CallHeader<'_>>(data, &mut Vec::new());
        }
    }
    if let Some(bytes) = data.first_chunk::<4>()
        && let Ok(mark) = Mark::parse(*bytes)
    {
        assert_eq!(mark.encode(), *bytes);
    }
}

/// The first byte says of which procedure.
pub(crate) fn nfs_results(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let out = &mut Vec::new();
    match which % 14 {
        0 => again::<nfs3::GetattrRes>(data, out),
        1 => again::<nfs3::SetattrRes>(data, out),
        2 => again::<nfs3::LookupRes>(data, out),
        3 => again::<nfs3::AccessRes>(data, out),
        4 => read(data),
        5 => again::<nfs3::WriteRes>(data, out),
        6 => again::<nfs3::CreateRes>(data, out),
        7 => again::<nfs3::RemoveRes>(data, out),
        8 => again::<nfs3::RenameRes>(data, out),
        9 => again::<nfs3::FsstatRes>(data, out),
        10 => again::<nfs3::FsinfoRes>(data, out),
        11 => again::<nfs3::CommitRes>(data, out),
        12 => again::<nfs3::MkdirRes>(data, out),
        _ => listing(data),
    }
}

fn read(data: &[u8]) {
    again::<nfs3::ReadRes>(data, &mut Vec::new());
    let mut r = Reader::new(data);
    if let Ok(Ok(ok)) = nfs3::ReadRes::decode(&mut r)
        && let Ok(bytes) = ok.take_inline_data(&mut r)
    {
        assert_eq!(bytes.len(), ok.count as usize);
    }
}

fn listing(data: &[u8]) {
    let mut r = Reader::new(data);
    let Ok(Ok(listing)) = nfs3::ReaddirplusRes::decode(&mut r) else { return };
    let names: usize = listing.entries.iter().map(|entry| entry.name.len()).sum();
    assert!(names <= data.len());
    let mut out = vec![0; data.len()];
    let mut w = Writer::new(&mut out);
    w.u32(0).and_then(|()| w.value(&listing)).expect("there is room");
    assert_eq!(w.position(), r.position());
}

/// What the embedded target reads; the first byte says of which procedure.
pub(crate) fn nfs_args(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let out = &mut Vec::new();
    match which % 12 {
        0 => again::<nfs3::GetattrArgs>(data, out),
        1 => again::<nfs3::SetattrArgs>(data, out),
        2 => again::<nfs3::LookupArgs<'_>>(data, out),
        3 => again::<nfs3::AccessArgs>(data, out),
        4 => again::<nfs3::ReadArgs>(data, out),
        5 => again::<nfs3::WriteArgs>(data, out),
        6 => again::<nfs3::CreateArgs<'_>>(data, out),
        7 => again::<nfs3::MkdirArgs<'_>>(data, out),
        8 => again::<nfs3::RenameArgs<'_>>(data, out),
        9 => again::<nfs3::ReaddirplusArgs>(data, out),
        10 => again::<nfs3::CommitArgs>(data, out),
        _ => again::<nfs3::RemoveArgs<'_>>(data, out),
    }
}

/// The first byte says of which procedure.
pub(crate) fn mount(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    match which % 3 {
        0 => again::<MountRes>(data, &mut Vec::new()),
        1 => again::<DirPath<'_>>(data, &mut Vec::new()),
        _ => {
            if let Ok(exports) = Exports::decode(&mut Reader::new(data)) {
                let lengths = exports.iter().map(|export| {
                    export.path.len() + export.groups.iter().map(<[u8]>::len).sum::<usize>()
                });
                assert!(lengths.sum::<usize>() <= data.len());
            }
        }
    }
}

/// Of version 2, by which the port is asked over IPv4, and of version 4.
pub(crate) fn rpcbind(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    match which % 4 {
        0 => again::<Port>(data, &mut Vec::new()),
        1 => again::<Mapping>(data, &mut Vec::new()),
        2 => again::<Rpcb<'_>>(data, &mut Vec::new()),
        _ => {
            again::<Text<'_>>(data, &mut Vec::new());
            if let Ok(text) = Text::decode(&mut Reader::new(data)) {
                let _ = text.port();
            }
        }
    }
}

/// RFC 8797.
pub(crate) fn private_data(data: &[u8]) {
    let Some(parsed) = PrivateData::parse(data) else { return };
    for size in [parsed.send_size, parsed.receive_size] {
        assert!(size % 1024 == 0 && (1024..=256 * 1024).contains(&size));
    }
    assert_eq!(PrivateData::parse(&parsed.emit()), Some(parsed));
}
