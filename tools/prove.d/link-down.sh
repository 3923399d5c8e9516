# shellcheck shell=bash disable=SC2034
about='the cable unplugged for 20 s under a verified job'
machines=two

proof() {
    start_job down "$(verify_job 16k 16m 16)"
    wait_for_packets 500 60 || give_up "the job ended before the link went down"
    ask unplug
    equal "carrier while it is unplugged" "$(</sys/class/net/v0/carrier)" 0
    sleep 20
    still_running "20 s later"
    ask plug
    end_job down 180
    assert_verified down $((16 << 20))
    at_least "connections made" "$(counter down connect_count)" 2
    at_least "calls sent again" "$(counter down retransmissions)" 1
}
