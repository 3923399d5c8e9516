//! The RDMA contract, asked of both providers by the same tests.
//!
//! `soft` answers everywhere. `ibv` answers where `INITIATOR_RDMA_ADDR` names a local address that
//! has an RDMA device; elsewhere its tests say that they were skipped. Both ends of every
//! connection are driven by the one thread of its test, as a reactor would drive them.

mod connecting;
mod direct;
mod ends;
mod failing;
mod messages;
mod waking;
mod windows;

/// One test for each behaviour and provider.
macro_rules! contract {
    ($($file:ident: $($behaviour:ident),+ $(,)?;)+) => {
        mod soft {
            use verbs::soft::{Clock, SoftFabric};
            $($(
                #[test]
                fn $behaviour() {
                    let fabric = SoftFabric::new(Clock::Real);
                    super::$file::$behaviour(&fabric, [127, 0, 0, 1].into());
                    assert_eq!(fabric.violations(), [], "lent memory was changed");
                }
            )+)+
        }

        #[cfg(feature = "rdma")]
        mod ibv {
            $($(
                #[test]
                fn $behaviour() {
                    if let Some(ip) = super::rdma_address() {
                        super::$file::$behaviour(&verbs::ibv::Ibv, ip);
                    }
                }
            )+)+
        }
    };
}

contract! {
    connecting:
        private_data_reaches_both_sides,
        a_rejection_carries_its_reason_and_data,
        nobody_listening_is_reason_8,
        port_0_finds_a_free_port,
        the_device_is_known_once_the_route_is,
        each_side_names_its_peer,
        dropping_an_end_disconnects_the_peer,
        an_incoming_request_that_is_dropped_is_rejected,
        two_connections_share_a_completion_queue;
    messages:
        messages_arrive_in_order_with_their_lengths,
        a_message_is_gathered_from_several_places,
        one_signaled_send_answers_for_those_before_it,
        a_chain_is_posted_by_one_call,
        messages_flow_both_ways_for_long,
        an_idle_queue_has_nothing;
    direct:
        a_write_places_bytes_where_told,
        a_write_is_visible_once_the_send_after_it_arrives,
        a_read_fetches_bytes_into_several_places,
        a_fenced_send_follows_the_read_before_it,
        a_large_transfer_crosses_packets;
    failing:
        a_wrong_remote_key_fails_the_write_and_flushes_the_rest,
        a_key_of_another_domain_is_refused,
        a_range_beyond_the_region_is_refused,
        a_region_without_remote_read_cannot_be_read,
        a_deregistered_region_is_refused,
        a_wrong_local_key_is_found,
        a_message_too_long_for_its_receive_fails_both_ends,
        a_receiver_without_receives_exhausts_the_senders_retries,
        a_full_send_queue_refuses_and_keeps_what_it_took,
        a_full_receive_queue_refuses,
        disconnect_flushes_what_is_and_what_will_be_posted,
        the_peer_of_a_disconnect_flushes_by_its_own,
        disconnect_twice_is_once;
    waking:
        an_armed_queue_tells_of_a_completion,
        what_came_before_arming_is_found_by_the_poll_after_it,
        a_queue_is_armed_again_and_again,
        a_flush_wakes_whoever_sleeps,
        a_queue_goes_with_events_unread,
        connection_events_can_be_slept_for;
    windows:
        a_window_is_bound_and_told_of_in_one_chain,
        a_window_lends_what_it_was_bound_for,
        a_write_outside_a_window_is_refused,
        a_write_outside_the_windows_region_is_refused,
        a_key_is_dead_after_local_invalidation,
        a_key_is_dead_after_remote_invalidation,
        a_window_bound_again_has_a_new_key,
        a_key_serves_for_256_binds_before_it_comes_again,
        another_connections_window_is_refused,
        another_domains_window_is_refused,
        another_connections_window_cannot_be_invalidated,
        a_dropped_window_ends_its_key,
        a_queue_pair_takes_its_windows_along,
        a_bound_window_cannot_be_bound,
        a_bind_that_makes_no_sense_fails_and_flushes_the_rest,
        a_window_does_not_open_another_domains_region,
        a_wrong_key_cannot_be_invalidated,
        operations_on_windows_are_flushed_in_order;
}

#[cfg(feature = "rdma")]
fn rdma_address() -> Option<std::net::IpAddr> {
    const NAME: &str = "INITIATOR_RDMA_ADDR";
    let Some(ip) = std::env::var_os(NAME) else {
        println!(
            "SKIPPED: no RDMA device: set {NAME} (tools/test runs this in the virtual machine)"
        );
        return None;
    };
    let ip = ip.to_str().and_then(|ip| ip.parse().ok());
    Some(ip.unwrap_or_else(|| panic!("{NAME} must be the IP address of an RDMA device")))
}
