# shellcheck shell=bash disable=SC2034
about='one packet in fifty overtakes those before it by 10 ms, both ways (--set percent=N)'
machines=two
seconds_max=500

proof() {
    source tools/prove.d/lib/netem.sh
    mark() {
        before=$(rxe_counters out_of_seq_request)
        told "packets out of order before" "$before"
    }
    struck() { at_least "packets out of order that the devices noticed" $(($(rxe_counters out_of_seq_request) - before)) 10; }
    prove_netem delay 10ms reorder "${prove_percent:-2}%"
}
