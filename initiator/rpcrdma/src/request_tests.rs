use super::*;

const LIMITS: Limits = Limits { inline_send: 4096, inline_receive: 4096, copy_max: 512, sges: 10 };

fn choose(limits: Limits, role: Role, payload_len: u32, body_len: usize, reply_max: u32) -> Travel {
    limits.choose(&Shape { role, payload_len, pieces: 1, body_len, reply_max })
}

#[test]
fn a_four_kibibyte_write_just_misses_the_default_inline_threshold() {
    let send = |limits, len| choose(limits, Role::Send, len, 150, 160);
    assert_eq!(send(LIMITS, 512), Travel::Copied);
    assert_eq!(send(LIMITS, 513), Travel::Gathered);
    assert_eq!(send(LIMITS, 4096), Travel::ReadChunk);
    let wide = Limits { inline_send: 16384, ..LIMITS };
    assert_eq!(send(wide, 4096), Travel::Gathered);
}

#[test]
fn the_pad_counts_when_it_is_decided_whether_a_payload_fits() {
    let exact = 4096 - 28 - 152;
    let send = |len| choose(LIMITS, Role::Send, len, 152, 0);
    assert_eq!(send(exact), Travel::Gathered);
    assert_eq!(send(exact - 1), Travel::Gathered);
    assert_eq!(send(exact + 1), Travel::ReadChunk);
}

// req: 8166-4.3.3-1
#[test]
fn a_chunk_is_offered_only_where_the_reply_may_not_fit() {
    let receive = |len| choose(LIMITS, Role::Receive, len, 100, 128);
    assert_eq!(receive(1024), Travel::Nothing);
    assert_eq!(receive(4096), Travel::WriteChunk);
    let reply = |len| choose(LIMITS, Role::Reply, len, 100, 128);
    assert_eq!(reply(2048), Travel::Nothing);
    assert_eq!(reply(8192), Travel::ReplyChunk);
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
