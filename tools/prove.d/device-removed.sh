# shellcheck shell=bash disable=SC2034
about='the client'\''s RDMA device deleted and added again: twice under a verified job, once under an idle mount'
machines=two

user_queue_pairs() { rdma resource show qp | grep -c ' pid ' || true; }

proof() {
    local round limit
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

    # Nobody is told of the removal where no connection is on the device.
    start_job idle "$(verify_job 4k 128k 1 thinktime=20s thinktime_blocks=16)" --idle-timeout 1
    wait_for_packets 50 120 || give_up "the job ended before it was idle"
    limit=$((SECONDS + 30))
    until (($(user_queue_pairs) == 0)); do
        ((SECONDS < limit)) || give_up "the job is not idle after 30 s"
        sleep 0.2
    done
    remove_device
    equal "RDMA devices, removal while idle" "$(rdma link | wc -l)" 0
    still_running "idle, without a device"
    add_device
    end_job idle 120
    assert_verified idle $((128 << 10))
}
