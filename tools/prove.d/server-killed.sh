# shellcheck shell=bash disable=SC2034
about='the server'\''s machine killed and booted again ten times under a verified job with COMMITs'
machines=two
options=(--disk 1024)
times=${prove_times:-10}
# A boot takes half a minute, or two where the host is busy.
seconds_max=$((300 + 150 * times))
# Packets between a boot and the next kill: some seconds of work.
packets_between=${prove_packets:-400}
size=$((32 + 16 * times))

proof() {
    local round
    start_job killed "$(verify_job 16k "${size}m" 16 fsync=64 end_fsync=1)"
    for ((round = 1; round <= times; round++)); do
        wait_for_packets "$packets_between" 120 || give_up "the job ended before kill $round"
        ask kill-server
        still_running "server killed, $round of $times"
        ask boot-server
    done
    end_job killed 600
    assert_verified killed $((size << 20))
    at_least "connections made" "$(counter killed connect_count)" $((times + 1))
    told "calls sent again" "$(counter killed retransmissions)"
}
