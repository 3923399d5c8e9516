use wire::rpcrdma::{Emit, EmitKind, ReadSegment};

use super::*;

const OFFERED: Segment = Segment { handle: 0xabcd, length: 4096, offset: 0x1000 };

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
    check(&Header::parse(&bytes[..len]).unwrap(), offered)
}

fn write(segments: &[Segment], offered: Offered) -> Result<Arrival, BadReply> {
    verdict(EmitKind::Msg, &[], &[segments], None, offered)
}

#[test]
fn an_inline_reply_needs_no_chunks() {
    let arrival = verdict(EmitKind::Msg, &[], &[], None, Offered::Nothing);
    assert_eq!(arrival, Ok(Arrival::Inline { header_len: 28, written: None }));
}

#[test]
fn the_returned_write_chunk_is_the_one_offered_and_no_longer() {
    let returned = |segment| write(&[segment], Offered::Write(OFFERED));
    let part = Segment { length: 100, ..OFFERED };
    assert!(matches!(returned(part), Ok(Arrival::Inline { written: Some(100), .. })));
    let longer = Segment { length: 4097, ..OFFERED };
    assert_eq!(returned(longer), Err(BadReply::TooLong { returned: 4097, offered: 4096 }));
    let foreign = Err(BadReply::ForeignChunk("Write chunk"));
    assert_eq!(returned(Segment { handle: 1, ..OFFERED }), foreign);
    assert_eq!(returned(Segment { offset: 0x1001, ..OFFERED }), foreign);
    assert_eq!(write(&[OFFERED, OFFERED], Offered::Write(OFFERED)), foreign);
    assert_eq!(write(&[], Offered::Write(OFFERED)), foreign);
}

#[test]
fn chunks_that_were_not_offered_are_refused() {
    assert!(matches!(write(&[OFFERED], Offered::Nothing), Err(BadReply::ForeignChunk(_))));
    let two = verdict(EmitKind::Msg, &[], &[&[OFFERED], &[OFFERED]], None, Offered::Write(OFFERED));
    assert_eq!(two, Err(BadReply::ForeignChunk("Write list")));
    let read = [ReadSegment { position: 0, segment: OFFERED }];
    let reads = verdict(EmitKind::Msg, &read, &[], None, Offered::Nothing);
    assert_eq!(reads, Err(BadReply::ReadList));
}

#[test]
fn a_long_reply_lies_in_the_offered_reply_chunk() {
    let nomsg = |segments: Option<&[Segment]>, offered| {
        verdict(EmitKind::NoMsg, &[], &[], segments, offered)
    };
    let offered = Offered::Reply(OFFERED);
    let part = [Segment { length: 512, ..OFFERED }];
    assert_eq!(nomsg(Some(&part), offered), Ok(Arrival::InReplyChunk { len: 512 }));
    let empty = [Segment { length: 0, ..OFFERED }];
    assert_eq!(nomsg(Some(&empty), offered), Err(BadReply::EmptyReplyChunk));
    assert_eq!(nomsg(None, offered), Err(BadReply::EmptyReplyChunk));
    assert!(nomsg(Some(&part), Offered::Nothing).is_err());
    let msg = verdict(EmitKind::Msg, &[], &[], Some(&part), offered);
    assert_eq!(msg, Err(BadReply::MsgWithReplyChunk));
}
