//! The sendctx ring against a queue that cannot be wrong.

use std::collections::VecDeque;

use rpcrdma::sendctx::ring as make;

use crate::source::Source;

/// Bytes decide what the sender and the completion handler do.
pub(crate) fn ring(data: &[u8]) {
    let mut source = Source::new(data);
    let (slots, send_wr_max) = (1 + source.below(12) as u32, 1 + source.below(24) as u32);
    let (mut getter, mut putter) = make(slots, send_wr_max);
    // Number, request, work requests.
    let mut oracle: VecDeque<(u32, u32, u32)> = VecDeque::new();
    let (mut next_request, mut unposted) = (0, 0);
    while !source.is_empty() {
        let wrs_in_use: u32 = oracle.iter().map(|&(_, _, wrs)| wrs).sum();
        match source.below(6) {
            0 | 1 => {
                let wrs = 1 + source.below(9) as u32;
                let fits = oracle.len() < slots as usize && wrs_in_use + wrs <= send_wr_max;
                assert_eq!(getter.has_room(wrs), fits);
                let got = getter.get(wrs).map(|ctx| {
                    assert!(!ctx.gathered && ctx.sge_count == 0, "a slot comes empty");
                    (ctx.request, ctx.gathered, ctx.sge_count) = (next_request, true, 1);
                });
                assert_eq!(got.is_some(), fits);
                if fits {
                    oracle.push_back((getter.head(), next_request, wrs));
                    (next_request, unposted) = (next_request + 1, unposted + 1);
                }
            }
            // Only what is not posted yet can be given back.
            2 if unposted > 0 => {
                getter.unget();
                oracle.pop_back();
                unposted -= 1;
            }
            3 => {
                let expected = oracle.iter().skip(oracle.len() - unposted);
                let expected: Vec<_> =
                    expected.map(|&(number, request, _)| (number, request)).collect();
                let chain = getter.latest(unposted as u32);
                assert_eq!(chain.map(|(n, ctx)| (n, ctx.request)).collect::<Vec<_>>(), expected);
                unposted = 0;
            }
            4 => {
                // Of what is posted, or of what is not in flight at all.
                let number = match oracle.get(source.below(oracle.len() + 2)) {
                    Some(&(number, ..)) => number,
                    None => source.word(),
                };
                let at = oracle.iter().position(|&(n, ..)| n == number);
                if at.is_some_and(|at| at >= oracle.len() - unposted) {
                    continue;
                }
                let mut released = Vec::new();
                let put = putter.put(number, |ctx| released.push((ctx.request, ctx.gathered)));
                let walked = at.map_or(0, |at| at + 1);
                assert_eq!(put.is_ok(), walked > 0);
                let expected = oracle.drain(..walked).map(|(_, request, _)| (request, true));
                assert_eq!(released, expected.collect::<Vec<_>>());
            }
            _ if source.u8() == 0 => {
                let mut released = Vec::new();
                putter.put_all(|ctx| released.push(ctx.request));
                let expected: Vec<_> = oracle.drain(..).map(|(_, request, _)| request).collect();
                assert_eq!(released, expected);
                unposted = 0;
            }
            _ => {}
        }
        assert_eq!(putter.in_flight() as usize, oracle.len());
    }
}
