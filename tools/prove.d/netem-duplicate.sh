# shellcheck shell=bash disable=SC2034
about='one packet in ten comes twice, both ways (--set percent=N)'
machines=two
seconds_max=500

proof() {
    source tools/prove.d/lib/netem.sh
    mark() {
        before=$(rxe_counters duplicate_request)
        told "duplicates before" "$before"
    }
    struck() { at_least "duplicates that the devices noticed" $(($(rxe_counters duplicate_request) - before)) 10; }
    prove_netem duplicate "${prove_percent:-10}%"
}
