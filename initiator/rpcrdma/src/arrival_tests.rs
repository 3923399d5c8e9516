use wire::rpcrdma::{Emit, EmitKind, Segment, emit_error};

use super::*;

const OURS: u32 = 7;

/// What this message means for a call that offered nothing, and what was counted.
fn judged(message: &[u8], counters: &mut Counters) -> Result<Arrival, Box<Error>> {
    let header = Header::parse(message).unwrap();
    let remote = SocketAddr::from(([127, 0, 0, 1], 20049));
    outcome(&header, &Offered::default(), remote, counters)
}

#[test]
fn errors_and_bad_replies_are_counted_each_for_itself() {
    let mut counters = Counters::default();
    let mut message = [0; 256];
    let len = emit_error(OURS, 1, ErrorBody::Chunk, &mut message).unwrap();
    for count in 1..3 {
        let outcome = judged(&message[..len], &mut counters);
        assert!(matches!(*outcome.unwrap_err(), Error::Chunk { .. }));
        assert_eq!((counters.rdma_errors, counters.bad_reply_count), (count, 0));
    }
    let chunk = [Segment { handle: 1, length: 64, offset: 0 }];
    let write_chunks = &[&chunk[..]][..];
    let kind = EmitKind::Msg;
    let reply = Emit { xid: OURS, credits: 1, kind, reads: &[], write_chunks, reply_chunk: None };
    let len = reply.emit(&mut message).unwrap();
    for count in 1..3 {
        let outcome = judged(&message[..len], &mut counters);
        assert!(matches!(*outcome.unwrap_err(), Error::BadReply { .. }), "nothing was offered");
        assert_eq!((counters.rdma_errors, counters.bad_reply_count), (2, count));
    }
    assert_eq!(counters.total_rdma_reply, 0);
}
