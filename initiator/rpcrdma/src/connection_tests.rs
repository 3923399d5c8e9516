use verbs::soft::{Clock, SoftFabric};
use verbs::{Completion, WcStatus, reject_reason};

use super::*;
use crate::fixtures::{Nobody, config};
use crate::{Endpoint, EndpointConfig};

/// A connection whose address is resolved, with what it needs on the device.
fn connection() -> Connection<SoftFabric> {
    let fabric = SoftFabric::new(Clock::virtual_time());
    let config = config();
    let mut endpoint = Endpoint::new(fabric.clone(), EndpointConfig::default());
    let id = endpoint.connect(config.clone(), Timestamp(0)).unwrap();
    let payloads = Payloads::new(&config.buffers).unwrap();
    let mut connection = Connection::resolve(&fabric, config, payloads, id, Timestamp(0)).unwrap();
    let link = connection.link.as_mut().unwrap();
    assert!(matches!(link.poll_event(), Some(CmEvent::RouteResolved)));
    let cq = link.new_completion_queue(64).unwrap();
    connection.start(&cq, Timestamp(0)).unwrap();
    assert!(connection.holds_device());
    connection
}

fn lost() -> Error {
    Error::Lost { remote: ([127, 0, 0, 1], 20049).into(), why: Loss::Disconnected }
}

#[test]
fn a_connection_is_drained_once_both_of_its_queues_are() {
    let mut connection = connection();
    connection.state = State::Draining;
    assert!(connection.receives.posted() > 0);
    connection.send_queue_drained = true;
    assert!(!connection.is_drained(), "Receives are on the queue");
    // SAFETY: nobody is connected to the queue pair.
    unsafe { connection.receives.reclaim_all() };
    assert_eq!((connection.receives.posted(), connection.receives.missing()), (0, 0));
    assert!(connection.is_drained());
    connection.send_queue_drained = false;
    assert!(!connection.is_drained(), "Sends may be");
    connection.link = None;
    assert!(connection.is_drained());
    connection.state = State::Waiting;
    assert!(!connection.is_drained());
}

#[test]
fn nothing_of_a_device_is_held_over_a_pause() {
    let mut paused = connection();
    assert_eq!(paused.backoff.pause_ns(), 0, "before the first attempt there is none");
    (paused.state, paused.link) = (State::Draining, None);
    paused.wait(&lost(), Timestamp(0));
    assert!(!paused.device_lost && paused.retry_at > Timestamp(0));
    assert!(!paused.holds_device());

    let mut at_once = connection();
    (at_once.state, at_once.link) = (State::Draining, None);
    at_once.wait(&lost(), Timestamp(0));
    assert!(at_once.retry_at == Timestamp(0) && at_once.holds_device());

    let mut removed = connection();
    (removed.state, removed.link, removed.device_lost) = (State::Draining, None, true);
    removed.wait(&lost(), Timestamp(0));
    assert!(!removed.holds_device());
}

#[test]
fn another_device_than_the_one_that_is_held_is_noticed() {
    let mut connection = connection();
    assert!(!connection.has_moved());
    connection.domain.as_mut().unwrap().0 += 1;
    assert!(connection.has_moved());
    connection.release_device();
    assert!(!connection.has_moved());
}

#[test]
fn a_stale_rejection_is_asked_about_again_a_few_times_and_another_is_not() {
    let mut connection = connection();
    let refused = |reason| Error::Refused { remote: ([127, 0, 0, 1], 20049).into(), reason };
    assert!(
        !connection.asks_again(&refused(reject_reason::CONSUMER))
            && !connection.asks_again(&lost())
    );
    for _ in 0..STALE_ASKS_MAX {
        assert!(connection.asks_again(&refused(reject_reason::STALE_CONNECTION)));
    }
    assert!(!connection.asks_again(&refused(reject_reason::STALE_CONNECTION)));
    assert!(!connection.asks_again(&refused(reject_reason::CONSUMER)));
}

#[test]
fn a_backward_call_without_a_header_takes_nothing_and_sends_nothing() {
    let mut connection = connection();
    connection.state = State::Established;
    // SAFETY: nobody is connected to the queue pair.
    assert_eq!(unsafe { connection.receives.arrived(0, 20) }, [0; 20]);
    connection.on_backward_call(0, 20);
    connection.answer_backward(&mut Nobody::default());
    assert_eq!((connection.counters.backward_calls, connection.counters.sends), (1, 0));
    assert!(connection.backlog.is_empty());
    assert_eq!((connection.sender.getter.head(), connection.receives.missing()), (0, 0));
}

#[test]
fn a_receive_that_failed_is_no_message() {
    let mut connection = connection();
    connection.state = State::Established;
    let id = connection.work_id;
    let (wr_id, status) = (id.with(Kind::Receive, 0), WcStatus::LocalLength);
    let batch = [Completion { wr_id, status, byte_len: 64, ..Completion::default() }];
    connection.on_completions(id, &batch, Timestamp(0), &mut Nobody::default());
    let why = Loss::Completion(WcStatus::LocalLength);
    assert!(matches!(&connection.cause, Some(Error::Lost { why: seen, .. }) if *seen == why));
    assert_eq!((connection.state, connection.counters.recvs), (State::Draining, 0));
    assert_eq!(connection.receives.missing(), 0);
}
