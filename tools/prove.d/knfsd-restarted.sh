# shellcheck shell=bash disable=SC2034
about='knfsd stopped and started again three times under a verified job'

proof() {
    local round
    start_job restarted "$(verify_job 16k 32m 16)"
    for round in 1 2 3; do
        wait_for_packets 500 60 || give_up "the job ended too early for restart $round"
        stop_knfsd
        sleep 1
        still_running "while knfsd is away"
        start_knfsd
    done
    end_job restarted 120
    assert_verified restarted $((32 << 20))
    at_least "connections made" "$(counter restarted connect_count)" 4
    told "calls sent again" "$(counter restarted retransmissions)"
}
