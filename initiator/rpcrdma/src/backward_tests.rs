use reactor::Timestamp;
use wire::rpcrdma::{ReadSegment, Segment};

use super::*;
use crate::fixtures::{Nobody, connected, endpoint};

const SEGMENT: Segment = Segment { handle: 1, length: 64, offset: 0 };

/// A message with these words behind its header, and a Read list if `with_reads`.
fn message(kind: EmitKind, with_reads: bool, words: &[u32]) -> Vec<u8> {
    let reads = [ReadSegment { position: 0, segment: SEGMENT }];
    let reads = if with_reads { &reads[..] } else { &[] };
    let reply_chunk = if with_reads { None } else { Some(&[SEGMENT][..]) };
    let emit = Emit { xid: 7, credits: 1, kind, reads, write_chunks: &[], reply_chunk };
    let mut bytes = vec![0; emit.len()];
    emit.emit(&mut bytes).unwrap();
    bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

fn is_call_of(kind: EmitKind, with_reads: bool, words: &[u32], known: bool) -> bool {
    let bytes = message(kind, with_reads, words);
    is_call(&Header::parse(&bytes).unwrap(), &bytes, known)
}

#[test]
fn the_direction_of_a_message_is_told_by_its_type_and_not_by_its_xid() {
    for known in [false, true] {
        let msg = |words: &[u32]| is_call_of(EmitKind::Msg, false, words, known);
        assert!(msg(&[7, 0]), "a call");
        assert!(!msg(&[7, 1]), "a reply");
        assert!(!msg(&[8, 0]), "another XID than in the header");
        assert!(!msg(&[7]), "too short");
    }
}

#[test]
fn a_message_in_a_chunk_is_a_call_if_we_are_to_read_it_and_no_reply_is_awaited() {
    assert!(is_call_of(EmitKind::NoMsg, true, &[], false));
    assert!(!is_call_of(EmitKind::NoMsg, true, &[], true), "a bad reply");
    assert!(!is_call_of(EmitKind::NoMsg, false, &[], false), "replies have no Read list");
    assert!(!is_call_of(EmitKind::NoMsg, false, &[], true), "a reply in a Reply chunk");
}

#[test]
fn an_answer_is_a_header_and_a_reply_and_nothing_behind_it() {
    let id = connected(&mut endpoint(), Timestamp(0)).id;
    let kind = EmitKind::Msg;
    let call = Emit { xid: 7, credits: 1, kind, reads: &[], write_chunks: &[], reply_chunk: None };
    let mut bytes = vec![0; call.len()];
    call.emit(&mut bytes).unwrap();
    bytes.extend(
        [7, 0, 2, 1_073_741_824, 1, 0, 0, 0, 0, 0].iter().flat_map(|w: &u32| w.to_be_bytes()),
    );
    let mut out = [0; 1024];
    // Accepted, and the program is unavailable: six words.
    assert_eq!(answer(id, &bytes, &mut out, &mut Nobody::default()), 28 + 24);
    let header = Header::parse(&out[..28 + 24]).unwrap();
    assert_eq!((header.xid, header.len, out[28 + 23]), (7, 28, 1));
    assert_eq!(
        answer(id, &bytes[..20], &mut out, &mut Nobody::default()),
        0,
        "no header, no answer"
    );
}

#[test]
fn as_many_backward_calls_as_are_granted_have_room_from_the_start() {
    assert!(backlog().capacity() >= BACKCHANNEL_SLOTS as usize);
}
