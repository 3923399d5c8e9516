# shellcheck shell=bash disable=SC2034
about='four connections a mount: a verified job over all, knfsd stopped and started again under it'

proof() {
    start_job four "$(verify_job 16k 32m 16)" --nconnect 4
    wait_for_packets 1000 60 || give_up "the job ended before knfsd was stopped"
    equal "queue pairs of the client" "$(rdma resource show qp | grep -c 'comm reactor')" 4
    stop_knfsd
    sleep 1
    still_running "while knfsd is away"
    start_knfsd
    end_job four 180
    assert_verified four $((32 << 20))
    at_least "connections made" "$(counter four connect_count)" 8
    at_least "calls over the connection that had fewest" \
        "$(figure four '[.initiator.mounts[0].connections[].sends] | min')" 100
}
