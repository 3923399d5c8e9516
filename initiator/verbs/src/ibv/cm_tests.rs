use super::*;

fn depth(responder_resources: u8, initiator_depth: u8) -> ReadDepth {
    ReadDepth { responder_resources, initiator_depth }
}

#[test]
fn parameters_reach_the_connection_manager_as_given() {
    let params = ConnectParams {
        private_data: &[7; 8],
        retry_count: 6,
        rnr_retry_count: 9,
        ..Default::default()
    };
    let param = conn_param(&params, depth(16, 3)).unwrap();
    assert_eq!(param.private_data_len, 8);
    assert_eq!(param.private_data.cast::<u8>(), params.private_data.as_ptr());
    assert_eq!((param.responder_resources, param.initiator_depth), (16, 3));
    assert_eq!((param.retry_count, param.rnr_retry_count), (6, 7), "both are three-bit fields");
}

#[test]
fn private_data_beyond_the_field_is_refused_with_the_limit() {
    let params = ConnectParams { private_data: &[0; 57], ..Default::default() };
    let error = conn_param(&params, depth(1, 0)).err().unwrap();
    assert_eq!(error, Error::Limit { what: "private data", asked: 57, limit: 56 });
    assert!(data_len("x", &[0; 300], 400).is_err(), "the length field has eight bits");
}

#[test]
fn read_depth_is_limited_field_by_field() {
    assert_eq!(depth(16, 4).min(depth(8, 16)), depth(8, 4));
}

/// Machines that build this crate mostly have no RDMA device: then every entry fails with a text
/// that says what to do. With a device, both must work.
#[test]
fn without_a_device_the_error_says_what_to_do() {
    match CmId::new() {
        Ok(id) => assert!(id.next_event().unwrap().is_none()),
        Err(Error::NoDevice(text)) => {
            assert!(text.contains("modprobe") || text.contains("permission"), "{text}");
        }
        Err(other) => panic!("{other}"),
    }
}
