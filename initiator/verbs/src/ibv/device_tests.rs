use super::*;

#[test]
fn the_first_missing_layer_is_named_with_its_command() {
    let none = what_is_missing(|_| false);
    assert!(none.contains("rdma link add rxe0 type rxe"), "{none}");
    let no_uverbs = what_is_missing(|path| path == SYSFS_DEVICES);
    assert!(no_uverbs.contains("modprobe ib_uverbs"), "{no_uverbs}");
}

#[test]
fn unrelated_failures_are_not_called_a_missing_device() {
    let error = Error::Os { call: "rdma_create_event_channel", errno: libc::EMFILE };
    assert_eq!(no_device(error.clone()), error);
    let denied = no_device(Error::Os { call: "rdma_create_event_channel", errno: libc::EACCES });
    assert!(matches!(denied, Error::NoDevice(text) if text.contains("permission")));
}

#[test]
fn devices_lists_what_there_is_or_says_what_to_do() {
    match devices() {
        Ok(list) => {
            for device in &list {
                let info = device.info.as_ref().expect("the tests run with access to devices");
                assert!(info.max_qp_wr > 0 && info.max_cqe > 0 && info.max_sge > 0, "{device:?}");
                assert!(device.ports.iter().all(|p| p.state != "unknown"), "{device:?}");
            }
        }
        Err(Error::NoDevice(text)) => assert!(!text.is_empty()),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn names_end_at_their_zero_byte() {
    let mut name = [0 as c_char; 64];
    name[0] = b'r' as c_char;
    name[1] = b'x' as c_char;
    assert_eq!(c_name(&name), "rx");
    assert_eq!(c_name(&[b'a' as c_char; 64]), "", "an unterminated name is not read past its end");
}

#[test]
fn only_rxe_may_say_by_the_kernels_flag_that_a_key_was_invalidated() {
    assert_eq!(invalidated_flags(0x02c9), 8);
    assert_eq!(invalidated_flags(RXE_VENDOR_ID), 8 | 4);
}
