# shellcheck shell=bash disable=SC2034
about='the client'\''s RDMA device deleted and added again, twice, under a verified job'
machines=two

proof() {
    local round
    start_job removed "$(verify_job 16k 16m 16)"
    for round in 1 2; do
        wait_for_packets 500 120 || give_up "the job ended before removal $round"
        remove_device
        equal "RDMA devices, removal $round" "$(rdma link | wc -l)" 0
        sleep 2
        still_running "without a device"
        add_device
    done
    end_job removed 240
    assert_verified removed $((16 << 20))
    at_least "connections made" "$(counter removed connect_count)" 3
    told "calls sent again" "$(counter removed retransmissions)"
}
