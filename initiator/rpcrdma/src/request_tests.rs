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

#[test]
fn a_reply_is_taken_inline_up_to_the_last_byte_that_fits() {
    let room = 4096 - 28 - 128;
    let receive = |len| choose(LIMITS, Role::Receive, len, 100, 128);
    assert_eq!((receive(room), receive(room + 1)), (Travel::Nothing, Travel::WriteChunk));
    let reply = |len| choose(LIMITS, Role::Reply, len, 100, 128);
    assert_eq!((reply(room), reply(room + 1)), (Travel::Nothing, Travel::ReplyChunk));
}

#[test]
fn a_payload_of_no_bytes_is_never_a_chunk() {
    assert_eq!(choose(LIMITS, Role::Send, 0, 5000, 0), Travel::Nothing);
    assert_eq!(choose(LIMITS, Role::Receive, 0, 100, 5000), Travel::Nothing);
    assert_eq!(choose(LIMITS, Role::None, 0, 5000, 5000), Travel::Nothing);
}

#[test]
fn pieces_are_gathered_as_far_as_the_device_takes_sges() {
    let send = |pieces, sges| {
        let shape =
            Shape { role: Role::Send, payload_len: 1024, pieces, body_len: 100, reply_max: 0 };
        Limits { sges, ..LIMITS }.choose(&shape)
    };
    assert_eq!(send(8, 10), Travel::Gathered, "one for the message, one for the pad");
    assert_eq!(send(8, 9), Travel::ReadChunk);
    assert_eq!(send(1, 2), Travel::ReadChunk);
}

// req: 8166-3.5.3-1
#[test]
fn a_call_is_long_when_its_message_with_its_header_does_not_fit() {
    let chunks = [
        (Travel::Nothing, 0),
        (Travel::Copied, 0),
        (Travel::Gathered, 0),
        (Travel::ReadChunk, 3 * 24),
        (Travel::WriteChunk, 8 + 3 * 16),
        (Travel::ReplyChunk, 4 + 3 * 16),
    ];
    for (travel, chunk) in chunks {
        let long =
            |body_len| LIMITS.is_long(&Shape { pieces: 3, body_len, ..Shape::default() }, travel);
        let fits = 4096 - 28 - chunk;
        assert_eq!((long(fits), long(fits + 1)), (false, true), "{travel:?}");
    }
}

#[test]
fn who_may_do_what_to_the_callers_memory() {
    use verbs::WindowAccess;
    assert_eq!(Travel::ReadChunk.by_chunk(), Some(WindowAccess::READ));
    for writes in [Travel::WriteChunk, Travel::ReplyChunk] {
        assert_eq!(writes.by_chunk(), Some(WindowAccess::WRITE));
    }
    for none in [Travel::Nothing, Travel::Copied, Travel::Gathered] {
        assert_eq!(none.by_chunk(), None);
    }
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

#[test]
fn a_key_ends_by_its_own_invalidation_and_once() {
    let mut request = Request::default();
    request.windows[1] = Key { rkey: 5, bound: true };
    request.windows[2] = Key { rkey: 6, bound: false };
    request.windows_bound = 1;
    assert!(!request.end_key(4), "another call's");
    assert!(!request.end_key(6), "of a window that is not bound");
    assert_eq!(request.keys().collect::<Vec<_>>(), [5]);
    assert!(request.any_key() && request.end_key(5) && !request.any_key());
    assert!(!request.end_key(5), "it has ended before");
}

#[test]
fn a_reply_waits_for_a_send_alone_where_that_reads_the_payload_of_a_plain_call() {
    let waits = |plain, windows_bound, gathered, sending| {
        let request = Request { plain, windows_bound, gathered, sending, ..Request::default() };
        request.waits_for_send()
    };
    assert!(waits(true, 0, true, true));
    assert!(!waits(false, 0, true, true), "no plain call");
    assert!(!waits(true, 1, true, true), "its key has to end, too");
    assert!(!waits(true, 0, false, true) && !waits(true, 0, true, false), "nothing reads it");
}

#[test]
fn a_reply_that_is_kept_is_awaited_no_more() {
    let mut request = Request { pending: true, xid: 7, ..Request::default() };
    assert!(request.awaits(7) && !request.awaits(8));
    request.keep_reply(matched().unwrap());
    assert!(!request.awaits(7) && request.is_complete());
}

#[test]
fn a_reply_that_invalidates_the_calls_key_ends_it() {
    let mut request = Request::default();
    let reply = UsualReply { xid: 0, credits: 1, write: None, len: 28 };
    request.windows[0] = Key { rkey: 5, bound: true };
    request.windows_bound = 1;
    assert_eq!(request.answered_by(&reply, Some(4)), Err(()), "another call's");
    assert!(request.any_key());
    assert_eq!(request.answered_by(&reply, Some(5)), Ok(None));
    assert!(!request.any_key());
}

#[test]
fn a_length_is_padded_to_whole_words() {
    assert_eq!([0, 1, 3, 4, 5, 8].map(padded), [0, 4, 4, 4, 8, 8]);
}
