use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::*;
use crate::{ReactorConfig, Timestamp};

fn reactor(mailbox_capacity: usize) -> Reactor {
    Reactor::new("r", ReactorConfig { mailbox_capacity, ..ReactorConfig::default() }).unwrap()
}

/// What a closure owns besides the witness, a pointer.
fn send_one_that_owns<T: Send + 'static>(mailbox: &Mailbox, value: T, witness: &Arc<AtomicU32>) {
    let witness = Arc::clone(witness);
    let message = move |_: &mut Reactor| {
        drop(value);
        witness.fetch_add(1, Relaxed);
    };
    mailbox.send(message).unwrap();
}

#[repr(align(64))]
struct OverAligned(u8);

impl Drop for OverAligned {
    fn drop(&mut self) {
        assert_eq!((std::ptr::from_mut(self).addr() % 64, self.0), (0, 7));
    }
}

#[test]
fn closures_of_any_size_and_alignment_are_called_once_or_dropped_once() {
    for run in [true, false] {
        let mut r = reactor(8);
        let mailbox = r.mailbox();
        let called = Arc::new(AtomicU32::new(0));
        send_one_that_owns(&mailbox, (), &called);
        send_one_that_owns(&mailbox, [1_u64; 5], &called);
        send_one_that_owns(&mailbox, [1_u64; 6], &called);
        send_one_that_owns(&mailbox, vec![[1_u64; 100]; 100], &called);
        send_one_that_owns(&mailbox, [1_u64; 10_000], &called);
        send_one_that_owns(&mailbox, OverAligned(7), &called);
        assert_eq!(Arc::strong_count(&called), 7);
        if run {
            r.turn(Timestamp(1));
            assert_eq!(Arc::strong_count(&called), 1);
        }
        drop(r);
        assert_eq!(Arc::strong_count(&called), 1);
        assert_eq!(called.load(Relaxed), if run { 6 } else { 0 });
    }
}

#[test]
fn a_message_takes_one_cache_line() {
    assert_eq!(size_of::<Message>() + size_of::<u64>(), 64);
    assert_eq!(size_of::<Mailbox>(), 8);
}

#[test]
fn a_message_that_keeps_its_own_mailbox_does_not_leak() {
    let r = reactor(8);
    let witness = Arc::new(());
    let (mailbox, held) = (r.mailbox(), Arc::clone(&witness));
    let kept = mailbox.clone();
    mailbox.send(move |_| drop((kept, held))).unwrap();
    drop((r, mailbox));
    assert_eq!(Arc::strong_count(&witness), 1);
}

#[test]
fn a_message_that_is_dropped_unrun_may_send_and_is_told_that_it_is_too_late() {
    struct Last(Mailbox, Arc<Mutex<Option<MailboxError>>>);
    impl Drop for Last {
        fn drop(&mut self) {
            *self.1.lock().unwrap() = self.0.send(|_| ()).err();
        }
    }
    let r = reactor(8);
    let answer = Arc::new(Mutex::new(None));
    let last = Last(r.mailbox(), Arc::clone(&answer));
    r.mailbox().send(move |_| drop(last)).unwrap();
    drop(r);
    let closed = MailboxError::Closed { reactor: "r".to_owned() };
    assert_eq!(answer.lock().unwrap().take(), Some(closed));
}

#[test]
fn a_message_has_left_its_place_when_it_runs() {
    let mut r = reactor(1);
    let mailbox = r.mailbox();
    let told = Arc::new(AtomicU32::new(0));
    let tell = Arc::clone(&told);
    r.mailbox()
        .send(move |_| {
            let next = move |_: &mut Reactor| tell.store(1, Relaxed);
            mailbox.send(next).unwrap();
            assert!(matches!(mailbox.send(|_| ()), Err(MailboxError::Full { capacity: 1, .. })));
        })
        .unwrap();
    r.turn(Timestamp(1));
    assert_eq!(told.load(Relaxed), 1);
}

#[test]
fn a_message_that_panics_is_dropped_once_and_the_next_is_run() {
    let mut r = reactor(8);
    let witness = Arc::new(AtomicU32::new(0));
    let held = Arc::clone(&witness);
    let fail = move |_: &mut Reactor| {
        let _held = held;
        panic!("a message that panics");
    };
    r.mailbox().send(fail).unwrap();
    send_one_that_owns(&r.mailbox(), (), &witness);
    assert!(catch_unwind(AssertUnwindSafe(|| r.turn(Timestamp(1)))).is_err());
    assert_eq!(Arc::strong_count(&witness), 2);
    r.turn(Timestamp(2));
    assert_eq!((Arc::strong_count(&witness), witness.load(Relaxed)), (1, 1));
}
