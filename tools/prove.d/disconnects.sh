# shellcheck shell=bash disable=SC2034
about='the client ends its connection every 40 calls, hundreds of times, under a verified job (--set calls=N)'
machines=two
features=planted-faults
seconds_max=700
calls=${prove_calls:-40}

proof() {
    INITIATOR_DISCONNECT_EVERY=$calls run_job disconnects 600 "$(verify_job 4k 16m 8)"
    assert_verified disconnects $((16 << 20))
    at_least "connections made" "$(counter disconnects connect_count)" 200
    at_least "calls sent again" "$(counter disconnects retransmissions)" 200
    told "calls" "$(counter disconnects sends)"
}
