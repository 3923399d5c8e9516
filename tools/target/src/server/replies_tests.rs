use reactor::Timestamp;
use wire::nfs3::{self, procedure};
use wire::rpc::{CallHeader, OpaqueAuth, VERSION, flavor};

use super::{Caller, KEPT_NS_MIN, Key, REPLIES_MAX, Replies};

fn header(xid: u32, procedure: u32) -> CallHeader<'static> {
    let none = OpaqueAuth { flavor: flavor::NONE, body: &[] };
    let (prog, vers) = (nfs3::PROGRAM, nfs3::VERSION);
    CallHeader { xid, rpc_vers: VERSION, prog, vers, procedure, cred: none, verf: none }
}

fn caller(address: [u8; 4]) -> Caller {
    Caller { address: Some(address.into()), now: Timestamp(1) }
}

fn key(xid: u32, args: &[u8]) -> Key {
    Key::new(&header(xid, procedure::REMOVE), args, &caller([10, 0, 0, 1])).unwrap()
}

#[test]
fn only_the_same_call_of_the_same_client_is_a_repetition() {
    let mut replies = Replies::default();
    replies.keep(key(1, b"name"), b"reply", Timestamp(1));
    assert_eq!(replies.get(&key(1, b"name")), Some(&b"reply"[..]));
    let here = caller([10, 0, 0, 1]);
    let others = [
        key(2, b"name"),
        key(1, b"game"),
        key(1, b"name\0\0\0\0"),
        Key::new(&header(1, procedure::RMDIR), b"name", &here).unwrap(),
        Key::new(&header(1, procedure::REMOVE), b"name", &caller([10, 0, 0, 2])).unwrap(),
    ];
    for other in others {
        assert_eq!(replies.get(&other), None, "{other:?}");
    }
}

#[test]
fn calls_that_may_be_repeated_are_not_looked_up() {
    for repeatable in [procedure::READ, procedure::WRITE, procedure::COMMIT, procedure::LOOKUP] {
        assert!(Key::new(&header(1, repeatable), &[], &caller([10, 0, 0, 1])).is_none());
    }
}

#[test]
fn a_reply_lives_two_minutes_and_goes_when_the_next_one_comes() {
    let mut replies = Replies::default();
    replies.keep(key(1, b""), b"first", Timestamp(1));
    replies.keep(key(2, b""), b"second", Timestamp(1 + KEPT_NS_MIN));
    assert!(replies.get(&key(1, b"")).is_some(), "two minutes are not over");
    replies.keep(key(3, b""), b"third", Timestamp(2 + KEPT_NS_MIN));
    assert!(replies.get(&key(1, b"")).is_none());
    assert!(replies.get(&key(2, b"")).is_some());
}

#[test]
fn there_are_never_more_replies_than_the_limit_and_the_oldest_go_first() {
    let mut replies = Replies::default();
    let count = REPLIES_MAX as u32 + 10;
    for xid in 0..count {
        replies.keep(key(xid, b""), b"reply", Timestamp(1));
    }
    assert_eq!((replies.kept.len(), replies.order.len()), (REPLIES_MAX, REPLIES_MAX));
    assert!(replies.get(&key(9, b"")).is_none());
    assert!(replies.get(&key(10, b"")).is_some());
    assert!(replies.get(&key(count - 1, b"")).is_some());
}

#[test]
fn nothing_is_remembered_over_a_crash() {
    let mut replies = Replies::default();
    replies.keep(key(1, b""), b"reply", Timestamp(1));
    replies.clear();
    assert!(replies.get(&key(1, b"")).is_none());
    replies.keep(key(1, b""), b"again", Timestamp(2));
    assert_eq!(replies.get(&key(1, b"")), Some(&b"again"[..]));
}
