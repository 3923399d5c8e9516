use wire::rpcrdma::{Emit, EmitKind, ReadSegment};

use super::*;

const OFFERED: Segment = Segment { handle: 0xabcd, length: 4096, offset: 0x1000 };

/// A chunk of these segments, offered for this.
fn offered(travel: Travel, segments: &[Segment]) -> Offered {
    let mut offered = Offered::default();
    offered.begin(travel);
    segments.iter().for_each(|&segment| offered.push(segment));
    offered
}

fn nothing() -> Offered {
    Offered::default()
}

fn to_write() -> Offered {
    offered(Travel::WriteChunk, &[OFFERED])
}

fn to_reply() -> Offered {
    offered(Travel::ReplyChunk, &[OFFERED])
}

fn verdict(
    kind: EmitKind,
    reads: &[ReadSegment],
    writes: &[&[Segment]],
    reply: Option<&[Segment]>,
    offered: Offered,
) -> Result<Arrival, BadReply> {
    let header = Emit { xid: 1, credits: 1, kind, reads, write_chunks: writes, reply_chunk: reply };
    let mut bytes = [0; 256];
    let len = header.emit(&mut bytes).unwrap();
    bytes[len..len + 4].copy_from_slice(&1_u32.to_be_bytes());
    let message = &bytes[..len + 4];
    let header = Header::parse(message).unwrap();
    assert!(is_sound(&header, message));
    check(&header, &offered)
}

#[test]
fn a_message_under_another_xid_than_its_header_is_no_answer() {
    let header = Emit {
        xid: 7,
        credits: 1,
        kind: EmitKind::Msg,
        reads: &[],
        write_chunks: &[],
        reply_chunk: None,
    };
    let mut bytes = [0; 64];
    let len = header.emit(&mut bytes).unwrap();
    for (xid, ok) in [(7_u32, true), (8, false)] {
        bytes[len..len + 4].copy_from_slice(&xid.to_be_bytes());
        let message = &bytes[..len + 4];
        let parsed = Header::parse(message).unwrap();
        assert_eq!(is_sound(&parsed, message), ok);
        assert!(!is_sound(&parsed, &message[..len + 3]), "or none at all");
    }
}

fn write(segments: &[Segment], offered: Offered) -> Result<Arrival, BadReply> {
    verdict(EmitKind::Msg, &[], &[segments], None, offered)
}

#[test]
fn an_inline_reply_needs_no_chunks() {
    let arrival = verdict(EmitKind::Msg, &[], &[], None, nothing());
    assert_eq!(arrival, Ok(Arrival::Inline { header_len: 28, written: None }));
}

#[test]
fn the_returned_write_chunk_is_the_one_offered_and_no_longer() {
    let returned = |segment| write(&[segment], to_write());
    let part = Segment { length: 100, ..OFFERED };
    assert!(matches!(returned(part), Ok(Arrival::Inline { written: Some(100), .. })));
    let longer = Segment { length: 4097, ..OFFERED };
    assert_eq!(returned(longer), Err(BadReply::TooLong { returned: 4097, offered: 4096 }));
    let foreign = Err(BadReply::ForeignChunk("Write chunk"));
    assert_eq!(returned(Segment { handle: 1, ..OFFERED }), foreign);
    assert_eq!(returned(Segment { offset: 0x1001, ..OFFERED }), foreign);
    assert_eq!(write(&[OFFERED, OFFERED], to_write()), foreign);
    assert_eq!(write(&[], to_write()), foreign);
}

// req: 8166-6.1-3
#[test]
fn chunks_that_were_not_offered_are_refused() {
    assert!(matches!(write(&[OFFERED], nothing()), Err(BadReply::ForeignChunk(_))));
    let two = verdict(EmitKind::Msg, &[], &[&[OFFERED], &[OFFERED]], None, to_write());
    assert_eq!(two, Err(BadReply::ForeignChunk("Write list")));
    let read = [ReadSegment { position: 0, segment: OFFERED }];
    let reads = verdict(EmitKind::Msg, &read, &[], None, nothing());
    assert_eq!(reads, Err(BadReply::ReadList));
}

#[test]
fn a_long_reply_lies_in_the_offered_reply_chunk() {
    let nomsg = |segments: Option<&[Segment]>, offered| {
        verdict(EmitKind::NoMsg, &[], &[], segments, offered)
    };
    let part = [Segment { length: 512, ..OFFERED }];
    assert_eq!(nomsg(Some(&part), to_reply()), Ok(Arrival::InReplyChunk { len: 512 }));
    let empty = [Segment { length: 0, ..OFFERED }];
    assert_eq!(nomsg(Some(&empty), to_reply()), Err(BadReply::EmptyReplyChunk));
    assert!(nomsg(Some(&part), nothing()).is_err());
}

#[test]
fn a_reply_chunk_that_was_not_needed_comes_back_empty_or_not_at_all() {
    let msg = |segments: Option<&[Segment]>| verdict(EmitKind::Msg, &[], &[], segments, to_reply());
    let inline = Ok(Arrival::Inline { header_len: 28 + 4 + 16, written: None });
    assert_eq!(msg(Some(&[Segment { length: 0, ..OFFERED }])), inline);
    assert!(msg(None).is_ok());
    let used = msg(Some(&[Segment { length: 512, ..OFFERED }]));
    assert_eq!(used, Err(BadReply::MsgWithReplyChunk));
    let foreign = msg(Some(&[Segment { length: 0, offset: 1, ..OFFERED }]));
    assert_eq!(foreign, Err(BadReply::ForeignChunk("Reply chunk")));
}

#[test]
fn a_write_chunk_that_does_not_come_back_holds_nothing() {
    let arrival = verdict(EmitKind::Msg, &[], &[], None, to_write());
    assert_eq!(arrival, Ok(Arrival::Inline { header_len: 28, written: Some(0) }));
}

// req: 8166-4.5-3, 8166-4.5-7
#[test]
fn what_cannot_be_told_from_its_header_is_no_answer() {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect();
    let sound = |bytes: Vec<u8>| is_sound(&Header::parse(&bytes).unwrap(), &bytes);
    assert!(!sound(words(&[7, 1, 1, 1, 0, 0, 0])), "the message is nowhere");
    assert!(!sound(words(&[7, 1, 1, 4, 3])), "an error that has no meaning");
    assert!(sound(words(&[7, 1, 1, 4, 2])));
    assert!(sound(words(&[7, 1, 1, 4, 1, 2, 3])));
    // The message may be in any chunk; which one it was to be is another question.
    assert!(sound(words(&[7, 1, 1, 1, 1, 0, 5, 8, 0, 0, 0, 0, 0])));
    assert!(sound(words(&[7, 1, 1, 1, 0, 1, 1, 5, 8, 0, 0, 0, 0])));
    assert!(sound(words(&[7, 1, 1, 1, 0, 0, 1, 1, 5, 8, 0, 0])));
}

#[test]
fn a_segment_is_judged_at_a_glance_as_it_is_in_full() {
    use Travel::{Copied, Gathered, Nothing, ReadChunk, ReplyChunk, WriteChunk};
    let returned = [0, 100, 4096, 4097].map(|length| Segment { length, ..OFFERED });
    let foreign = [Segment { handle: 1, ..OFFERED }, Segment { offset: 1, ..OFFERED }];
    for travel in [Nothing, Copied, Gathered, ReadChunk, WriteChunk, ReplyChunk] {
        for (count, &segment) in
            (0..3).flat_map(|n| returned.iter().chain(&foreign).map(move |s| (n, s)))
        {
            let offer = offered(travel, &[OFFERED, SECOND][..count]);
            let in_full = match write(&[segment], offer) {
                Ok(Arrival::Inline { written, .. }) => written,
                Ok(other) => panic!("{other:?}"),
                Err(_) => None,
            };
            assert_eq!(offer.returned_one(&segment), in_full, "{travel:?}, {count}: {segment:?}");
        }
    }
}

const SECOND: Segment = Segment { handle: 0xef01, length: 100, offset: 0x9000 };
const THIRD: Segment = Segment { handle: 0x1234, length: 8, offset: 0x1 };

/// What becomes of three returned segments, of these lengths, where 4096, 100 and 8 were offered.
fn three(lengths: [u32; 3]) -> Result<u32, BadReply> {
    let offer = || offered(Travel::WriteChunk, &[OFFERED, SECOND, THIRD]);
    let [first, second, third] = lengths;
    let returned = [
        Segment { length: first, ..OFFERED },
        Segment { length: second, ..SECOND },
        Segment { length: third, ..THIRD },
    ];
    match write(&returned, offer())? {
        Arrival::Inline { written: Some(bytes), .. } => Ok(bytes),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_chunk_of_several_segments_is_filled_from_the_front() {
    assert_eq!(three([4096, 100, 8]), Ok(4204));
    assert_eq!(three([4096, 99, 0]), Ok(4195));
    assert_eq!(three([4096, 0, 0]), Ok(4096));
    assert_eq!(three([1, 0, 0]), Ok(1));
    assert_eq!(three([0, 0, 0]), Ok(0));
    let gap = Err(BadReply::Gap("Write chunk"));
    assert_eq!(three([4095, 1, 0]), gap, "the second was used before the first was full");
    assert_eq!(three([0, 0, 8]), gap);
    assert_eq!(three([4096, 0, 8]), gap);
}

#[test]
fn each_segment_is_held_to_its_own_length() {
    assert_eq!(three([4097, 0, 0]), Err(BadReply::TooLong { returned: 4097, offered: 4096 }));
    assert_eq!(three([4096, 101, 0]), Err(BadReply::TooLong { returned: 101, offered: 100 }));
    let longest = Err(BadReply::TooLong { returned: u32::MAX.into(), offered: 8 });
    assert_eq!(three([4096, 100, u32::MAX]), longest);
}

#[test]
fn segments_that_are_missing_added_or_out_of_order_are_foreign() {
    let foreign = Err(BadReply::ForeignChunk("Write chunk"));
    let returned =
        |segments: &[Segment]| write(segments, offered(Travel::WriteChunk, &[OFFERED, SECOND]));
    assert_eq!(returned(&[SECOND, OFFERED]), foreign);
    assert_eq!(returned(&[OFFERED]), foreign);
    assert_eq!(returned(&[OFFERED, SECOND, THIRD]), foreign);
    assert_eq!(returned(&[OFFERED, Segment { handle: OFFERED.handle, ..SECOND }]), foreign);
    assert!(returned(&[OFFERED, SECOND]).is_ok());
}
