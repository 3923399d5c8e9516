use super::*;

#[test]
fn a_description_reads_back_as_it_was_written() {
    for text in [
        "",
        "drop-replies=3,credits=1",
        "wrong-xid=1,long-chunk=2,delay-replies=5000000ns,credits=0,disconnect-after=7",
        "disconnect-after=7,restart-every=9",
        "change-verifier,status=STALE:READ:2,status=NOSPC:any:1",
    ] {
        let orders: Misbehaviour = text.parse().unwrap();
        assert_eq!(orders.to_string(), text);
        assert_eq!(orders.to_string().parse(), Ok(orders));
    }
    let orders: Misbehaviour = " delay-replies=2us , status=io ".parse().unwrap();
    assert_eq!(orders.delay_replies_ns, 2000);
    assert_eq!(orders.statuses, [StatusOrder { status: 5, procedure: None, calls: 1 }]);
}

#[test]
fn every_mistake_is_named() {
    for (text, part) in [
        ("drop-replys=1", "\"drop-replys\" is not known; there are: drop-replies"),
        ("drop-replies", "needs a value: drop-replies=1"),
        ("drop-replies=many", "\"many\" is not a whole number"),
        ("drop-replies=-1", "\"-1\" is not a whole number"),
        ("credits=4294967296", "more than 4294967295"),
        ("delay-replies=5", "\"5\" is not a duration"),
        ("delay-replies=99999999999999s", "too long"),
        ("restart-every=0", "it would never take a call"),
        ("change-verifier=1", "takes no value"),
        ("status=OLD", "status \"OLD\" is not one of PERM"),
        ("status=IO:PAINT", "procedure \"PAINT\" is not"),
        ("status=IO:NULL", "NULL has no status"),
        ("status=IO:READ:1:2", "is not STATUS:PROCEDURE:CALLS"),
    ] {
        let error = text.parse::<Misbehaviour>().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
        assert!(error.starts_with("misbehave: "), "{error}");
    }
}

#[test]
fn status_orders_run_out() {
    let mut orders: Misbehaviour = "status=STALE:READ:2,status=IO".parse().unwrap();
    assert_eq!(orders.take_status(0), None);
    assert_eq!(orders.take_status(6), Some(70));
    assert_eq!(orders.take_status(1), Some(5));
    assert_eq!(orders.take_status(1), None);
    assert_eq!(orders.take_status(6), Some(70));
    assert_eq!(orders.take_status(6), None);
    assert!(!orders.is_any());
}

#[test]
fn a_switch_disarms_itself_when_all_is_done() {
    let switch = Switch::new("drop-replies=1".parse().unwrap());
    assert!(switch.followed().is_empty());
    let drop = || switch.consult(|orders| Misbehaviour::take(&mut orders.drop_replies));
    assert!(drop());
    assert!(!drop());
    assert_eq!(switch.get(), Misbehaviour::default());
    switch.set("drop-replies=2".parse().unwrap());
    assert!(drop());
    assert_eq!(switch.get().drop_replies, 1);
    assert_eq!(switch.followed()["drop-replies"], 2, "one of three is still to be followed");
}
