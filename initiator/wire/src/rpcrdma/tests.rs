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
    let chunks: Vec<Vec<_>> = parsed.writes.iter().map(|chunk| chunk.iter().collect()).collect();
    assert_eq!(chunks, [vec![at(0x22), at(0x23)]]);
    assert_eq!(parsed.reply.unwrap().total_length(), 4096);
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
