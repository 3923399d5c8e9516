use hugepages::{Keys, PageSize, Policy, Pool, Region, RegionSpec};
use std::rc::Rc;

use super::*;

const LIMITS: Limits = Limits { inline_send: 4096, inline_receive: 4096, copy_max: 512 };

fn pool() -> Pool {
    let region = Region::map(&RegionSpec {
        len: 64 * 1024,
        policy: Policy::Off,
        page_size: PageSize::Huge2M,
        numa_node: None,
        lock: false,
    });
    Pool::new(Rc::new(region.unwrap()), 0, 8192, 8, Keys { lkey: 1, rkey: 2 }).unwrap()
}

fn send(len: u32) -> Payload {
    Payload::Send { buffer: pool().alloc().unwrap(), len }
}

#[test]
fn a_four_kibibyte_write_just_misses_the_default_inline_threshold() {
    assert_eq!(LIMITS.choose(&send(512), 150, 160), Travel::Copied);
    assert_eq!(LIMITS.choose(&send(513), 150, 160), Travel::Gathered);
    assert_eq!(LIMITS.choose(&send(4096), 150, 160), Travel::ReadChunk);
    let wide = Limits { inline_send: 16384, ..LIMITS };
    assert_eq!(wide.choose(&send(4096), 150, 160), Travel::Gathered);
}

#[test]
fn the_pad_counts_when_it_is_decided_whether_a_payload_fits() {
    let exact = 4096 - 28 - 152;
    assert_eq!(LIMITS.choose(&send(exact), 152, 0), Travel::Gathered);
    assert_eq!(LIMITS.choose(&send(exact - 1), 152, 0), Travel::Gathered);
    assert_eq!(LIMITS.choose(&send(exact + 1), 152, 0), Travel::ReadChunk);
}

#[test]
fn a_chunk_is_offered_only_where_the_reply_may_not_fit() {
    let receive = |len| Payload::Receive { buffer: pool().alloc().unwrap(), len };
    assert_eq!(LIMITS.choose(&receive(1024), 100, 128), Travel::Nothing);
    assert_eq!(LIMITS.choose(&receive(4096), 100, 128), Travel::WriteChunk);
    let reply = |len| Payload::Reply { buffer: pool().alloc().unwrap(), len };
    assert_eq!(LIMITS.choose(&reply(2048), 100, 128), Travel::Nothing);
    assert_eq!(LIMITS.choose(&reply(8192), 100, 128), Travel::ReplyChunk);
}

fn matched() -> Option<Matched> {
    let outcome = Ok(Arrival::Inline { header_len: 28, written: None });
    Some(Matched { receive: 0, len: 100, outcome })
}

#[test]
fn gathered_payload_waits_for_both_conditions_in_either_order() {
    let mut request =
        Request { pending: true, sending: true, gathered: true, ..Request::default() };
    request.reply = matched();
    assert!(!request.is_complete(), "the Send may still read the payload");
    request.sending = false;
    assert!(request.is_complete());

    let mut request = Request { pending: true, gathered: true, ..Request::default() };
    assert!(!request.is_complete(), "no Reply yet");
    request.reply = matched();
    assert!(request.is_complete());
}

#[test]
fn a_reply_completes_an_ungathered_rpc_but_the_send_still_owns_the_header() {
    let mut request = Request { pending: true, sending: true, ..Request::default() };
    request.reply = matched();
    assert!(request.is_complete());
    request.pending = false;
    assert!(!request.is_free(), "the header buffer may still be read");
    request.sending = false;
    assert!(request.is_free());
}
