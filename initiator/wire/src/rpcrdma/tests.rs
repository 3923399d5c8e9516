use super::*;
use proptest::prelude::*;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// RFC 8166 §4.3, laid out by hand.
#[test]
fn the_smallest_message_is_28_bytes() {
    let header = Emit {
        xid: 7,
        credits: 64,
        kind: EmitKind::Msg,
        reads: &[],
        write_chunks: &[],
        reply_chunk: None,
    };
    let mut out = [0xaa; 64];
    assert_eq!(header.emit(&mut out), Ok(HEADER_MIN));
    assert_eq!(header.len(), HEADER_MIN);
    assert_eq!(out[..28], words(&[7, 1, 64, 0, 0, 0, 0]));
    assert!(out[28..].iter().all(|&byte| byte == 0xaa), "nothing is written behind the header");
}

// req: 8166-2.3.2-1, 8166-4-1
#[test]
fn each_kind_of_chunk_lies_where_the_rfc_puts_it() {
    let at = |handle| Segment { handle, length: 4096, offset: 0x1_0000_0002 };
    let header = Emit {
        xid: 9,
        credits: 1,
        kind: EmitKind::NoMsg,
        reads: &[ReadSegment { position: 132, segment: at(0x11) }],
        write_chunks: &[&[at(0x22), at(0x23)]],
        reply_chunk: Some(&[at(0x33)]),
    };
    let mut out = [0; 256];
    let len = header.emit(&mut out).unwrap();
    let expected = words(&[
        9, 1, 1, 1, // fixed
        1, 132, 0x11, 4096, 1, 2, 0, // Read list
        1, 2, 0x22, 4096, 1, 2, 0x23, 4096, 1, 2, 0, // Write list
        1, 1, 0x33, 4096, 1, 2, // Reply chunk
    ]);
    assert_eq!(out[..len], expected);
    let parsed = Header::parse(&out).unwrap();
    assert_eq!((parsed.xid, parsed.credits, parsed.kind, parsed.len), (9, 1, Kind::NoMsg, len));
    assert_eq!(parsed.reads.iter().collect::<Vec<_>>(), header.reads);
    assert_eq!((parsed.reads.len(), parsed.writes.len()), (1, 1));
    let chunks: Vec<Vec<_>> = parsed.writes.iter().map(|chunk| chunk.iter().collect()).collect();
    assert_eq!(chunks, [vec![at(0x22), at(0x23)]]);
    assert_eq!(parsed.reply.unwrap().total_length(), 4096);
}

#[test]
fn a_list_and_a_chunk_may_be_as_long_as_their_limits_and_no_longer() {
    let segments = |count: u32| vec![Segment::default(); count as usize];
    let parsed = |reads: u32, reply: u32| {
        let entry = ReadSegment { position: 4, segment: Segment::default() };
        let (reads, reply) = (vec![entry; reads as usize], segments(reply));
        let (kind, reply_chunk) = (EmitKind::NoMsg, Some(&reply[..]));
        let emit = Emit { xid: 7, credits: 1, kind, reads: &reads, write_chunks: &[], reply_chunk };
        let mut out = vec![0; 64 * 1024];
        let len = emit.emit(&mut out).unwrap();
        let header = Header::parse(&out[..len])?;
        Ok((header.reads.len() as u32, header.reply.unwrap().segment_count() as u32))
    };
    assert_eq!(parsed(2, SEGMENTS_MAX), Ok((2, SEGMENTS_MAX)));
    assert_eq!(parsed(READ_SEGMENTS_MAX, 1), Ok((READ_SEGMENTS_MAX, 1)));
    assert!(matches!(parsed(2, SEGMENTS_MAX + 1), Err(HeaderError::Malformed { .. })));
    assert!(matches!(parsed(READ_SEGMENTS_MAX + 1, 1), Err(HeaderError::Malformed { .. })));
}

proptest! {
    #[test]
    fn usual_headers_are_those_that_emit_writes(
        xid: u32, credits: u32, position: u32, handle: u32, length: u32, offset: u64,
    ) {
        let segment = Segment { handle, length, offset };
        let read = ReadSegment { position, segment };
        let (reads, chunk) = ([read], [segment]);
        let writes = [&chunk[..]];
        let emitted = |reads, write_chunks| {
            let kind = EmitKind::Msg;
            let emit = Emit { xid, credits, kind, reads, write_chunks, reply_chunk: None };
            let mut out = vec![0; 64];
            let len = emit.emit(&mut out).unwrap();
            out.truncate(len);
            out
        };
        prop_assert_eq!(&usual::without_lists(xid, credits)[..], emitted(&[], &[]));
        prop_assert_eq!(&usual::with_write(xid, credits, segment)[..], emitted(&[], &writes));
        prop_assert_eq!(&usual::with_read(xid, credits, read)[..], emitted(&reads, &[]));
    }
}

/// The reply with these words behind its XID, version and credits, and then this RPC message.
fn reply(lists: &[u32], rpc: &[u32]) -> Vec<u8> {
    [words(&[7, 1, 64]), words(lists), words(rpc)].concat()
}

#[test]
fn usual_replies_are_recognised_and_no_others() {
    let recognised = |lists: &[u32], rpc: &[u32]| UsualReply::recognise(&reply(lists, rpc));
    let usual = |write, len| Some(UsualReply { xid: 7, credits: 64, write, len });
    let write = Some(Segment { handle: 5, length: 4096, offset: 0x1_0000_0002 });
    let one_chunk = [0, 0, 1, 1, 5, 4096, 1, 2, 0, 0];
    assert_eq!(recognised(&[0, 0, 0, 0], &[7, 1, 0]), usual(None, 28));
    assert_eq!(recognised(&one_chunk, &[7, 1]), usual(write, 52));
    // A call of the server's, another XID, no RPC message.
    for rpc in [&[7, 0][..], &[8, 1], &[7], &[]] {
        assert_eq!(recognised(&[0, 0, 0, 0], rpc), None);
        assert_eq!(recognised(&one_chunk, rpc), None);
    }
    // Any word of the header that is another.
    for at in [0, 1, 2, 3, 8, 9] {
        let mut lists = one_chunk;
        lists[at] ^= 1;
        assert_ne!(recognised(&lists, &[7, 1]), usual(write, 52), "word {at}");
    }
    let mut version_2 = reply(&[0, 0, 0, 0], &[7, 1]);
    version_2[7] = 2;
    assert_eq!(UsualReply::recognise(&version_2), None);
}

proptest! {
    /// Whatever the short way takes, the long way takes for the same.
    #[test]
    fn the_short_way_agrees_with_the_long_one(
        lists in prop::collection::vec(0u32..3, 4..12),
        rpc in prop::collection::vec(prop_oneof![Just(7u32), 0u32..2], 0..4),
    ) {
        let message = reply(&lists, &rpc);
        if let Some(usual) = UsualReply::recognise(&message) {
            let header = Header::parse(&message).unwrap();
            prop_assert_eq!(header.kind, Kind::Msg);
            prop_assert!(header.reads.is_empty() && header.reply.is_none());
            let writes: Vec<Segment> = header.writes.iter().flat_map(|chunk| chunk.iter()).collect();
            prop_assert_eq!(writes, Vec::from_iter(usual.write));
            prop_assert_eq!(header.writes.len(), usize::from(usual.write.is_some()));
            prop_assert_eq!((header.xid, header.credits), (usual.xid, usual.credits));
            prop_assert_eq!(header.len, usual.len);
            prop_assert_eq!(&message[usual.len..][..8], &words(&[7, 1])[..]);
        }
    }
}

// req: 8166-4.5-6
#[test]
fn both_error_reports_are_accepted_at_their_own_length() {
    let version = words(&[5, 1, 2, 4, 1, 1, 1]);
    let chunk = words(&[5, 1, 2, 4, 2]);
    assert_eq!((version.len(), chunk.len()), (28, 20));
    let kind = |bytes: &[u8]| Header::parse(bytes).unwrap().kind;
    assert_eq!(kind(&version), Kind::Error(ErrorBody::Version { low: 1, high: 1 }));
    assert_eq!(kind(&chunk), Kind::Error(ErrorBody::Chunk), "20 bytes are not too short");
    let mut out = [0; 28];
    assert_eq!(emit_error(5, 2, ErrorBody::Chunk, &mut out), Ok(20));
    assert_eq!(out[..20], chunk);
    assert_eq!(emit_error(5, 2, ErrorBody::Version { low: 1, high: 1 }, &mut out), Ok(28));
    assert_eq!(out[..], version);
}

#[test]
fn an_unusable_header_still_tells_its_xid() {
    let error = |words_: &[u32]| Header::parse(&words(words_)).unwrap_err();
    assert_eq!(error(&[1, 1, 1, 0]), HeaderError::Short { len: 16 });
    assert_eq!(error(&[6, 2, 1, 0, 0, 0, 0]), HeaderError::Version { xid: 6, found: 2 });
    for obsolete in [2, 3, 5] {
        let found = error(&[6, 1, 1, obsolete, 0, 0, 0]);
        assert_eq!(found, HeaderError::Procedure { xid: 6, found: obsolete });
    }
    assert_eq!(error(&[6, 1, 1, 0, 2, 0, 0]).xid(), Some(6), "a list discriminator is 0 or 1");
}

#[test]
fn huge_segment_counts_are_refused_before_anything_is_taken() {
    for count in [SEGMENTS_MAX + 1, u32::MAX] {
        let error = Header::parse(&words(&[6, 1, 1, 0, 0, 0, 1, count])).unwrap_err();
        assert!(matches!(error, HeaderError::Malformed { error: DecodeError::TooLong { .. }, .. }));
    }
}

#[test]
fn a_read_list_that_never_ends_is_cut_off() {
    let entry = words(&[1, 0, 1, 4, 0, 0]);
    let mut message = words(&[6, 1, 1, 0]);
    (0..=READ_SEGMENTS_MAX).for_each(|_| message.extend(&entry));
    assert!(Header::parse(&message).is_err());
}

fn segments(max: usize) -> impl Strategy<Value = Vec<Segment>> {
    let segment = any::<(u32, u32, u64)>().prop_map(|(handle, length, offset)| Segment {
        handle,
        length,
        offset,
    });
    prop::collection::vec(segment, 0..max)
}

proptest! {
    #[test]
    fn what_is_emitted_is_parsed(
        xid: u32,
        credits: u32,
        msg: bool,
        reads in prop::collection::vec((any::<u32>(), segments(2)), 0..5),
        writes in prop::collection::vec(segments(4), 0..5),
        reply in prop::option::of(segments(4)),
    ) {
        let reads: Vec<_> = reads
            .into_iter()
            .flat_map(|(position, list)| {
                list.into_iter().map(move |segment| ReadSegment { position, segment })
            })
            .collect();
        let chunks: Vec<&[Segment]> = writes.iter().map(Vec::as_slice).collect();
        let kind = if msg { EmitKind::Msg } else { EmitKind::NoMsg };
        let reply_chunk = reply.as_deref();
        let header = Emit { xid, credits, kind, reads: &reads, write_chunks: &chunks, reply_chunk };
        let mut out = vec![0; header.len()];
        prop_assert_eq!(header.emit(&mut out), Ok(out.len()));
        let parsed = Header::parse(&out).unwrap();
        prop_assert_eq!(parsed.len, out.len());
        prop_assert_eq!(parsed.reads.iter().collect::<Vec<_>>(), reads);
        let back: Vec<Vec<_>> = parsed.writes.iter().map(|chunk| chunk.iter().collect()).collect();
        prop_assert_eq!(back, writes);
        prop_assert_eq!(parsed.reply.map(|chunk| chunk.iter().collect::<Vec<_>>()), reply);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        if let Ok(header) = Header::parse(&bytes) {
            prop_assert!(header.len <= bytes.len());
            header.reads.iter().for_each(drop);
            header.writes.iter().for_each(|chunk| chunk.iter().for_each(drop));
        }
    }

    /// Random bytes rarely get past the version; small words in the right places do.
    #[test]
    fn no_plausible_words_make_the_parser_panic(
        tail in prop::collection::vec(0u32..4, 0..64),
        kind in 0u32..5,
    ) {
        let mut all = vec![1, 1, 1, kind];
        all.extend(tail);
        if let Ok(header) = Header::parse(&words(&all)) {
            prop_assert_eq!(header.writes.iter().count(), header.writes.len());
        }
    }
}
