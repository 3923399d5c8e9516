//! Payloads in several pieces: chunks of several segments, each with a key of its own where keys
//! are windows, which the server's kernel reads from and writes to.

use client::{File, Op, Output, Piece, Pieces};
use hugepages::Buffer;
use system_tests::pattern;
use wire::nfs3::StableHow;

use crate::server::Server;
use crate::session::{BOTH, Session, transport};

/// What must stay as it is around each piece.
const FENCE: u8 = 0xee;
const FENCE_LEN: usize = 64;

/// Pieces with this data, each at an odd place, alternately in memory of the test's own and in the
/// mount's pool.
fn pieces(session: &Session, lens: &[usize], data: &[u8]) -> Pieces {
    let mut rest = data;
    let list = lens.iter().enumerate().map(|(index, &len)| {
        let at = FENCE_LEN + index * 3 + 1;
        let mut buffer = match index % 2 {
            0 => Buffer::from_vec(vec![0; at + len + FENCE_LEN]).unwrap(),
            _ => session.buffer(),
        };
        buffer[..at].fill(FENCE);
        buffer[at..at + len].copy_from_slice(rest.split_off(..len).expect("as long as the pieces"));
        buffer[at + len..][..FENCE_LEN].fill(FENCE);
        Piece::new(buffer, at as u32, len as u32)
    });
    Pieces::new(list).unwrap()
}

/// Panics unless the pieces hold this data and nothing around them has changed.
fn assert_pieces(pieces: Pieces, lens: &[usize], data: &[u8]) {
    assert!(pieces.to_vec(data.len()) == data, "{lens:?}");
    for (index, (piece, len)) in pieces.into_pieces().into_iter().zip(lens).enumerate() {
        let buffer = piece.into_buffer().unwrap();
        let (before, rest) = buffer.split_at(FENCE_LEN + index * 3 + 1);
        let fence = |bytes: &[u8]| bytes.iter().all(|&byte| byte == FENCE);
        assert!(fence(before), "in front of piece {index} of {lens:?}");
        assert!(fence(&rest[*len..][..FENCE_LEN]), "behind piece {index} of {lens:?}");
    }
}

/// Writes the data in pieces of these lengths.
pub(crate) fn write_pieces(
    session: &mut Session,
    file: File,
    offset: u64,
    lens: &[usize],
    data: &[u8],
) {
    let (list, len) = (pieces(session, lens, data), data.len() as u32);
    let done =
        session.op_vectored(Op::Write { file, offset, len, stable: StableHow::Unstable }, list);
    let Ok(Output::Written { count, .. }) = done.result else {
        panic!("{lens:?}: {:?}", done.result)
    };
    assert_eq!(count, len, "{lens:?}");
    assert_pieces(done.pieces.expect("they come back"), lens, data);
}

/// Reads into pieces of these lengths; panics unless they then hold the data.
pub(crate) fn read_pieces(
    session: &mut Session,
    file: File,
    offset: u64,
    lens: &[usize],
    data: &[u8],
) {
    let (list, len) = (pieces(session, lens, &vec![0; data.len()]), data.len() as u32);
    let done = session.op_vectored(Op::Read { file, offset, len }, list);
    let Ok(Output::Read { count, .. }) = done.result else { panic!("{lens:?}: {:?}", done.result) };
    assert_eq!(count, len, "{lens:?}");
    assert_pieces(done.pieces.expect("they come back"), lens, data);
}

#[test]
fn knfsd_pieces_are_copied_gathered_and_moved_by_chunks_of_several_segments() {
    let Some(server) = Server::find() else { return };
    for registration in BOTH {
        let (dir, path) = server.fresh_dir("pieces");
        let located = server.locate(&path).unwrap();
        let mut config = transport(&located);
        config.registration = Some(registration);
        let mut session = Session::mount_with(&located, config).unwrap();
        let file = session.create("f");
        let before = session.counters();
        let mut model = vec![0; 5];
        // Copied; gathered; four segments out and three back.
        let rounds: [(&[usize], &[usize]); 3] = [
            (&[1, 2, 3], &[4, 1, 1]),
            (&[601, 0, 403, 7], &[1000, 11]),
            (&[4097, 3, 5001, 20_002], &[20_001, 101, 9001]),
        ];
        for (seed, (out, back)) in rounds.into_iter().enumerate() {
            let data = pattern(out.iter().sum(), seed as u64);
            write_pieces(&mut session, file, 5, out, &data);
            model.truncate(5);
            model.extend_from_slice(&data);
            assert!(std::fs::read(dir.join("f")).unwrap() == model, "{out:?}");
            read_pieces(&mut session, file, 5, back, &data);
        }
        let after = session.counters();
        assert_eq!(after.pullup_copy_count - before.pullup_copy_count, 6);
        assert_eq!(after.gathered_sends - before.gathered_sends, 1);
        assert_eq!(after.read_chunk_count - before.read_chunk_count, 1);
        assert_eq!(after.write_chunk_count - before.write_chunk_count, 1);
        // The server ends a key for us only where it is the only one.
        let ended = after.local_inv_needed - before.local_inv_needed;
        let windows = registration == rpcrdma::Registration::Window;
        assert_eq!(ended, if windows { 4 + 3 } else { 0 });
        session.assert_balanced();
        session.unmount();
    }
}

#[test]
fn knfsd_moves_a_mebibyte_in_eight_odd_pieces() {
    let Some(server) = Server::find() else { return };
    const LENS: [usize; 8] =
        [131_071, 131_069, 131_072, 131_000, 131_075, 131_073, 131_072, 131_144];
    for registration in BOTH {
        let (dir, path) = server.fresh_dir("pieces-large");
        let located = server.locate(&path).unwrap();
        let mut config = transport(&located);
        config.registration = Some(registration);
        let mut session = Session::mount_with(&located, config).unwrap();
        let file = session.create("f");
        let data = pattern(1 << 20, 9);
        let before = session.counters();
        write_pieces(&mut session, file, 0, &LENS, &data);
        assert!(std::fs::read(dir.join("f")).unwrap() == data, "the server's kernel");
        let mut back = LENS;
        back.reverse();
        read_pieces(&mut session, file, 0, &back, &data);
        let after = session.counters();
        assert_eq!(after.read_chunk_count - before.read_chunk_count, 1);
        assert_eq!(after.write_chunk_count - before.write_chunk_count, 1);
        session.assert_balanced();
        session.unmount();
    }
}
