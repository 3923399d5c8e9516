# shellcheck shell=bash disable=SC2034
about='each packet 20 ms late, 8 ms more or less, both ways (--set delay=N jitter=N, ms)'
machines=two
seconds_max=500
delay=${prove_delay:-20} jitter=${prove_jitter:-8}

proof() {
    source tools/prove.d/lib/netem.sh
    mark() { before=$(rxe_counters out_of_seq_request); }
    struck() {
        at_least "shortest READ, ms" \
            "$(figure fault '[.jobs[].read.clat_ns.min] | min / 1000000')" $((2 * (delay - jitter)))
        told "packets out of order" $(($(rxe_counters out_of_seq_request) - before))
    }
    # With a rate netem keeps them in order; that they overtake each other is another proof.
    prove_netem delay "${delay}ms" "${jitter}ms" rate 100mbit
}
