use nfs3_types::rpc as peer;
use nfs3_types::xdr_codec::{Opaque, Pack, Unpack};
use proptest::collection::vec;
use proptest::prelude::*;

use super::record::{FRAGMENT_MAX, LAST, Mark};
use super::*;
use crate::codec::tests::{ROOM, hostile_bytes, round_trip, survives};

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn auth_sys() -> impl Strategy<Value = AuthSys> {
    (any::<u32>(), "[a-zA-Z0-9.-]{0,255}", any::<u32>(), any::<u32>(), vec(any::<u32>(), 0..=16))
        .prop_map(|(stamp, machine, uid, gid, gids)| AuthSys { stamp, machine, uid, gid, gids })
}

fn auth() -> impl Strategy<Value = Auth> {
    prop_oneof![Just(Auth::None), auth_sys().prop_map(Auth::Sys)]
}

fn written(template: &CallTemplate, xid: u32, procedure: u32) -> Vec<u8> {
    let mut out = [0; CALL_HEADER_MAX];
    let mut w = Writer::new(&mut out);
    template.write(xid, procedure, &mut w).unwrap();
    assert_eq!(w.position(), template.size());
    out[..template.size()].to_vec()
}

fn packed(message: &impl Pack) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.pack(&mut bytes).unwrap();
    bytes
}

proptest! {
    #[test]
    fn a_server_reads_what_a_template_stamps(
        auth in auth(), prog: u32, vers: u32, xid: u32, procedure: u32,
    ) {
        let bytes = written(&CallTemplate::new(prog, vers, &auth), xid, procedure);
        let mut r = Reader::new(&bytes);
        let header: CallHeader = r.value().unwrap();
        r.finish().unwrap();
        prop_assert_eq!(header.check_version(), Ok(()));
        prop_assert_eq!(
            (header.xid, header.prog, header.vers, header.procedure),
            (xid, prog, vers, procedure)
        );
        prop_assert_eq!(header.verf, OpaqueAuth::NONE);
        match auth {
            Auth::None => prop_assert_eq!(header.cred, OpaqueAuth::NONE),
            Auth::Sys(sys) => {
                let seen = header.cred.auth_sys().unwrap();
                prop_assert_eq!((seen.stamp, seen.uid, seen.gid), (sys.stamp, sys.uid, sys.gid));
                prop_assert_eq!(seen.machine, sys.machine.as_bytes());
                prop_assert_eq!(seen.gids.as_slice(), &sys.gids[..]);
            }
        }
        round_trip(&header, &mut [0; ROOM]);
    }

    #[test]
    fn another_implementation_packs_the_same_call(
        sys in auth_sys(), prog: u32, vers: u32, xid: u32, procedure: u32,
    ) {
        let cred = peer::opaque_auth::auth_unix(&peer::auth_unix {
            stamp: sys.stamp,
            machinename: Opaque::owned(sys.machine.clone().into_bytes()),
            uid: sys.uid,
            gid: sys.gid,
            gids: sys.gids.clone(),
        });
        let verf = peer::opaque_auth::default();
        let body = peer::call_body { rpcvers: 2, prog, vers, proc: procedure, cred, verf };
        let theirs = packed(&peer::rpc_msg { xid, body: peer::msg_body::CALL(body) });
        let ours = written(&CallTemplate::new(prog, vers, &Auth::Sys(sys)), xid, procedure);
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn replies_round_trip(xid: u32, outcome in outcome()) {
        round_trip(&Reply { xid, outcome }, &mut [0; ROOM]);
    }

    #[test]
    fn hostile_bytes_are_no_danger(bytes in hostile_bytes(), xid: u32, kind in 0u32..2) {
        let mut message = words(&[xid, kind]);
        message.extend(&bytes);
        survives::<CallHeader>(&message, &mut [0; ROOM]);
        survives::<Reply>(&message, &mut [0; ROOM]);
        survives::<OpaqueAuth>(&bytes, &mut [0; ROOM]);
        let _ = OpaqueAuth { flavor: flavor::SYS, body: &bytes }.auth_sys();
    }

    #[test]
    fn marks_round_trip(last: bool, len in 0..=FRAGMENT_MAX) {
        let mark = Mark { last, len };
        prop_assert_eq!(Mark::parse(mark.encode()), Ok(mark));
        let theirs = peer::fragment_header::new(len, last);
        prop_assert_eq!(mark.encode(), theirs.into_xdr_buf());
    }
}

/// Anything that a reply can say. Codes that have a name do not appear as unknown ones.
fn outcome() -> impl Strategy<Value = Result<(), RpcError>> {
    let versions = (any::<u32>(), any::<u32>());
    prop_oneof![
        Just(Ok(())),
        Just(Err(RpcError::ProgUnavail)),
        versions.prop_map(|(low, high)| Err(RpcError::ProgMismatch { low, high })),
        Just(Err(RpcError::ProcUnavail)),
        Just(Err(RpcError::GarbageArgs)),
        Just(Err(RpcError::SystemErr)),
        versions.prop_map(|(low, high)| Err(RpcError::RpcMismatch { low, high })),
        any::<u32>().prop_map(|stat| Err(RpcError::Auth(stat))),
        (6u32..).prop_map(|stat| Err(RpcError::UnknownAccept(stat))),
        (2u32..).prop_map(|stat| Err(RpcError::UnknownReject(stat))),
    ]
}

#[test]
fn another_implementation_agrees_on_every_reply() {
    use peer::accept_stat_data as data;
    let accepted = |reply_data| {
        peer::reply_body::MSG_ACCEPTED(peer::accepted_reply {
            verf: peer::opaque_auth::default(),
            reply_data,
        })
    };
    let denied = peer::reply_body::MSG_DENIED;
    let cases = [
        (Ok(()), accepted(data::SUCCESS)),
        (Err(RpcError::ProgUnavail), accepted(data::PROG_UNAVAIL)),
        (
            Err(RpcError::ProgMismatch { low: 2, high: 4 }),
            accepted(data::PROG_MISMATCH { low: 2, high: 4 }),
        ),
        (Err(RpcError::ProcUnavail), accepted(data::PROC_UNAVAIL)),
        (Err(RpcError::GarbageArgs), accepted(data::GARBAGE_ARGS)),
        (Err(RpcError::SystemErr), accepted(data::SYSTEM_ERR)),
        (
            Err(RpcError::RpcMismatch { low: 2, high: 2 }),
            denied(peer::rejected_reply::rpc_mismatch(2, 2)),
        ),
        (
            Err(RpcError::Auth(auth_stat::TOO_WEAK)),
            denied(peer::rejected_reply::auth_error(peer::auth_stat::AUTH_TOOWEAK)),
        ),
    ];
    for (outcome, body) in cases {
        let mut out = [0; ROOM];
        let ours = round_trip(&Reply { xid: 7, outcome }, &mut out);
        assert_eq!(ours, packed(&peer::rpc_msg { xid: 7, body: peer::msg_body::REPLY(body) }));
        peer::rpc_msg::unpack(&mut &ours[..]).unwrap();
        assert!(ours.len() <= ERROR_REPLY_MAX);
    }
}

#[test]
fn results_follow_a_reply_whatever_its_verifier() {
    for verifier in [0u32, 1, 400] {
        let mut bytes = words(&[9, REPLY, MSG_ACCEPTED, flavor::SHORT, verifier]);
        bytes.resize(bytes.len() + verifier.next_multiple_of(4) as usize, 0xee);
        bytes.extend(words(&[SUCCESS, 0xfeed]));
        let mut r = Reader::new(&bytes);
        assert_eq!(r.value(), Ok(Reply::success(9)));
        assert_eq!(r.u32(), Ok(0xfeed));
    }
}

#[test]
fn a_verifier_of_more_than_400_bytes_is_refused() {
    let bytes = words(&[9, REPLY, MSG_ACCEPTED, flavor::SHORT, 401]);
    let refused = Reader::new(&bytes).value::<Reply>();
    assert!(matches!(refused, Err(DecodeError::TooLong { found: 401, max: 400, .. })));
}

#[test]
fn a_call_is_no_reply_and_a_reply_is_no_call() {
    let (call, reply) = (words(&[9, CALL, 2, 0, 0, 0]), words(&[9, REPLY, 0, 0, 0, 0]));
    assert_eq!(
        Reader::new(&call).value::<Reply>(),
        Err(DecodeError::Value { what: "reply", offset: 4, found: CALL })
    );
    assert_eq!(
        Reader::new(&reply).value::<CallHeader>(),
        Err(DecodeError::Value { what: "call", offset: 4, found: REPLY })
    );
}

#[test]
fn a_reply_is_accepted_or_denied() {
    let bytes = words(&[9, REPLY, 2]);
    assert_eq!(
        Reader::new(&bytes).value::<Reply>(),
        Err(DecodeError::Value { what: "reply_stat", offset: 8, found: 2 })
    );
}

#[test]
fn a_call_of_another_rpc_version_can_be_answered_though_its_rest_is_unknown() {
    let bytes = words(&[9, CALL, 3]);
    let header: CallHeader = Reader::new(&bytes).value().unwrap();
    assert_eq!((header.xid, header.rpc_vers), (9, 3));
    assert_eq!(header.check_version(), Err(RpcError::RpcMismatch { low: 2, high: 2 }));
}

#[test]
fn auth_sys_carries_16_groups_and_255_bytes_of_name_and_leaves_the_rest_out() {
    let sys = AuthSys { machine: "m".repeat(300), gids: (0..20).collect(), ..AuthSys::default() };
    let bytes = written(&CallTemplate::new(1, 1, &Auth::Sys(sys)), 1, 1);
    let header: CallHeader = Reader::new(&bytes).value().unwrap();
    let seen = header.cred.auth_sys().unwrap();
    assert_eq!(seen.machine, [b'm'; 255]);
    assert_eq!(seen.gids.as_slice(), (0..16).collect::<Vec<u32>>());
}

#[test]
fn malformed_auth_sys_is_refused() {
    let auth_sys = |body: &[u8]| OpaqueAuth { flavor: flavor::SYS, body }.auth_sys().map(drop);
    let gids = words(&[0, 0, 0, 0, 17]);
    assert!(matches!(auth_sys(&gids), Err(DecodeError::TooLong { found: 17, max: 16, .. })));
    let machine = words(&[0, 256]);
    assert!(matches!(auth_sys(&machine), Err(DecodeError::TooLong { found: 256, .. })));
    let trailing = words(&[0, 0, 0, 0, 0, 5]);
    assert_eq!(auth_sys(&trailing), Err(DecodeError::Trailing { offset: 20, left: 4 }));
    let none = OpaqueAuth::NONE.auth_sys();
    assert_eq!(none, Err(DecodeError::Value { what: "AUTH_SYS", offset: 0, found: 0 }));
}

#[test]
fn a_fragment_beyond_the_limit_is_refused() {
    for word in [FRAGMENT_MAX + 1, LAST | (FRAGMENT_MAX + 1), u32::MAX] {
        let refused = Mark::parse(word.to_be_bytes());
        assert!(matches!(refused, Err(DecodeError::TooLong { what: "fragment", .. })));
    }
}

#[test]
fn errors_read_as_plain_words() {
    let refused = RpcError::Auth(auth_stat::TOO_WEAK).to_string();
    assert_eq!(
        refused,
        "the server refused the credential: a stronger flavor or a privileged port is required \
         (auth_stat 5)"
    );
    let mismatch = RpcError::ProgMismatch { low: 3, high: 4 }.to_string();
    assert_eq!(mismatch, "the server has this RPC program only in versions 3 to 4");
}

#[test]
fn the_longest_call_header_has_a_credential_of_a_hundred_words() {
    // Six words of its own, and of credential and verifier the flavour and the length.
    assert_eq!(CALL_HEADER_MAX, 4 * (6 + 2 + 100 + 2));
    assert_eq!(ERROR_REPLY_MAX, REPLY_HEADER + 4 * 2);
}
